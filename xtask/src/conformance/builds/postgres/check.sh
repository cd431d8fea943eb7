docker run -d --name postgres --network none "$IMAGE" >/dev/null
within docker exec postgres psql -h /tmp -Atc 'SELECT 1'
[ "$(docker exec postgres psql -h /tmp -Atc 'SELECT word FROM told ORDER BY id' | tr '\n' ' ')" = "answered twice " ]
within sh -c 'docker inspect -f "{{.State.Health.Status}}" postgres | grep -qx healthy'
docker stop -t 60 postgres >/dev/null
[ "$(docker inspect -f '{{.State.ExitCode}}' postgres)" = 0 ]

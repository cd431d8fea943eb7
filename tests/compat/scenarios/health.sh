# Health checks.
docker run -d --name box --health-cmd 'echo said; test -e /tmp/well' --health-interval 100ms --health-retries 2 busybox sleep 1000
until docker inspect -f '{{.State.Health.Status}}' box | grep -qx unhealthy; do sleep 0.1; done; echo unhealthy
docker ps --filter health=unhealthy --format '{{.Names}}'
docker ps --filter health=healthy --format '{{.Names}}'
docker exec box touch /tmp/well
until docker inspect -f '{{.State.Health.Status}}' box | grep -qx healthy; do sleep 0.1; done; echo healthy
docker inspect -f '{{.State.Health.FailingStreak}}' box
docker inspect -f '{{json .Config.Healthcheck}}' box
docker stop -t 0 box
docker inspect -f '{{.State.Health.Status}}' box
docker run -d --name slow --health-cmd 'sleep 100' --health-interval 100ms --health-timeout 200ms --health-retries 1 busybox sleep 1000
until docker inspect -f '{{.State.Health.Status}}' slow | grep -qx unhealthy; do sleep 0.1; done; echo unhealthy
docker inspect -f '{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}' slow
docker run -d --name none --no-healthcheck busybox sleep 1000
docker inspect -f '{{json .State.Health}} {{json .Config.Healthcheck}}' none
docker run --health-cmd true --health-interval 1us busybox true

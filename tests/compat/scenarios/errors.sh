# What cannot be.
docker run --rm -m 1m busybox true
docker run --rm --network nothing busybox true
docker run --rm --name -bad busybox true
docker run --rm --mount type=bind,src=/no/such/folder,dst=/x busybox true
docker run --rm -v relative:name:/x busybox true
docker run --rm -v /tmp:relative busybox true
docker run --rm -v /tmp:/ busybox true
docker run --rm -v /tmp:/x -v /etc:/x busybox true
docker run --rm --restart always busybox true
docker run --rm --cpus 1000 busybox true
docker run --rm --cpuset-cpus 900 busybox true
docker run --rm --cap-add NOSUCH busybox true
docker run --rm --stop-signal NOSUCH busybox true
docker run --rm --security-opt nosuch busybox true
docker run --rm --ulimit nofile=10:5 busybox true
docker run --rm --sysctl no.such=1 busybox true
docker run --rm --log-driver nosuch busybox true
docker run --rm --log-opt nosuch=1 busybox true
docker run --rm --runtime nosuch busybox true
docker run --rm --device /dev/nosuch busybox true
docker create --restart sometimes busybox
docker create --memory 64m --memory-swap 32m busybox
docker create -p 127.0.0.1:18090:80/nosuch busybox
docker start nobody
docker stop nobody
docker restart nobody
docker kill nobody
docker pause nobody
docker rm nobody
docker exec nobody true
docker logs nobody
docker inspect nobody
docker port nobody
docker top nobody
docker wait nobody
docker stats --no-stream nobody
docker rename nobody x
docker cp nobody:/x /tmp/x
docker rmi nothing
docker tag nothing x
docker image inspect nothing
docker history nothing
docker save nothing -o /dev/null
# What the API itself refuses, as a client gets it that is not the docker command.
curl -s -w ' %{http_code} %{content_type}\n' --unix-socket ${DOCKER_HOST#unix://} http://d/v1.99/info | grep -o 'too new.* supported\| 400 .*'
curl -s -w ' %{http_code} %{content_type}\n' --unix-socket ${DOCKER_HOST#unix://} http://d/nosuch
curl -s -w ' %{http_code} %{content_type}\n' --unix-socket ${DOCKER_HOST#unix://} http://d/v1.41/containers/x/json/
curl -s -w ' %{http_code} %{content_type}\n' --unix-socket ${DOCKER_HOST#unix://} -X DELETE http://d/v1.41/info
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X OPTIONS http://d/v1.41/containers/json
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -I -o /dev/null http://d/v1.41/info
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -I -o /dev/null http://d/_ping
for path in swarm nodes services tasks secrets configs swarm/unlockkey services/x nodes/x tasks/x secrets/x configs/x; do curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} http://d/v1.41/$path; done
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X POST http://d/v1.41/swarm/leave
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} http://d/v1.41/plugins
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} http://d/v1.41/plugins/x/json
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X DELETE http://d/v1.41/plugins/x
curl -s -o /dev/null -w '%{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} 'http://d/v1.41/system/df?type=x'
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} 'http://d/v1.41/events?since=10&until=5'
curl -s --unix-socket ${DOCKER_HOST#unix://} 'http://d/v1.41/events?since=x'
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X POST -H Content-Type:application/json -d '{}' http://d/v1.41/containers/create
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X POST -H Content-Type:application/json -d '{"Image":""}' http://d/v1.41/containers/create
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X POST -H Content-Type:application/json -d '{"Image":"nosuch"}' http://d/v1.41/containers/create
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X POST -H Content-Type:application/json -d '{"Image":"busybox","NoSuch":1,"HostConfig":{"NoSuch":{}}}' 'http://d/v1.41/containers/create?name=lenient' | sed 's/"Id":"[0-9a-f]*"/ID/'
curl -s -w ' %{http_code}\n' --unix-socket ${DOCKER_HOST#unix://} -X POST -H Content-Type:application/json -d '{"Image":"busybox"}' 'http://d/v1.41/containers/create?name=lenient' | grep -o 'Conflict.*lenient\|You have.*\| 409'
docker rm lenient
docker create --platform a/b/c/d busybox
docker ps --filter health=nosuch
docker ps --filter is-task=nosuch
docker ps --filter publish=x
docker ps --filter expose=80:80
docker ps --filter before=nobody
docker ps --filter since=nobody

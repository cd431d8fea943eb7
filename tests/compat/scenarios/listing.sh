# What ps, top, stats and port show.
docker run -d --name up -l role=web -l tier=1 -p 127.0.0.1:18081:80 -p 127.0.0.1:18082:53/udp busybox sleep 1000
docker run --name down -l role=db busybox sh -c 'exit 3'
docker create --name made busybox
docker ps -a --format '{{.Names}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Ports}}|{{.Labels}}|{{.Networks}}|{{.Mounts}}'
docker ps -a --format '{{.Names}} {{.Status}}' | sed 's/ [0-9a-zA-Z ]* ago//; s/Up .*/Up/'
docker ps -q --filter name=up | wc -l
docker ps -a --format '{{.Names}}' --filter label=role
docker ps -a --format '{{.Names}}' --filter label=role=db
docker ps -a --format '{{.Names}}' --filter label=role=db --filter label=tier
docker ps -a --format '{{.Names}}' --filter status=exited --filter status=created
docker ps -a --format '{{.Names}}' --filter exited=3
docker ps -a --format '{{.Names}}' --filter ancestor=busybox
docker ps -a --format '{{.Names}}' --filter ancestor=nosuch
docker ps -a --format '{{.Names}}' --filter before=down
docker ps -a --format '{{.Names}}' --filter since=up
docker ps -a --format '{{.Names}}' --filter name=^/up$
docker ps -a --format '{{.Names}}' --filter 'name=[dm]'
docker ps -a --format '{{.Names}}' --filter network=bridge
docker ps -a --format '{{.Names}}' --filter publish=80
docker ps -a --format '{{.Names}}' --filter publish=18081
docker ps -a --format '{{.Names}}' --filter expose=53/udp
docker ps -a --format '{{.Names}}' --filter health=none
docker ps -a --format '{{.Names}}' --filter status=nosuch
docker ps -a --format '{{.Names}}' --filter nosuch=1
docker ps -a --format '{{.Names}}' --filter exited=x
docker ps --last 1 --format '{{.Names}}'
docker ps -n 2 --format '{{.Names}}'
docker port up
docker port up 80
docker port up 53/udp
docker port up 99
docker port down
docker top up -o pid,comm | sed 's/[0-9][0-9]* */PID /'
docker top up -eo comm
docker top up -o comm
docker top up | head -1
docker top down
docker stats --no-stream --format '{{.Name}} {{.PIDs}}' up
docker stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.PIDs}}' down
docker stats --no-stream up | head -1 | tr -s ' '
# The other filters, and what combines.
docker ps -a --format '{{.Names}}' --filter id=$(docker inspect -f '{{.Id}}' up)
docker ps -a --format '{{.Names}}' --filter name=up --filter name=down
docker ps -a --format '{{.Names}}' --filter status=running --filter label=role=web
docker ps -a --format '{{.Names}}' --filter publish=18080-18081/tcp
docker ps -a --format '{{.Names}}' --filter publish=1 --filter expose=80
docker ps -a --format '{{.Names}}' --filter expose=50-60/udp
docker ps -a --format '{{.Names}}' --filter isolation=default
docker ps -a --format '{{.Names}}' --filter is-task=false
docker ps -a --format '{{.Names}}' --filter is-task=true
docker ps -a --format '{{.Names}}' --filter health=healthy
docker ps -a --format '{{.Names}}' --filter network=$(docker network inspect -f '{{.Id}}' bridge)
docker create --name stored -v /anonymous -v shelf:/named busybox
docker ps -a --format '{{.Names}}' --filter volume=shelf
docker ps -a --format '{{.Names}}' --filter volume=/anonymous
docker ps -a --format '{{.Names}}' --filter volume=nosuch
docker commit down descended:1
docker create --name child descended:1
docker ps -a --format '{{.Names}} {{.Image}}' --filter ancestor=busybox
docker ps -a --format '{{.Names}} {{.Image}}' --filter ancestor=descended:1
test "$(docker image inspect -f '{{.Parent}}' descended:1)" = "$(docker image inspect -f '{{.Id}}' busybox)" && echo same
docker rm child stored
docker rmi descended:1 | head -1
docker volume rm shelf
curl -s --unix-socket ${DOCKER_HOST#unix://} 'http://d/v1.41/containers/json?limit=x'
curl -s --unix-socket ${DOCKER_HOST#unix://} 'http://d/v1.41/containers/json?all=1&filters=%7B%22name%22%3A%7B%22made%22%3Afalse%7D%7D' | grep -o '"Names":[^]]*\|"Labels":[^}]*\|"SizeRw[^,]*'
curl -s --unix-socket ${DOCKER_HOST#unix://} 'http://d/v1.41/containers/json?filters=null' | grep -o '"Names":[^]]*'
docker container prune -f | head -1
docker ps -a --format '{{.Names}}'

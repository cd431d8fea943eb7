# Events, in their order. The names are those of no other scenario: what happened before is told too.
docker run --rm --name brief -l x=y busybox sh -c 'exit 5'
docker events --since 10m --until $(date +%s.%N) --filter container=brief --format '{{.Type}} {{.Action}} {{index .Actor.Attributes "exitCode"}} {{index .Actor.Attributes "image"}} {{index .Actor.Attributes "x"}}'
docker run -d --name lasts busybox sleep 1000
docker exec lasts true
docker pause lasts
docker unpause lasts
docker rename lasts lasting
docker restart -t 0 lasting
docker kill -s CONT lasting
docker stop -t 0 lasting
docker rm lasting
docker events --since 10m --until $(date +%s.%N) --filter type=container --filter container=lasting --format '{{.Action}} {{index .Actor.Attributes "name"}} {{index .Actor.Attributes "signal"}} {{index .Actor.Attributes "oldName"}} {{index .Actor.Attributes "exitCode"}}' | sort
docker events --since 10m --until $(date +%s.%N) --filter event=die --format '{{.Action}} {{.Actor.Attributes.name}}' | grep -E ' (brief|lasting)'
docker events --since 10m --until $(date +%s.%N) --filter type=nosuch
docker tag busybox other:1
docker rmi other:1
docker events --since 10m --until $(date +%s.%N) --filter type=image --filter event=tag --filter event=untag --format '{{.Action}} {{index .Actor.Attributes "name"}}' | tail -2
# All attributes, and the order in which the parts of a run are told.
t=$(date +%s.%N); docker run --rm --name whole -l x=y -v evening:/v busybox true; docker events --since $t --until $(date +%s.%N) --format '{{.Type}} {{.Action}} {{json .Actor.Attributes}} {{.Scope}}'
t=$(date +%s.%N); docker run --rm --name flat --network none busybox sh -c 'exit 7'; docker events --since $t --until $(date +%s.%N) --format '{{.Type}} {{.Action}} {{json .Actor.Attributes}}'
t=$(date +%s.%N); docker create --name held busybox; docker commit -m words held kept:1; docker export held | wc -c | grep -c .; docker rm held; docker rmi kept:1 | head -1; docker events --since $t --until $(date +%s.%N) --format '{{.Type}} {{.Action}} {{json .Actor.Attributes}}'
t=$(date +%s.%N); docker create -l gone busybox >/dev/null; docker container prune -f --filter label=gone | tail -1; docker image prune -f; docker volume prune -f | tail -1; docker network prune -f; docker builder prune -f | tail -1; docker events --since $t --until $(date +%s.%N) --filter event=prune --format '{{.Type}} {{.Action}} {{json .Actor.Attributes}}'
docker volume rm -f evening
# Which are chosen.
t=$(date +%s.%N); docker run --rm --name chosen -l x=y busybox true; docker run --rm --name other busybox true; u=$(date +%s.%N); for f in image=busybox image=busybox:latest image=alpine label=x label=x=y label=x=z container=chosen container=cho type=container type=image event=die event=di scope=local scope=swarm daemon=x; do echo "$f: $(docker events --since $t --until $u --filter $f --filter type=container --format '{{.Action}}:{{.Actor.Attributes.name}}' | sort | tr '\n' ' ')"; done
docker events --since 10m --until 5s --filter nosuch=1 >/dev/null && echo taken
docker events --since 1s --until 10m 2>&1 | sed 's/([0-9]*)/(N)/g'
curl -s --unix-socket ${DOCKER_HOST#unix://} "http://d/v1.41/events?since=$(date +%s)&until=1"  | sed 's/([0-9]*)/(N)/g'
curl -s -D - -o /dev/null --unix-socket ${DOCKER_HOST#unix://} "http://d/v1.41/events?until=$(date +%s)" | grep -i content-type

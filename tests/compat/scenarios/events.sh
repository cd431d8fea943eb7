# Events, in their order.
docker run --rm --name box -l x=y busybox sh -c 'exit 5'
docker events --since 10m --until $(date +%s.%N) --filter container=box --format '{{.Type}} {{.Action}} {{index .Actor.Attributes "exitCode"}} {{index .Actor.Attributes "image"}} {{index .Actor.Attributes "x"}}'
docker run -d --name long busybox sleep 1000
docker exec long true
docker pause long
docker unpause long
docker rename long longer
docker restart -t 0 longer
docker kill -s CONT longer
docker stop -t 0 longer
docker rm longer
docker events --since 10m --until $(date +%s.%N) --filter type=container --filter container=longer --format '{{.Action}} {{index .Actor.Attributes "name"}} {{index .Actor.Attributes "signal"}} {{index .Actor.Attributes "oldName"}} {{index .Actor.Attributes "exitCode"}}' | sort
docker events --since 10m --until $(date +%s.%N) --filter event=die --format '{{.Action}} {{.Actor.Attributes.name}}' | grep -E 'box|long'
docker events --since 10m --until $(date +%s.%N) --filter type=nosuch
docker tag busybox other:1
docker rmi other:1
docker events --since 10m --until $(date +%s.%N) --filter type=image --filter event=tag --filter event=untag --format '{{.Action}} {{index .Actor.Attributes "name"}}' | tail -2

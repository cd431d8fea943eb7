# A life and its states.
docker create --name box -l x=y busybox sleep 1000
docker inspect -f '{{.State.Status}} {{.State.Running}} {{.Name}} {{.Path}} {{.Args}} {{.Config.Labels}}' box
docker inspect -f '{{json .State}}' box
docker exec box true
docker kill box
docker pause box
docker stop box
docker start box
docker start box
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.HostConfig.RestartPolicy.Name}}' box
docker pause box
docker pause box
docker exec box true
docker ps --format '{{.Names}} {{.State}}'
docker rm box
docker unpause box
docker unpause box
docker rename box crate
docker rename crate crate
docker rm crate
docker restart -t 0 crate
docker inspect -f '{{.State.Status}} {{.RestartCount}}' crate
docker kill -s HUP crate
docker kill -s NOSUCH crate
docker kill -s KILL crate
docker wait crate
docker wait crate
docker kill crate
docker stop crate
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' crate
docker start crate
docker rm -f crate
docker rm crate
docker run -d --name trap busybox sh -c 'trap "echo hup; exit 3" HUP; echo ready; while :; do sleep 0.1; done'
until docker logs trap | grep -q ready; do sleep 0.1; done
docker kill -s HUP trap
docker wait trap
docker logs trap
docker run -d --name fails --restart on-failure:1 busybox sh -c 'exit 3'
until docker inspect -f '{{.State.Status}} {{.RestartCount}}' fails | grep -qx 'exited 1'; do sleep 0.1; done; echo gave up
docker inspect -f '{{.State.ExitCode}} {{.State.Restarting}} {{json .HostConfig.RestartPolicy}}' fails
docker run -d --name ice busybox sleep 1000
docker pause ice
docker stop -t 1 ice
docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Paused}}' ice
docker run -d --name sig --stop-signal SIGRTMIN+3 busybox sh -c 'trap "exit 5" 37; echo ready; while :; do sleep 0.1; done'
until docker logs sig | grep -q ready; do sleep 0.1; done
docker stop sig
docker inspect -f '{{.State.ExitCode}} {{.Config.StopSignal}}' sig

# More processes in a running container.
docker run -d --name box -e A=1 -w /data busybox sleep 1000
docker exec box sh -c 'echo out; echo err >&2; exit 4'
docker exec box pwd
docker exec -w /tmp box pwd
docker exec -w /nosuch box pwd
docker exec -u alice box id
docker exec -u nosuch box id
docker exec -e B=2 box sh -c 'echo $A $B $HOME'
docker exec -u alice box sh -c 'echo $HOME'
docker exec box nosuch
docker exec box /nosuch/program
docker exec box /bin/not-executable
docker exec box /etc
docker exec box sh -c 'kill -9 $$'
docker exec -d box sh -c 'touch /made; sleep 1000'
until docker exec box test -e /made; do sleep 0.1; done; echo made
docker exec -d box nosuch
docker exec --privileged box grep CapEff /proc/self/status
docker exec box grep -E 'Cap(Inh|Eff|Bnd|Amb)' /proc/self/status
docker exec -u alice box grep -E 'Cap(Inh|Eff|Bnd|Amb)' /proc/self/status
docker exec -t box tty
docker inspect -f '{{len .ExecIDs}}' box
docker stop -t 0 box
docker exec box true

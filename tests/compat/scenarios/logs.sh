# Logs.
docker run --name box busybox sh -c 'for i in 1 2 3 4; do echo line $i; done; printf tail'
docker logs box
docker logs --tail 2 box
docker logs --tail 0 box
docker logs -f box
docker logs --tail nonsense box
docker logs --since 1h box
docker logs --until 1h box
docker logs --since 2000-01-01T00:00:00Z --until 2001-01-01T00:00:00Z box
docker logs --since 2000-01-01T00:00:00Z --tail 1 box
docker logs -t box | cut -c1-2,31-
docker logs --since nonsense box
docker run -d --name slow busybox sh -c 'echo one; sleep 1; echo two; sleep 0.2'
docker logs -f slow
docker run --name none --log-driver none busybox echo unseen
docker logs none
# What entries say besides their line.
docker run --name said --label app=web --label com.x=1 -e KEY=v --log-opt labels=app --log-opt env=KEY --log-opt tag={{.Name}} busybox echo hello
docker logs --details said
docker logs --details box
# Rotation.
docker run --name turned --log-opt max-size=10k --log-opt max-file=3 busybox seq 1 300
docker logs --tail 3 turned
docker logs turned | tail -1
docker run --name short --log-driver local busybox seq 1 5
docker logs short
docker logs --tail 2 short
docker inspect -f '{{.HostConfig.LogConfig.Type}} {{.HostConfig.LogConfig.Config}}' box said turned short none
# Terminals and long lines.
docker run -t --name tty busybox sh -c 'echo one; echo two'
docker logs tty
docker run --name long busybox sh -c 'head -c 40000 /dev/zero | tr "\0" x; echo; echo after'
docker logs long | wc
# Wrong options.
docker run --rm --log-driver nope busybox true
docker run --rm --log-opt nope=1 busybox true
docker run --rm --log-opt mode=never busybox true
docker run --rm --log-opt max-buffer-size=1m busybox true
docker run --rm --log-driver syslog --log-opt syslog-address=unix:///nowhere/log busybox true
docker run --rm --log-driver syslog --log-opt syslog-facility=nope busybox true
docker run --rm --log-driver journald --log-opt max-size=1 busybox true

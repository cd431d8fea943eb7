# Logs.
docker run --name box busybox sh -c 'for i in 1 2 3 4; do echo line $i; done; printf tail'
docker logs box
docker logs --tail 2 box
docker logs --tail 0 box
docker logs -f box
docker logs --tail nonsense box
docker logs --since 1h box
docker logs --until 1h box
docker logs -t box | cut -c1-2,31-
docker run -d --name slow busybox sh -c 'echo one; sleep 1; echo two; sleep 0.2'
docker logs -f slow
docker run --name none --log-driver none busybox echo unseen
docker logs none

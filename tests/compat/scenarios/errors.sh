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

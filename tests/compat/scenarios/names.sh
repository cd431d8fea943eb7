# Names and images in conflict.
docker create --name one busybox
docker create --name one busybox
docker create --name two busybox
docker rename two one
docker rmi busybox
docker rm one two
docker tag busybox again:1
docker images --format '{{.Repository}}:{{.Tag}}' | sort
docker rmi again:1
docker tag busybox Upper:1

# Volumes, named and not; those on disk are counted.
docker run -d --name box -v named:/data -v /anonymous -v /usr:/bound:ro --mount type=tmpfs,dst=/t busybox sleep 1000
docker inspect -f '{{range .Mounts}}{{.Type}} {{if eq .Destination "/data"}}{{.Name}}{{end}} {{.Destination}} {{.Driver}} [{{.Mode}}] {{.RW}} [{{.Propagation}}]{{"\n"}}{{end}}' box | sort
docker inspect -f '{{range .HostConfig.Binds}}{{.}}{{"\n"}}{{end}}{{json .Config.Volumes}}' box | sort
docker exec box cat /data/seed
docker exec box sh -c 'echo changed > /data/seed'
docker run --rm -v named:/elsewhere busybox cat /elsewhere/seed
docker run --rm -v named:/elsewhere:ro busybox sh -c 'echo x > /elsewhere/seed'
docker run --rm -v fresh:/data:nocopy busybox ls /data
find $DATA/volumes -mindepth 1 -maxdepth 1 -type d | wc -l
docker run --rm -v /anonymous -v kept:/x busybox true
find $DATA/volumes -mindepth 1 -maxdepth 1 -type d | wc -l
docker rm -f box
find $DATA/volumes -mindepth 1 -maxdepth 1 -type d | wc -l
docker run -d --name again -v /anonymous busybox sleep 1000
docker rm -f -v again
find $DATA/volumes -mindepth 1 -maxdepth 1 -type d | wc -l
docker run --rm -v 'bad name:/x' busybox true

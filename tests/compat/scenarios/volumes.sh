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
# Managed by themselves.
docker volume create --label tier=gold --label plain apart
docker volume create apart
docker volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}} {{json .Options}}' apart
docker volume ls -q --filter label=tier=gold
docker volume ls -q --filter label=tier=silver
docker volume ls --filter name=apa --format '{{.Driver}} {{.Name}} {{.Label "tier"}} {{.Scope}}'
docker volume ls -q --filter driver=none
docker volume ls -q --filter dangling=maybe
docker volume ls -q --filter nonsense=x
docker volume create x
docker volume create 'bad name'
docker volume create -d nosuchdriver other
docker volume create -o nonsense=1 other
docker volume create -o type=tmpfs other
docker volume create -o size=10m other
docker volume inspect nosuch
docker volume rm nosuch
docker volume rm -f nosuch
# In use.
docker create --name user -v apart:/apart busybox true
docker volume rm apart
docker volume rm -f apart
docker volume ls -q --filter dangling=false
docker rm user
docker volume rm apart
# Options of the driver.
docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,mode=700 memory
docker volume inspect -f '{{json .Options}}' memory
docker run --rm -v memory:/m:nocopy busybox sh -c 'grep " /m " /proc/mounts | cut -d" " -f3; stat -c %a /m; echo x > /m/file'
docker run --rm -v memory:/m busybox ls /m
docker run -d --name one -v memory:/m busybox sleep 1000
docker exec one sh -c 'echo shared > /m/file'
docker run --rm -v memory:/m busybox cat /m/file
docker rm -f one
mkdir -p $DATA/../place && echo there > $DATA/../place/file && docker volume create -o type=none -o o=bind -o device=$(realpath $DATA/../place) placed
docker run --rm -v placed:/p busybox cat /p/file
docker volume create -o type=none -o o=bind -o device=/no/such/place lost
docker run --rm -v lost:/p busybox true 2>&1 | sed 's,/[^ :]*/volumes,VOLUMES,g'
docker volume rm memory placed lost
rm -r $DATA/../place
# Of a container's own.
docker run -d --name lender -v named:/lent -v /free busybox sleep 1000
docker run --rm --volumes-from lender busybox sh -c 'cat /lent/seed; ls -d /free; echo new > /lent/seed'
docker run --rm --volumes-from lender:ro busybox sh -c 'echo x > /lent/seed'
docker run --rm --volumes-from nosuch busybox true
docker rm -f -v lender
docker run --name typed --mount type=volume,src=labelled,dst=/x,volume-label=a=b,volume-nocopy busybox true
docker volume inspect -f '{{json .Labels}}' labelled
docker rm typed
docker volume prune -f --filter label!=a=b | sort
docker volume prune -af --filter nonsense=1
docker volume ls -q | sort
docker events --since 0 --until $(($(date +%s)+1)) --filter type=volume --filter volume=labelled --format '{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}} [{{index .Actor.Attributes "destination"}}] {{index .Actor.Attributes "read/write"}}'
docker volume prune -af | sort

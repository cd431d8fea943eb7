# The networks that are always there.
docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'
docker network inspect -f '{{.Name}} {{.Driver}} {{.Internal}} {{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}' bridge
docker network inspect -f '{{json .IPAM}} {{json .Options}}' host none
docker network inspect nosuch
docker network rm bridge
docker run -d --name box busybox sleep 1000
docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' bridge
docker inspect -f '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{$end.IPPrefixLen}} {{$end.Gateway}}{{end}}' box
docker run --rm --network container:box busybox hostname | wc -c
docker run --rm --network container:nosuch busybox true
# Networks that people make.
docker network create --label a=b --subnet 10.61.0.0/16 --gateway 10.61.0.9 --ip-range 10.61.7.0/24 --aux-address r=10.61.0.3 front
docker network inspect -f '{{.Name}} {{.Scope}} {{.Driver}} {{.EnableIPv6}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}} {{json .Labels}} {{json .Options}} {{json .IPAM}} {{json .Containers}}' front
docker network create --internal -o com.docker.network.driver.mtu=1400 back
docker network inspect -f '{{.Internal}} {{json .Options}} {{.IPAM.Driver}} {{json .IPAM.Options}}' back
docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Labels}}'
docker network ls -f type=custom --format '{{.Name}}'
docker network ls -f label=a=b --format '{{.Name}}'
docker network ls -f driver=bridge -f name=fr --format '{{.Name}}'
docker network ls -f dangling=true --format '{{.Name}}'
docker network ls -f nosuch=x
docker network create front
docker network create host
docker network create --subnet 10.61.9.0/24 third
docker network create -d nosuch third
docker network create -d host third
docker network create --gateway 10.0.0.1 third
docker run -d --name web --network front --network-alias www --ip 10.61.0.50 -p 127.0.0.1:18091:80 busybox sleep 1000
docker run --rm --network front busybox sh -c 'nslookup www | grep -c 10.61.0.50; nslookup web | grep -c 10.61.0.50; grep nameserver /etc/resolv.conf; grep options /etc/resolv.conf'
docker run --rm --network front --ip 10.61.0.50 busybox true
docker run --rm --network front busybox ip route | head -n 1
docker run --rm --network back busybox sh -c 'ip link show eth0 | grep -o "mtu 1400"'
docker run --rm --network nosuch busybox true
docker run --rm --ip 172.17.0.9 busybox true
docker run --rm --network none busybox ip route
docker inspect -f '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{json $end.IPAMConfig}} {{$end.IPAddress}} {{$end.IPPrefixLen}} {{$end.Gateway}} {{json $end.Links}} {{json $end.DriverOpts}}{{end}} {{.HostConfig.NetworkMode}} {{json .NetworkSettings.Ports}}' web
docker ps --format '{{.Names}} {{.Networks}} {{.Ports}}'
docker ps -f network=front --format '{{.Names}}'
docker ps -f network=back --format '{{.Names}}'
docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{.IPv6Address}}{{end}}' front
docker network connect --alias also back web
docker inspect -f '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{end}}' web
docker exec web ip link show eth1 | grep -o 'mtu 1400'
docker run --rm --network back busybox sh -c 'nslookup also | grep -c ^Name'
docker network connect back web
docker network connect nosuch web
docker network connect back nosuch
docker network connect host web
docker network connect none web
docker network disconnect bridge web
docker network disconnect nosuch web
docker network disconnect back web
docker inspect -f '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{end}}' web
docker stop -t 0 web
docker network disconnect front web
docker network connect back web
docker inspect -f '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{end}}' web
docker start web
docker exec web ip link show eth0 | grep -o 'mtu 1400'
docker network rm back nosuch front
docker rm -f web
docker run -d --name box2 --network host busybox sleep 1000
docker network connect back box2
docker network disconnect host box2
docker network prune -f
docker network ls --format '{{.Name}}'
docker network create --subnet 10.62.0.0/16 last
docker run --rm --network last --ip 10.9.9.9 busybox true
docker run --rm --network last --ip 10.62.0.1 busybox true
docker run --rm --network bridge --network-alias x busybox true
docker create --name early --network later busybox sleep 1000
docker network connect nosuch early
docker network disconnect nosuch early
docker network disconnect nosuch early
docker network create later
docker start early
docker inspect -f '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{json $end.Aliases}} {{end}}' early
docker rm -f early
docker network rm last later

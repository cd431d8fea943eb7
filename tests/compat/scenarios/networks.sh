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

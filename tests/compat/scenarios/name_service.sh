# Names of containers on networks of one's own.
docker network create blue >/dev/null && docker network create red >/dev/null && echo made
docker run -d --name web --network blue --network-alias www busybox sleep 1000
docker run -d --name client --network blue --link web:shop busybox sleep 1000
docker exec client sh -c 'for name in web www shop WEB web.blue www.blue; do nslookup $name 127.0.0.11 | grep -c "^Address: [0-9]"; done'
docker exec client nslookup web.red 127.0.0.11 | grep -c '^Address: [0-9]'
docker exec client nslookup -type=mx web 127.0.0.11
docker exec client sh -c 'nslookup $(nslookup web 127.0.0.11 | sed -n "s/^Address: \([0-9.]*\)$/\1/p" | head -n 1) 127.0.0.11 | sed -n "s/.*name = /name /p"'
docker exec client nslookup $(docker inspect -f '{{slice .Id 0 12}}' web) 127.0.0.11 | grep -c '^Address: [0-9]'
docker exec client sh -c 'grep -E "^(nameserver|options)" /etc/resolv.conf'
docker exec web nslookup shop.blue 127.0.0.11 | grep -c '^Address: [0-9]'
docker run --rm --network blue --dns-option ndots:2 --dns-search example.org busybox sh -c 'grep -E "^(nameserver|search|options)" /etc/resolv.conf | sort'
docker run -d --name side --network container:client busybox sleep 1000
docker exec side sh -c 'hostname | wc -c; nslookup www | grep -c "^Address: [0-9]"; grep ^nameserver /etc/resolv.conf; tail -n 1 /etc/hosts | wc -w'
docker exec side sh -c 'test $(hostname) = $(tail -n 1 /etc/hosts | cut -f 2) && echo the same; echo 10.1.1.1 shared >> /etc/hosts' && docker exec client tail -n 1 /etc/hosts
docker inspect -f '{{slice .Id 0 12}}' client > /tmp/$$ && docker inspect -f '{{.HostsPath}} {{.ResolvConfPath}}' side | grep -c $(cat /tmp/$$); rm /tmp/$$
docker rm -f side
docker run --rm busybox grep -c 127.0.0.11 /etc/resolv.conf
docker network connect --alias other red web && docker network connect red client
docker exec client sh -c 'for name in web other other.red other.blue; do nslookup $name 127.0.0.11 | grep -c "^Address: [0-9]"; done'
docker rename web site && docker exec client sh -c 'for name in site www.blue; do nslookup $name 127.0.0.11 | grep -c "^Address: [0-9]"; done'
docker stop -t 0 site && docker exec client nslookup www.blue 127.0.0.11 | grep -c '^Address: [0-9]'
docker start site && docker exec client nslookup www.blue 127.0.0.11 | grep -c '^Address: [0-9]'
docker network disconnect red site && docker exec client nslookup other.red 127.0.0.11 | grep -c '^Address: [0-9]'
docker rm -f -v site client
docker network rm blue red

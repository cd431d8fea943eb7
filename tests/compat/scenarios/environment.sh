# What the process finds.
docker run --rm --hostname box -e A=1 -e FROM_IMAGE busybox env
docker run --rm --hostname box -u alice busybox env
docker run --rm -t --hostname box busybox env
docker run --rm --add-host db:10.0.0.9 --hostname box --network none busybox cat /etc/hosts
docker run --rm --hostname box busybox cat /etc/hosts
docker run --rm --hostname box.example.org --domainname example.net busybox sh -c 'cat /etc/hosts; hostname; cat /proc/sys/kernel/domainname'
docker run --rm --dns 10.0.0.1 --dns-search example.org --dns-option ndots:2 busybox grep -Ev '^(#|$)' /etc/resolv.conf
docker run --rm --hostname box busybox cat /etc/hostname
docker run --rm -e HOME=/x -e PATH=/bin:/x busybox env | grep -E '^(HOME|PATH)='

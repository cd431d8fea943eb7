# What a container sees.
# runc makes /dev/core only where the kernel has a /proc/kcore.
docker run --rm --network none busybox ls /dev | grep -v '^core$'
docker run --rm busybox sh -c 'grep -E "^Cap(Inh|Bnd|Eff|Amb)|^Seccomp:|^NoNewPrivs" /proc/self/status'
docker run --rm -u alice busybox sh -c 'grep -E "^Cap(Inh|Bnd|Eff|Amb)" /proc/self/status'
docker run --rm --cap-drop ALL --cap-add CHOWN busybox grep CapEff /proc/self/status
docker run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
docker run --rm busybox sh -c 'stat -c "%a %n" /dev/shm /dev/pts /dev/null /tmp /proc /sys /dev/mqueue /dev/full'
docker run --rm busybox sh -c 'ls -l /dev | grep -v kcore | cut -c1-10 | sort'
docker run --rm busybox sh -c 'cd /dev; for name in fd stdin stdout stderr ptmx; do readlink $name; done'
docker run --rm busybox sh -c 'cut -d" " -f2 /proc/mounts | sort'
docker run --rm busybox sh -c 'ls -A / /etc'
docker run --rm --read-only busybox touch /x
docker run --rm --tmpfs /x:size=64k busybox sh -c 'df -k /x | tail -1 | tr -s " " | cut -d" " -f2'
docker run --rm --tmpfs /x busybox sh -c 'grep " /x " /proc/mounts | cut -d, -f1-4; stat -c %a /x'
docker run --rm busybox sh -c 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/net/ipv4/ping_group_range; ulimit -c'
docker run --rm -u alice busybox sh -c 'cd ~ && touch mine && ls -ln mine | tr -s " " | cut -d" " -f1,3,4'
docker run --rm --privileged busybox sh -c 'grep -E "^Cap(Eff|Bnd)|^Seccomp:" /proc/self/status'
docker run --rm --device /dev/null:/dev/mine busybox sh -c 'stat -c "%a %t:%T %F" /dev/mine'
docker run --rm --oom-score-adj 100 busybox cat /proc/self/oom_score_adj
docker run --rm --ulimit nofile=100:200 busybox sh -c 'ulimit -Sn; ulimit -Hn'
docker run --rm --sysctl net.ipv4.ip_forward=0 busybox cat /proc/sys/net/ipv4/ip_forward
docker run --rm --shm-size 32m busybox sh -c 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2'
docker run --rm -t busybox sh -c 'tty; stat -c %a /dev/console'
docker run --rm --network none busybox sh -c 'ip -o link | cut -d: -f2'
docker run --rm busybox sh -c 'ip -o link | cut -d: -f2 | cut -d@ -f1'
docker run --rm -v /tmp:/t:ro busybox touch /t/x

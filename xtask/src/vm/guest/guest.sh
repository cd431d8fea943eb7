#!/bin/sh
# The second disk says what is to be done. Without systemd this is the first process, which brings the machine up itself.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
if [ $$ = 1 ]; then
    mount -t proc proc /proc
    mount -t sysfs sys /sys
    mount -t devtmpfs dev /dev 2>/dev/null
    mkdir -p /dev/pts /dev/shm /dev/mqueue
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs shm /dev/shm
    mount -t mqueue mqueue /dev/mqueue
    mount -t tmpfs run /run
    mount -t tmpfs tmp /tmp
    mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
    mount -t bpf bpf /sys/fs/bpf
    mount --make-rshared /
    hostname machine
    exec </dev/null >/dev/ttyS0 2>&1
fi
ip link set lo up
mount -o ro /dev/nvme1n1 /payload
mount --bind /payload/lib/modules /lib/modules
sh /payload/suites.sh
[ $$ != 1 ] || busybox poweroff -f

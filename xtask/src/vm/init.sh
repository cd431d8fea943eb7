#!/bin/busybox sh
# The machine's first process: brings it up as a small server, runs the checks, goes down.
export PATH=/bin

if [ "$1" != second ]; then
    # The kernel's first root can be neither pivoted nor left by containers: move into an ordinary one.
    mount -t tmpfs -o mode=0755,size=80% none /mnt
    rm -f /bin/linuxrc
    cp -a /bin /dev /etc /init /lib /proc /root /run /sbin /smoke.sh /busybox.tar /layers.tar /sys /tmp /var /mnt/ 2>/dev/null
    mkdir -p /mnt/mnt
    exec switch_root /mnt /init second
fi

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t mqueue mqueue /dev/mqueue 2>/dev/null
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
mount --make-rshared /
hostname machine
ip link set lo up

# tmpfs has no id-mapped mounts before Linux 6.3; servers keep their data on a disk anyway.
truncate -s 600M /disk
mke2fs -F -I 256 /disk >/dev/null
mkdir -p /var/lib/dhow /srv
modprobe loop
modprobe -q ext4
mount -t ext4 -o loop /disk /srv && mkdir -p /srv/dhow && mount --bind /srv/dhow /var/lib/dhow

uname -a
cat /proc/uptime
sh /smoke.sh
reboot -f

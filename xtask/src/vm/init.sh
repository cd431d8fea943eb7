#!/bin/busybox sh
# The machine's first process: brings it up as a small server, runs the checks, goes down.
export PATH=/bin

if [ "$1" != second ]; then
    # The kernel's first root can be neither pivoted nor left by containers, and a tmpfs has no id-mapped mounts before
    # Linux 6.3: move to an ext4 on a disk in memory.
    mount -t proc proc /proc
    mount -t devtmpfs dev /dev
    modprobe loop
    modprobe -q ext4
    truncate -s 900M /disk
    mke2fs -F -I 256 /disk >/dev/null
    mount -t ext4 -o loop /disk /mnt || exec sh
    rm -f /bin/linuxrc
    mkdir /mnt/dev /mnt/proc /mnt/sys /mnt/mnt
    chmod 1777 /tmp
    cp -a /bin /etc /init /lib /root /run /sbin /smoke.sh /busybox.tar /layers.tar /tmp /var /mnt/
    umount /dev /proc
    exec switch_root /mnt /init second </dev/console >/dev/console 2>&1
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

mkdir -p /srv
uname -a
cat /proc/uptime
sh /smoke.sh
reboot -f

# Checks of the engine with systemd's cgroup driver: every function t_NAME is one. $1: the check.
set -eu
export DOCKER_HOST=unix:///run/fleet/engine.sock
driver=systemd

. /payload/expect.sh

engine() {
    mkdir -p /run/fleet
    dhow engine --data-root ${data:-/srv/fleet} --exec-root /run/fleet/exec -H $DOCKER_HOST --pidfile /run/fleet/pid --bridge none \
        --exec-opt native.cgroupdriver=$driver >>/run/fleet/log 2>&1 </dev/null &
    within 90 'dhow ps'
    dhow image inspect box >/dev/null 2>&1 || tar -C /srv/rootfs -c . | dhow import - box >/dev/null
}
ended() { kill "$1" "$(cat /run/fleet/pid)"; within 20 '! dhow ps && [ ! -e /run/fleet/pid ]'; }
id() { dhow inspect -f '{{.Id}}' "$1"; }
unit() { systemctl show --value -p "$2" "dhow-$(id "$1").scope"; }
box() { name=$1; shift; dhow run -d --network none --name "$name" "$@" box sleep 1000 >/dev/null; }
# No unit of a container is known to systemd.
no_units() { within 10 '[ -z "$(systemctl list-units --all --no-legend "dhow-*.scope")" ]'; }

t_a_container_is_a_scope() {
    engine
    is "$(dhow info -f '{{.CgroupDriver}} {{.CgroupVersion}}')" "systemd 2"
    box one -m 64m --cpu-shares 512 --pids-limit 44
    is "$(unit one ControlGroup)" "/system.slice/dhow-$(id one).scope"
    is "$(unit one MemoryMax) $(unit one TasksMax) $(unit one CPUWeight) $(unit one Delegate)" "67108864 44 59 yes"
    group=/sys/fs/cgroup$(unit one ControlGroup)
    has "$(cat $group/cgroup.procs)" "$(dhow inspect -f '{{.State.Pid}}' one)"
    is "$(dhow exec one cat /proc/self/cgroup)" 0::/
    dhow update -m 128m --memory-swap 128m --cpus 0.5 one
    is "$(unit one MemoryMax) $(unit one CPUQuotaPerSecUSec) $(cat $group/memory.max)" "134217728 500ms 134217728"
    has "$(dhow stats --no-stream --format '{{.MemUsage}}' one)" "/ 128MiB"
    dhow pause one
    is "$(cat $group/cgroup.freeze)" 1
    dhow unpause one
    dhow rm -f one
    no_units
    ended -TERM
}

# The group goes with the process, and what it counted.
t_the_out_of_memory_killer_is_remembered() {
    engine
    for number in 1 2 3 4 5 6; do
        dhow run --network none --name hungry$number -m 16m --memory-swap 16m box tail /dev/zero || [ $? = 137 ]
        is "$(dhow inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' hungry$number)" "true 137"
    done
    dhow run --network none --name content -m 16m box true
    is "$(dhow inspect -f '{{.State.OOMKilled}}' content)" false
}

t_slices() {
    engine
    box one --cgroup-parent fleet-east.slice
    is "$(unit one ControlGroup)" "/fleet.slice/fleet-east.slice/dhow-$(id one).scope"
    fails box two --cgroup-parent /fleet
    has "$said" 'should be a valid slice named as "xxx.slice"'
    dhow rm -f one two 2>/dev/null || true
    no_units
    ended -TERM
}

t_an_engine_that_is_killed_finds_its_units() {
    engine
    box stays -m 64m
    box ends
    pid=$(dhow inspect -f '{{.State.Pid}}' stays)
    kill -9 "$(cat /run/fleet/pid)"
    within 10 '! dhow ps'
    rm -f /run/fleet/pid
    systemctl daemon-reload
    driver=cgroupfs
    engine
    is "$(dhow inspect -f '{{.State.Status}} {{.State.Pid}}' stays)" "running $pid"
    is "$(dhow exec stays echo here)" here
    dhow update -m 128m --memory-swap 128m stays
    is "$(unit stays MemoryMax)" 134217728
    dhow kill ends >/dev/null
    within 10 '[ "$(dhow inspect -f "{{.State.Status}}" ends)" = exited ]'
    dhow rm -f stays ends
    no_units
    ended -TERM
}

t_devices_after_a_reload() {
    engine
    box one --userns host --cap-add MKNOD
    systemctl daemon-reload
    dhow exec one sh -c 'echo x >/dev/null && head -c 4 /dev/zero >/dev/null && head -c 4 /dev/urandom >/dev/null'
    fails dhow exec one sh -c 'rm -f /tmp/node; mknod /tmp/node c 10 237 && : </tmp/node'
    has "$said" "not permitted"
    dhow rm -f one
    ended -TERM
}

t_groups_of_its_own() {
    engine
    is "$(dhow run --rm --network none --security-opt writable-cgroups=true box sh -c 'cd /sys/fs/cgroup && mkdir mine &&
        echo 0 >mine/cgroup.procs && echo +pids >cgroup.subtree_control && echo 9 >mine/pids.max && cat mine/pids.max')" 9
    no_units
    ended -TERM
}

# A project quota of an ext4, which the machine that builds this may not have.
t_a_quota_of_the_writable_layer() {
    modprobe quota_v2
    truncate -s 300M /srv/quota.ext4
    mke2fs -q -F -t ext4 -O quota,project -E quotatype=prjquota /srv/quota.ext4
    mkdir -p /srv/quota
    mount -o loop,prjquota /srv/quota.ext4 /srv/quota
    data=/srv/quota/fleet
    engine
    fails dhow run --rm --network none --storage-opt size=8m box dd if=/dev/zero of=/big bs=1M count=20
    has "$said" "quota exceeded"
    dhow run --rm --network none --storage-opt size=8m box dd if=/dev/zero of=/small bs=1M count=4
    dhow run --rm --network none box dd if=/dev/zero of=/big bs=1M count=20
    ended -TERM
    umount /srv/quota
}

# What a failed check left must not make others fail.
left() {
    [ $? = 0 ] && return
    tail -n 20 /run/fleet/log
    left=$(dhow ps -aq) && dhow rm -f $left
    ended -TERM
}
trap left EXIT
"t_$1"

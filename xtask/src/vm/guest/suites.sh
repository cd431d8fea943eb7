# Runs the checks of runtime.sh and the test programs on the second disk, and reports: `ok NAME`, `FAILED NAME`, totals.
if [ -d /run/systemd/system ]; then export MACHINE=systemd; else export MACHINE=alone; fi
word() { tr ' ' '\n' </proc/cmdline | sed -n "s/^$1=//p"; }
only=$(word only | tr ',' ' ')
RUNTIME=$(word runtime); export RUNTIME=${RUNTIME:-/usr/local/bin/dhow-runtime}
# The second line is what criu looks at, which cannot have modules loaded from where it looks.
for module in overlay loop veth bridge dummy fuse \
    tun inet_diag tcp_diag udp_diag raw_diag unix_diag packet_diag netlink_diag nf_tables nf_conntrack nfnetlink; do
    modprobe -q $module
done
cp /payload/dhow /usr/local/bin/dhow
ln -s dhow /usr/local/bin/dhow-runtime
useradd -m -u 1000 alice 2>/dev/null
mkdir -p /srv/rootfs/bin /srv/rootfs/proc /srv/rootfs/sys /srv/rootfs/dev /srv/rootfs/tmp /srv/rootfs/etc
cp /bin/busybox /srv/rootfs/bin/
for name in $(busybox --list); do [ $name = busybox ] || ln -s busybox /srv/rootfs/bin/$name; done
echo root:x:0:0:root:/:/bin/sh >/srv/rootfs/etc/passwd

passed=0 failed=0
seconds() { cut -d . -f 1 /proc/uptime; }
verdict() {
    took=$(($(seconds) - began))
    if [ "$2" = 0 ]; then
        passed=$((passed + 1)); echo "ok $1 ($took s)"
    else
        failed=$((failed + 1)); echo "FAILED $1 (code $2, $took s)"; tail -n 60 /run/said | sed 's/^/  | /'
    fi
}
# check NAME SECONDS PROGRAM...
check() {
    name=$1 patience=$2; shift 2
    case " ${only:-$name} " in *" $name "*) ;; *) return ;; esac
    began=$(seconds) code=0
    timeout "$patience" "$@" >/run/said 2>&1 </dev/null || code=$?
    verdict "$name" $code
    [ $code != 0 ] || grep '^test result:' /run/said | sed 's/^/  | /'
}

echo "up after $(seconds) s: $(uname -r), $MACHINE, $RUNTIME"
for way in cgroupfs systemd; do
    [ $way = systemd ] && [ $MACHINE != systemd ] && continue
    for name in $(sed -n 's/^t_\([a-z0-9_]*\)() {$/\1/p' /payload/runtime.sh); do
        check "$way/$name" 120 sh /payload/runtime.sh $way "$name"
    done
done
if [ "$RUNTIME" = /usr/local/bin/dhow-runtime ]; then
    if [ $MACHINE = systemd ]; then
        for name in $(sed -n 's/^t_\([a-z0-9_]*\)() {$/\1/p' /payload/engine.sh); do
            check "engine/$name" 120 sh /payload/engine.sh "$name"
        done
    fi
    if [ $MACHINE = alone ]; then
        for name in $(sed -n 's/^t_\([a-z0-9_]*\)() {$/\1/p' /payload/checkpoints.sh); do
            check "checkpoints/$name" 400 sh /payload/checkpoints.sh "$name"
        done
    fi
    # Races that are tried hundreds of times belong on a fast machine.
    slow='exchanging_a_mount_point entering_process_shows programs_that_end_at_once overwritten_from_inside killed_create'
    for program in /payload/tests/*; do
        check "suite/${program##*/}" 900 env DHOW_BINARY=/usr/local/bin/dhow "$program" --test-threads=2 \
            $(printf -- '--skip %s ' $slow)
    done
fi
if [ -d /payload/bats ]; then
    . /payload/bats.sh
fi
echo "down after $(seconds) s"
dmesg | grep -E 'WARNING:|BUG:|Oops:' | head -n 5
echo "$passed passed, $failed failed"

# The checks: every function t_NAME is one. Alone in its shell, with an engine running; what it prints is shown when it fails.
export PATH=/bin DOCKER_HOST=unix:///run/engine.sock

# --- words for checks

start_engine() {
    dhow engine -H $DOCKER_HOST -H tcp://127.0.0.1:2375 --insecure-tcp --metrics-addr 127.0.0.1:9323 --pidfile /run/engine.pid >>/run/engine.log 2>&1 &
    engine=$!
    within 30 "dhow ps -q || ! kill -0 $engine" && kill -0 $engine || { echo "the engine does not answer"; tail -n 20 /run/engine.log; return 1; }
}

# Waits until the shell line $2 succeeds, at most $1 seconds.
within() {
    IFS=. read -r now _ </proc/uptime
    deadline=$((now + $1))
    until eval "$2" >/dev/null 2>&1; do
        IFS=. read -r now _ </proc/uptime
        [ "$now" -lt $deadline ] || { echo "not in time: $2"; return 1; }
        usleep 100000
    done
}

is() {
    [ "$1" = "$2" ] || { echo "got:    $1"; echo "wanted: $2"; exit 1; }
}

has() {
    case "$1" in *"$2"*) ;; *) echo "got:  $1"; echo "lacks: $2"; exit 1 ;; esac
}

fails() {
    if said=$("$@" 2>&1); then echo "did not fail: $*: $said"; exit 1; fi
}

# Process ids of command lines that begin so.
running() {
    ps -o pid,args | while read -r pid line; do
        case "$line" in "$1"*) echo "$pid" ;; esac
    done
}

# The last line of a page, by the shell line $FETCH, for here and for containers: a static wget calls the name service.
FETCH='fetch() { printf "GET / HTTP/1.0\r\n\r\n" | nc -w 5 "$1" "$2" | tail -n 1; }; fetch'

# What an address of this machine answers to GET: of the engine its port and a path.
# The request stays open until the answer is there: an end of it is taken for the client's.
get() {
    rm -f /run/get && mkfifo /run/get
    nc -w 10 127.0.0.1 "$1" </run/get &
    exec 3>/run/get
    printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3
    wait $!
    exec 3>&-
}

state() { dhow inspect -f "{{.State.$1}}" "$2"; }

group() { echo /sys/fs/cgroup/dhow/$(dhow inspect -f '{{.Id}}' "$1"); }

# Whether the kernel is at least $1.$2.
since() { uname -r | { IFS=.- read -r major minor _; [ "$major" -gt "$1" ] || [ "$major" -eq "$1" -a "$minor" -ge "$2" ]; }; }

dhow_run() { dhow run --rm "$@"; }

# --- checks

t_run_none() {
    is "$(dhow_run --network none busybox echo hello)" hello
}

t_run_bridge() {
    is "$(dhow_run busybox echo hello)" hello
    has "$(dhow_run busybox ip addr show eth0)" "inet 172."
}

t_exit_code() {
    code=0; dhow_run busybox sh -c 'exit 7' || code=$?
    is $code 7
}

t_terminal() {
    is "$(dhow_run -t busybox tty | tr -d '\r')" /dev/pts/0
}

t_stdin() {
    is "$(seq 1 2000 | dhow_run -i busybox wc -l)" 2000
}

t_files_are_written_over_the_image() {
    is "$(dhow_run busybox sh -c 'cat /data/seed; rm /data/seed; echo mine >/data/seed; mv /data /other; cat /other/seed')" \
        "$(echo from the image; echo mine)"
    is "$(dhow_run busybox cat /data/seed)" "from the image"
    is "$(dhow_run busybox stat -c '%u %g' /home/alice /bin/busybox | tr '\n' ' ')" "1000 1000 0 0 "
}

t_read_only_root() {
    fails dhow_run --read-only busybox touch /x
    dhow_run --read-only --tmpfs /run busybox touch /run/x
}

t_volume() {
    dhow_run -v vol:/data busybox sh -c 'cat /data/seed; echo more >/data/more; chown 1000:1000 /data/more'
    is "$(dhow_run -v vol:/data busybox sh -c 'cat /data/more; stat -c %u /data/more')" "$(echo more; echo 1000)"
}

t_host_image() {
    has "$(dhow_run host cat /smoke.sh)" t_host_image
    dhow_run host sh -c 'touch /smoke.new && rm /smoke.sh'
    [ -e /smoke.sh ] && [ ! -e /smoke.new ]
}

t_ipvlan() {
    ip link add lan type dummy && ip link set lan up
    for mode in l2 l3 l3s; do
        dhow network create -d ipvlan -o parent=lan -o ipvlan_mode=$mode --subnet 10.66.0.0/24 lan
        dhow run -d --name web --network lan busybox sh -c 'echo page >/tmp/index.html; exec httpd -f -p 80 -h /tmp'
        address=$(dhow inspect -f '{{.NetworkSettings.Networks.lan.IPAddress}}' web)
        within 30 '[ "$(dhow_run --network lan busybox sh -c "$FETCH $address 80")" = page ]'
        # One parent has one MAC; where the kernel is the router there is no other.
        is "$(dhow exec web cat /sys/class/net/eth0/address)" "$(cat /sys/class/net/lan/address)"
        case $mode in l2) way="via 10.66.0.1" ;; *) way="dev eth0" ;; esac
        has "$(dhow exec web ip route)" "default $way"
        fails dhow_run --network lan --mac-address 02:42:00:00:00:07 busybox true
        has "$said" "do not support custom mac address"
        dhow ps -aq | xargs dhow rm -f
        dhow network rm lan
    done
    ip link del lan
}

t_limits_inside() {
    said=$(dhow_run -m 64m --pids-limit 77 --cpus 0.5 --cpuset-cpus 0 --cpu-shares 512 busybox sh -c \
        'cd /sys/fs/cgroup && cat memory.max pids.max cpu.max cpuset.cpus cpu.weight; nproc')
    is "$said" "$(printf '67108864\n77\n50000 100000\n0\n59\n1')"
}

t_cgroup_namespace() {
    is "$(dhow_run busybox cat /proc/self/cgroup)" 0::/
    fails dhow_run busybox mkdir /sys/fs/cgroup/mine
    has "$(dhow_run busybox grep ' /sys/fs/cgroup ' /proc/mounts)" "cgroup2 ro"
    has "$(dhow_run --cgroupns host busybox cat /proc/self/cgroup)" 0::/dhow/
}

t_limits_outside() {
    dhow run -d --name limited -m 64m busybox sleep 1000
    is "$(cat "$(group limited)/memory.max")" 67108864
    dhow rm -f limited
}

t_out_of_memory() {
    code=0; dhow run --name hog -m 16m busybox tail -c 100000000 /dev/zero || code=$?
    is $code 137
    is "$(state OOMKilled hog) $(state ExitCode hog)" "true 137"
    dhow rm hog
}

t_update_of_one_that_runs() {
    dhow run -d --name live -m 64m busybox sleep 1000
    dhow update -m 128m --memory-swap 192m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 33 live
    is "$(cd "$(group live)" && cat memory.max memory.swap.max cpu.max cpu.weight cpuset.cpus pids.max)" \
        "$(printf '134217728\n67108864\n50000 100000\n59\n0\n33')"
    is "$(dhow inspect -f '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' live)" "134217728 33"
    fails dhow update -m 256m live
    has "$said" "should be smaller than already set memoryswap limit"
    is "$(cat "$(group live)/memory.max")" 134217728
    dhow rm -f live
}

t_rates_of_block_io() {
    dhow run -d --name slow --device-read-bps /dev/loop0:1mb --device-write-iops /dev/loop0:7 busybox sleep 1000
    has "$(cat "$(group slow)/io.max")" "7:0 rbps=1048576 wbps=max riops=max wiops=7"
    dhow rm -f slow
}

t_stats_in_full() {
    dhow run -d --name counted -m 64m busybox sh -c 'dd if=/dev/zero of=/tmp/x bs=1M count=4 2>/dev/null; sleep 1000'
    said=$(get 2375 '/v1.48/containers/counted/stats?stream=false')
    for key in '"limit":67108864' '"inactive_file":' '"workingset_refault":' '"io_service_bytes_recursive":' '"online_cpus":2' \
        '"system_cpu_usage":' '"pids_stats":{"current":1' '"eth0":{"rx_bytes":' '"precpu_stats":{"cpu_usage":{"total_usage":'; do
        has "$said" "$key"
    done
    case "$said" in *max_usage* | *percpu_usage*) echo "v1's: $said"; exit 1 ;; esac
    has "$(dhow stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' counted)" "/ 64MiB 1"
    dhow rm -f counted
}

t_metrics_with_pressure() {
    dhow run -d --name measured busybox sleep 1000
    said=$(get 9323 /metrics | grep measured)
    has "$said" dhow_container_
    [ ! -e /proc/pressure/cpu ] || has "$said" dhow_container_pressure_seconds_total
    dhow rm -f measured
}

t_health() {
    dhow run -d --name well --health-cmd 'test -e /tmp/well' --health-interval 500ms --health-retries 2 busybox sleep 1000
    within 20 '[ "$(state Health.Status well)" = unhealthy ]'
    dhow exec well touch /tmp/well
    within 20 '[ "$(state Health.Status well)" = healthy ]'
    # While it is paused nobody asks.
    dhow pause well
    is "$(state Status well)" paused
    dhow unpause well
    dhow rm -f well
}

t_cgroup_parent() {
    dhow run -d --name child --cgroup-parent /fleet/one -m 64m busybox sleep 1000
    placed=/sys/fs/cgroup/fleet/one/$(dhow inspect -f '{{.Id}}' child)
    is "$(cat $placed/memory.max)" 67108864
    has "$(cat $placed/cgroup.procs)" "$(state Pid child)"
    dhow update --pids-limit 44 child
    dhow pause child
    is "$(cat $placed/pids.max $placed/cgroup.freeze | tr '\n' ' ')" "44 1 "
    dhow unpause child
    dhow rm -f child
    [ ! -e $placed ]
    rmdir /sys/fs/cgroup/fleet/one /sys/fs/cgroup/fleet 2>/dev/null || [ ! -e /sys/fs/cgroup/fleet ]
}

t_writable_cgroups() {
    is "$(dhow_run --security-opt writable-cgroups=true busybox sh -c 'cd /sys/fs/cgroup && mkdir mine && echo 0 >mine/cgroup.procs &&
        echo +pids >cgroup.subtree_control && echo 9 >mine/pids.max && cat mine/pids.max /proc/self/cgroup')" "$(printf '9\n0::/mine')"
    fails dhow_run --security-opt writable-cgroups=true -m 64m busybox sh -c 'echo max >/sys/fs/cgroup/memory.max'
}

t_network_of_the_user_and_its_names() {
    dhow network create --subnet 10.77.0.0/24 fleet
    dhow run -d --name pier --network fleet --network-alias quay busybox sh -c 'echo page >/tmp/index.html; exec httpd -f -p 80 -h /tmp'
    address=$(dhow inspect -f '{{.NetworkSettings.Networks.fleet.IPAddress}}' pier)
    for name in pier quay; do
        has "$(dhow_run --network fleet busybox nslookup $name)" "$address"
    done
    within 10 '[ "$(dhow_run --network fleet busybox sh -c "$FETCH $address 80")" = page ]'
    dhow rm -f pier
    dhow network rm fleet
}

# Programs of vendors: with the host's files, as the container's root, and nothing of the image.
t_hooks_of_devices() {
    mkdir -p /etc/cdi
    printf '#!/bin/sh\nexec >/run/hook.$1 2>&1; cd .; pwd; env | sort; cat /proc/self/uid_map; cat; echo\n' >/bin/hook
    printf '#!/bin/sh\nroot=$(sed -n "s/.*.bundle.:.\\([^,]*\\).,.*/\\1/p")/rootfs\necho made >$root/etc/made && id -u >>$root/etc/made && pwd >>$root/etc/made && env >>$root/etc/made\n' >/bin/hook-in
    chmod 755 /bin/hook /bin/hook-in
    cat >/etc/cdi/acme.json <<'END'
{"cdiVersion": "0.6.0", "kind": "acme.com/card", "devices": [{"name": "one", "containerEdits": {"env": ["LD_PRELOAD=/evil"], "hooks": [
    {"hookName": "createRuntime", "path": "/bin/hook", "args": ["hook", "before"], "env": ["PATH=/bin", "A=b"]},
    {"hookName": "createContainer", "path": "/bin/hook-in", "args": ["hook-in"], "env": ["PATH=/bin"]},
    {"hookName": "poststop", "path": "/bin/hook", "args": ["hook", "after"], "env": ["PATH=/bin"]}]}},
  {"name": "bad", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/bin/false"}]}}]}
END
    said=$(dhow_run --annotation who=me --device acme.com/card=one busybox sh -c 'cat /etc/made; cat /proc/mounts' | grep -v ' / overlay')
    has "$said" "$(printf 'made\n0\n/\n')"
    case "$said" in *LD_PRELOAD*) echo "$said"; exit 1 ;; esac
    has "$(cat /run/hook.before)" '"status":"creating"'
    has "$(cat /run/hook.before)" '"annotations":{"who":"me"}'
    is "$(sed -n 1p /run/hook.before)" /
    has "$(cat /run/hook.after)" '"status":"stopped"'
    is "$(ls /run/dhow/bundles)" ""
    fails dhow_run --device acme.com/card=bad busybox true
    has "$said" "error running createContainer hook #0: exit status 1"
    is "$(ls /run/dhow/bundles)" ""
    rm /etc/cdi/acme.json
}

t_pids_limit_holds() {
    fails dhow_run --pids-limit 5 busybox sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 3 & done; wait'
    has "$said" fork
}

t_devices_are_denied() {
    fails dhow_run --userns host busybox sh -c 'mknod /tmp/disk b 7 0 && dd if=/tmp/disk of=/dev/null count=1'
    has "$said" "not permitted"
    dhow_run --userns host busybox sh -c 'echo x >/dev/null && head -c 4 /dev/zero >/dev/null && head -c 4 /dev/urandom >/dev/null'
    dhow_run busybox sh -c 'echo x >/dev/null && head -c 4 /dev/zero >/dev/null && head -c 4 /dev/urandom >/dev/null'
    fails dhow_run busybox mknod /tmp/disk b 7 0
}

t_devices_are_given() {
    dhow_run --device /dev/loop0:/dev/xda:r busybox sh -c 'dd if=/dev/xda of=/dev/null count=1 2>/dev/null'
    fails dhow_run --userns host --device /dev/loop0:/dev/xda:r busybox sh -c 'dd if=/dev/zero of=/dev/xda seek=1 count=1'
    dhow_run --privileged busybox dd if=/dev/loop0 of=/dev/null count=1
}

t_exec() {
    dhow run -d --name inner busybox sleep 1000
    is "$(dhow exec inner cat /proc/self/cgroup)" 0::/
    dhow exec -d inner sleep 4242
    within 5 '[ -n "$(running "sleep 4242")" ]'
    is "$(cat "/proc/$(running 'sleep 4242')/cgroup")" "0::/dhow/$(dhow inspect -f '{{.Id}}' inner)"
    code=0; dhow exec inner sh -c 'exit 9' || code=$?
    is $code 9
    is "$(dhow exec -u alice inner id -u)" 1000
    dhow rm -f inner
    within 5 '[ -z "$(running "sleep 4242")" ]'
}

t_pause() {
    dhow run -d --name frozen busybox sleep 1000
    dhow pause frozen
    is "$(cat "$(group frozen)/cgroup.freeze") $(state Status frozen)" "1 paused"
    dhow unpause frozen
    is "$(cat "$(group frozen)/cgroup.freeze") $(state Status frozen)" "0 running"
    dhow pause frozen
    dhow rm -f frozen
}

t_kill_takes_all() {
    dhow run -d --name many --pid host busybox sh -c 'sleep 5151 & sleep 5151 & sleep 5151'
    within 5 '[ "$(running "sleep 5151" | wc -l)" = 3 ]'
    dhow kill many
    within 5 '[ "$(state Status many)" = exited ]'
    is "$(state ExitCode many)" 137
    dhow rm -f many
    within 5 '[ -z "$(running "sleep 5151")" ]'
}

t_stop() {
    dhow run -d --name polite busybox sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
    within 10 '[ "$(dhow logs polite)" = ready ]'
    dhow stop -t 10 polite
    is "$(state ExitCode polite)" 3
    dhow run -d --name deaf busybox sleep 1000
    dhow stop -t 1 deaf
    is "$(state ExitCode deaf)" 137
    dhow rm polite deaf
}

t_restart_policy() {
    dhow run -d --name phoenix --restart on-failure:2 busybox false
    within 15 '[ "$(dhow inspect -f "{{.RestartCount}} {{.State.Status}}" phoenix)" = "2 exited" ]'
    dhow rm phoenix
}

t_published_port() {
    dhow run -d --name web -p 8080:80 busybox sh -c 'echo page >/tmp/index.html; exec httpd -f -p 80 -h /tmp'
    within 10 '[ "$(eval "$FETCH 127.0.0.1 8080")" = page ]'
    is "$(dhow port web 80 | tr "\n" " ")" "0.0.0.0:8080 [::]:8080 "
    other_machine
    is "$(nsenter --net=/run/other sh -c "$FETCH 10.9.0.1 8080")" page
    address=$(dhow inspect -f '{{.NetworkSettings.IPAddress}}' web)
    is "$(dhow_run busybox sh -c "$FETCH $address 80")" page
    dhow rm -f web
    is "$(eval "$FETCH 127.0.0.1 8080" 2>&1)" "nc: can't connect to remote host (127.0.0.1): Connection refused"
}

t_outgoing() {
    other_machine
    mkdir -p /run/page && echo there >/run/page/index.html
    nsenter --net=/run/other httpd -p 10.9.0.2:80 -h /run/page
    # It knows no way back to the bridge's addresses: only a masqueraded packet is answered.
    is "$(dhow_run busybox sh -c "$FETCH 10.9.0.2 80")" there
    kill $(running httpd)
}

# Another machine, as far as the network can tell: 10.9.0.2 beside our 10.9.0.1.
other_machine() {
    [ -e /run/other ] && return
    touch /run/other
    unshare --net=/run/other true
    nsenter --net=/run/other sleep 100000 &
    within 5 "! [ /proc/$!/ns/net -ef /proc/self/ns/net ]"
    # busybox cannot name the peer.
    ip link add wire type veth
    wire=$(ip -o link show | sed -n 's/^[0-9]*: \(.*\)@wire: .*/\1/p')
    ip link set "$wire" netns $!
    ip addr add 10.9.0.1/24 dev wire
    ip link set wire up
    nsenter --net=/run/other sh -c "ip addr add 10.9.0.2/24 dev $wire; ip link set $wire up; ip link set lo up"
}

t_user_namespace() {
    is "$(dhow_run busybox cat /proc/self/uid_map | tr -s ' ')" " 0 1879048192 65536"
    is "$(dhow_run --userns host busybox cat /proc/self/uid_map | tr -s ' ')" " 0 0 4294967295"
    dhow run -d --name mapped busybox sleep 1000
    is "$(stat -c %u "/proc/$(state Pid mapped)")" 1879048192
    dhow rm -f mapped
}

t_bind_mount_owner() {
    mkdir -p /srv/shared && echo x >/srv/shared/mine && chown 1000:1000 /srv/shared/mine
    is "$(dhow_run -v /srv/shared:/x busybox sh -c 'stat -c %u /x /x/mine; touch /x/new; chown 1000 /x/new' | tr '\n' ' ')" "0 1000 "
    is "$(stat -c %u /srv/shared/new)" 1000
    fails dhow_run -v /srv/shared:/x:ro busybox touch /x/no
}

t_bind_mount_of_tmpfs() {
    mkdir -p /run/shared && echo x >/run/shared/mine && chown 1000:1000 /run/shared/mine
    # Older kernels cannot id-map a tmpfs: its files belong to nobody.
    owners="0 1000 "; since 6 3 || owners="65534 65534 "
    is "$(dhow_run -v /run/shared:/x busybox stat -c %u /x /x/mine | tr '\n' ' ')" "$owners"
}

t_bind_mount_of_one_file() {
    echo one >/srv/one
    is "$(dhow_run -v /srv/one:/made/for/it busybox cat /made/for/it)" one
}

t_many_layers() {
    dhow load -q -i /layers.tar
    is "$(dhow_run layers sh -c 'ls /layers | wc -l; cat /top')" "$(printf '120\n120')"
}

t_seccomp() {
    is "$(dhow_run busybox grep Seccomp: /proc/self/status | tr -d '\t')" Seccomp:2
    fails dhow_run busybox unshare -m true
    fails dhow_run --userns host busybox mount -t tmpfs none /tmp
}

t_masks() {
    is "$(dhow_run busybox sh -c 'cat /proc/kcore /proc/timer_list 2>/dev/null | wc -c')" 0
    fails dhow_run busybox sh -c 'echo 1 >/proc/sys/kernel/panic'
}

t_init_face() {
    has "$(dhow_run --init busybox cat /proc/1/comm)" init
}

t_host_network() {
    has "$(dhow_run --network host busybox ls /sys/class/net)" dhow0
}

t_host_mount_table_stays_clean() {
    dhow run -d --name plain busybox sleep 1000
    if grep -E "overlay|$(dhow inspect -f '{{.Id}}' plain)" /proc/mounts; then echo "a container's mount is seen on the host"; exit 1; fi
    dhow rm -f plain
}

t_crash_of_the_engine() {
    dhow run -d --name survivor -p 8081:80 busybox sh -c \
        'echo before; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo after; exit 5'
    dhow run -d --name stays busybox sleep 1000
    pid=$(state Pid survivor)
    kill -9 "$(cat /run/engine.pid)"
    within 5 '! dhow ps'
    touch "/proc/$pid/root/tmp/go"
    start_engine
    within 10 '[ "$(state Status survivor)" = exited ]'
    is "$(state ExitCode survivor)" 5
    is "$(dhow logs survivor)" "$(printf 'before\nafter')"
    is "$(state Status stays) $(dhow exec stays echo here)" "running here"
    dhow rm -f survivor stays
}

t_twenty_at_once() {
    for i in $(seq 1 20); do dhow run --name "p$i" busybox echo "$i" >"/run/p$i" 2>&1 & done
    wait
    for i in $(seq 1 20); do is "$(cat "/run/p$i")" "$i"; dhow rm "p$i"; done
}

# The last two, in this order.
t_nothing_is_left() {
    containers=$(dhow ps -aq)
    [ -z "$containers" ] || dhow rm -f $containers
    is "$(ls -d /sys/fs/cgroup/dhow*/*/ 2>/dev/null)" ""
    is "$(grep -c overlay /proc/mounts)" 0
}

t_the_engine_ends() {
    kill "$(cat /run/engine.pid)"
    within 10 '[ -z "$(running "dhow ")" ]'
    is "$(ls -d /sys/fs/cgroup/dhow* 2>/dev/null)" ""
    is "$(grep dhow /proc/mounts)" ""
    is "$(ip -o link show | grep -E 'dhow|veth')" ""
}

# --- running them

if [ -n "$1" ]; then
    set -e
    "t_$1"
    exit 0
fi

names=$(sed -n 's/^t_\([a-z0-9_]*\)() {$/\1/p' /smoke.sh)
only=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^only=//p' | tr ',' ' ')
passed=0 failed=0
verdict() {
    if [ "$2" = 0 ]; then
        passed=$((passed + 1)); echo "ok $1"
    else
        failed=$((failed + 1)); echo "FAILED $1 ($2)"; sed 's/^/  | /' /tmp/said
        echo "--- the engine's log"; tail -n 30 /run/engine.log; echo "---"
        # What a failed check left must not make others fail.
        left=$(dhow ps -aq 2>/dev/null) && [ -n "$left" ] && timeout 20 dhow rm -f $left >/dev/null 2>&1
    fi
}
{ start_engine && dhow load -q -i /busybox.tar; } >/tmp/said 2>&1
verdict engine $?
if [ $failed = 0 ]; then
    for name in ${only:-$names}; do
        code=0; timeout 60 sh /smoke.sh "$name" >/tmp/said 2>&1 || code=$?
        verdict "$name" $code
    done
fi
cat /proc/uptime
dmesg | grep -E 'WARNING:|BUG:|Oops:' | head -n 5
echo "$passed passed, $failed failed"

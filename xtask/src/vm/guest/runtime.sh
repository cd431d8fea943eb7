# Checks of an OCI runtime with real cgroup v2: every function t_NAME is one. $1: the cgroup driver, $2: the check.
set -eu
driver=$1 check=$2
# sed -n 's/^t_\(.*\)() {$/\1/p' tells their names.

run() { if [ $driver = systemd ]; then "$RUNTIME" --systemd-cgroup "$@"; else "$RUNTIME" "$@"; fi; }

. /payload/expect.sh

# bundle NAME [FILTER]: a bundle whose program waits for ever, changed by a filter of jq.
bundle() {
    mkdir -p "$work/$1"
    cd "$work/$1"
    "$RUNTIME" spec
    edit '.process.terminal = false | .process.args = ["sleep", "1000"] | .root.path = "/srv/rootfs" | .root.readonly = false'
    [ $driver = systemd ] || edit ".linux.cgroupsPath = \"/vm/$1\""
    [ $# = 1 ] || edit "$2"
}
edit() { jq "$1" config.json >config.new; mv config.new config.json; }
# As run, for what might hang.
patiently() { if [ $driver = systemd ]; then timeout 20 "$RUNTIME" --systemd-cgroup "$@"; else timeout 20 "$RUNTIME" "$@"; fi; }
# Nobody may hold our output: the container's streams go elsewhere.
quietly() { "$@" >"$work/out" 2>&1 </dev/null || { cat "$work/out"; return 1; }; }

state() { run state "$1" | jq -r .status; }
group() { if [ $driver = systemd ]; then echo "/sys/fs/cgroup/system.slice/runc-$1.scope"; else echo "/sys/fs/cgroup/vm/$1"; fi; }
of() { cat "$(group "$1")/$2"; }
# A property of the unit, where there is one.
unit() { if [ $driver = systemd ]; then is "$(systemctl show --value -p "$2" "runc-$1.scope")" "$3"; fi; }
gone() {
    [ ! -e "$(group "$1")" ] || { echo "$(group "$1") is left"; exit 1; }
    if [ $driver = systemd ]; then is "$(systemctl list-units --all --no-legend "runc-$1.scope")" ""; fi
}

t_lifecycle() {
    bundle life
    quietly run create life
    is "$(state life)" created
    pid=$(run state life | jq .pid)
    is "$(sed 's/^0:://' /proc/$pid/cgroup)" "$(group life | sed 's,^/sys/fs/cgroup,,')"
    run start life
    is "$(state life)" running
    has "$(of life cgroup.procs)" "$pid"
    is "$(run ps --format json life | jq -c .)" "[$pid]"
    run kill life KILL
    within 10 '[ "$(state life)" = stopped ]'
    run delete life
    fails run state life
    gone life
}

t_run_gives_the_exit_code() {
    bundle code '.process.args = ["sh", "-c", "exit 7"]'
    code=0; run run code >/dev/null || code=$?
    is $code 7
    gone code
}

t_output_and_its_own_cgroup_namespace() {
    bundle own '.process.args = ["cat", "/proc/self/cgroup"]
        | .linux.namespaces += [{"type": "cgroup"}] | .linux.namespaces |= unique_by(.type)'
    is "$(run run own)" "0::/"
}

t_exec() {
    bundle inner
    quietly run run -d inner
    is "$(run exec inner cat /proc/self/comm)" cat
    code=0; run exec inner sh -c 'exit 9' || code=$?
    is $code 9
    quietly run exec -d --pid-file pid inner sleep 2000
    has "$(of inner cgroup.procs)" "$(cat pid)"
    run delete -f inner
    gone inner
}

# systemd and other first processes of containers make groups of their own; then theirs takes no process any more.
t_exec_where_the_group_became_an_inner_one() {
    bundle parent '.linux.namespaces += [{"type": "cgroup"}] | .linux.namespaces |= unique_by(.type)
        | .mounts |= map(if .type == "cgroup" then .options -= ["ro"] else . end)
        | .process.args = ["sh", "-c", "mkdir /sys/fs/cgroup/leaf && echo 1 >/sys/fs/cgroup/leaf/cgroup.procs &&
            echo +pids >/sys/fs/cgroup/cgroup.subtree_control && exec sleep 1000"]'
    quietly run run -d parent
    within 10 '[ "$(of parent cgroup.subtree_control)" = pids ]'
    is "$(run exec parent cat /proc/self/cgroup)" "0::/leaf"
    run exec parent mkdir /sys/fs/cgroup/other
    is "$(run exec --cgroup other parent cat /proc/self/cgroup)" "0::/other"
    is "$(run ps --format json parent | jq length)" 1
    run pause parent
    is "$(of parent leaf/cgroup.events | grep frozen)" "frozen 1"
    run delete -f parent
    gone parent
}

t_pause() {
    bundle frozen
    quietly run run -d frozen
    run pause frozen
    is "$(of frozen cgroup.freeze) $(state frozen)" "1 paused"
    run resume frozen
    is "$(of frozen cgroup.freeze) $(state frozen)" "0 running"
    run pause frozen
    run delete -f frozen
    gone frozen
}

t_limits() {
    bundle limits '.linux.resources += {
        "memory": {"limit": 67108864, "reservation": 33554432, "swap": 67108864},
        "cpu": {"shares": 512, "quota": 30000, "period": 50000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 42}}'
    quietly run run -d limits
    is "$(of limits memory.max) $(of limits memory.low)" "67108864 33554432"
    is "$(of limits cpu.max)" "30000 50000"
    is "$(of limits cpuset.cpus) $(of limits cpuset.mems) $(of limits pids.max)" "0 0 42"
    unit limits MemoryMax 67108864
    unit limits MemoryLow 33554432
    unit limits CPUQuotaPerSecUSec 600ms
    unit limits CPUQuotaPeriodUSec 50ms
    unit limits AllowedCPUs 0
    unit limits TasksMax 42
    if [ $driver = systemd ]; then
        # What systemd writes again is what we wrote.
        before=$(cd "$(group limits)" && grep . memory.max memory.low cpu.max cpu.weight cpuset.cpus pids.max)
        systemctl daemon-reload
        is "$(cd "$(group limits)" && grep . memory.max memory.low cpu.max cpu.weight cpuset.cpus pids.max)" "$before"
    fi
    run delete -f limits
}

t_unified() {
    bundle unified '.linux.resources += {"unified": {"memory.high": "50331648", "pids.max": "43", "cpu.weight": "77"}}'
    quietly run run -d unified
    is "$(of unified memory.high) $(of unified pids.max) $(of unified cpu.weight)" "50331648 43 77"
    unit unified MemoryHigh 50331648
    unit unified TasksMax 43
    unit unified CPUWeight 77
    run delete -f unified
}

t_update() {
    bundle changed '.linux.resources += {"memory": {"limit": 67108864}, "pids": {"limit": 42}}'
    quietly run run -d changed
    run update --memory 83886080 --pids-limit 50 --cpu-quota 20000 --cpuset-cpus 0 changed
    is "$(of changed memory.max) $(of changed pids.max) $(of changed cpu.max) $(of changed cpuset.cpus)" "83886080 50 20000 100000 0"
    unit changed MemoryMax 83886080
    unit changed TasksMax 50
    unit changed CPUQuotaPerSecUSec 200ms
    run update --pids-limit -1 changed
    is "$(of changed pids.max) $(of changed memory.max)" "max 83886080"
    unit changed TasksMax infinity
    unit changed MemoryMax 83886080
    run delete -f changed
}

# A swap limit counts the memory, too, and means nothing without its limit.
t_swap() {
    bundle swapped '.linux.resources += {"memory": {"limit": 67108864, "swap": 100663296}}'
    quietly run run -d swapped
    is "$(of swapped memory.max) $(of swapped memory.swap.max)" "67108864 33554432"
    unit swapped MemorySwapMax 33554432
    run update --memory 67108864 --memory-swap 134217728 swapped
    is "$(of swapped memory.max) $(of swapped memory.swap.max)" "67108864 67108864"
    run update --memory-swap -1 swapped
    is "$(of swapped memory.swap.max)" max
    run delete -f swapped
    edit '.linux.resources.memory = {"swap": 100663296}'
    fails run run -d swapped
    gone swapped
}

t_statistics() {
    bundle counted '.linux.resources += {"pids": {"limit": 42}}'
    quietly run run -d counted
    stats=$(run events --stats counted)
    is "$(echo "$stats" | jq -r '"\(.type) \(.id) \(.data.pids.limit) \(.data.pids.current)"')" "stats counted 42 1"
    is "$(echo "$stats" | jq '.data.cpu.usage.total > 0 and .data.memory.usage.usage > 0')" true
    run delete -f counted
}

t_devices() {
    bundle devices '.process.capabilities.bounding += ["CAP_MKNOD"] | .process.capabilities.permitted += ["CAP_MKNOD"]
        | .process.capabilities.effective += ["CAP_MKNOD"]
        | .linux.resources.devices = [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm"}]'
    quietly run run -d devices
    run exec devices sh -c 'echo x >/dev/null && head -c 4 /dev/zero >/dev/null && head -c 4 /dev/urandom >/dev/null'
    refused devices
    if [ $driver = systemd ]; then
        systemctl daemon-reload
        run exec devices sh -c 'echo x >/dev/null'
        refused devices
    fi
    run delete -f devices
}
# /dev/loop-control, which every process with the right node may open.
refused() {
    fails run exec "$1" sh -c 'rm -f /tmp/node; mknod /tmp/node c 10 237 && : </tmp/node'
    has "$said" "not permitted"
}

t_kill_takes_all() {
    bundle many '.process.args = ["sh", "-c", "sleep 3000 & sleep 3000 & wait"] | .linux.namespaces |= map(select(.type != "pid"))'
    quietly run run -d many
    within 10 '[ "$(of many cgroup.procs | wc -l)" = 3 ]'
    run kill -a many KILL || run kill many KILL
    within 10 '[ -z "$(of many cgroup.procs)" ]'
    within 10 '[ "$(state many)" = stopped ]'
    run delete many
    gone many
}

t_out_of_memory_leaves_nothing() {
    bundle hungry '.process.args = ["sh", "-c", "x=0123456789; while :; do x=$x$x; done"]
        | .linux.resources += {"memory": {"limit": 16777216, "swap": 16777216}}'
    code=0; run run hungry >/dev/null 2>&1 || code=$?
    is $code 137
    gone hungry
}

t_events_tell_of_the_end_of_memory() {
    bundle starved '.linux.resources += {"memory": {"limit": 33554432, "swap": 33554432}}'
    quietly run run -d starved
    run events --interval 1h starved >"$work/events" 2>&1 &
    # It reads the count before it waits.
    within 10 'ls -l "/proc/$(pgrep -P '$!')/fd" | grep -q inotify'
    run exec starved sh -c 'x=0123456789; while :; do x=$x$x; done' >/dev/null 2>&1 && exit 1
    within 20 'grep -q "\"oom\"" "$work/events"'
    is "$(jq -r .type "$work/events" | sort -u)" oom
    run delete -f starved
    within 10 '! kill -0 '$!
}

t_a_failed_start_leaves_nothing() {
    bundle wrong '.process.args = ["/no/such/program"]'
    fails run run wrong
    gone wrong
    fails run state wrong
}

t_annotations_set_properties() {
    [ $driver = systemd ] || return 0
    bundle noted '.annotations = {"org.systemd.property.TimeoutStopSec": "uint64 77", "org.systemd.property.CollectMode": "'"'inactive-or-failed'"'"}'
    quietly run run -d noted
    unit noted TimeoutStopUSec "1min 17s"
    unit noted CollectMode inactive-or-failed
    run delete -f noted
    bundle wrongly '.annotations = {"org.systemd.property.Timeout9": "uint64 77"}'
    fails run run -d wrongly
}

t_slices() {
    [ $driver = systemd ] || return 0
    bundle sliced '.linux.cgroupsPath = "machine-vm.slice:boat:sliced"'
    quietly run run -d sliced
    is "$(systemctl show --value -p ControlGroup boat-sliced.scope)" /machine.slice/machine-vm.slice/boat-sliced.scope
    run delete -f sliced
    is "$(systemctl list-units --all --no-legend boat-sliced.scope)" ""
    edit '.linux.cgroupsPath = "/no/unit"'
    fails run run -d sliced
    has "$said" 'slice:prefix:name'
}

t_a_unit_that_failed_makes_room() {
    [ $driver = systemd ] || return 0
    systemctl reset-failed 2>/dev/null || true
    bundle again
    quietly run run -d again
    fails run run -d again
    run delete -f again
    quietly run run -d again
    run delete -f again
    gone again
}

t_a_group_in_use_or_frozen_is_refused() {
    bundle first
    if [ $driver = systemd ]; then path=system.slice:runc:first; else path=/vm/first; fi
    edit ".linux.cgroupsPath = \"$path\""
    quietly run run -d first
    code=0; patiently run -d second >"$work/said" 2>&1 || code=$?
    is $code 1
    has "$(cat "$work/said")" "container's cgroup is not empty"
    is "$(state first)" running
    run delete -f first
    gone first
    mkdir -p "$(group first)"
    echo 1 >"$(group first)/cgroup.freeze"
    code=0; patiently run -d first >"$work/said" 2>&1 || code=$?
    is $code 1
    has "$(cat "$work/said")" "container's cgroup unexpectedly frozen"
    fails run state first
    rmdir "$(group first)"
}

t_checkpoint() {
    criu check >/dev/null 2>&1 || criu check
    bundle saved '.process.args = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/tmp/count; usleep 100000; done"]
        | .mounts += [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]'
    # criu knows no file of ours; /dev/null becomes the container's own.
    run run -d saved >/dev/null 2>&1 </dev/null
    within 20 '[ "$(run exec saved cat /tmp/count)" -gt 3 ]'
    run checkpoint --image-path "$work/image" --work-path "$work" saved || { grep -E 'Error|Warn' "$work/dump.log"; exit 1; }
    fails run state saved
    run restore -d --image-path "$work/image" --work-path "$work" saved >/dev/null 2>&1 </dev/null || { grep -E 'Error|Warn' "$work/restore.log"; exit 1; }
    is "$(state saved)" running
    seen=$(run exec saved cat /tmp/count)
    within 20 '[ "$(run exec saved cat /tmp/count)" -gt '"$seen"' ]'
    run delete -f saved
    gone saved
}

t_checkpoint_of_one_that_goes_on() {
    bundle kept
    run run -d kept >/dev/null 2>&1 </dev/null
    run checkpoint --pre-dump --image-path "$work/first" --work-path "$work" kept
    is "$(state kept)" running
    run checkpoint --leave-running --parent-path ../first --image-path "$work/second" --work-path "$work" kept
    is "$(state kept)" running
    run delete -f kept
    run restore -d --image-path "$work/second" --work-path "$work" kept >/dev/null 2>&1 </dev/null
    is "$(state kept) $(run exec kept cat /proc/1/comm)" "running sleep"
    run pause kept
    run checkpoint --image-path "$work/third" --work-path "$work" kept
    fails run state kept
    gone kept
}

# As an ordinary user; with systemd in a user@.service, to which controllers are delegated.
alice() {
    setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all env -i PATH="$PATH" HOME=/home/alice XDG_RUNTIME_DIR=/run/user/1000 "$@"
}
as_alice() {
    options=; [ $driver = systemd ] && options=--systemd-cgroup
    alice "$RUNTIME" --root /run/user/1000/state $options "$@"
}
t_rootless() {
    if [ $MACHINE = systemd ]; then systemctl start user@1000.service; else install -d -m 700 -o 1000 -g 1000 /run/user/1000; fi
    cd "$work"; chmod 777 "$work"
    alice "$RUNTIME" spec --rootless -b "$work"
    edit '.process.terminal = false | .process.args = ["sleep", "1000"] | .root.path = "/srv/rootfs" | .root.readonly = true'
    [ $driver = systemd ] && edit '.linux.resources += {"pids": {"limit": 42}, "memory": {"limit": 67108864}}'
    cd /
    quietly as_alice run -d -b "$work" small
    is "$(as_alice state small | jq -r .status)" running
    is "$(as_alice exec small id -u)" 0
    if [ $driver = systemd ]; then
        within=/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice/runc-small.scope
        is "$(cat $within/pids.max) $(cat $within/memory.max)" "42 67108864"
        has "$(cat $within/cgroup.procs)" "$(as_alice state small | jq .pid)"
        as_alice update --pids-limit 43 small
        is "$(cat $within/pids.max)" 43
        as_alice pause small
        is "$(cat $within/cgroup.freeze)" 1
        as_alice resume small
    fi
    as_alice kill small KILL
    within 10 '[ "$(as_alice state small | jq -r .status)" = stopped ]'
    as_alice delete small
    [ ! -e "${within:-/nowhere}" ] || { echo "$within is left"; exit 1; }
}

# What a failed check left must not make others fail.
left() { [ $? = 0 ] || for id in $("$RUNTIME" list -q); do "$RUNTIME" delete -f "$id"; done; }
trap left EXIT
work=$(mktemp -d /srv/work.XXXXXX)
"t_$check"

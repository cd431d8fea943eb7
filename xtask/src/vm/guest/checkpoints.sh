# Checks of the engine's checkpoints, with CRIU: every function t_NAME is one. $1: the check. All are on one engine.
set -eu
export DOCKER_HOST=unix:///run/saved/engine.sock
root=/srv/saved exec=/run/saved/exec

. /payload/expect.sh

start_engine() {
    dhow engine --data-root $root --exec-root $exec -H $DOCKER_HOST --pidfile /run/saved/pid --bip 172.31.99.1/24 \
        >>/run/saved/log 2>&1 </dev/null &
    within 90 'dhow ps'
}
engine() {
    mkdir -p /run/saved
    dhow ps >/dev/null 2>&1 || start_engine
    dhow image inspect box >/dev/null 2>&1 || tar -C /srv/rootfs -c . | dhow import - box >/dev/null
}

# Counts in a file of its own, and in its log; ends with 7 when it is told to.
count='trap "echo bye; exit 7" USR1; i=0; while :; do i=$((i+1)); echo $i; echo $i >/dev/shm/count; usleep 100000; done'
counter() { name=$1; shift; dhow run -d --name "$name" "$@" box sh -c "$count" >/dev/null; within 40 '[ "$(counted '$name')" -gt 3 ]'; }
counted() { dhow exec "$1" cat /dev/shm/count; }
state() { dhow inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1"; }
# It goes on counting from where it was, not from the beginning.
goes_on() {
    seen=$(counted "$1"); [ "$seen" -gt 3 ] || { echo "began anew: $seen"; exit 1; }
    within 40 '[ "$(counted '"$1"')" -gt '"$seen"' ]'
}
# Output since the restoration is in the log, after that of before it, nothing twice.
in_order() { dhow logs "$1" | grep -v bye >/run/saved/said; sort -n /run/saved/said | uniq >/run/saved/sorted; cmp /run/saved/said /run/saved/sorted; }
ends_with_7() {
    dhow kill -s USR1 "$1" >/dev/null
    within 40 '[ "$(state '"$1"')" = "exited 7" ]'
    has "$(dhow logs --tail 1 "$1")" bye
}
nothing_left() {
    for name in "$@"; do dhow rm -f -v "$name" >/dev/null; done
    is "$(grep -c restoring /proc/self/mountinfo || true)" 0
    is "$(ls $exec/restoring 2>/dev/null)" ""
    within 20 '[ -z "$(pgrep -x criu)" ]'
    is "$(find /sys/fs/cgroup/dhow* -mindepth 1 -maxdepth 1 -type d 2>/dev/null | grep -v pool- || true)" ""
}
save() { dhow checkpoint create "$@" >/dev/null || { grep -h Error $root/containers/*/checkpoints/.new*/dump.log 2>/dev/null; tail -n 5 /run/saved/log; exit 1; }; }
back() { dhow start --checkpoint "$@" || { tail -n 5 /run/saved/log; exit 1; }; }

t_processes_go_on() {
    engine
    mkdir -p /srv/data; echo outside >/srv/data/file
    counter one -v /srv/data:/data:ro -v kept:/kept -p 8099:80 -m 200m --restart always
    dhow exec one sh -c 'echo inside >/kept/file'
    save one first
    is "$(dhow checkpoint ls one | tail -n +2)" first
    within 20 '[ "$(state one)" = "exited 137" ]'
    save_dir=$(echo $root/containers/*/checkpoints/first)
    is "$(stat -c %a "$save_dir")" 700
    fails dhow checkpoint create one first
    back first one
    is "$(state one)" "running 0"
    goes_on one
    in_order one
    is "$(dhow exec one cat /data/file) $(dhow exec one cat /kept/file)" "outside inside"
    has "$(dhow exec one cat /etc/hosts)" "$(dhow inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' one)"
    has "$(dhow exec one ip addr)" "$(dhow inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' one)"
    has "$(dhow port one)" 8099
    is "$(cat /sys/fs/cgroup/dhow-*/$(dhow inspect -f '{{.Id}}' one)/memory.max)" 209715200
    is "$(dhow exec one cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" 0
    has "$(dhow stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' one)" 200MiB
    pid=$(dhow inspect -f '{{.State.Pid}}' one)
    is "$(cat /proc/$pid/oom_score_adj) $(awk '/^Seccomp:/ {print $2}' /proc/$pid/status) $(awk '{print $2}' /proc/$pid/uid_map)" "0 2 1879048192"
    fails dhow exec one sh -c 'echo x >/sys/fs/cgroup/cgroup.procs'
    dhow update --restart no one >/dev/null
    ends_with_7 one
    back first one
    goes_on one
    dhow stop -t 1 one >/dev/null
    dhow checkpoint rm one first
    is "$(dhow checkpoint ls one | tail -n +2)" ""
    nothing_left one
}

t_one_that_is_left_running() {
    engine
    counter two
    save --leave-running two early
    is "$(state two)" "running 0"
    goes_on two
    ends_with_7 two
    back early two
    goes_on two
    ends_with_7 two
    nothing_left two
}

t_stdin_and_terminals() {
    engine
    dhow run -di --name piped box sh -c 'while read x; do echo got $x; done; echo end' >/dev/null
    dhow run -dit --name typed box sh -c 'trap "exit 7" USR1; while read x; do echo got $x; done; while :; do usleep 100000; done' >/dev/null
    save piped one
    save typed one
    back one piped
    back one typed
    (echo again; sleep 3) | dhow attach --sig-proxy=false piped >/run/saved/attached 2>&1 &
    within 40 'dhow logs piped | grep "got again"'
    is "$(dhow exec typed readlink /proc/1/fd/0)" /dev/pts/0
    (echo typing; sleep 3) | script -qec 'dhow attach --sig-proxy=false typed' /dev/null >/dev/null 2>&1 &
    within 40 'dhow logs typed | grep "got typing"'
    dhow kill -s USR1 typed >/dev/null
    within 40 '[ "$(state typed)" = "exited 7" ]'
    nothing_left piped typed
}

t_other_flags() {
    engine
    mkdir -p /srv/link-target /srv/above/below
    mount -t tmpfs below /srv/above/below
    for flags in --init --read-only "--read-only --tmpfs /tmp" "--network none" "--network host" --userns=host \
        "-v /srv/link-target:/tmp/way/thing -v /srv/above:/above" "--hostname other --user 1000" "--cgroupns host" "--ipc host" "--uts host" \
        "--security-opt no-new-privileges --cap-drop all" "--ulimit nofile=100:200" "--oom-score-adj 300"; do
        counter odd $flags
        save odd one || { echo "with $flags"; exit 1; }
        back one odd || { echo "with $flags"; exit 1; }
        goes_on odd
        case "$flags" in *oom*) is "$(dhow exec odd cat /proc/1/oom_score_adj)" 300 ;; esac
        dhow rm -f odd >/dev/null
        echo "fine: $flags"
    done
    umount /srv/above/below
    nothing_left
}

t_networks_and_names() {
    engine
    dhow network create saved-net >/dev/null
    dhow run -d --name peer --network saved-net box sleep 1000 >/dev/null
    counter named --network saved-net --network-alias other
    save named one
    back one named
    goes_on named
    has "$(dhow exec named nslookup peer 2>&1)" "$(dhow inspect -f '{{(index .NetworkSettings.Networks "saved-net").IPAddress}}' peer)"
    has "$(dhow exec peer nslookup other 2>&1)" "$(dhow inspect -f '{{(index .NetworkSettings.Networks "saved-net").IPAddress}}' named)"
    dhow exec named ping -c 1 -W 10 peer >/dev/null
    dhow rm -f named peer >/dev/null
    dhow network rm saved-net >/dev/null
    nothing_left
}

t_an_engine_that_is_killed_finds_what_was_restored() {
    engine
    counter lasting
    save lasting one
    back one lasting
    pid=$(dhow inspect -f '{{.State.Pid}}' lasting)
    kill -9 "$(cat /run/saved/pid)"
    within 20 '! dhow ps'
    rm -f /run/saved/pid
    start_engine
    is "$(dhow inspect -f '{{.State.Status}} {{.State.Pid}}' lasting)" "running $pid"
    goes_on lasting
    in_order lasting
    save lasting two
    back two lasting
    goes_on lasting
    ends_with_7 lasting
    nothing_left lasting
}

t_another_container_goes_on() {
    engine
    counter model --network none
    save --checkpoint-dir /srv/moved model one
    dhow create --name copy --network none box sh -c "$count" >/dev/null
    back one --checkpoint-dir /srv/moved copy
    goes_on copy
    dhow create --name unlike -i box sh -c "$count" >/dev/null
    fails dhow start --checkpoint one --checkpoint-dir /srv/moved unlike
    has "$said" "does not fit this container"
    dhow checkpoint rm --checkpoint-dir /srv/moved model one
    is "$(ls -A /srv/moved)" ""
    nothing_left model copy unlike
}

t_frozen_and_visited() {
    engine
    counter frozen
    dhow pause frozen >/dev/null
    save frozen one
    within 20 '[ "$(state frozen)" = "exited 137" ]'
    back one frozen
    goes_on frozen
    dhow exec -d frozen sleep 1000
    within 20 'dhow top frozen | grep -q "sleep 1000"'
    save frozen two
    within 20 '[ "$(state frozen)" = "exited 137" ]'
    back two frozen
    goes_on frozen
    nothing_left frozen
}

t_what_fails_leaves_nothing() {
    engine
    counter whole
    save whole one
    id=$(dhow inspect -f '{{.Id}}' whole)
    folder=$root/containers/$id/checkpoints
    cp -a $folder/one $folder/half
    rm $folder/half/core-1.img
    fails dhow start --checkpoint half whole
    has "$said" criu
    has "$(state whole)" exited
    is "$(grep -c restoring /proc/self/mountinfo || true)" 0
    within 20 '[ ! -e /sys/fs/cgroup/dhow-*/'"$id"' ]'
    is "$(dhow ps -q)" ""
    back one whole
    goes_on whole
    # Connections are not saved: it goes on as if nothing had been tried.
    dhow run -d --name talks box sh -c 'nc -l -p 7000 -e sleep 1000 & sleep 2; sleep 1000 | nc 127.0.0.1 7000' >/dev/null
    within 20 'dhow exec talks netstat -t | grep -q ESTABLISHED'
    fails dhow checkpoint create talks one
    has "$said" "Cannot checkpoint container talks: criu failed"
    is "$(state talks)" "running 0"
    is "$(ls -A $root/containers/$(dhow inspect -f '{{.Id}}' talks)/checkpoints)" ""
    dhow exec talks true
    ends_with_7 whole
    nothing_left whole talks
}

t_the_end() {
    kill "$(cat /run/saved/pid)"
    within 40 '! dhow ps && [ ! -e /run/saved/pid ]'
    within 20 '[ -z "$(pgrep -f "dhow keeper $exec")" ]'
}

# What a failed check left must not make others fail.
left() { [ $? = 0 ] || for id in $(dhow ps -aq 2>/dev/null); do dhow rm -f -v "$id" >/dev/null; done; }
trap left EXIT
"t_$1"

# One real build on one engine, through each of its doors: PROGRAM PLACE ARCHIVE FOLDER GROUP
#
# Says in TAP what came of it. Steps have the machine's network, containers none.
program=$1 place=$2 archive=$3 folder=$4 group=$5
export DOCKER_HOST="unix://$place/docker.sock" HOME="$place" TMPDIR="$place/tmp" IMAGE
mkdir -p "$TMPDIR"
case $(basename "$(readlink -f "$program")") in
dhow*)
    doors="own classic buildx"
    "$program" engine -H "$DOCKER_HOST" --data-root "$place/data" --exec-root "$place/run" --pidfile "$place/pid" \
        --bridge none >"$place/engine.log" 2>&1 &
    ;;
*)
    doors="classic buildx"
    # Its containerd and runtime lie beside it.
    PATH="$(dirname "$program"):$PATH" "$program" -H "$DOCKER_HOST" --data-root "$place/data" --exec-root "$place/run" \
        -p "$place/pid" --bridge none --iptables=false --cgroup-parent "/$group" >"$place/engine.log" 2>&1 &
    ;;
esac
engine=$!
until docker version >/dev/null 2>&1; do
    kill -0 $engine 2>/dev/null || { cat "$place/engine.log"; exit 1; }
    sleep 0.1
done
docker import "$archive" debian:bookworm >/dev/null

within() {
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    "$@"
}
build() {
    case $door in
    own) "$program" build --progress plain --network host --allow network.host -t "$IMAGE" . ;;
    classic) DOCKER_BUILDKIT=0 docker build --network host -t "$IMAGE" . ;;
    buildx) docker buildx build --progress plain --network host --allow network.host --load -t "$IMAGE" . ;;
    esac
}
number=0
said() {
    number=$((number + 1))
    if ( set -e; cd "$work"; "$2" ) >"$place/said" 2>&1; then
        echo "ok $number $1"
    else
        echo "not ok $number $1"
        tail -n 30 "$place/said" | sed 's/^/# /'
    fi
}
check() { . "$folder/check.sh"; }
again() { . "$folder/again.sh"; }
cached() {
    build >cached.log 2>&1 || { cat cached.log; return 1; }
    cat cached.log
    # Nothing that runs a program is done anew.
    ! grep -q 'Running in\|^#[0-9]* [0-9.]* ' cached.log
}
for door in $doors; do
    # The classic builder of dockerd knows no mounts and no files in the Dockerfile.
    [ "$door" = classic ] && grep -q -e '--mount' -e '<<' "$folder/Dockerfile" && continue
    [ "$door" = buildx ] && ! docker buildx version >/dev/null 2>&1 && continue
    work=$place/$door
    cp -r "$folder" "$work"
    [ ! -f "$work/prepare.sh" ] || (cd "$work" && sh -e prepare.sh)
    rm -f "$work"/*.sh
    IMAGE=built-$door
    said "$door: it is built" build
    said "$door: it runs and answers" check
    said "$door: it is not built again" cached
    [ ! -f "$folder/again.sh" ] || said "$door: a change finds the caches" again
    ids=$(docker ps -aq) && [ -n "$ids" ] && docker rm -f -v $ids >/dev/null 2>&1
    docker builder prune -af >/dev/null 2>&1
done
echo "1..$number"
kill "$(cat "$place/pid")" && wait $engine
exit 0

# One file of docker-py's tests on one engine, in namespaces of its own: PART PROGRAM PLACE CHECKOUT PYTHON GROUP ROOT
#
# A registry that holds the images which the tests pull answers as the mirror of Docker Hub. Nothing leaves the machine.
part=$1 program=$2 place=$3 checkout=$4 python=$5 group=$6 root=$7
socket=$place/docker.sock
export DOCKER_HOST="unix://$socket" DOCKER_CONFIG="$place/docker-config" PYTHONPATH="$checkout" PYTHONDONTWRITEBYTECODE=1
export HOME="$place" TMPDIR="$place/tmp" COLUMNS=250
mkdir -p "$TMPDIR" "$DOCKER_CONFIG" "$place/registry"
# Without a file of settings docker-py keeps its contexts in the working folder.
echo '{}' >"$DOCKER_CONFIG/config.json"
# Tests share mounts of their folders with containers.
mount --bind "$place" "$place" && mount --make-shared "$place"
ip link set lo up

cat >"$place/registry.yml" <<END
version: 0.1
log: {level: error}
http: {addr: "127.0.0.1:5000"}
storage: {filesystem: {rootdirectory: "$place/registry"}, delete: {enabled: true}}
END
docker-registry serve "$place/registry.yml" >"$place/registry.log" 2>&1 &

case $(basename "$(readlink -f "$program")") in
dhow*)
    "$program" engine -H "$DOCKER_HOST" --data-root "$place/data" --exec-root "$place/run" --pidfile "$place/pid" \
        --registry-mirror http://127.0.0.1:5000 >"$place/engine.log" 2>&1 &
    ;;
*)
    # Its containerd and runtime lie beside it.
    PATH="$(dirname "$program"):$PATH" "$program" -H "$DOCKER_HOST" --data-root "$place/data" --exec-root "$place/run" \
        -p "$place/pid" --cgroup-parent "/$group" --registry-mirror http://127.0.0.1:5000 >"$place/engine.log" 2>&1 &
    ;;
esac
engine=$!
until docker version >/dev/null 2>&1; do
    kill -0 $engine 2>/dev/null || { cat "$place/engine.log"; exit 1; }
    sleep 0.1
done

# An image of its own for each name: one must not go when another is pruned.
image() {
    tar --numeric-owner -C "$1" -c . | docker import -c "LABEL name=$2" -c 'ENV PATH=/bin' -c 'CMD ["sh"]' - "$2" || return
    docker tag "$2" "127.0.0.1:5000/library/$2" && docker push -q "127.0.0.1:5000/library/$2"
    docker rmi "127.0.0.1:5000/library/$2"
}
{
    for name in alpine:3.10 alpine:latest busybox:latest; do image "$root" "$name"; done
    image "$root/etc" hello-world:latest && docker rmi hello-world:latest
} >"$place/images.log" 2>&1

cd "$checkout" || exit 1
docker image inspect alpine:3.10 >/dev/null || cat "$place/images.log"
"$python" -m pytest -p no:cacheprovider -v -rfEs --tb=short --timeout=60 --color=no "tests/integration/$part.py" 2>&1
echo "# status $?"
ids=$(docker ps -aq) && [ -n "$ids" ] && docker rm -f -v $ids >/dev/null 2>&1
kill "$(cat "$place/pid")" && wait $engine
exit 0

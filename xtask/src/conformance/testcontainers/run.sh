# Testcontainers for Python and Rust on one engine, in namespaces of its own: PROGRAM PLACE TREE PYTHON SCRIPTS RUST GROUP
#
# All images are made of one tree of Debian. Nothing leaves the machine.
program=$1 place=$2 tree=$3 python=$4 scripts=$5 rust=$6 group=$7
socket=$place/docker.sock
export DOCKER_HOST="unix://$socket" DOCKER_CONFIG="$place/docker-config" TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE="$socket"
export HOME="$place" TMPDIR="$place/tmp" PYTHONDONTWRITEBYTECODE=1 RYUK_RECONNECTION_TIMEOUT=1s
mkdir -p "$TMPDIR" "$DOCKER_CONFIG"
ip link set lo up
case $(basename "$(readlink -f "$program")") in
dhow*)
    "$program" engine -H "$DOCKER_HOST" --data-root "$place/data" --exec-root "$place/run" --pidfile "$place/pid" \
        >"$place/engine.log" 2>&1 &
    ;;
*)
    # Its containerd and runtime lie beside it.
    PATH="$(dirname "$program"):$PATH" "$program" -H "$DOCKER_HOST" --data-root "$place/data" --exec-root "$place/run" \
        -p "$place/pid" --cgroup-parent "/$group" >"$place/engine.log" 2>&1 &
    ;;
esac
engine=$!
until docker version >/dev/null 2>&1; do
    kill -0 $engine 2>/dev/null || { cat "$place/engine.log"; exit 1; }
    sleep 0.1
done

image() {
    name=$1 && shift
    docker create --name maker testcontainers-base true && docker commit "$@" maker "$name" && docker rm maker
}
{
    tar --numeric-owner -C "$tree" -c . | docker import - testcontainers-base
    docker create --name maker testcontainers-base true
    chmod 755 "$scripts/postgres.sh"
    docker cp "$scripts/postgres.sh" maker:/usr/local/bin/postgres.sh && docker cp "$scripts/ryuk.py" maker:/usr/local/bin/ryuk.py
    docker commit maker testcontainers-base && docker rm maker
    image postgres:15 -c 'ENTRYPOINT ["/usr/local/bin/postgres.sh"]' -c 'EXPOSE 5432' -c 'VOLUME /var/lib/postgresql/data' \
        -c 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    image redis:7 -c 'CMD ["redis-server","--protected-mode","no"]' -c 'EXPOSE 6379'
    image testcontainers/ryuk:0.8.1 -c 'ENTRYPOINT ["python3","-u","/usr/local/bin/ryuk.py"]' -c 'EXPOSE 8080'
} >"$place/images.log" 2>&1
docker image inspect testcontainers/ryuk:0.8.1 >/dev/null || cat "$place/images.log"

TESTCONTAINERS_RYUK_DISABLED=true "$python" "$scripts/session.py" -v 2>&1 | sed 's/^test_\([a-z_]*\) (.*Session[^ ]*) /test_\1 without ryuk /'
"$python" "$scripts/session.py" -v 2>&1
"$rust" 2>&1
gone() {
    for _ in $(seq 100); do
        [ -z "$(docker ps -aq)$(docker network ls -q -f type=custom)$(docker volume ls -q)" ] && return
        sleep 0.2
    done
    docker ps -a
    docker network ls
    docker volume ls
    return 1
}
said() { if "$@"; then echo "ok"; else echo "FAIL"; fi; }
echo "test_nothing_is_left ... $(said gone)"
"$python" "$scripts/session.py" leave || echo "test_leaving ... FAIL"
echo "test_ryuk_clears_up ... $(said gone)"
ids=$(docker ps -aq) && [ -n "$ids" ] && docker rm -f -v $ids >/dev/null 2>&1
kill "$(cat "$place/pid")" && wait $engine
exit 0

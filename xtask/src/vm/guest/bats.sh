# runc's own suite, on the runtime that is asked for: a check for each file.
mkdir -p /srv/bats
cp -a /payload/bats/tests /srv/bats/
ln -sf "$RUNTIME" /srv/bats/runc
for file in /srv/bats/tests/integration/*.bats; do
    name=${file##*/}
    for way in cgroupfs systemd; do
        [ $way = systemd ] && [ $MACHINE != systemd ] && continue
        set --; [ $way = systemd ] && set -- RUNC_USE_SYSTEMD=1
        : >/run/said
        check "bats/$way/${name%.bats}" 1800 env "$@" bats --tap "$file"
        [ -s /run/said ] && echo "  | $(grep -c '^ok' /run/said) ok, $(grep -c '^not ok' /run/said) not ok, $(grep -c '# skip' /run/said) skipped"
    done
done

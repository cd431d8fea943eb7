# runc's own suite, on the runtime that is asked for: a check for each file. What each test said is on the console.
mkdir -p /srv/bats
cp -a /payload/bats/tests /srv/bats/
cp "$(readlink -f "$RUNTIME")" /srv/bats/runc
# The suite asks Go for the processor; all else that it would compile is there.
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; esac
printf '#!/bin/sh\necho %s\n' $arch >/usr/local/bin/go
chmod +x /usr/local/bin/go
for file in /srv/bats/tests/integration/*.bats; do
    part=${file##*/} part=${part%.bats}
    for way in cgroupfs systemd; do
        [ $way = systemd ] && [ $MACHINE != systemd ] && continue
        set --; [ $way = systemd ] && set -- RUNC_USE_SYSTEMD=1
        : >/run/said
        check "bats/$way/$part" 1800 env "$@" bats --tap "$file"
        [ -s /run/said ] || continue
        echo "  | $(grep -c '^ok' /run/said) ok, $(grep -c '^not ok' /run/said) not ok, $(grep -c '# skip' /run/said) skipped"
        sed "s,^,tap $way/$part: ," /run/said
    done
done

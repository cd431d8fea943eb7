# What a check says of what it got; read by those that have checks.
is() { [ "$1" = "$2" ] || { echo "got:    $1"; echo "wanted: $2"; exit 1; }; }
has() { case "$1" in *"$2"*) ;; *) echo "got:  $1"; echo "lacks: $2"; exit 1 ;; esac; }
fails() { if said=$("$@" 2>&1); then echo "did not fail: $*: $said"; exit 1; fi; }

# Waits until the shell line $2 succeeds, at most $1 seconds.
within() {
    end=$(($(cut -d . -f 1 /proc/uptime) + $1))
    until eval "$2" >/dev/null 2>&1; do
        [ "$(cut -d . -f 1 /proc/uptime)" -lt $end ] || { echo "not in time: $2"; exit 1; }
        busybox usleep 50000
    done
}

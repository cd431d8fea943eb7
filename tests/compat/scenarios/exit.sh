# Exit codes and streams.
docker run --rm busybox sh -c 'echo out; echo err >&2; exit 7'
docker run --rm busybox true
docker run --rm --init busybox sh -c 'kill -9 $$'
docker run --rm --entrypoint echo busybox a b
docker run --rm -w /made/here busybox pwd
docker run --rm -w /etc/passwd busybox pwd
docker run --rm -w relative busybox pwd
docker run --rm -u alice busybox id
docker run --rm -u 1234:50 busybox id
docker run --rm -u nosuch busybox id
docker run --rm -u root:nosuch busybox id
docker run --rm --group-add 50 busybox id -G
docker run --rm busybox nosuch
docker run --rm busybox /nosuch/program
docker run --rm busybox /etc
docker run --rm busybox /bin/not-executable
docker run --rm --entrypoint '' busybox echo cleared
docker run --name kept busybox nosuch
docker inspect -f '{{json .State.Status}} {{.State.ExitCode}}' kept

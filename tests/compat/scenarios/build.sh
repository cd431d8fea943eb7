# The classic builder: what an image is like, what goes wrong and how that is said.
printf 'FROM busybox\nARG WHO=nobody\nENV A=b C="d e"\nWORKDIR /app\nRUN echo $WHO > made\nLABEL x=y z="1 2"\nEXPOSE 80 90/udp\nVOLUME /v\nUSER 7\nSTOPSIGNAL SIGINT\nENTRYPOINT ["cat"]\nCMD ["/app/made"]\n' | DOCKER_BUILDKIT=0 docker build -q -t one --build-arg WHO=me --label l=m - | cut -c1-7
docker run --rm one
docker image inspect -f '{{json .Config.Env}} {{.Config.WorkingDir}} {{json .Config.Labels}} {{json .Config.ExposedPorts}} {{json .Config.Volumes}} {{.Config.User}} {{.Config.StopSignal}} {{json .Config.Entrypoint}} {{json .Config.Cmd}}' one
docker run --rm --entrypoint sh one -c 'stat -c "%a %u:%g" /app /app/made; id -u; pwd'
printf 'FROM one\nENTRYPOINT cat /etc/passwd | wc -l\n' | DOCKER_BUILDKIT=0 docker build -q -t two - | cut -c1-7
docker image inspect -f '{{json .Config.Entrypoint}} {{json .Config.Cmd}}' two
printf 'FROM busybox\nSHELL ["/bin/sh","-ec"]\nHEALTHCHECK --interval=5s --retries=2 CMD true\nRUN false || echo seen > /s\nCMD cat /s\n' | DOCKER_BUILDKIT=0 docker build -q -t three - | cut -c1-7
docker image inspect -f '{{json .Config.Shell}} {{json .Config.Healthcheck}} {{json .Config.Cmd}}' three
docker run --rm three
printf 'FROM busybox AS a\nRUN mkdir -p /d/e && echo x > /d/e/f && chown -R 5:6 /d\nFROM busybox\nCOPY --from=a --chown=8:9 /d /d1/\nRUN rm -r /home\n' | DOCKER_BUILDKIT=0 docker build -q -t four - | cut -c1-7
docker run --rm four sh -c 'stat -c "%a %u:%g %n" /d1/e /d1/e/f; test -e /home || echo gone'
printf 'FROM busybox\nONBUILD RUN echo hello > /h\n' | DOCKER_BUILDKIT=0 docker build -q -t base - | cut -c1-7
printf 'FROM base\nCMD cat /h\n' | DOCKER_BUILDKIT=0 docker build -q -t child - | cut -c1-7
docker run --rm child
docker image inspect -f '{{json .Config.OnBuild}}' base child
printf 'FROM busybox\nRUN exit 4\n' | DOCKER_BUILDKIT=0 docker build -q - 2>&1 | tail -1
printf 'FROM busybox\nCOPY nothing /x\n' | DOCKER_BUILDKIT=0 docker build -q - 2>&1 | tail -1
printf 'FROM busybox AS a\nRUN echo a > /a\nFROM busybox\nRUN exit 1\n' | DOCKER_BUILDKIT=0 docker build -q --target a -t target - | cut -c1-7
docker run --rm target cat /a
printf 'FROM scratch\nLABEL only=this\n' | DOCKER_BUILDKIT=0 docker build -q -t empty - | cut -c1-7
docker image inspect -f '{{json .Config.Labels}} {{.Os}} {{.Architecture}} {{len .RootFS.Layers}}' empty
docker rmi -f one two three four base child target empty | grep -c Untagged
# What is left of them is each builder's own affair.
docker builder prune -af >/dev/null 2>&1; docker image prune -f >/dev/null 2>&1; docker images --filter dangling=true -q

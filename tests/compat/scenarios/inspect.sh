# What inspect says of what was asked.
docker create --name box -m 64m --memory-swap 128m --cpus 0.5 --cpu-shares 512 --pids-limit 50 \
 -p 127.0.0.1:18080:80 -p 53/udp -v /usr:/t:ro --tmpfs /run:size=1m --cap-add NET_ADMIN --cap-drop MKNOD --read-only \
 --restart on-failure:3 --stop-signal INT --stop-timeout 3 --shm-size 32m --ulimit nofile=100:200 \
 --sysctl net.ipv4.ip_forward=1 --dns 10.0.0.1 --init -e A=b -w /w --log-opt max-size=1m busybox sleep 1
docker inspect -f '{{json .HostConfig.PortBindings}} {{json .HostConfig.Binds}} {{json .HostConfig.Tmpfs}}' box
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}}' box
docker inspect -f '{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}} {{.HostConfig.ReadonlyRootfs}} {{json .HostConfig.RestartPolicy}}' box
docker inspect -f '{{.Config.StopSignal}} {{.Config.StopTimeout}} {{.HostConfig.ShmSize}} {{json .HostConfig.Ulimits}} {{json .HostConfig.Sysctls}}' box
docker inspect -f '{{json .HostConfig.Dns}} {{.HostConfig.Init}} {{json .Config.Env}} {{.Config.WorkingDir}} {{json .HostConfig.LogConfig}}' box
docker inspect -f '{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{.Config.Image}} {{json .Config.ExposedPorts}}' box
docker inspect -f '{{json .Mounts}}' box
docker create --name plain busybox
docker inspect -f '{{json .Config}}' plain
# Docker's default of CgroupnsMode is `host` on cgroup v1, which dhow does not take over.
docker inspect -f '{{range $key, $value := .HostConfig}}{{$key}}={{json $value}}{{"\n"}}{{end}}' plain | grep -v '^CgroupnsMode'
docker inspect -f '{{json .NetworkSettings.Networks}}' plain
docker inspect -f '{{.Platform}} {{.Driver}} {{.RestartCount}} {{.AppArmorProfile}} {{json .ExecIDs}} {{.MountLabel}}' plain

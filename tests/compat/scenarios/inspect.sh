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
# All of it, as the API gives it: what was never started, what runs, and what has run.
curl -s -X POST -H Content-Type:application/json --unix-socket ${DOCKER_HOST#unix://} 'http://d/v1.41/containers/create?name=bare' -d '{"Image":"busybox","Cmd":["sleep","1000"],"Entrypoint":null,"HostConfig":{"Binds":null,"PortBindings":{},"CapAdd":[],"Links":[]}}' | sed 's/"Id":"[0-9a-f]*"/ID/'
docker inspect bare | grep -o '^        "[A-Za-z]*"' | sort
docker inspect -f '{{.ResolvConfPath}}|{{.HostnamePath}}|{{.HostsPath}}|{{.LogPath}}|{{json .HostConfig.Links}}|{{json .HostConfig.CapAdd}}|{{json .HostConfig.Binds}}' bare
docker inspect -f '{{json .State}}' bare
docker inspect -f '{{range $key, $value := .NetworkSettings}}{{$key}}={{json $value}}{{"\n"}}{{end}}' bare | grep -v ^Networks
docker inspect -f '{{range $key, $value := .GraphDriver.Data}}{{$key}} {{end}}{{.GraphDriver.Name}}' bare | grep -o 'LowerDir\|UpperDir\|WorkDir\|overlay2'
docker start bare
docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}} {{.State.OOMKilled}} {{.State.Dead}} {{.State.ExitCode}} {{json .State.Error}} {{json .State.FinishedAt}}' bare
docker inspect -f '{{len .NetworkSettings.SandboxID}} {{len .NetworkSettings.EndpointID}} {{.NetworkSettings.Gateway}} {{.NetworkSettings.IPPrefixLen}} {{json .NetworkSettings.Ports}}' bare
docker inspect -f '{{.ResolvConfPath}} {{.HostnamePath}} {{.HostsPath}} {{.LogPath}}' bare | sed 's#/[^ ]*/\([^/ ]*\)#\1#g; s/[0-9a-f]\{64\}/ID/g'
docker inspect -s -f '{{.SizeRw}} {{if .SizeRootFs}}some{{end}}' bare
docker kill bare
docker wait bare
docker inspect -f '{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}} {{.NetworkSettings.IPAddress}}|{{json .NetworkSettings.Ports}}' bare
docker create --name shares --pid host --ipc host busybox
docker inspect -f '{{json .HostConfig.SecurityOpt}} {{.HostConfig.PidMode}} {{.HostConfig.IpcMode}}' shares
docker create --name strong --privileged busybox
docker inspect -f '{{json .HostConfig.SecurityOpt}} {{json .HostConfig.MaskedPaths}} {{json .HostConfig.ReadonlyPaths}}' strong
docker create --name checked --health-cmd 'test -e /x' --health-interval 5s --health-retries 2 busybox
docker inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' checked
docker inspect -f '{{.Id}}' bare nosuch | sed 's/[0-9a-f]\{64\}/ID/'
docker inspect --type volume bare

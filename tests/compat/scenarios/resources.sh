# What containers may use and do use, and how both change.
docker run -d --name crate -m 64m --cpu-shares 256 --pids-limit 50 busybox sleep 1000
docker exec crate sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
docker update -m 96m --memory-swap 200m crate
docker exec crate sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
docker update --cpu-shares 512 --cpu-period 50000 --cpu-quota 25000 --cpuset-cpus 0 --pids-limit -1 crate
docker exec crate sh -c 'cd /sys/fs/cgroup; cat cpu/cpu.shares cpu/cpu.cfs_period_us cpu/cpu.cfs_quota_us cpuset/cpuset.cpus pids/pids.max 2>/dev/null || cat cpu.weight cpu.max cpuset.cpus pids.max'
docker inspect -f '{{with .HostConfig}}{{.Memory}} {{.MemorySwap}} {{.CpuShares}} {{.CpuPeriod}} {{.CpuQuota}} {{.CpusetCpus}} {{.PidsLimit}}{{end}}' crate
docker update --cpus 0.5 crate
docker update -m 1m crate
docker update -m 300m crate
docker update --cpu-period 5 crate
docker update --cpuset-cpus 999 crate
docker update --restart sometimes crate
docker update --restart on-failure:3 crate
docker inspect -f '{{json .HostConfig.RestartPolicy}}' crate
docker update
docker update crate
docker update --restart always nosuch
docker update --memory-reservation 32m nosuch crate
docker inspect -f '{{.HostConfig.MemoryReservation}}' crate
docker create --name idle --rm busybox true
docker update --restart always idle
docker update -m 64m --memory-swap -1 idle
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' idle
docker stats --no-stream --format '{{.Name}} {{.PIDs}}' crate
docker stats --no-stream --format '{{.MemUsage}}' crate | cut -d/ -f2
docker stats -a --no-stream | head -1 | tr -s ' '
docker stats -a --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.BlockIO}} {{.PIDs}}' idle
docker stats --no-stream nosuch
curl -s --unix-socket "${DOCKER_HOST#unix://}" 'http://x/containers/crate/stats?stream=0' | tr '{,' '\n\n' | cut -d: -f1 | grep '^"' | grep -v -e os_type -e '"limit"' | sort
curl -s --unix-socket "${DOCKER_HOST#unix://}" 'http://x/containers/idle/stats?stream=0' | tr '{,' '\n\n' | grep -v -e '"id"' -e os_type | tr -d '}' | sort
curl -s --unix-socket "${DOCKER_HOST#unix://}" 'http://x/containers/nosuch/stats'
docker run --rm -m 1m busybox true
docker run --rm --memory-reservation 1m busybox true
docker run --rm -m 64m --memory-reservation 128m busybox true
docker run --rm -m 64m --memory-swap 32m busybox true
docker run --rm --memory-swap 32m busybox true
docker run --rm --cpu-quota 500 busybox true
docker run --rm --blkio-weight 100 --gpus all busybox true
docker run --rm --device-cgroup-rule 'x 1:1 r' busybox true
docker run --rm --device-cgroup-rule 'c 42:* rmw' busybox true
docker run --rm --oom-kill-disable busybox true
docker run --rm --memory-swappiness 101 busybox true
docker run --rm -m 64m --memory-swappiness 30 busybox cat /sys/fs/cgroup/memory/memory.swappiness
docker run --rm --group-add staff --group-add 77 busybox id
docker run --rm --storage-opt size=10m busybox true
docker run --rm --sysctl kernel.msgmax=9000 --sysctl fs.mqueue.msg_max=20 busybox cat /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max
docker run --rm --sysctl vm.swappiness=1 busybox true
docker run --rm --ulimit nofile=2000:1000 busybox true
docker run --rm --ulimit nothing=1 busybox true
docker run --rm --security-opt nothing=1 busybox true
docker run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status
docker run --rm --cgroupns nowhere busybox true

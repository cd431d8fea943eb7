//! The differences that are meant: each is one replacement in what dockerd says, for one kind of line, with its reason.

/// Which dockerd says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// One older than 28: dhow says what 28.5 says.
    Old,
    /// 28 and later.
    New,
    /// Every dockerd: dhow differs by design.
    Any,
}

/// One difference.
#[derive(Debug)]
pub struct Accepted {
    pub of: Of,
    /// Words of the line it may appear in.
    pub line: &'static str,
    /// What dockerd says (with ids, times and addresses named).
    pub theirs: &'static str,
    /// What dhow says instead.
    pub ours: &'static str,
    pub reason: &'static str,
}

impl Accepted {
    /// Whether a dockerd of that major version says it.
    pub fn is_of(&self, version: u32) -> bool {
        matches!((self.of, version < 28), (Of::Any, _) | (Of::Old, true) | (Of::New, false))
    }
}

pub const ACCEPTED: &[Accepted] = &[
    Accepted {
        of: Of::New,
        line: "docker run ",
        theirs: "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: ",
        ours: "OCI runtime create failed: ",
        reason: "there is no shim and no runc here; what follows is the same",
    },
    Accepted {
        of: Of::New,
        line: "docker run ",
        theirs: "executable file not found in $PATH\n",
        ours: "executable file not found in $PATH: unknown\n",
        reason: CONTAINERD_2,
    },
    Accepted {
        of: Of::New,
        line: "/nosuch/program",
        theirs: "no such file or directory\n",
        ours: "no such file or directory: unknown\n",
        reason: CONTAINERD_2,
    },
    Accepted {
        of: Of::New,
        line: "busybox /",
        theirs: "permission denied\n",
        ours: "permission denied: unknown\n",
        reason: CONTAINERD_2,
    },
    Accepted {
        of: Of::New,
        line: "docker exec ",
        theirs: "executable file not found in $PATH\r\n",
        ours: "executable file not found in $PATH: unknown\r\n",
        reason: CONTAINERD_2,
    },
    Accepted {
        of: Of::New,
        line: "docker exec -d ",
        theirs: "executable file not found in $PATH\n",
        ours: "executable file not found in $PATH: unknown\n",
        reason: CONTAINERD_2,
    },
    Accepted {
        of: Of::New,
        line: "docker exec ",
        theirs: "no such file or directory\r\n",
        ours: "no such file or directory: unknown\r\n",
        reason: CONTAINERD_2,
    },
    Accepted {
        of: Of::New,
        line: "docker exec ",
        theirs: "permission denied\r\n",
        ours: "permission denied: unknown\r\n",
        reason: CONTAINERD_2,
    },
    Accepted {
        of: Of::Any,
        line: "docker images --format '{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}'",
        theirs: "busybox latest ID 1.98MB\n",
        ours: "busybox latest ID 1.98MB\nhost latest ID 0B\n",
        reason: HOST_IMAGE,
    },
    Accepted {
        of: Of::Any,
        line: "docker images --format '{{.Repository}}:{{.Tag}}'",
        theirs: "busybox:latest\n",
        ours: "busybox:latest\nhost:latest\n",
        reason: HOST_IMAGE,
    },
    Accepted { of: Of::Any, line: "docker images --no-trunc", theirs: "ID\n", ours: "ID\nID\n", reason: HOST_IMAGE },
    Accepted {
        of: Of::Any,
        line: "docker system df",
        theirs: "Images 1 1\n",
        ours: "Images 2 1\n",
        reason: HOST_IMAGE,
    },
    Accepted {
        of: Of::Any,
        line: "ping_group_range",
        theirs: "0\t2147483647\n",
        ours: "0\t65535\n",
        reason: "the ids of the container's user namespace; Docker with userns-remap sets none at all",
    },
    Accepted {
        of: Of::Any,
        line: ".HostConfig}}",
        theirs: "Runtime=\"runc\"",
        ours: "Runtime=\"dhow\"",
        reason: "the runtime is its own",
    },
    Accepted {
        of: Of::Any,
        line: "grep \" /x \" /proc/mounts",
        theirs: "tmpfs /x tmpfs",
        ours: "none /x tmpfs",
        reason: "the source of a tmpfs means nothing, and naming it costs a system call",
    },
    Accepted {
        of: Of::Any,
        line: "--blkio-weight",
        theirs: "WARNING: Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.\n",
        ours: "",
        reason: "weights that BFQ knows are set; dockerd looks for those of CFQ, which is gone",
    },
    old("docker network inspect", "ADDRESS \n", "ADDRESS ADDRESS\n", "the bridge's gateway is told since 28"),
    old("docker network inspect", "\"Config\":[]", "\"Config\":null", "no list where there is none"),
    old("--network container:nosuch", "daemon: No", "daemon: joining network namespace of container: No", WORDS),
    old("/etc/hosts", "fe00::0", "fe00::", "addresses are written in their short form"),
    old("/etc/hosts", "ff00::0", "ff00::", "addresses are written in their short form"),
    old("--network nothing", "daemon: network", "daemon: failed to set up container networking: network", WORDS),
    old("--cpus", "Range", "range", WORDS),
    old("--stop-signal", "Invalid signal", "invalid signal", WORDS),
    old("-s NOSUCH", "Invalid signal", "cannot kill container: crate: invalid signal", WORDS),
    old("--runtime nosuch", "Unknown runtime specified nosuch", "unknown or invalid runtime name: nosuch", WORDS),
    old(
        "--restart sometimes",
        "invalid restart policy 'sometimes'",
        "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        WORDS,
    ),
    old("docker kill", "Cannot kill container", "cannot kill container", WORDS),
    old("docker ", "Container ID is not running", "container ID is not running", WORDS),
    old("docker image inspect nothing", "no such image: nothing: ", "", WORDS),
    old("/etc", "exec: \"/etc\": permission", "exec: \"/etc\": is a directory: permission", WORDS),
    old(
        "docker run",
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: ",
        "OCI runtime create failed: unable to start container process: error during container init: ",
        WORDS,
    ),
    old("--filter", "Invalid filter 'nosuch'", "invalid filter 'nosuch'", WORDS),
    old(
        "--filter status=nosuch",
        "Invalid filter 'status=nosuch'",
        "invalid filter 'status=nosuch': invalid value for state (nosuch): must be one of created, running, paused, restarting, removing, exited, dead",
        WORDS,
    ),
    old("--filter exited=x", "daemon: strconv", "daemon: invalid filter 'exited=x': strconv", WORDS),
    old(
        "--platform linux/s390x",
        "but does not match the specified platform: wanted linux/s390x, actual: linux/amd64",
        "but its platform (linux/amd64) does not match the specified platform (linux/s390x)",
        WORDS,
    ),
    old(
        "docker rm crate",
        "You cannot remove a running container ID. Stop the container before attempting removal or force remove",
        "cannot remove container \"crate\": container is running: stop the container before removing or force remove",
        WORDS,
    ),
    old(
        "docker rm box",
        "You cannot remove a paused container ID. Unpause and then stop the container before attempting removal or force remove",
        "cannot remove container \"box\": container is paused and must be unpaused first",
        WORDS,
    ),
    old(
        "/proc/mounts | sort",
        "/proc/fs\n/proc/irq",
        "/proc/fs\n/proc/interrupts\n/proc/irq",
        "/proc/interrupts is masked since 28",
    ),
    old(".HostConfig}}", "KernelMemory=0\nKernelMemoryTCP=0\n", "", "fields that are gone"),
    old(
        ".HostConfig}}",
        "\"/proc/acpi\",\"/proc/kcore\"",
        "\"/proc/acpi\",\"/proc/interrupts\",\"/proc/kcore\"",
        "/proc/interrupts is masked since 28",
    ),
    old(
        ".HostConfig}}",
        "\"/sys/firmware\"]",
        "\"/sys/firmware\",\"/sys/devices/virtual/powercap\"]",
        "powercap is masked since 28",
    ),
    old("containers/create", "\"Config cannot be empty", "\"config cannot be empty", WORDS),
    old("containers/create", "\"No command specified", "\"no command specified", WORDS),
    old(
        "--filter health=nosuch",
        "Unrecognised filter value for health: nosuch",
        "invalid filter 'health=nosuch': invalid value for health (nosuch): must be one of none, starting, healthy, unhealthy",
        WORDS,
    ),
    old("--filter is-task=nosuch", "Invalid filter", "invalid filter", WORDS),
    old("=nobody", "daemon: no such container nobody", "daemon: No such container: nobody", WORDS),
    old("docker volume ls -q --filter", "Invalid filter", "invalid filter", WORDS),
    old("docker commit -c", "daemon: nonsense is", "daemon: NONSENSE is", WORDS),
    old("docker commit -c", "daemon: from is", "daemon: FROM is", WORDS),
    old(
        "docker pull --platform linux/s390x",
        "up to date for 127.0.0.1:5000/a/box:1\n",
        "up to date for 127.0.0.1:5000/a/box:1\nWARNING: image with reference 127.0.0.1:5000/a/box:1 was found but its platform (linux/amd64) does not match the specified platform (linux/s390x)\n",
        "an image for another platform is told since 28",
    ),
    old(".HostConfig}}", "NetworkMode=\"default\"", "NetworkMode=\"bridge\"", "the default has its name"),
    old("docker network ls -f nosuch", "Invalid filter", "invalid filter", WORDS_OF_NETWORKS),
    old(
        "docker network create --subnet 10.61.9.0/24",
        "daemon: Pool overlaps",
        "daemon: invalid pool request: Pool overlaps",
        WORDS_OF_NETWORKS,
    ),
    old(
        "--ip 10.61.0.50 busybox true",
        "daemon: Address already in use",
        "daemon: failed to set up container networking: Address already in use",
        WORDS_OF_NETWORKS,
    ),
    old(
        "docker run --rm --network nosuch",
        "daemon: network nosuch not found",
        "daemon: failed to set up container networking: network nosuch not found",
        WORDS_OF_NETWORKS,
    ),
    old(
        "docker run --rm --ip 172.17.0.9",
        "daemon: user specified IP address is supported on user defined networks only\n",
        "daemon: invalid config for network bridge: invalid endpoint settings:\n* user specified IP address is supported on user defined networks only\n* user specified IP address is supported only when connecting to networks with user configured subnets\n",
        WORDS_OF_NETWORKS,
    ),
    old(
        "docker network connect host web",
        "container cannot be disconnected from host network or connected to host network",
        "cannot connect container to host network - container must be created in host network mode",
        WORDS_OF_NETWORKS,
    ),
    old(
        "docker network disconnect host",
        "container cannot be disconnected from host network or connected to host network",
        "cannot disconnect container from host network - container was created in host network mode",
        WORDS_OF_NETWORKS,
    ),
    old(
        "--network last --ip 10.9.9.9",
        "daemon: Invalid address 10.9.9.9: It does not belong to any of this network's subnets",
        "daemon: invalid config for network last: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10.9.9.9",
        WORDS_OF_NETWORKS,
    ),
    old(
        "--network last --ip 10.62.0.1",
        "daemon: Address already in use",
        "daemon: failed to set up container networking: Address already in use",
        WORDS_OF_NETWORKS,
    ),
    old(
        "docker inspect -f '{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{json $end.Aliases}} {{end}}' early",
        "later [\"ID\"]",
        "later null",
        "the short id is among the names, and no longer among the aliases",
    ),
    old(
        "docker network rm back",
        "network back id ID has active endpoints",
        "network back has active endpoints (name:\"web\" id:\"ID\")",
        WORDS_OF_NETWORKS,
    ),
];

const WORDS: &str = "the words of 28";
const CONTAINERD_2: &str = "containerd 2 leaves `: unknown` out; the one of Docker's own 28.5 packages (1.7) says it";
const HOST_IMAGE: &str = "the machine's own root as an image is always there";

const WORDS_OF_NETWORKS: &str = "other words for the same refusal";

/// Lines that an old dockerd cannot be asked, with the reason.
pub const NOT_OF_OLD: &[(&str, &str)] = &[
    ("--dns-option", "the order of resolv.conf's lines"),
    ("docker volume prune", PRUNED),
    ("docker volume ls -q | sort", PRUNED),
    ("docker run --rm --name whole", EVENT_ORDER),
    ("docker run --rm --name flat", EVENT_ORDER),
    ("docker commit -m words held", "an image that was made was not told"),
    ("docker exec -w /nosuch", EXEC_126),
    ("docker exec -u nosuch", "the user was looked for at the start only"),
    ("docker exec box nosuch", EXEC_126),
    ("docker exec box /nosuch/program", EXEC_126),
    ("--privileged", "runc 1.1 does not know the capabilities of all kernels"),
];

const EVENT_ORDER: &str = "networks were left and volumes taken at other instants";
const PRUNED: &str = "volumes with a name were pruned, too";
const EXEC_126: &str = "an exec that cannot start ended with 126 whatever the cause";

/// Whether `line` can be compared with a dockerd of that major version.
pub fn is_asked(version: u32, line: &str) -> bool {
    version >= 28 || !NOT_OF_OLD.iter().any(|(words, _)| line.contains(words))
}

const fn old(line: &'static str, theirs: &'static str, ours: &'static str, reason: &'static str) -> Accepted {
    Accepted { of: Of::Old, line, theirs, ours, reason }
}

/// What dhow must say where dockerd of that major `version` says `theirs` to `line`. The uses are marked in `used`.
pub fn expected(version: u32, line: &str, theirs: &str, used: &mut [bool]) -> String {
    let mut text = theirs.to_owned();
    for (accepted, used) in ACCEPTED.iter().zip(used) {
        if accepted.is_of(version) && line.contains(accepted.line) && text.contains(accepted.theirs) {
            text = text.replace(accepted.theirs, accepted.ours);
            *used = true;
        }
    }
    text
}

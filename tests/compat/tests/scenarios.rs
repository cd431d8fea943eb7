//! Scenarios, each a list of docker commands; every engine must answer every one of them alike.

use compat::{Docker, docker, neutral};
use it::Stage;

/// A scenario's name and its commands.
type Scenario = (&'static str, &'static [&'static [&'static str]]);

const SCENARIOS: &[Scenario] = &[
    (
        "exit codes and streams",
        &[
            &["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"],
            &["run", "--rm", "busybox", "true"],
            &["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"],
            &["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"],
            &["run", "--rm", "-w", "/made/here", "busybox", "pwd"],
            &["run", "--rm", "-u", "alice", "busybox", "id"],
            &["run", "--rm", "-u", "1234:50", "busybox", "id"],
            &["run", "--rm", "--group-add", "50", "busybox", "id", "-G"],
        ],
    ),
    (
        "environment",
        &[
            &["run", "--rm", "--hostname", "box", "-e", "A=1", "-e", "FROM_IMAGE", "busybox", "env"],
            &["run", "--rm", "--hostname", "box", "-u", "alice", "busybox", "env"],
            &[
                "run",
                "--rm",
                "--add-host",
                "db:10.0.0.9",
                "--hostname",
                "box",
                "--network",
                "none",
                "busybox",
                "cat",
                "/etc/hosts",
            ],
            &["run", "--rm", "--hostname", "box", "busybox", "cat", "/etc/hostname"],
        ],
    ),
    (
        "life and its states",
        &[
            &["create", "--name", "box", "-l", "x=y", "busybox", "sleep", "1000"],
            &[
                "inspect",
                "-f",
                "{{.State.Status}} {{.State.Running}} {{.Name}} {{.Path}} {{.Args}} {{.Config.Labels}}",
                "box",
            ],
            &["start", "box"],
            &["start", "box"],
            &["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.HostConfig.RestartPolicy.Name}}", "box"],
            &["pause", "box"],
            &["pause", "box"],
            &["exec", "box", "true"],
            &["ps", "--format", "{{.Names}} {{.State}}"],
            &["unpause", "box"],
            &["unpause", "box"],
            &["rename", "box", "crate"],
            &["rm", "crate"],
            &["kill", "-s", "KILL", "crate"],
            &["wait", "crate"],
            &["kill", "crate"],
            &["stop", "crate"],
            &["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}", "crate"],
            &["rm", "crate"],
            &["rm", "crate"],
        ],
    ),
    (
        "errors",
        &[
            &["run", "--rm", "-m", "1m", "busybox", "true"],
            &["run", "--rm", "--network", "nothing", "busybox", "true"],
            &["run", "--rm", "--name", "-bad", "busybox", "true"],
            &["run", "--rm", "--mount", "type=bind,src=/no/such/folder,dst=/x", "busybox", "true"],
            &["run", "--rm", "-v", "relative:name:/x", "busybox", "true"],
            &["run", "--rm", "--restart", "always", "busybox", "true"],
            &["start", "nobody"],
            &["stop", "nobody"],
            &["kill", "nobody"],
            &["exec", "nobody", "true"],
            &["logs", "nobody"],
            &["inspect", "nobody"],
            &["rename", "nobody", "x"],
            &["rmi", "nothing"],
            &["tag", "nothing", "x"],
            &["image", "inspect", "nothing"],
        ],
    ),
    (
        "names in conflict",
        &[
            &["create", "--name", "one", "busybox"],
            &["create", "--name", "one", "busybox"],
            &["rmi", "busybox"],
            &["rm", "one"],
        ],
    ),
    (
        "what inspect says of what was asked",
        &[
            &[
                "create",
                "--name",
                "box",
                "-m",
                "64m",
                "--memory-swap",
                "128m",
                "--cpus",
                "0.5",
                "--cpu-shares",
                "512",
                "--pids-limit",
                "50",
                "-p",
                "127.0.0.1:18080:80",
                "-p",
                "53/udp",
                "-v",
                "/tmp:/t:ro",
                "--tmpfs",
                "/run:size=1m",
                "--cap-add",
                "NET_ADMIN",
                "--cap-drop",
                "MKNOD",
                "--read-only",
                "--restart",
                "on-failure:3",
                "--stop-signal",
                "INT",
                "--stop-timeout",
                "3",
                "--shm-size",
                "32m",
                "--ulimit",
                "nofile=100:200",
                "--sysctl",
                "net.ipv4.ip_forward=1",
                "--dns",
                "10.0.0.1",
                "--init",
                "-e",
                "A=b",
                "-w",
                "/w",
                "--log-opt",
                "max-size=1m",
                "busybox",
                "sleep",
                "1",
            ],
            &[
                "inspect",
                "-f",
                "{{json .HostConfig.PortBindings}} {{json .HostConfig.Binds}} {{json .HostConfig.Tmpfs}}",
                "box",
            ],
            &[
                "inspect",
                "-f",
                "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}}",
                "box",
            ],
            &[
                "inspect",
                "-f",
                "{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}} {{.HostConfig.ReadonlyRootfs}} {{json .HostConfig.RestartPolicy}}",
                "box",
            ],
            &[
                "inspect",
                "-f",
                "{{.Config.StopSignal}} {{.Config.StopTimeout}} {{.HostConfig.ShmSize}} {{json .HostConfig.Ulimits}} {{json .HostConfig.Sysctls}}",
                "box",
            ],
            &[
                "inspect",
                "-f",
                "{{json .HostConfig.Dns}} {{.HostConfig.Init}} {{json .Config.Env}} {{.Config.WorkingDir}} {{json .HostConfig.LogConfig}}",
                "box",
            ],
            &[
                "inspect",
                "-f",
                "{{json .Config.Cmd}} {{json .Config.Entrypoint}} {{.Config.Image}} {{json .Config.ExposedPorts}}",
                "box",
            ],
            &["inspect", "-f", "{{json .Mounts}}", "box"],
        ],
    ),
    (
        "logs",
        &[
            &["run", "--name", "box", "busybox", "sh", "-c", "for i in 1 2 3 4; do echo line $i; done; printf tail"],
            &["logs", "box"],
            &["logs", "--tail", "2", "box"],
            &["logs", "--tail", "0", "box"],
            &["logs", "-f", "box"],
        ],
    ),
    (
        "what a container sees",
        &[
            &["run", "--rm", "--network", "none", "busybox", "ls", "/dev"],
            &[
                "run",
                "--rm",
                "busybox",
                "sh",
                "-c",
                "grep -E '^Cap(Inh|Bnd|Eff|Amb)|^Seccomp:|^NoNewPrivs' /proc/self/status",
            ],
            &["run", "--rm", "-u", "alice", "busybox", "sh", "-c", "grep -E '^Cap(Inh|Bnd|Eff|Amb)' /proc/self/status"],
            &[
                "run",
                "--rm",
                "--cap-drop",
                "ALL",
                "--cap-add",
                "CHOWN",
                "busybox",
                "grep",
                "CapEff",
                "/proc/self/status",
            ],
            &["run", "--rm", "busybox", "sh", "-c", "stat -c '%a %n' /dev/shm /dev/pts /dev/null /tmp /proc /sys"],
            &["run", "--rm", "--read-only", "busybox", "touch", "/x"],
            &[
                "run",
                "--rm",
                "--tmpfs",
                "/x:size=64k",
                "busybox",
                "sh",
                "-c",
                "df -k /x | tail -1 | tr -s ' ' | cut -d' ' -f2",
            ],
            &["run", "--rm", "busybox", "sh", "-c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ulimit -c"],
            &[
                "run",
                "--rm",
                "-u",
                "alice",
                "busybox",
                "sh",
                "-c",
                "cd ~ && touch mine && ls -ln mine | cut -d' ' -f1-7 | tr -s ' ' | cut -d' ' -f1,3,4",
            ],
        ],
    ),
];

/// Commands whose words on stderr are compared too: the others' are told apart by code alone.
fn shows_error(words: &[&str]) -> bool {
    !words.contains(&"nothing") && !words.contains(&"nobody") || words.first() != Some(&"run")
}

#[test]
fn dhow_answers_as_dockerd() {
    let dockerd = Docker::start();
    let stage = Stage::new();
    let mut different = Vec::new();
    for (name, commands) in SCENARIOS {
        for words in *commands {
            let theirs = docker(&dockerd.host(), words);
            let ours = docker(&stage.host(), words);
            let same_error = !shows_error(words) || neutral(&theirs.2) == neutral(&ours.2);
            if theirs.0 != ours.0 || neutral(&theirs.1) != neutral(&ours.1) || !same_error {
                different
                    .push(format!("{name}: docker {}\n  dockerd: {theirs:?}\n  dhow:    {ours:?}", words.join(" ")));
            }
        }
        for host in [dockerd.host(), stage.host()] {
            let ids = docker(&host, &["ps", "-aq"]).1;
            ids.split_whitespace().for_each(|id| drop(docker(&host, &["rm", "-f", "-v", id])));
        }
    }
    assert!(different.is_empty(), "{} answers differ:\n{}", different.len(), different.join("\n"));
}

//! Many hands on the same containers at once, and crashes while they work: nobody waits for ever, and nothing is left.

use it::{Stage, eventually, status, within};
use std::collections::BTreeSet;
use std::process::{Child, Stdio};

/// Containers that are worked on.
const CONTAINERS: usize = 4;
/// Who works on them, and how often each does.
const HANDS: usize = 6;
const STEPS: usize = 40;
/// Descriptors that may be open for reasons of their own: connections that just close, sandboxes that are being made.
const MORE_DESCRIPTORS: usize = 48;

/// The status and the body of what is answered; an answer that does not come within half a minute fails the test.
fn tell(stage: &Stage, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut wire = stage.wire();
    let length = body.len();
    wire.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ));
    let head = wire.head();
    (status(&head), String::from_utf8_lossy(&wire.rest()).into_owned())
}

/// A row of numbers that looks like chance and is the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

fn create(stage: &Stage, index: usize) {
    let name = format!("c{index}");
    let mut words = vec!["create", "--name", &name];
    words.extend(match index % 4 {
        0 => &["--health-cmd", "true", "--health-interval", "50ms"][..],
        1 => &["--restart", "always"],
        2 => &["--network", "one", "-p", "0:80"],
        _ => &["--pid", "host", "-v", "/data"],
    });
    let line = if index % 4 == 1 { "sleep 0.1; exit 1" } else { "exec sleep 1000" };
    words.extend(["busybox", "sh", "-c", line]);
    stage.docker(words).ok();
}

/// One thing that somebody does to a container.
fn act(stage: &Stage, chance: &mut Chance) {
    let id = format!("c{}", chance.below(CONTAINERS));
    let container = format!(r#"{{"Container":"{id}"}}"#);
    let post = |path: &str, body: &str| tell(stage, "POST", path, body);
    let (code, said) = match chance.below(16) {
        0..4 => post(&format!("/containers/{id}/start"), ""),
        4 => post(&format!("/containers/{id}/stop?t=0"), ""),
        5 => post(&format!("/containers/{id}/kill"), ""),
        6 => post(&format!("/containers/{id}/restart?t=0"), ""),
        7 => post(&format!("/containers/{id}/pause"), ""),
        8 => post(&format!("/containers/{id}/unpause"), ""),
        9 => post("/networks/two/connect", &container),
        10 => post("/networks/two/disconnect", &container),
        11 => post(&format!("/containers/{id}/update"), r#"{"Memory":67108864,"MemorySwap":134217728}"#),
        12 => tell(stage, "GET", &format!("/containers/{id}/stats?stream=false&one-shot=true"), ""),
        13 => post(&format!("/containers/{id}/rename?name=other"), ""),
        14 => post(&format!("/containers/other/rename?name={id}"), ""),
        _ => exec(stage, &id),
    };
    assert!((200..600).contains(&code), "{said}");
}

fn exec(stage: &Stage, id: &str) -> (u16, String) {
    let (code, said) =
        tell(stage, "POST", &format!("/containers/{id}/exec"), r#"{"Cmd":["sleep","1000"],"AttachStdout":true}"#);
    let Some(exec) = said.split('"').nth(3).filter(|_| code == 201) else { return (code, said) };
    tell(stage, "POST", &format!("/exec/{exec}/start"), r#"{"Detach":true}"#)
}

#[test]
fn containers_that_many_hands_work_on_at_once_leave_nothing() {
    let stage = Stage::new();
    for network in ["one", "two"] {
        stage.docker(["network", "create", network]).ok();
    }
    // From the first of a sort on sandboxes are made ahead.
    for network in ["bridge", "one"] {
        stage.docker(["run", "--rm", "--network", network, "busybox", "true"]).ok();
    }
    let before = stage.engine_fds();
    (0..CONTAINERS).for_each(|index| create(&stage, index));
    std::thread::scope(|scope| {
        for hand in 0..HANDS {
            let stage = &stage;
            scope.spawn(move || {
                let mut chance = Chance(hand as u64);
                (0..STEPS).for_each(|_| act(stage, &mut chance));
            });
        }
    });
    let ids = stage.docker(["ps", "-aq"]).ok();
    assert_eq!(ids.lines().count(), CONTAINERS);
    stage.docker(["rm", "-f", "-v"].into_iter().chain(ids.split_whitespace())).ok();
    for network in ["one", "two"] {
        stage.docker(["network", "rm", network]).ok();
    }
    for name in (0..CONTAINERS).map(|index| format!("c{index}")).chain(["other".to_owned()]) {
        stage.docker(["create", "--name", &name, "busybox", "true"]).ok();
        stage.docker(["rm", &name]).ok();
    }
    assert_eq!(stage.docker(["volume", "ls", "-q"]).ok(), "");
    let given_back = eventually(|| stage.engine_fds() <= before + MORE_DESCRIPTORS);
    assert!(given_back, "{before} descriptors became {:#?}", stage.engine_files());
}

#[test]
fn names_that_are_changed_at_the_same_time_are_free_afterwards() {
    let stage = Stage::bare();
    stage.docker(["create", "--name", "box", "host", "true"]).ok();
    let id = stage.docker(["ps", "-aq", "--no-trunc"]).ok();
    let id = id.trim();
    std::thread::scope(|scope| {
        for hand in 0..HANDS {
            let stage = &stage;
            scope.spawn(move || {
                for step in 0..STEPS {
                    tell(stage, "POST", &format!("/containers/{id}/rename?name=n{}", (hand + step) % HANDS), "");
                }
            });
        }
    });
    stage.docker(["rename", id, "last"]).ok();
    for name in (0..HANDS).map(|n| format!("n{n}")).chain(["box".to_owned()]) {
        stage.docker(["create", "--name", &name, "host", "true"]).ok();
    }
}

/// Endless work of a client's on the network `two`.
fn worker(stage: &Stage, name: &str) -> Child {
    let line = format!(
        "while :; do docker network connect two {name}; docker restart -t 0 {name}; docker network disconnect two {name}; done"
    );
    let mut command = std::process::Command::new("sh");
    command.env("DOCKER_HOST", stage.host()).args(["-c", &line]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn engines_killed_while_networks_change_leave_every_address_to_one_container() {
    const ROUNDS: usize = 3;
    let mut stage = Stage::new();
    stage.docker(["network", "create", "two"]).ok();
    let names: Vec<String> = (0..CONTAINERS).map(|index| format!("c{index}")).collect();
    for name in &names {
        stage.docker(["run", "-d", "--name", name, "busybox", "sleep", "1000"]).ok();
    }
    for round in 0..ROUNDS {
        let workers: Vec<Child> = names.iter().map(|name| worker(&stage, name)).collect();
        let since = stage.docker(["info", "-f", "{{json .SystemTime}}"]).ok();
        let since = since.trim().trim_matches('"').to_owned();
        within("they work", || {
            let told = stage.docker(["events", "--since", &since, "--until", "0s", "-f", "event=connect"]).out;
            told.lines().count() > CONTAINERS * (round + 2)
        });
        stage.kill_engine();
        for mut worker in workers {
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
        stage.start_engine();
        for name in &names {
            within("it runs", || stage.docker(["start", name]).code == 0);
            let _ = stage.docker(["network", "connect", "two", name]);
        }
        let addresses = stage.docker(
            ["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"]
                .into_iter()
                .chain(names.iter().map(String::as_str)),
        );
        let addresses = addresses.ok();
        let all: Vec<&str> = addresses.split_whitespace().collect();
        assert_eq!(all.len(), 2 * CONTAINERS, "{addresses}");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{addresses}");
        for name in &names {
            let told = stage.docker(["exec", name, "ip", "-4", "-o", "addr"]).ok();
            let count = told.lines().filter(|line| all.iter().any(|one| line.contains(&format!(" {one}/")))).count();
            assert_eq!(count, 2, "{told}{addresses}");
        }
    }
    stage.docker(["rm", "-f"].into_iter().chain(names.iter().map(String::as_str))).ok();
    stage.docker(["network", "rm", "two"]).ok();
}

#[test]
fn a_volume_that_another_container_has_outlives_one_whose_removal_a_crash_delayed() {
    let mut stage = Stage::new();
    stage.docker(["run", "-d", "--rm", "--name", "first", "-v", "/data", "busybox", "sleep", "1000"]).ok();
    stage.docker(["run", "-d", "--name", "other", "--volumes-from", "first", "busybox", "sleep", "1000"]).ok();
    stage.docker(["exec", "other", "touch", "/data/kept"]).ok();
    let info = stage.docker(["inspect", "-f", "{{.State.Pid}}", "first", "other"]).ok();
    stage.kill_engine();
    let keeper = keeper_of(info.split_whitespace().next().unwrap());
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    stage.start_engine();
    assert_ne!(stage.docker(["inspect", "first"]).code, 0, "--rm removes it");
    stage.docker(["start", "other"]).ok();
    assert_eq!(stage.docker(["exec", "other", "ls", "/data/kept"]).ok(), "/data/kept\n");
}

/// The parent of a container's first process.
fn keeper_of(pid: &str) -> rustix::process::Pid {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap();
    rustix::process::Pid::from_raw(parent.parse().unwrap()).unwrap()
}

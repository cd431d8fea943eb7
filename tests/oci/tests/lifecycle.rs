//! From `create` to `delete`, on ours and on the reference.

use oci_tests::{Case, Console, Runtime, cgroup_folders, within};
use serde_json::{Value, json};
use std::fs;

/// Makes each case a test of both runtimes.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod ours { $(#[test] fn $name() { super::$name(&oci_tests::Runtime::ours()); })* }
        mod runc { $(#[test] fn $name() { super::$name(&oci_tests::Runtime::runc()); })* }
    };
}

on_both!(
    run_gives_the_output_and_the_code_of_the_program,
    a_program_killed_by_a_signal_gives_128_and_its_number,
    create_waits_for_start,
    a_running_container_is_only_deleted_by_force,
    kill_ends_it_and_it_stays_until_deleted,
    an_id_is_taken_once,
    a_missing_program_is_told_and_nothing_is_left,
    broken_configurations_are_refused_and_nothing_is_left,
    exec_joins_everything,
    exec_gives_the_code,
    exec_detached_writes_its_pid,
    pause_stops_it_and_resume_goes_on,
    a_paused_container_can_be_deleted,
    limits_are_set_and_updated,
    hooks_run_in_their_order_with_the_state,
    a_failing_hook_fails_the_creation,
    a_terminal_comes_over_the_console_socket,
    only_asked_descriptors_are_passed,
    users_and_groups_are_those_of_the_configuration,
    list_and_ps_tell_what_runs,
    statistics_have_numbers,
    the_root_can_be_read_only,
    sysctls_and_names_are_set,
    a_container_that_was_created_but_not_started_can_be_deleted,
    namespaces_can_be_joined_by_path,
    rootless_specification_is_valid_json,
);

fn run_gives_the_output_and_the_code_of_the_program(runtime: &Runtime) {
    let case = Case::new(runtime, &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let output = case.run();
    assert_eq!((output.code(), output.out.as_str(), output.err.as_str()), (Some(7), "out\n", "err\n"));
}

fn a_program_killed_by_a_signal_gives_128_and_its_number(runtime: &Runtime) {
    let case = Case::new(runtime, &["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"]);
    assert_eq!(case.run().code(), Some(143));
}

fn create_waits_for_start(runtime: &Runtime) {
    let case = Case::new(runtime, &["sh", "-c", "echo started; exec sleep 1000"]);
    case.create();
    let state = case.state();
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("created"), Some(case.id.as_str())));
    assert_eq!(state["bundle"].as_str(), case.bundle.path.to_str());
    assert!(state["pid"].as_i64().unwrap() > 0);
    assert_eq!(case.logged(), "");
    case.call(&["start", &case.id]).ok();
    within("it says something", || case.logged() == "started\n");
    assert_eq!(case.status(), "running");
    let again = case.call(&["start", &case.id]).fails();
    assert!(again.contains("cannot start an already running container"), "{again}");
}

fn a_running_container_is_only_deleted_by_force(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    let refused = case.call(&["delete", &case.id]).fails();
    assert!(refused.contains("is not stopped"), "{refused}");
    case.call(&["delete", "-f", &case.id]).ok();
    assert!(case.call(&["state", &case.id]).fails().contains("does not exist"));
    case.call(&["delete", "-f", &case.id]).ok();
}

fn kill_ends_it_and_it_stays_until_deleted(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    case.call(&["kill", &case.id, "KILL"]).ok();
    case.await_status("stopped");
    assert!(case.call(&["kill", &case.id, "TERM"]).fails().contains("container not running"));
    assert!(!case.exec(&["true"]).status.success());
    case.call(&["delete", &case.id]).ok();
}

fn an_id_is_taken_once(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.create();
    let refused = case.call(&["create", &case.id]).fails();
    assert!(refused.contains("container with given ID already exists"), "{refused}");
    assert_eq!(case.status(), "created");
    for id in ["", ".", "..", "a/b", "a b", "../../etc"] {
        assert!(!case.call(&["create", id]).status.success(), "{id:?}");
    }
}

fn a_missing_program_is_told_and_nothing_is_left(runtime: &Runtime) {
    let mut case = Case::new(runtime, &["nothing-of-this-name"]);
    let refused = case.try_create(&[]).fails();
    assert!(refused.contains("executable file not found in $PATH"), "{refused}");
    assert!(cgroup_folders(&case.cgroup).is_empty());
    case.bundle.config["process"]["args"] = json!(["/etc/passwd"]);
    assert!(!case.run().status.success());
}

fn broken_configurations_are_refused_and_nothing_is_left(runtime: &Runtime) {
    let breaks: [fn(&mut Value); 8] = [
        |config| config["process"]["cwd"] = json!("relative"),
        |config| config["process"]["args"] = json!([]),
        |config| config["root"]["path"] = json!("nowhere"),
        |config| config["linux"]["namespaces"] = json!([{"type": "pid"}, {"type": "pid"}, {"type": "mount"}]),
        |config| config["linux"]["sysctl"] = json!({"vm.swappiness": "1"}),
        |config| config["process"]["rlimits"] = json!([{"type": "RLIMIT_BEER", "soft": 1, "hard": 1}]),
        |config| config["mounts"][0]["source"] = json!({"not": "a string"}),
        |config| config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_DANCE"}),
    ];
    for (number, spoil) in breaks.iter().enumerate() {
        let mut case = Case::sleeping(runtime);
        spoil(&mut case.bundle.config);
        let refused = case.try_create(&[]).fails();
        assert!(!refused.trim().is_empty(), "configuration {number}");
    }
}

fn exec_joins_everything(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    let script = "hostname; cat /proc/1/comm; pwd; id -u; echo $VALUE; grep -c . /proc/self/cgroup";
    let words = ["exec", "--cwd", "/tmp", "-e", "VALUE=x=1", "-u", "1000:1000", &case.id, "sh", "-c", script];
    let out = case.call(&words).ok();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..5], ["box", "sleep", "/tmp", "1000", "x=1"], "{out}");
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let inside = case.exec(&["readlink", &format!("/proc/self/ns/{kind}")]).ok();
        let init = fs::read_link(format!("/proc/{}/ns/{kind}", case.state()["pid"])).unwrap();
        assert_eq!(inside.trim(), init.to_str().unwrap());
    }
    let own = fs::read_to_string(format!("/proc/{}/cgroup", case.state()["pid"])).unwrap();
    assert!(own.contains(&case.cgroup), "{own}");
}

fn exec_gives_the_code(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    assert_eq!(case.exec(&["sh", "-c", "exit 9"]).code(), Some(9));
    assert_eq!(case.exec(&["sh", "-c", "kill -KILL $$"]).code(), Some(137));
    assert_eq!(case.exec(&["nothing-of-this-name"]).code(), Some(255));
}

fn exec_detached_writes_its_pid(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    let file = case.path().join("pid");
    case.call(&["exec", "-d", "--pid-file", file.to_str().unwrap(), &case.id, "sleep", "1000"]).ok();
    let pid = fs::read_to_string(&file).unwrap();
    // The reference writes the number a moment before execve.
    within("its program runs", || fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().starts_with("sleep"));
}

fn pause_stops_it_and_resume_goes_on(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    case.call(&["pause", &case.id]).ok();
    assert_eq!(case.status(), "paused");
    assert!(!case.exec(&["true"]).status.success());
    case.call(&["resume", &case.id]).ok();
    assert_eq!(case.status(), "running");
    case.exec(&["true"]).ok();
}

fn a_paused_container_can_be_deleted(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    case.call(&["pause", &case.id]).ok();
    case.call(&["delete", "-f", &case.id]).ok();
}

/// The value of a file that v1 and v2 name otherwise.
fn limit(case: &Case, names: [&str; 2]) -> String {
    let folders = cgroup_folders(&case.cgroup);
    let files = folders.iter().flat_map(|folder| names.map(|name| folder.join(name)));
    files.filter_map(|file| fs::read_to_string(file).ok()).next().unwrap_or_default().trim().to_owned()
}

fn limits_are_set_and_updated(runtime: &Runtime) {
    let mut case = Case::sleeping(runtime);
    case.bundle.config["linux"]["resources"]["memory"] = json!({"limit": 33_554_432});
    case.bundle.config["linux"]["resources"]["pids"] = json!({"limit": 20});
    case.begin();
    assert_eq!(limit(&case, ["memory.limit_in_bytes", "memory.max"]), "33554432");
    assert_eq!(limit(&case, ["pids.max", "pids.max"]), "20");
    case.call(&["update", "--memory", "50331648", "--pids-limit", "10", &case.id]).ok();
    assert_eq!(limit(&case, ["memory.limit_in_bytes", "memory.max"]), "50331648");
    assert_eq!(limit(&case, ["pids.max", "pids.max"]), "10");
}

fn hooks_run_in_their_order_with_the_state(runtime: &Runtime) {
    let mut case = Case::new(runtime, &["true"]);
    let log = case.path().join("hooks");
    let inside = "/var/hooks";
    let shared = case.path().display().to_string();
    case.bundle.mount("bind", &shared, "/var", &["rbind", "rw"]);
    let hook = |name: &str, file: &str| {
        let script = format!("state=$(cat); echo \"{name} $(env | grep -c SECRET) $state\" >> {file}");
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}])
    };
    let log_path = log.to_str().unwrap();
    case.bundle.config["hooks"] = json!({
        "prestart": hook("prestart", log_path),
        "createRuntime": hook("createRuntime", log_path),
        "createContainer": hook("createContainer", log_path),
        "startContainer": hook("startContainer", inside),
        "poststart": hook("poststart", log_path),
        "poststop": hook("poststop", log_path),
    });
    case.bundle.save().unwrap();
    let mut command = case.command(&["create", &case.id]);
    command.env("SECRET", "1");
    case.finish(command, &["create"]).ok();
    case.call(&["start", &case.id]).ok();
    case.await_status("stopped");
    case.call(&["delete", &case.id]).ok();
    let text = fs::read_to_string(&log).unwrap();
    let mut names: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    // runc does not wait for the startContainer hooks before it runs the poststart ones.
    if runtime.name == "runc" && names.len() == 6 {
        names[3..5].sort_unstable_by_key(|name| *name == "poststart");
    }
    assert_eq!(names, ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]);
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ');
        let (name, secrets) = (parts.next().unwrap(), parts.next().unwrap());
        let state: Value = serde_json::from_str(parts.next().unwrap()).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!((secrets, state["id"].as_str()), ("0", Some(case.id.as_str())), "{name}");
    }
}

fn a_failing_hook_fails_the_creation(runtime: &Runtime) {
    for name in ["prestart", "createRuntime", "createContainer"] {
        let mut case = Case::sleeping(runtime);
        case.bundle.config["hooks"][name] = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}]);
        let refused = case.try_create(&[]).fails();
        assert!(refused.contains("exit status 3"), "{refused}");
    }
}

fn a_terminal_comes_over_the_console_socket(runtime: &Runtime) {
    let mut case = Case::new(runtime, &["sh", "-c", "tty; stty size; ls -l /dev/console | cut -c1"]);
    case.bundle.config["process"]["terminal"] = json!(true);
    case.bundle.config["process"]["consoleSize"] = json!({"height": 12, "width": 34});
    let console = Console::listen(case.path()).unwrap();
    case.try_create(&["--console-socket", console.path.to_str().unwrap()]).ok();
    let master = console.master().unwrap();
    case.call(&["start", &case.id]).ok();
    let text = Console::read_all(&master);
    assert_eq!(text, "/dev/pts/0\r\n12 34\r\nc\r\n");
}

fn only_asked_descriptors_are_passed(runtime: &Runtime) {
    let script = "n=0; while [ $n -lt 64 ]; do [ -e /proc/$$/fd/$n ] && echo $n; n=$((n+1)); done; true";
    assert_eq!(Case::new(runtime, &["sh", "-c", script]).run().ok(), "0\n1\n2\n");
}

fn users_and_groups_are_those_of_the_configuration(runtime: &Runtime) {
    let mut case =
        Case::new(runtime, &["sh", "-c", "id -u; id -g; id -G; grep -E 'Cap(Inh|Eff|Prm)' /proc/self/status"]);
    case.bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 2000]});
    let out = case.run().ok();
    let none = "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n";
    assert_eq!(out, format!("1000\n1001\n1001 5 2000\n{none}"));
}

fn list_and_ps_tell_what_runs(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    assert_eq!(case.call(&["list", "-q"]).ok().trim(), case.id);
    let all: Value = serde_json::from_str(&case.call(&["list", "-f", "json"]).ok()).unwrap();
    assert_eq!((all[0]["id"].as_str(), all[0]["status"].as_str()), (Some(case.id.as_str()), Some("running")));
    let pids: Vec<i64> = serde_json::from_str(&case.call(&["ps", "-f", "json", &case.id]).ok()).unwrap();
    assert_eq!(pids, [case.state()["pid"].as_i64().unwrap()]);
    assert!(case.call(&["ps", &case.id]).ok().contains("sleep 1000"));
}

fn statistics_have_numbers(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.begin();
    let stats: Value = serde_json::from_str(&case.call(&["events", "--stats", &case.id]).ok()).unwrap();
    assert_eq!((stats["type"].as_str(), stats["id"].as_str()), (Some("stats"), Some(case.id.as_str())));
    assert!(stats["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0, "{stats}");
    assert_eq!(stats["data"]["pids"]["current"].as_u64(), Some(1), "{stats}");
}

fn the_root_can_be_read_only(runtime: &Runtime) {
    let mut case = Case::new(runtime, &["sh", "-c", "touch /x 2>&1; touch /dev/shm/y && echo shm"]);
    case.bundle.config["root"]["readonly"] = json!(true);
    let out = case.run().ok();
    assert!(out.contains("Read-only file system") && out.contains("shm"), "{out}");
    assert!(!case.bundle.root().join("x").exists());
}

fn sysctls_and_names_are_set(runtime: &Runtime) {
    let mut case =
        Case::new(runtime, &["sh", "-c", "hostname; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax"]);
    case.bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"});
    assert_eq!(case.run().ok(), "box\n1\n4096\n");
}

fn a_container_that_was_created_but_not_started_can_be_deleted(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    case.create();
    case.call(&["delete", "-f", &case.id]).ok();
    let case = Case::sleeping(runtime);
    case.create();
    case.call(&["kill", &case.id, "KILL"]).ok();
    case.await_status("stopped");
    case.call(&["delete", &case.id]).ok();
}

fn namespaces_can_be_joined_by_path(runtime: &Runtime) {
    let first = Case::sleeping(runtime);
    first.begin();
    let pid = first.state()["pid"].as_i64().unwrap();
    let script = "for ns in pid net ipc uts; do readlink /proc/self/ns/$ns; done";
    let mut second = Case::new(runtime, &["sh", "-c", script]);
    second.bundle.config["linux"]["namespaces"] = json!([
        {"type": "mount"},
        {"type": "pid", "path": format!("/proc/{pid}/ns/pid")},
        {"type": "network", "path": format!("/proc/{pid}/ns/net")},
        {"type": "ipc", "path": format!("/proc/{pid}/ns/ipc")},
        {"type": "uts", "path": format!("/proc/{pid}/ns/uts")},
    ]);
    second.bundle.config.as_object_mut().unwrap().remove("hostname");
    let out = second.run().ok();
    let wanted: Vec<_> = ["pid", "net", "ipc", "uts"]
        .map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string())
        .to_vec();
    assert_eq!(out.lines().collect::<Vec<_>>(), wanted);
}

fn rootless_specification_is_valid_json(runtime: &Runtime) {
    let case = Case::sleeping(runtime);
    for options in [&["spec"][..], &["spec", "--rootless"]] {
        let _ = fs::remove_file(case.bundle.path.join("config.json"));
        case.call(options).ok();
        let text = fs::read_to_string(case.bundle.path.join("config.json")).unwrap();
        let spec: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(spec["process"]["args"], json!(["sh"]));
    }
}

//! `daemon.json` and the flags: what is refused, what containers get, and what is read again on SIGHUP.

use it::{Another, Stage, within};
use rustix::process::Signal;
use std::process::Stdio;

#[test]
fn settings_are_checked_before_anything_is_opened() {
    let stage = Stage::bare();
    let file = stage.folder().join("daemon.json");
    let shown = file.display().to_string();
    for (text, flags, words) in [
        ("{\"nope\": 1, \"debug\": true}", "", "the following directives don't match any configuration option: nope"),
        (
            "{\"debug\": true}",
            "--debug",
            "the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)",
        ),
        ("{\"debug\": tru}", "", "invalid JSON"),
        ("{\"authorization-plugins\": [\"x\"]}", "", "nothing would be authorized"),
        ("{\"log-level\": \"loud\"}", "", "invalid log level \"loud\""),
        ("{\"labels\": [\"x\"]}", "", "bad attribute format: x"),
        ("{\"tlsverify\": true, \"tlscert\": \"/nowhere\"}", "", "/nowhere"),
    ] {
        std::fs::write(&file, text).expect("a file");
        for validate in ["--validate", ""] {
            let line = format!("exec $ENGINE --config-file {shown} {flags} {validate}");
            let mut refused = Another::start(&stage, &line, Stdio::null());
            assert_eq!(refused.code(), 1, "{text}");
            assert!(refused.log().contains(words), "{text}: {}", refused.log());
        }
    }
    std::fs::write(&file, "{\"labels\": [\"a=b\"], \"features\": {\"buildkit\": true}, \"icc\": true}")
        .expect("a file");
    let mut good = Another::start(&stage, &format!("exec $ENGINE --config-file {shown} --validate"), Stdio::null());
    assert_eq!(good.code(), 0, "{}", good.log());
    assert!(good.log().ends_with("configuration OK\n"), "{}", good.log());
    assert!(!good.folder().join("data").exists(), "nothing was opened");
}

#[test]
fn containers_get_what_the_engine_was_told() {
    let mut stage = Stage::bare();
    let file = stage.folder().join("daemon.json");
    let text = r#"{"default-shm-size": "8m", "init": true, "no-new-privileges": true, "log-driver": "none",
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 77, "Hard": 88}}, "dns": ["192.0.2.1"], "dns-search": ["a.example"]}"#;
    std::fs::write(&file, text).expect("a file");
    stage.restart_with(&["--config-file", &file.display().to_string()]);
    let seen = "ulimit -n; grep NoNewPrivs /proc/self/status; df -k /dev/shm | tail -1 | awk '{print $2}'; cat /etc/resolv.conf; cat /proc/1/comm";
    let said = stage.dhow(["run", "--rm", "host", "sh", "-c", seen]).ok();
    for line in ["77\n", "NoNewPrivs:\t1\n", "8192\n", "nameserver 192.0.2.1\n", "search a.example\n", "docker-init\n"]
    {
        assert!(said.contains(line), "{line:?} in {said}");
    }
    let own =
        stage.dhow(["run", "--rm", "--ulimit", "nofile=55:55", "--shm-size", "4m", "host", "sh", "-c", seen]).ok();
    assert!(own.contains("55\n") && own.contains("4096\n"), "{own}");
    stage.dhow(["create", "--name", "one", "host", "true"]).ok();
    assert_eq!(stage.dhow(["inspect", "-f", "{{.HostConfig.LogConfig.Type}}", "one"]).ok(), "none\n");
}

#[test]
fn hang_up_reads_the_settings_again() {
    let mut stage = Stage::bare();
    let file = stage.folder().join("daemon.json");
    let info = |stage: &Stage, what: &str| stage.docker(["info", "-f", what]).ok();
    std::fs::write(&file, r#"{"labels": ["a=1"], "mtu": 1400}"#).expect("a file");
    stage.restart_with(&["--config-file", &file.display().to_string()]);
    assert_eq!(info(&stage, "{{.Labels}} {{.Debug}} {{.LiveRestoreEnabled}}"), "[a=1] false true\n");
    let text = r#"{"labels": ["a=2", "b=3"], "debug": true, "registry-mirrors": ["https://m.example"],
        "insecure-registries": ["r.example:5000"], "live-restore": false, "shutdown-timeout": 4, "mtu": 1300}"#;
    std::fs::write(&file, text).expect("a file");
    stage.signal_engine(Signal::HUP);
    within("the labels are the new ones", || info(&stage, "{{.Labels}}") == "[a=2 b=3]\n");
    let shown = "{{.Debug}} {{.LiveRestoreEnabled}} {{.RegistryConfig.Mirrors}} {{(index .RegistryConfig.IndexConfigs \"r.example:5000\").Secure}}";
    assert_eq!(info(&stage, shown), "true false [https://m.example/] false\n");
    let told = stage.dhow(["events", "--since", "1h", "--until", "0s", "--filter", "type=daemon"]).ok();
    for part in ["daemon reload", "labels=[\"a=2\",\"b=3\"]", "live-restore=false", "shutdown-timeout=4", "debug=true"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    std::fs::write(&file, r#"{"labels": ["c=4"], "nope": 1}"#).expect("a file");
    stage.signal_engine(Signal::HUP);
    within("it is refused", || stage.log_text().contains("the configuration stays as it was"));
    assert_eq!(info(&stage, "{{.Labels}}"), "[a=2 b=3]\n");
    stage.signal_engine(Signal::USR1);
    within("the log tells", || stage.log_text().contains("the engine at this moment"));
}

#[test]
fn containers_go_on_unless_live_restore_is_false() {
    let mut stage = Stage::new();
    let state = |stage: &Stage| stage.dhow(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one"]).ok();
    let program = "trap 'exit 7' TERM; while :; do sleep 0.1; done";
    stage.dhow(["run", "-d", "--name", "one", "busybox", "sh", "-c", program]).ok();
    stage.restart_with(&[]);
    assert_eq!(state(&stage), "running 0\n");
    stage.restart_with(&["--live-restore=false"]);
    assert_eq!(state(&stage), "running 0\n");
    stage.restart_with(&[]);
    assert_eq!(state(&stage), "exited 7\n");
}

#[test]
fn the_log_is_json_when_that_is_asked_for() {
    let stage = Stage::bare();
    let socket = stage.folder().join("other.sock");
    let line = format!("exec $ENGINE -H unix://{} --log-format json --debug", socket.display());
    let another = Another::start(&stage, &line, Stdio::null());
    within("it listens", || socket.exists());
    let log = another.stop();
    assert!(log.lines().count() > 1, "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(line["level"].is_string() && line["msg"].is_string() && line["time"].is_string(), "{line}");
    }
}

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
        (
            "{\"log-opts\": {\"max-sise\": \"1m\"}}",
            "",
            "failed to set log opts: unknown log opt 'max-sise' for json-file log driver",
        ),
        ("", "--log-driver nope", "error looking up logging plugin nope"),
        ("", "--default-address-pool base=10.0.0.0/16,size=8", "invalid value for default-address-pools"),
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
fn networks_are_as_the_engine_was_told() {
    let mut stage = Stage::new();
    let file = stage.folder().join("daemon.json");
    let text = r#"{"icc": false, "default-address-pools": [{"base": "10.77.0.0/16", "size": 28}, {"base": "fd00:77::/32", "size": 64}],
        "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1350"}}, "bridge": "dhowtold", "ip": "127.0.0.1"}"#;
    std::fs::write(&file, text).expect("a file");
    stage.restart_with(&["--config-file", &file.display().to_string()]);
    let shown = |network: &str, what: &str| stage.dhow(["network", "inspect", "-f", what, network]).ok();
    stage.dhow(["network", "create", "--ipv6", "one"]).ok();
    stage.dhow(["network", "create", "--opt", "com.docker.network.driver.mtu=1300", "two"]).ok();
    let narrow = stage.dhow(["network", "create", "--ipv6", "--opt", "com.docker.network.driver.mtu=1200", "narrow"]);
    assert!(narrow.err.contains("IPv6 needs 1280"), "{narrow:?}");
    let (subnets, mtu) =
        ("{{range .IPAM.Config}}{{.Subnet}} {{end}}", "{{index .Options \"com.docker.network.driver.mtu\"}}");
    assert_eq!(shown("bridge", subnets), "10.77.0.0/28 \n");
    assert_eq!(shown("one", subnets), "10.77.0.16/28 fd00:77::/64 \n");
    assert_eq!((shown("one", mtu), shown("two", mtu)), ("1350\n".into(), "1300\n".into()));
    assert_eq!(
        stage.dhow(["run", "--rm", "--network", "one", "busybox", "cat", "/sys/class/net/eth0/mtu"]).ok(),
        "1350\n"
    );
    assert_eq!(
        stage.docker(["info", "-f", "{{json .DefaultAddressPools}}"]).ok(),
        "[{\"Base\":\"10.77.0.0/16\",\"Size\":28},{\"Base\":\"fd00:77::/32\",\"Size\":64}]\n"
    );
    // Neighbours on the bridge do not hear each other, on a network of their own they do.
    assert_eq!(shown("bridge", "{{index .Options \"com.docker.network.bridge.enable_icc\"}}"), "false\n");
    for network in ["bridge", "two"] {
        stage.dhow(["run", "-d", "--name", network, "--network", network, "busybox", "sleep", "1000"]).ok();
        let what = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        let address = stage.dhow(["inspect", "-f", &what, network]).ok();
        let ask = format!("ping -c 1 -W 1 {address}");
        let answer = stage.dhow(["run", "--rm", "--network", network, "busybox", "sh", "-c", &ask]);
        assert_eq!(answer.code == 0, network == "two", "{network}: {answer:?}");
    }
    stage.dhow(["run", "-d", "--name", "all", "-P", "--expose", "80", "busybox", "sleep", "1000"]).ok();
    let ports = stage.dhow(["port", "all"]).ok();
    assert!(ports.starts_with("80/tcp -> 127.0.0.1:") && ports.lines().count() == 1, "{ports}");
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

//! What Prometheus reads, and the live view that is made of it.

use it::{Stage, within};

fn metrics(stage: &Stage) -> String {
    let (status, text) = stage.ask("GET", "/metrics");
    assert_eq!(status, 200);
    text
}

/// The number of the line that begins with `name` and has all of `labels`.
fn number(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let is_it =
        |line: &&str| line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label));
    text.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn the_engine_and_its_containers_are_counted() {
    let stage = Stage::new();
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "busy",
            "-m",
            "64m",
            "--pids-limit",
            "50",
            "busybox",
            "sh",
            "-c",
            "while :; do :; done",
        ])
        .ok();
    stage.dhow(["create", "--name", "idle", "busybox", "true"]).ok();
    let busy = "name=\"busy\"";
    within("it has used a processor", || {
        number(&metrics(&stage), "dhow_container_cpu_seconds_total", &[busy]).is_some_and(|seconds| seconds > 0.05)
    });
    let text = metrics(&stage);
    let is = |name: &str, labels: &[&str]| {
        number(&text, name, labels).unwrap_or_else(|| panic!("{name} {labels:?} in {text}"))
    };
    assert_eq!(is("engine_daemon_container_states_containers", &["state=\"running\""]), 1.0);
    assert_eq!(is("engine_daemon_container_states_containers", &["state=\"stopped\""]), 1.0);
    assert_eq!(is("engine_daemon_container_actions_seconds_count", &["action=\"start\""]), 1.0);
    assert_eq!(is("engine_daemon_container_actions_seconds_count", &["action=\"create\""]), 2.0);
    assert_eq!(is("dhow_container_memory_limit_bytes", &[busy]), 67_108_864.0);
    assert!(is("dhow_container_memory_bytes", &[busy]) > 0.0);
    assert!(is("dhow_container_pids", &[busy]) >= 1.0);
    assert_eq!(is("dhow_container_pids_limit", &[busy]), 50.0);
    assert_eq!(is("dhow_container_restarts_total", &[busy]), 0.0);
    assert_eq!(is("dhow_container_info", &["name=\"idle\"", "state=\"created\""]), 1.0);
    assert!(is("dhow_container_network_receive_bytes_total", &[busy, "interface=\"eth0\""]) >= 0.0);
    assert!(is("process_open_fds", &[]) > 5.0);
    // One head for each name, before its lines.
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let names: std::collections::BTreeSet<&str> = heads.iter().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(heads.len(), names.len());
}

#[test]
fn metrics_have_an_address_of_their_own_where_nothing_else_is() {
    let mut stage = Stage::bare();
    stage.restart_with(&["--metrics-addr", "127.0.0.1:9323"]);
    let ask = |path: &str| {
        stage.shell_inside(&format!("curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:9323{path}")).ok()
    };
    assert_eq!(ask("/metrics"), "200");
    for path in ["/containers/json", "/info", "/"] {
        assert_eq!(ask(path), "404", "{path}");
    }
}

#[test]
fn the_live_view_shows_every_container_that_runs() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "first", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["create", "--name", "second", "busybox", "true"]).ok();
    let table = stage.dhow(["monitor", "--once"]).ok();
    assert!(table.starts_with("NAME "), "{table}");
    assert!(table.contains("first") && !table.contains("second"), "{table}");
    assert!(stage.dhow(["top"]).ok().contains("first"));
    assert!(stage.dhow(["monitor", "--once", "--all", "--sort", "name"]).ok().contains("second"));
    assert!(stage.dhow(["top", "first"]).ok().contains("sleep 1000"));
    assert_ne!(stage.dhow(["monitor", "--sort", "beauty"]).code, 0);
}

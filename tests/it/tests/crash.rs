//! The engine is a cache: killed at any time, it loses nothing.

use it::{Stage, within};
use std::process::Stdio;

#[test]
fn a_container_its_log_and_its_exit_code_survive_the_engine() {
    let mut stage = Stage::new();
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo after; exit 5",
        ])
        .ok();
    stage.dhow(["run", "-d", "--name", "stays", "-p", "18080:80", "busybox", "sleep", "1000"]).ok();
    let pid = stage.dhow(["inspect", "-f", "{{.State.Pid}}", "box"]).ok();
    stage.kill_engine();
    std::fs::write(format!("/proc/{}/root/tmp/go", pid.trim()), "").unwrap();
    within("the process has ended", || {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).map_or(true, |stat| stat.contains(") Z "))
    });
    stage.start_engine();
    within("the end is known", || stage.dhow(["inspect", "-f", "{{.State.Status}}", "box"]).out == "exited\n");
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.ExitCode}}", "box"]).ok(), "5\n");
    assert_eq!(stage.dhow(["logs", "box"]).ok(), "before\nafter\n");
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}}", "stays"]).ok(), "running\n");
    assert_eq!(stage.dhow(["exec", "stays", "echo", "here"]).ok(), "here\n");
    assert_eq!(stage.dhow(["port", "stays"]).ok(), "80/tcp -> 0.0.0.0:18080\n80/tcp -> [::]:18080\n");
}

#[test]
fn two_crashes_during_two_hundred_parallel_runs_lose_nothing() {
    const RUNS: usize = 200;
    let mut stage = Stage::new();
    let mut created = Vec::new();
    for index in 0..RUNS {
        let line = format!("echo begin {index}; sleep 0.{}; echo end {index}; exit {}", index % 9, index % 100);
        stage.dhow(["create", "--name", &format!("r{index}"), "busybox", "sh", "-c", &line]).ok();
        created.push(index);
    }
    for part in created.chunks(RUNS / 2) {
        let starts: Vec<_> = part
            .chunks(8)
            .map(|names| {
                let mut words = vec!["start".to_owned()];
                words.extend(names.iter().map(|index| format!("r{index}")));
                stage.dhow_command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        within("some run", || {
            stage.dhow(["ps", "-q"]).out.lines().count() > 5
                || stage.dhow(["ps", "-aq", "-f", "status=exited"]).out.lines().count() > 5
        });
        stage.kill_engine();
        for mut start in starts {
            start.wait().unwrap();
        }
        stage.start_engine();
        start_the_rest(&stage, part);
    }
    for index in created {
        let name = format!("r{index}");
        within("it has ended", || stage.dhow(["inspect", "-f", "{{.State.Status}}", &name]).out == "exited\n");
        let said = stage.dhow(["inspect", "-f", "{{.State.ExitCode}}", &name]).ok();
        assert_eq!(said, format!("{}\n", index % 100), "{name}");
        assert_eq!(stage.dhow(["logs", &name]).ok(), format!("begin {index}\nend {index}\n"), "{name}");
    }
}

/// Those whose start was lost with the engine are still only created.
fn start_the_rest(stage: &Stage, part: &[usize]) {
    for index in part {
        let name = format!("r{index}");
        if stage.dhow(["inspect", "-f", "{{.State.Status}}", &name]).ok() == "created\n" {
            stage.dhow(["start", &name]).ok();
        }
    }
}

#[test]
fn engines_on_other_roots_do_not_meet() {
    let one = Stage::new();
    let two = Stage::new();
    one.dhow(["run", "-d", "--name", "same", "busybox", "sleep", "1000"]).ok();
    two.dhow(["run", "-d", "--name", "same", "busybox", "sleep", "1000"]).ok();
    one.dhow(["rm", "-f", "same"]).ok();
    assert_eq!(two.dhow(["ps", "--format", "{{.Names}}"]).ok(), "same\n");
}

#[test]
fn a_second_engine_on_the_same_roots_is_refused() {
    let stage = Stage::bare();
    let line = format!(
        "{} engine -H unix://{}/other.sock --data-root {} --exec-root {}/other-run 2>&1",
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("dhow").display(),
        stage.folder().display(),
        stage.data_root().display(),
        stage.folder().display(),
    );
    let said = stage.shell_inside(&line);
    assert_ne!(said.code, 0);
    assert!(said.out.contains("another engine already runs on"), "{}", said.out);
}

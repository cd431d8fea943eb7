//! Restart policies, through ends, stops, crashes of the engine and the loss of the keeper.

use it::{Events, Stage, within};
use rustix::process::{Pid, Signal, kill_process};

fn seen(stage: &Stage, format: &str, name: &str) -> String {
    stage.dhow(["inspect", "-f", format, name]).out.trim_end().to_owned()
}

fn status(stage: &Stage, name: &str) -> String {
    seen(stage, "{{.State.Status}}", name)
}

#[test]
fn a_failing_container_is_restarted_as_often_as_was_asked_for() {
    let stage = Stage::new();
    let events = Events::listen(&stage);
    stage.docker(["run", "-d", "--name", "box", "--restart", "on-failure:2", "busybox", "sh", "-c", "exit 3"]).ok();
    let all = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}";
    within("it gave up", || seen(&stage, all, "box") == "exited 3 2");
    // Its last event is told before it can be waited for.
    stage.docker(["wait", "box"]).ok();
    let told = events.end();
    let told: Vec<&str> =
        told.iter().map(String::as_str).filter(|action| ["start", "die", "restart"].contains(action)).collect();
    assert_eq!(told, ["start", "die", "start", "die", "start", "die"]);
    stage.dhow(["start", "box"]).ok();
    within("the user's start begins anew", || seen(&stage, all, "box") == "exited 3 2");
    stage.docker(["run", "-d", "--name", "fine", "--restart", "on-failure", "busybox", "true"]).ok();
    within("success is no failure", || seen(&stage, all, "fine") == "exited 0 0");
}

#[test]
fn one_that_waits_for_its_restart_can_be_stopped_killed_and_removed() {
    let stage = Stage::new();
    let run = |name: &str| {
        stage.docker(["run", "-d", "--name", name, "--restart", "always", "busybox", "false"]).ok();
        // A third restart waits almost half a second.
        within("it waits", || seen(&stage, "{{.RestartCount}}", name).parse::<u32>().unwrap_or(0) >= 3);
        within("it waits", || status(&stage, name) == "restarting");
    };
    run("stopped");
    stage.docker(["stop", "stopped"]).ok();
    assert_eq!(status(&stage, "stopped"), "exited");
    run("killed");
    let killed = stage.docker(["kill", "killed"]);
    assert!(killed.code == 0 || killed.err.contains("is not running"), "{}", killed.err);
    run("removed");
    let refused = stage.docker(["exec", "removed", "true"]);
    assert!(
        ["is restarting, wait until the container is running", "is not running", "exited"]
            .iter()
            .any(|words| refused.err.contains(words) || refused.code != 0)
    );
    stage.docker(["rm", "-f", "removed"]).ok();
    let refused = stage.docker(["run", "--rm", "--restart", "always", "busybox", "true"]);
    assert_ne!(refused.code, 0);
    // What was stopped stays stopped.
    stage.docker(["run", "-d", "--name", "clock", "--restart", "on-failure:4", "busybox", "false"]).ok();
    within("time goes by", || seen(&stage, "{{.State.Status}} {{.RestartCount}}", "clock") == "exited 4");
    assert_eq!(status(&stage, "stopped"), "exited");
    assert_eq!(status(&stage, "killed"), "exited");
}

#[test]
fn always_and_unless_stopped_differ_when_the_engine_comes_again() {
    let mut stage = Stage::new();
    for policy in ["always", "unless-stopped", "on-failure"] {
        stage.dhow(["run", "-d", "--name", policy, "--restart", policy, "busybox", "sleep", "1000"]).ok();
        stage.dhow(["stop", "-t", "0", policy]).ok();
    }
    stage.dhow(["create", "--name", "new", "--restart", "always", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["run", "-d", "--name", "runs", "--restart", "unless-stopped", "busybox", "sleep", "1000"]).ok();
    let pid = seen(&stage, "{{.State.Pid}}", "runs");
    stage.kill_engine();
    stage.start_engine();
    within("always means always", || status(&stage, "always") == "running");
    assert_eq!(status(&stage, "unless-stopped"), "exited");
    assert_eq!(status(&stage, "on-failure"), "exited");
    assert_eq!(status(&stage, "new"), "created", "it never ran");
    assert_eq!(seen(&stage, "{{.State.Pid}}", "runs"), pid, "what ran goes on");
}

#[test]
fn an_end_that_no_engine_saw_is_followed_by_the_policy() {
    let mut stage = Stage::new();
    let words = ["run", "-d", "--name", "box", "--restart", "always", "busybox", "sleep", "1000"];
    stage.dhow(words).ok();
    let pid = seen(&stage, "{{.State.Pid}}", "box");
    stage.kill_engine();
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    stage.start_engine();
    within("it runs again", || status(&stage, "box") == "running" && seen(&stage, "{{.State.Pid}}", "box") != pid);
    assert_eq!(seen(&stage, "{{.RestartCount}}", "box"), "1");
}

/// The one process of this stage that is called `dhow keeper`.
fn keeper(stage: &Stage) -> Pid {
    let folder = stage.folder().display().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_keeper = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let parent = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        line.contains(" keeper ") && line.contains(&folder) && !parent.contains(") Z ")
    };
    // Its children, on their way to be containers, have its command line: they are younger.
    let oldest = pids.filter(is_keeper).min_by_key(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)?.parse::<u64>().ok()).unwrap_or(u64::MAX)
    });
    Pid::from_raw(oldest.unwrap()).unwrap()
}

#[test]
fn a_killed_keeper_takes_its_containers_along_and_the_engine_begins_anew() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "plain", "busybox", "sh", "-c", "echo said; exec sleep 1000"]).ok();
    stage.dhow(["run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["run", "-d", "--name", "first", "--restart", "always", "busybox", "sleep", "1000"]).ok();
    let joins = ["run", "-d", "--name", "joins", "--restart", "unless-stopped", "--network", "container:first"];
    stage.dhow(joins.into_iter().chain(["busybox", "sleep", "1000"])).ok();
    within("it said something", || stage.dhow(["logs", "plain"]).out == "said\n");
    let pid = seen(&stage, "{{.State.Pid}}", "plain");
    let engine = std::fs::read_to_string(stage.folder().join("engine.pid")).unwrap();
    let mut waits = stage.docker_command(["wait", "plain"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    within("it is waited for", || stage.dhow(["ps", "-q"]).code == 0);
    kill_process(keeper(&stage), Signal::KILL).unwrap();
    within("its end is known", || status(&stage, "plain") == "exited");
    let why = seen(&stage, "{{.State.ExitCode}} {{.State.Error}}", "plain");
    assert!(why.starts_with("255 the keeper"), "{why}");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "nothing of it runs on: {stat}");
    assert_eq!(stage.dhow(["logs", "plain"]).ok(), "said\n");
    waits.wait().unwrap();
    within("policies apply", || status(&stage, "first") == "running" && status(&stage, "joins") == "running");
    assert_ne!(stage.dhow(["inspect", "gone"]).code, 0, "--rm removes it");
    assert_eq!(stage.dhow(["run", "--rm", "busybox", "echo", "new"]).ok(), "new\n");
    assert_eq!(std::fs::read_to_string(stage.folder().join("engine.pid")).unwrap(), engine, "the same process");
    stage.dhow(["start", "plain"]).ok();
    assert_eq!(seen(&stage, "{{.State.Status}} {{.State.Error}}", "plain"), "running");
}

#[test]
fn without_engine_and_keeper_the_next_engine_says_what_was_lost() {
    let mut stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "plain", "busybox", "sleep", "1000"]).ok();
    let words = ["run", "-d", "--name", "again", "--restart", "on-failure", "busybox", "sleep", "1000"];
    stage.dhow(words).ok();
    let keeper = keeper(&stage);
    stage.kill_engine();
    kill_process(keeper, Signal::KILL).unwrap();
    stage.start_engine();
    let why = seen(&stage, "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "plain");
    assert!(why.starts_with("exited 255 the keeper"), "{why}");
    within("the policy applies", || status(&stage, "again") == "running");
}

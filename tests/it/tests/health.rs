//! Health checks: what probes make of a container, and that nothing of a probe is left.

use it::{Events, Stage, within};

const STATUS: &str = "{{.State.Health.Status}}";
const STREAK: &str = "{{.State.Health.FailingStreak}}";
const LAST: &str = "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}};{{end}}";

fn seen(stage: &Stage, format: &str, name: &str) -> String {
    stage.dhow(["inspect", "-f", format, name]).out.trim_end().to_owned()
}

fn becomes(stage: &Stage, name: &str, status: &str) {
    within(&format!("{name} is {status}"), || seen(stage, STATUS, name) == status);
}

#[test]
fn a_container_is_starting_then_healthy_then_unhealthy_then_healthy_again() {
    let stage = Stage::new();
    let events = Events::listen(&stage);
    let check = ["--health-cmd", "echo said; test -e /tmp/well", "--health-interval", "50ms", "--health-retries", "2"];
    let words = ["run", "-d", "--name", "box", "--health-start-period", "1h", "--health-start-interval", "50ms"];
    stage.docker(words.into_iter().chain(check).chain(["busybox", "sleep", "1000"])).ok();
    within("a probe has failed", || seen(&stage, LAST, "box").starts_with("1 said\n;"));
    assert_eq!(seen(&stage, STATUS, "box"), "starting");
    assert_eq!(seen(&stage, STREAK, "box"), "0", "the start period does not count");
    assert!(stage.docker(["ps", "--format", "{{.Status}}"]).ok().contains("(health: starting)"));
    stage.dhow(["exec", "box", "touch", "/tmp/well"]).ok();
    becomes(&stage, "box", "healthy");
    assert!(stage.docker(["ps", "--format", "{{.Status}}"]).ok().contains("(healthy)"));
    stage.dhow(["exec", "box", "rm", "/tmp/well"]).ok();
    becomes(&stage, "box", "unhealthy");
    assert_eq!(stage.docker(["ps", "-q", "--filter", "health=unhealthy"]).ok().lines().count(), 1);
    assert_eq!(stage.docker(["ps", "-q", "--filter", "health=healthy"]).ok(), "");
    stage.dhow(["exec", "box", "touch", "/tmp/well"]).ok();
    becomes(&stage, "box", "healthy");
    within("five answers are kept", || seen(&stage, "{{len .State.Health.Log}}", "box") == "5");
    let told = events.end();
    let changes: Vec<&String> = told.iter().filter(|action| action.starts_with("health_status")).collect();
    assert_eq!(changes, ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"]);
    let probe: Vec<&String> = told.iter().skip_while(|action| !action.starts_with("exec_create")).take(3).collect();
    let line = "/bin/sh -c echo said; test -e /tmp/well";
    assert_eq!(probe, [&format!("exec_create: {line}"), &format!("exec_start: {line}"), "exec_die"]);
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    assert_eq!(seen(&stage, STATUS, "box"), "unhealthy", "as dockerd shows one that does not run");
}

#[test]
fn a_probe_that_takes_too_long_is_killed_with_all_its_processes() {
    let stage = Stage::new();
    let line = "echo begun; (sleep 4321 & wait) & sleep 4321";
    let check =
        ["--health-cmd", line, "--health-interval", "50ms", "--health-timeout", "200ms", "--health-retries", "1"];
    stage.dhow(["run", "-d", "--name", "box"].into_iter().chain(check).chain(["busybox", "sleep", "1000"])).ok();
    becomes(&stage, "box", "unhealthy");
    // A busy machine may not have begun it by then.
    let one = "-1 Health check exceeded timeout (200ms): begun\n;";
    within("a probe has begun and was killed", || seen(&stage, LAST, "box").contains(one));
    within("three probes were killed", || {
        seen(&stage, "{{len .State.Health.Log}}", "box").parse::<u32>().unwrap_or(0) > 2
    });
    stage.dhow(["pause", "box"]).ok();
    stage.dhow(["unpause", "box"]).ok();
    within("no probe is left, but for one that runs", || {
        stage.dhow(["top", "box", "-eo", "pid,args"]).out.lines().filter(|line| line.ends_with("  sleep 4321")).count()
            <= 2
    });
}

#[test]
fn output_is_cut_and_a_program_that_is_not_there_is_told() {
    let stage = Stage::new();
    let every = ["--health-interval", "50ms", "--health-retries", "1"];
    let long = ["--health-cmd", "yes | head -c 5000"];
    stage
        .dhow(["run", "-d", "--name", "long"].into_iter().chain(every).chain(long).chain(["busybox", "sleep", "1000"]))
        .ok();
    becomes(&stage, "long", "healthy");
    let said = seen(&stage, "{{(index .State.Health.Log 0).Output}}", "long");
    assert_eq!((said.len(), said.ends_with("...")), (4099, true));
    let image = "HEALTHCHECK --interval=50ms --retries=1 CMD [\"nosuch\"]";
    stage.dhow(["commit", "-c", image, "long", "checked"]).ok();
    stage.dhow(["run", "-d", "--name", "none", "--no-healthcheck", "checked"]).ok();
    assert!(!stage.dhow(["inspect", "none"]).ok().contains("FailingStreak"));
    stage.dhow(["run", "-d", "--name", "wrong", "checked"]).ok();
    becomes(&stage, "wrong", "unhealthy");
    let said = seen(&stage, "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}", "wrong");
    let words = "exec: \"nosuch\": executable file not found in $PATH: unknown";
    assert!(said.starts_with("-1 OCI runtime exec failed: ") && said.ends_with(words), "{said}");
}

#[test]
fn a_killed_engine_goes_on_with_the_streak_and_ends_the_probe_that_ran() {
    let mut stage = Stage::new();
    let line = "test -e /tmp/hang && sleep 4321; exit 1";
    let check = ["--health-cmd", line, "--health-interval", "100ms", "--health-retries", "1000000"];
    stage.dhow(["run", "-d", "--name", "box"].into_iter().chain(check).chain(["busybox", "sleep", "1000"])).ok();
    let streak = |stage: &Stage| seen(stage, STREAK, "box").parse::<u32>().unwrap_or(0);
    within("it failed twice", || streak(&stage) >= 2);
    stage.dhow(["exec", "box", "touch", "/tmp/hang"]).ok();
    let hangs = |stage: &Stage| {
        stage.dhow(["top", "box", "-eo", "pid,args"]).out.lines().any(|line| line.ends_with("  sleep 4321"))
    };
    within("a probe hangs", || hangs(&stage));
    let before = streak(&stage);
    let pid = seen(&stage, "{{.State.Pid}}", "box");
    stage.kill_engine();
    std::fs::remove_file(format!("/proc/{pid}/root/tmp/hang")).unwrap();
    stage.start_engine();
    assert!(streak(&stage) >= before, "the streak is kept");
    within("the probe of the killed engine is ended", || !hangs(&stage));
    within("probes go on", || streak(&stage) > before + 1);
}

#[test]
fn a_paused_container_is_not_probed() {
    let stage = Stage::new();
    let check = ["--health-cmd", "true", "--health-interval", "50ms"];
    stage.dhow(["run", "-d", "--name", "box"].into_iter().chain(check).chain(["busybox", "sleep", "1000"])).ok();
    becomes(&stage, "box", "healthy");
    stage.dhow(["pause", "box"]).ok();
    let last = |stage: &Stage| seen(stage, "{{(index .State.Health.Log 0).Start}}", "box");
    let before = last(&stage);
    // The health of another one shows that time goes by.
    stage.dhow(["run", "-d", "--name", "clock"].into_iter().chain(check).chain(["busybox", "sleep", "1000"])).ok();
    within("others are probed", || seen(&stage, "{{len .State.Health.Log}}", "clock") == "5");
    assert_eq!(last(&stage), before);
    assert_eq!(seen(&stage, "{{.State.Health.Status}}", "box"), "unhealthy", "as in dockerd");
    stage.dhow(["unpause", "box"]).ok();
    within("it is probed again", || last(&stage) != before);
    becomes(&stage, "box", "healthy");
}

#[test]
fn an_unhealthy_container_is_killed_restarted_or_stopped_if_it_was_asked_for() {
    let stage = Stage::new();
    let check = ["--health-cmd", "test ! -e /tmp/sick", "--health-interval", "50ms", "--health-retries", "1"];
    let run = |name: &str, more: &[&str]| {
        let words = ["run", "-d", "--name", name, "--stop-signal", "KILL"].into_iter().chain(check);
        stage.dhow(words.chain(more.iter().copied()).chain(["busybox", "sleep", "1000"])).ok();
        stage.dhow(["exec", name, "touch", "/tmp/sick"]).ok();
    };
    run("killed", &["--health-on-failure", "kill"]);
    within("it was killed", || seen(&stage, "{{.State.Status}} {{.State.ExitCode}}", "killed") == "exited 137");
    run("stopped", &["--health-on-failure=stop", "--restart", "always"]);
    within("it was stopped", || seen(&stage, "{{.State.Status}}", "stopped") == "exited");
    stage
        .dhow(
            ["run", "-d", "--name", "again", "--stop-signal", "KILL", "--tmpfs", "/tmp"]
                .into_iter()
                .chain(check)
                .chain(["--label", "dhow.health.on-failure=restart", "busybox", "sleep", "1000"]),
        )
        .ok();
    let first = seen(&stage, "{{.State.Pid}}", "again");
    stage.dhow(["exec", "again", "touch", "/tmp/sick"]).ok();
    within("it was restarted", || !["0", first.as_str()].contains(&seen(&stage, "{{.State.Pid}}", "again").as_str()));
    becomes(&stage, "again", "healthy");
    assert_ne!(stage.dhow(["run", "--health-on-failure", "explode", "busybox"]).code, 0);
}

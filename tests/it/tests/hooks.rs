//! Hooks of devices' specifications: when they are called, with what, and what is left when they fail.

use it::{Stage, within};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Writes its folder, environment, id map and state into a file named by its argument.
const TELL: &str =
    "#!/bin/sh\nexec >FOLDER/$1.new 2>&1\npwd; id -u; /usr/bin/env | sort; cat; echo\nmv FOLDER/$1.new FOLDER/$1\n";
/// Finds the root as vendors' programs do, and writes into it.
const FURNISH: &str = "#!/bin/sh\nbundle=$(sed -n 's/.*\"bundle\":\"\\([^\"]*\\)\".*/\\1/p')\n\
    grep -q '\"path\":\"rootfs\"' $bundle/config.json || exit 4\n\
    { pwd; id -u; env | grep -v ^SHLVL; } >$bundle/rootfs/etc/furnished\n";

const SPECIFICATION: &str = r#"{"cdiVersion": "0.6.0", "kind": "acme.com/card", "devices": [
  {"name": "all", "containerEdits": {"env": ["LD_PRELOAD=/evil.so"], "hooks": [
    {"hookName": "createRuntime", "path": "FOLDER/tell", "args": ["tell", "create"], "env": ["PATH=/bin", "A=b"]},
    {"hookName": "createContainer", "path": "FOLDER/furnish", "args": ["furnish"], "env": ["PATH=/usr/bin:/bin"]},
    {"hookName": "startContainer", "path": "/bin/sh", "args": ["sh", "-c", "echo started >/tmp/started"]},
    {"hookName": "poststart", "path": "FOLDER/tell", "args": ["tell", "start"], "env": ["PATH=/bin"]},
    {"hookName": "poststop", "path": "FOLDER/tell", "args": ["tell", "stop"], "env": ["PATH=/bin"]}]}},
  {"name": "runtime", "containerEdits": {"hooks": [{"hookName": "createRuntime", "path": "/bin/false"}]}},
  {"name": "container", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/bin/false"}]}},
  {"name": "late", "containerEdits": {"hooks": [
    {"hookName": "createRuntime", "path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}},
  {"name": "waits", "containerEdits": {"hooks": [
    {"hookName": "createRuntime", "path": "/bin/sh", "args": ["sh", "-c", "echo $$ >FOLDER/waits; exec sleep 1000"]}]}}]}"#;

/// An engine whose machine has these devices.
fn stage() -> Stage {
    let mut stage = Stage::new();
    let folder = stage.folder().to_owned();
    // Containers' roots pass to the bundles below.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).expect("a mode");
    let text = |text: &str| text.replace("FOLDER", &folder.display().to_string());
    for (name, script) in [("tell", TELL), ("furnish", FURNISH)] {
        fs::write(folder.join(name), text(script)).expect("a program");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    fs::create_dir(folder.join("cdi")).expect("a folder");
    fs::write(folder.join("cdi/acme.json"), text(SPECIFICATION)).expect("a specification");
    stage.restart_with(&["--cdi-spec-dir", &folder.join("cdi").display().to_string()]);
    stage
}

fn bundles(stage: &Stage) -> Vec<PathBuf> {
    let folder = fs::read_dir(stage.folder().join("run/bundles"));
    folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn told(stage: &Stage, name: &str) -> String {
    fs::read_to_string(stage.folder().join(name)).unwrap_or_default()
}

#[test]
fn hooks_are_called_at_their_points_with_nothing_of_the_image() {
    let stage = stage();
    let script = "cat /etc/furnished /tmp/started; grep -c rootfs /proc/mounts; ls /proc/self/fd | wc -l";
    for more in [&[][..], &["--privileged"], &["-t"]] {
        let mut words = vec!["run", "--rm", "--annotation", "who=me", "--device", "acme.com/card=all"];
        words.extend(more);
        words.extend(["busybox", "sh", "-c", script]);
        let said = stage.docker(&words);
        let said = (said.code, said.out.replace('\r', ""), said.err);
        assert!(said.1.starts_with("/\n0\nPATH=/usr/bin:/bin\nPWD=/\nstarted\n0\n"), "{said:?}");
        let create = told(&stage, "create");
        assert!(create.starts_with("/\n0\nA=b\nPATH=/bin\nPWD=/\n{"), "{create}");
        assert!(create.contains(r#""status":"creating","pid":"#), "{create}");
        assert!(create.contains(r#""annotations":{"who":"me"}"#), "{create}");
        assert!(told(&stage, "start").contains(r#""status":"running","pid":"#));
        assert!(told(&stage, "stop").contains(r#""status":"stopped","bundle":"#));
        assert!(bundles(&stage).is_empty(), "{:?}", bundles(&stage));
    }
}

#[test]
fn a_hook_that_fails_fails_the_start_and_leaves_nothing() {
    let stage = stage();
    for (device, why) in [
        ("runtime", "error running createRuntime hook #0: exit status 1, stdout: , stderr: : unknown"),
        ("container", "error running createContainer hook #0: exit status 1, stdout: , stderr: : unknown"),
        ("late", "error running createRuntime hook #0: hook ran past specified timeout of 1.0s: unknown"),
    ] {
        let words = ["run", "--name", device, "--device", &format!("acme.com/card={device}"), "busybox", "true"];
        let said = stage.docker(words);
        assert!(said.code == 125 && said.err.contains(why), "{} {}", said.code, said.err);
        let state = stage.dhow(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}", device]).ok();
        assert_eq!(state.trim(), "created 128 0");
        assert!(bundles(&stage).is_empty(), "{:?}", bundles(&stage));
    }
}

#[test]
fn the_last_hooks_are_called_by_an_engine_that_came_later() {
    let mut stage = stage();
    stage.dhow(["run", "-d", "--name", "box", "--device", "acme.com/card=all", "busybox", "sleep", "1000"]).ok();
    assert_eq!(bundles(&stage).len(), 1);
    stage.kill_engine();
    stage.start_engine();
    stage.dhow(["kill", "box"]).ok();
    within("the last hook is called", || told(&stage, "stop").contains(r#""status":"stopped""#));
    within("the bundle is gone", || bundles(&stage).is_empty());
    stage.dhow(["start", "box"]).ok();
    assert_eq!(bundles(&stage).len(), 1);
}

#[test]
fn a_start_that_waits_for_a_hook_ends_with_its_engine() {
    let mut stage = stage();
    stage.dhow(["create", "--name", "box", "--device", "acme.com/card=waits", "busybox", "sleep", "1000"]).ok();
    let mut start = stage.dhow_command(["start", "box"]).spawn().expect("dhow runs");
    within("the hook runs", || !told(&stage, "waits").trim().is_empty());
    stage.kill_engine();
    start.wait().expect("an end");
    stage.start_engine();
    let state = stage.dhow(["inspect", "-f", "{{.State.Running}} {{.State.Pid}}", "box"]).ok();
    assert_eq!(state.trim(), "false 0");
    // It is nobody's any more.
    let hook = told(&stage, "waits").trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    let _ = rustix::process::kill_process(hook.expect("a number"), rustix::process::Signal::KILL);
}

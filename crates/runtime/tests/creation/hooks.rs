//! Hooks: when they run, where, and with what.

use crate::Test;
use crate::bundle::{Bundle, Made, Pipes, failure};
use oci::runtime::{Hook, Spec};
use oci::state::{State, Status};
use runtime::Step;
use runtime::create::Milestone;
use sys::CgroupEntry;

pub const TESTS: &[Test] = &[
    ("a_hook_gets_the_state_and_only_its_own_environment", environment),
    ("a_hook_that_fails_is_told_with_its_number_and_words", fails),
    ("a_hook_that_is_not_there_is_told", missing),
    ("a_hook_is_killed_after_its_timeout", timeout),
    ("hooks_of_the_runtime_run_when_mounts_are_there", runtime_hooks),
    ("hooks_of_create_container_mount_into_its_root", create_container),
    ("hooks_of_start_container_run_inside_with_the_programs_environment", start_container),
    ("a_failed_hook_leaves_no_container", failed_hooks),
];

fn hook(script: &str) -> Hook {
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    Hook { path: "/bin/sh".into(), args, env: Vec::new(), timeout: None }
}

fn run(bundle: &Bundle, hooks: &[Hook]) -> Result<(), String> {
    runtime::run_hooks("createRuntime", hooks, &bundle.state(), None).map_err(|e| e.to_string())
}

fn environment(bundle: &Bundle) {
    let file = bundle.home.path().join("told");
    let mut hook = hook(&format!("{{ cat; echo; /usr/bin/env; }} > {}; test $0 = sh", file.display()));
    hook.env = vec!["A=b=c".into(), "EMPTY=".into()];
    run(bundle, &[hook]).unwrap();
    let told = std::fs::read_to_string(&file).unwrap();
    let (state, environment) = told.split_once('\n').unwrap();
    assert_eq!(serde_json::from_str::<State>(state).unwrap(), bundle.state());
    let mut lines: Vec<_> = environment
        .lines()
        .filter(|line| !["PWD", "SHLVL", "_", "OLDPWD"].contains(&line.split('=').next().unwrap()))
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=b=c", "EMPTY="]);
}

fn fails(bundle: &Bundle) {
    let hooks = [hook("true"), hook("echo out; echo err >&2; exit 3")];
    let told = run(bundle, &hooks).unwrap_err();
    assert_eq!(told, "error running createRuntime hook #1: exit status 3, stdout: out, stderr: err");
}

fn missing(bundle: &Bundle) {
    let told = run(bundle, &[Hook { path: "/nothing".into(), ..Hook::default() }]).unwrap_err();
    assert_eq!(told, "error running createRuntime hook #0: fork/exec /nothing: no such file or directory");
}

fn timeout(bundle: &Bundle) {
    let told = run(bundle, &[Hook { timeout: Some(1), ..hook("exec sleep 100") }]).unwrap_err();
    assert_eq!(told, "error running createRuntime hook #0: hook ran past specified timeout of 1.0s");
}

/// Runs a container, and what `act` does when it stops for hooks.
fn run_stopping(bundle: &Bundle, spec: &Spec, act: impl FnOnce(i32)) -> crate::world::Ended {
    let (pipes, state) = (Pipes::new(), bundle.state());
    let begun = bundle
        .creation(spec, &state, pipes.streams())
        .fork(crate::bundle::zygote(spec), &CgroupEntry::Inherit)
        .unwrap();
    let mut begun = begun.furnish().unwrap();
    let (out, err) = pipes.ours();
    assert!(matches!(begun.wait().unwrap(), Milestone::Hooks));
    act(begun.pid());
    begun.proceed().unwrap();
    assert!(matches!(begun.wait().unwrap(), Milestone::Started { .. }));
    Made { begun, out, err, master: None }.end()
}

fn runtime_hooks(bundle: &Bundle) {
    let mut spec = Bundle::spec(&["cat", "/tmp/placed"]);
    spec.hooks.get_or_insert_default().create_runtime.push(hook("true"));
    let file = bundle.home.path().join("told");
    std::fs::write(&file, "placed\n").unwrap();
    let root = bundle.home.path().join("rootfs");
    std::fs::write(root.join("tmp/placed"), "").unwrap();
    let ended = run_stopping(bundle, &spec, |pid| {
        let script = format!(
            "/usr/bin/nsenter -m -t {pid} /bin/mount --bind {} {}/tmp/placed && test -d /proc/{pid}/root/proc",
            file.display(),
            root.display()
        );
        run(bundle, &[hook(&script)]).unwrap();
    });
    std::fs::remove_file(root.join("tmp/placed")).unwrap();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("placed\n", ""));
}

fn create_container(bundle: &Bundle) {
    let (file, told) = (bundle.home.path().join("file"), bundle.home.path().join("told"));
    std::fs::write(&file, "placed\n").unwrap();
    let root = bundle.home.path().join("rootfs");
    std::fs::write(root.join("tmp/placed"), "").unwrap();
    let mut spec = Bundle::spec(&["sh", "-c", "cat /tmp/placed /made; touch /made 2> /dev/null || echo closed"]);
    let script =
        format!("/bin/cat > {}; /bin/mount --bind {} ./tmp/placed; echo made > made", told.display(), file.display());
    spec.hooks.get_or_insert_default().create_container.push(hook(&script));
    let ended = bundle.run(&spec).unwrap();
    std::fs::remove_file(root.join("tmp/placed")).unwrap();
    std::fs::remove_file(root.join("made")).unwrap();
    // The root becomes read-only after them.
    assert_eq!(ended.out, "placed\nmade\nclosed\n", "{}", ended.err);
    let state: State = serde_json::from_slice(&std::fs::read(&told).unwrap()).unwrap();
    assert_eq!((state.pid, state.status), (1, Status::Creating));
}

fn start_container(bundle: &Bundle) {
    let mut spec = Bundle::spec(&["cat", "/tmp/told"]);
    spec.process.as_mut().unwrap().env.push("ONE=two".into());
    spec.mounts.push(crate::world::mount("/tmp", "tmpfs", &[]));
    let script = "{ echo $ONE; cat | grep -o '\"status\":\"created\"'; ls /proc/self/fd | wc -l; } > /tmp/told";
    spec.hooks.get_or_insert_default().start_container.push(hook(script));
    let ended = bundle.run(&spec).unwrap();
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("two\n\"status\":\"created\"\n4\n", ""));
}

fn failed_hooks(bundle: &Bundle) {
    for point in ["createContainer", "startContainer"] {
        let mut spec = Bundle::spec(&["true"]);
        let hooks = spec.hooks.get_or_insert_default();
        let list = if point == "createContainer" { &mut hooks.create_container } else { &mut hooks.start_container };
        list.extend([hook("true"), hook("exit 1")]);
        let failed = failure(bundle.run(&spec).unwrap_err());
        assert_eq!(failed.step, Step::Hook);
        assert_eq!(failed.to_string(), format!("error running {point} hook #1: exit status 1, stdout: , stderr: "));
    }
}

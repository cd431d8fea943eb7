//! `dhow run`: what people do all day.

use it::{Stage, within};

#[test]
fn a_foreground_run_gives_output_and_exit_code() {
    let stage = Stage::new();
    let said = stage.dhow(["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(stage.dhow(["ps", "-aq"]).ok(), "");
}

#[test]
fn a_killed_process_gives_128_and_the_signal() {
    let stage = Stage::new();
    assert_eq!(
        stage.dhow(["run", "--rm", "busybox", "sh", "-c", "kill -9 $$"]).code,
        0,
        "process 1 ignores its own SIGKILL"
    );
    assert_eq!(stage.dhow(["run", "--rm", "--init", "busybox", "sh", "-c", "kill -9 $$"]).code, 137);
}

#[test]
fn stdin_reaches_the_process_and_its_end_too() {
    let stage = Stage::new();
    let text = "line\n".repeat(20_000);
    let said = stage.dhow_with_stdin(["run", "--rm", "-i", "busybox", "cat"], text.as_bytes());
    assert_eq!(said.ok().len(), text.len());
}

#[test]
fn a_terminal_is_a_terminal() {
    let stage = Stage::new();
    let mut command = std::process::Command::new("script");
    let line = format!("{:?}", stage.dhow_command(["run", "--rm", "-it", "busybox", "tty"])).replace('"', "'");
    command.args(["-qec", &line, "/dev/null"]);
    let output = command.stdin(std::process::Stdio::null()).output().expect("script(1) runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("/dev/pts/0"), "{output:?}");
}

#[test]
fn the_environment_is_the_images_and_the_users() {
    let stage = Stage::new();
    let said = stage.dhow([
        "run",
        "--rm",
        "-e",
        "A=b c",
        "--hostname",
        "box",
        "-w",
        "/made/for/it",
        "busybox",
        "sh",
        "-c",
        "echo $FROM_IMAGE $A $HOSTNAME $HOME $PWD",
    ]);
    assert_eq!(said.ok(), "yes b c box /root /made/for/it\n");
}

#[test]
fn users_are_looked_up_in_the_image() {
    let stage = Stage::new();
    let id = |user: &str| stage.dhow(["run", "--rm", "-u", user, "busybox", "id"]);
    assert_eq!(id("alice").ok(), "uid=1000(alice) gid=1000(alice) groups=50(staff),1000(alice)\n");
    assert_eq!(id("1234:50").ok(), "uid=1234 gid=50(staff) groups=50(staff)\n");
    let missing = id("nobody-here");
    assert_eq!(missing.code, 125);
    assert!(
        missing.err.contains("unable to find user nobody-here: no matching entries in passwd file"),
        "{}",
        missing.err
    );
}

#[test]
fn root_inside_is_nobody_outside() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "100"]).ok();
    let pid = stage.dhow(["inspect", "-f", "{{.State.Pid}}", "box"]).ok();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    let uid =
        status.lines().find_map(|line| line.strip_prefix("Uid:\t")).unwrap().split('\t').next().unwrap().to_owned();
    assert!(uid.parse::<u32>().unwrap() >= 0x7000_0000, "{uid}");
    assert!(status.contains("CapInh:\t0000000000000000"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
}

#[test]
fn bind_mounts_keep_the_owners_they_have_on_disk() {
    let stage = Stage::new();
    let shared = stage.folder().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("mine"), "x").unwrap();
    std::os::unix::fs::chown(shared.join("mine"), Some(1000), Some(1000)).unwrap();
    let volume = format!("{}:/x", shared.display());
    let said = stage.dhow(["run", "--rm", "-v", &volume, "busybox", "sh", "-c", "stat -c %u /x/mine; touch /x/new"]);
    assert_eq!(said.ok(), "1000\n");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(shared.join("new")).unwrap()), 0);
    let readonly = format!("{}:/x:ro", shared.display());
    assert_ne!(stage.dhow(["run", "--rm", "-v", &readonly, "busybox", "touch", "/x/no"]).code, 0);
}

#[test]
fn volumes_keep_data_and_start_with_the_images() {
    let stage = Stage::new();
    let run = |line: &str| stage.dhow(["run", "--rm", "-v", "vol:/data", "busybox", "sh", "-c", line]).ok();
    assert_eq!(run("cat /data/seed; echo more > /data/more"), "from the image\n");
    assert_eq!(run("cat /data/more"), "more\n");
}

#[test]
fn limits_are_the_kernels() {
    let stage = Stage::new();
    let files = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
    let said = stage.dhow(["run", "--rm", "-m", "64m", "--pids-limit", "77", "busybox", "sh", "-c", files]);
    assert_eq!(said.ok(), "67108864\n77\n");
    stage.dhow(["run", "--name", "hog", "-m", "16m", "busybox", "sh", "-c", "tail -c 100000000 /dev/zero"]);
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "hog"]).ok(), "true 137\n");
}

#[test]
fn dev_proc_and_sys_are_as_dockers() {
    let stage = Stage::new();
    let check = "ls /dev | tr '\\n' ' '; echo; cat /proc/1/comm; stat -c %a /dev/shm; mount | grep -c 'proc/sys type proc (ro'; cat /proc/kcore | wc -c; touch /sys/x 2>&1";
    let said = stage.dhow(["run", "--rm", "--shm-size", "32m", "busybox", "sh", "-c", check]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines[0].trim(), "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero");
    assert_eq!(&lines[1..5], ["sh", "1777", "1", "0"]);
    assert!(lines[5].contains("Read-only file system"), "{}", lines[5]);
}

#[test]
fn a_detached_container_lives_until_it_is_stopped() {
    let stage = Stage::new();
    let id = stage
        .dhow([
            "run",
            "-d",
            "--name",
            "web",
            "--label",
            "a=b",
            "busybox",
            "sh",
            "-c",
            "trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.1; done",
        ])
        .ok();
    assert_eq!(id.trim().len(), 64);
    within("the greeting is logged", || stage.dhow(["logs", "web"]).out == "hello\n");
    let row = stage.dhow(["ps", "--format", "{{.Names}} {{.Image}} {{.State}} {{.Labels}}"]).ok();
    assert_eq!(row, "web busybox running a=b,made-by=test\n");
    stage.dhow(["stop", "web"]).ok();
    assert_eq!(stage.dhow(["logs", "web"]).ok(), "hello\nbye\n");
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web"]).ok(), "exited 3\n");
    stage.dhow(["start", "web"]).ok();
    let waiter = stage.dhow_command(["wait", "web"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    within("it greets again", || stage.dhow(["logs", "web"]).out.ends_with("bye\nhello\n"));
    stage.dhow(["stop", "web"]).ok();
    assert_eq!(String::from_utf8_lossy(&waiter.wait_with_output().unwrap().stdout), "3\n");
}

#[test]
fn exec_joins_a_running_container() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "-e", "X=1", "busybox", "sleep", "1000"]).ok();
    let said = stage.dhow(["exec", "-w", "/tmp", "-e", "Y=2", "box", "sh", "-c", "echo $X $Y $PWD; id -u; exit 9"]);
    assert_eq!((said.code, said.out.as_str()), (9, "1 2 /tmp\n0\n"));
    assert_eq!(stage.dhow_with_stdin(["exec", "-i", "box", "cat"], b"through").ok(), "through");
    assert_eq!(stage.dhow(["exec", "box", "nothing-here"]).code, 127);
    assert!(stage.dhow(["top", "box"]).ok().contains("sleep 1000"));
}

#[test]
fn pause_holds_and_unpause_lets_go() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["pause", "box"]).ok();
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "paused\n");
    assert_ne!(stage.dhow(["exec", "box", "true"]).code, 0);
    stage.dhow(["unpause", "box"]).ok();
    stage.dhow(["exec", "box", "true"]).ok();
}

#[test]
fn names_are_unique_and_can_change() {
    let stage = Stage::new();
    stage.dhow(["create", "--name", "one", "busybox"]).ok();
    let taken = stage.dhow(["create", "--name", "one", "busybox"]);
    assert!(taken.err.contains("The container name \"/one\" is already in use by container"), "{}", taken.err);
    stage.dhow(["rename", "one", "two"]).ok();
    stage.dhow(["create", "--name", "one", "busybox"]).ok();
    assert_eq!(stage.dhow(["ps", "-a", "--format", "{{.Names}}"]).ok(), "one\ntwo\n");
}

#[test]
fn a_failing_container_is_started_again_as_told() {
    let stage = Stage::new();
    stage
        .dhow(["run", "-d", "--name", "box", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo run; exit 1"])
        .ok();
    within("all three runs are over", || stage.dhow(["logs", "box"]).out == "run\nrun\nrun\n");
    within("it is given up", || {
        stage.dhow(["inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "box"]).out == "exited 2\n"
    });
}

#[test]
fn the_host_image_is_a_disposable_copy_of_this_machine() {
    let stage = Stage::bare();
    let marker = stage.folder().join("marker");
    let line = format!(
        "test -x /usr/bin/env && test ! -e {0}/data && echo changed > {1} && cat {1}",
        stage.folder().display(),
        marker.display()
    );
    assert_eq!(stage.dhow(["run", "--rm", "host", "sh", "-c", &line]).ok(), "changed\n");
    assert!(!marker.exists());
}

//! Containers that mean harm, and orders that cross each other: nothing reaches the host, nothing is left.

use it::{Stage, within};
use std::path::PathBuf;

const DEEP: usize = 10_000;

/// A file of the host that no container may see.
fn secret(stage: &Stage) -> PathBuf {
    let folder = stage.folder().join("secret");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("key"), "of the host\n").unwrap();
    folder
}

#[test]
fn a_folder_of_a_volume_that_became_a_link_is_not_followed_at_the_next_start() {
    let stage = Stage::new();
    let secret = secret(&stage);
    stage.dhow(["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", "mkdir /v/sub; echo mine >/v/sub/key"]).ok();
    let mount = "type=volume,source=vol,target=/s,volume-subpath=sub";
    stage.dhow(["create", "--name", "box", "--mount", mount, "busybox", "cat", "/s/key"]).ok();
    assert_eq!(stage.dhow(["start", "-a", "box"]).ok(), "mine\n");
    let line = format!("mv /v/sub /v/old; ln -s {} /v/sub", secret.display());
    stage.dhow(["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", &line]).ok();
    let said = stage.dhow(["start", "-a", "box"]);
    assert_ne!(said.code, 0);
    assert!(!said.out.contains("of the host"), "{}", said.out);
    assert!(said.err.contains("of volume vol"), "{}", said.err);
}

#[test]
fn borrowed_folders_of_volumes_are_looked_up_at_each_start() {
    let stage = Stage::new();
    let secret = secret(&stage);
    stage.dhow(["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", "mkdir /v/sub; echo mine >/v/sub/key"]).ok();
    let mount = "type=volume,source=vol,target=/s,volume-subpath=sub";
    stage.dhow(["create", "--name", "lender", "--mount", mount, "busybox", "true"]).ok();
    stage.dhow(["create", "--name", "copy", "--volumes-from", "lender", "busybox", "cat", "/s/key"]).ok();
    assert_eq!(stage.dhow(["start", "-a", "copy"]).ok(), "mine\n");
    let line = format!("mv /v/sub /v/old; ln -s {} /v/sub", secret.display());
    stage.dhow(["run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", &line]).ok();
    let said = stage.dhow(["start", "-a", "copy"]);
    assert_ne!(said.code, 0);
    assert!(!said.out.contains("of the host"), "{}", said.out);
}

#[test]
fn shared_memory_is_shared_by_those_who_offer_it_only() {
    let stage = Stage::new();
    let run = |name: &str, ipc: &str| {
        stage.dhow([
            "run",
            "-d",
            "--name",
            name,
            "--ipc",
            ipc,
            "busybox",
            "sh",
            "-c",
            "echo it >/dev/shm/x; sleep 1000",
        ])
    };
    run("lends", "shareable").ok();
    within("the file is there", || stage.dhow(["exec", "lends", "test", "-s", "/dev/shm/x"]).code == 0);
    assert_eq!(stage.dhow(["run", "--rm", "--ipc", "container:lends", "busybox", "cat", "/dev/shm/x"]).ok(), "it\n");
    let line = "grep -c ' /dev/shm ' /proc/mounts; echo back >/dev/shm/y";
    assert_eq!(stage.dhow(["run", "--rm", "--ipc", "container:lends", "busybox", "sh", "-c", line]).ok(), "1\n");
    assert_eq!(stage.dhow(["exec", "lends", "cat", "/dev/shm/y"]).ok(), "back\n");
    run("keeps", "private").ok();
    let said = stage.dhow(["run", "--rm", "--ipc", "container:keeps", "busybox", "true"]);
    assert_eq!(said.code, 125);
    assert!(
        said.err.contains("non-shareable IPC (hint: use IpcMode:shareable for the donor container)"),
        "{}",
        said.err
    );
}

#[test]
fn shared_memory_that_became_a_link_is_not_followed() {
    let stage = Stage::new();
    let secret = secret(&stage);
    let line =
        format!("umount /dev/shm && rmdir /dev/shm && ln -s {} /dev/shm && echo done; sleep 1000", secret.display());
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "evil",
            "--ipc",
            "shareable",
            "--cap-add",
            "SYS_ADMIN",
            "--security-opt",
            "seccomp=unconfined",
            "busybox",
            "sh",
            "-c",
            &line,
        ])
        .ok();
    within("the link is made", || stage.dhow(["logs", "evil"]).out == "done\n");
    let said = stage.dhow(["run", "--rm", "--ipc", "container:evil", "busybox", "cat", "/dev/shm/key"]);
    assert_eq!((said.code, said.out.as_str()), (125, ""), "{}", said.err);
}

#[test]
fn a_tree_of_ten_thousand_levels_is_removed_with_its_container() {
    let mut stage = Stage::new();
    let line = format!("mkdir /t; cd /t; i=0; while [ $i -lt {DEEP} ]; do mkdir d && cd d; i=$((i+1)); done; echo $i");
    assert_eq!(stage.dhow(["run", "--name", "deep", "busybox", "sh", "-c", &line]).ok(), format!("{DEEP}\n"));
    stage.dhow(["rm", "deep"]).ok();
    let trash = stage.data_root().join("trash");
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 0);
    // What a crash left there goes at the next start.
    assert_eq!(stage.dhow(["run", "--name", "deep", "busybox", "sh", "-c", &line]).ok(), format!("{DEEP}\n"));
    let id = stage.dhow(["inspect", "-f", "{{.Id}}", "deep"]).ok();
    stage.kill_engine();
    let folder = stage.data_root().join("containers").join(id.trim());
    std::fs::rename(&folder, trash.join("left")).unwrap();
    stage.start_engine();
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 0);
}

#[test]
fn a_container_that_is_removed_at_its_end_survives_a_restart() {
    let stage = Stage::new();
    stage.dhow(["run", "-d", "--rm", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let pid = stage.dhow(["inspect", "-f", "{{.State.Pid}}", "box"]).ok();
    stage.dhow(["restart", "-t", "0", "box"]).ok();
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}}", "box"]).ok(), "running\n");
    assert_ne!(stage.dhow(["inspect", "-f", "{{.State.Pid}}", "box"]).ok(), pid);
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    within("it is removed", || stage.dhow(["ps", "-aq"]).out.is_empty());
    assert!(stage.processes().iter().all(|line| !line.contains("sleep 1000")));
}

#[test]
fn nothing_survives_the_first_process_in_a_shared_pid_namespace() {
    let stage = Stage::new();
    let line = "setsid sh -c 'trap \"\" TERM HUP; exec sleep 4711' & sleep 0.2";
    stage.dhow(["run", "-d", "--name", "lends", "busybox", "sleep", "1000"]).ok();
    for (name, pid) in [("host", "host"), ("joins", "container:lends")] {
        let begin = std::time::Instant::now();
        stage.dhow(["run", "--name", name, "--pid", pid, "busybox", "sh", "-c", line]).ok();
        assert!(!running("sleep\x004711\x00"), "{name}");
        stage.dhow(["start", "-a", name]).ok();
        assert!(!running("sleep\x004711\x00"), "{name}");
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{name}");
    }
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}}", "lends"]).ok(), "running\n");
}

/// Whether a process with this command line exists.
fn running(line: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|found| found == line.as_bytes())
}

#[test]
fn an_anonymous_volume_stays_as_long_as_another_container_names_it() {
    let stage = Stage::new();
    stage.dhow(["create", "--name", "owner", "-v", "/data", "busybox", "sh", "-c", "echo kept >/data/x"]).ok();
    stage.dhow(["create", "--name", "borrower", "--volumes-from", "owner", "busybox", "cat", "/data/x"]).ok();
    stage.dhow(["start", "-a", "owner"]).ok();
    stage.dhow(["rm", "-v", "owner"]).ok();
    assert_eq!(stage.dhow(["start", "-a", "borrower"]).ok(), "kept\n");
}

#[test]
fn a_stop_and_a_removal_during_restarts_hold() {
    let stage = Stage::new();
    for name in ["stopped", "removed"] {
        stage.dhow(["run", "-d", "--restart", "always", "--name", name, "busybox", "sh", "-c", "sleep 0.05"]).ok();
    }
    within("it restarts", || stage.dhow(["inspect", "-f", "{{.RestartCount}}", "stopped"]).out.trim() >= "1");
    stage.dhow(["stop", "-t", "0", "stopped"]).ok();
    stage.dhow(["rm", "-f", "removed"]).ok();
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}}", "stopped"]).ok(), "exited\n");
    let begun = stage.dhow(["inspect", "-f", "{{.State.StartedAt}}", "stopped"]).ok();
    stage.dhow(["run", "--rm", "busybox", "sleep", "1"]).ok();
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.StartedAt}}", "stopped"]).ok(), begun);
    assert_eq!(stage.dhow(["ps", "-aq"]).ok().lines().count(), 1);
}

//! Files copied out of and into containers: what is there, who owns it, what is refused, and races that lead nowhere.

use it::{Stage, within};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Both command lines, for each of which all of it holds.
fn cp(stage: &Stage, words: &[&str]) -> (it::Output, it::Output) {
    let words = [&["cp"], words].concat();
    (stage.docker(&words), stage.dhow(&words))
}

fn path(stage: &Stage, name: &str) -> String {
    stage.folder().join(name).display().to_string()
}

#[test]
fn owners_modes_and_links_are_those_of_the_container_wherever_the_files_lie() {
    let stage = Stage::new();
    let tree = stage.folder().join("tree");
    fs::create_dir_all(tree.join("deep")).expect("a folder");
    fs::write(tree.join("deep/file"), "text").expect("a file");
    fs::hard_link(tree.join("deep/file"), tree.join("again")).expect("a link");
    symlink("/etc/passwd", tree.join("link")).expect("a link");
    fs::set_permissions(tree.join("deep/file"), fs::Permissions::from_mode(0o4640)).expect("a mode");
    std::os::unix::fs::chown(tree.join("deep/file"), Some(1000), Some(50)).expect("an owner");
    fs::set_permissions(tree.join("deep/file"), fs::Permissions::from_mode(0o4640)).expect("a mode");
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "box",
            "-v",
            "vol:/vol",
            "--tmpfs",
            "/scratch:mode=755",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    let look =
        "cd $0/tree && stat -c '%a %u %g %h' deep/file again && stat -c '%u %g' . deep && readlink link && cat again";
    let expected = "4640 1000 50 2\n4640 1000 50 2\n0 0\n0 0\n/etc/passwd\ntext";
    for place in ["/data", "/vol", "/scratch"] {
        stage.dhow(["cp", &path(&stage, "tree"), &format!("box:{place}")]).ok();
        assert_eq!(stage.dhow(["exec", "box", "sh", "-c", look, place]).ok(), expected, "{place}");
        let out = stage.folder().join(format!("out{}", place.replace('/', "-")));
        stage.dhow(["cp", &format!("box:{place}/tree"), &out.display().to_string()]).ok();
        let file = fs::metadata(out.join("deep/file")).expect("copied out");
        // Without --archive files become those of who copies.
        assert_eq!((file.uid(), file.nlink(), file.mode() & 0o777), (0, 2, 0o640), "{place}");
    }
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    for place in ["/data", "/vol"] {
        let tar = stage.folder().join("out.tar");
        let written = fs::File::create(&tar).expect("a file");
        let words = ["cp", &format!("box:{place}/tree/deep"), "-"];
        assert!(stage.dhow_command(words).stdout(written).status().expect("runs").success());
        let list = stage.tool("tar", ["--numeric-owner", "-tvf", &tar.display().to_string()]).ok();
        assert!(list.lines().any(|line| line.starts_with("-rwSr----- 1000/50")), "{place}: {list}");
        stage.dhow(["cp", &path(&stage, "tree/deep/file"), &format!("box:{place}/later")]).ok();
    }
    stage.dhow(["start", "box"]).ok();
    let look = "stat -c '%a %u %g' /data/later /vol/later";
    assert_eq!(stage.dhow(["exec", "box", "sh", "-c", look]).ok(), "4640 1000 50\n4640 1000 50\n");
}

#[test]
fn a_container_that_was_never_started_takes_files_also_into_its_volumes() {
    let stage = Stage::new();
    fs::write(stage.folder().join("setting"), "on").expect("a file");
    let words = [
        "create",
        "--name",
        "new",
        "-v",
        "fresh:/not/there/yet",
        "busybox",
        "cat",
        "/not/there/yet/setting",
        "/etc/setting",
    ];
    stage.dhow(words).ok();
    stage.docker(["cp", &path(&stage, "setting"), "new:/not/there/yet/"]).ok();
    stage.docker(["cp", &path(&stage, "setting"), "new:/etc/"]).ok();
    let listed = stage.dhow_with_stdin(["cp", "new:/not/there/yet/setting", "-"], b"").ok();
    assert!(listed.starts_with("setting\0"));
    assert_eq!(stage.dhow(["start", "-a", "new"]).ok(), "onon");
}

#[test]
fn what_a_user_owns_is_asked_in_the_container() {
    let stage = Stage::new();
    fs::write(stage.folder().join("file"), "x").expect("a file");
    stage.dhow(["create", "--name", "hers", "-u", "alice", "busybox", "stat", "-c", "%u %g", "/tmp/file"]).ok();
    stage.docker(["cp", "-a", &path(&stage, "file"), "hers:/tmp"]).ok();
    assert_eq!(stage.dhow(["start", "-a", "hers"]).ok(), "1000 1000\n");
}

#[test]
fn read_only_places_and_the_kernels_own_files_are_refused() {
    let stage = Stage::new();
    fs::write(stage.folder().join("file"), "x").expect("a file");
    let file = path(&stage, "file");
    let volume = "vol:/vol:ro";
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "box",
            "--read-only",
            "-v",
            volume,
            "--tmpfs",
            "/run",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    for _ in ["running", "stopped"] {
        for (to, why) in [
            ("box:/tmp", "container rootfs is marked read-only"),
            ("box:/vol", "mounted volume is marked read-only"),
            ("box:/no/such", "Could not find the file /no in container box"),
        ] {
            let (docker, dhow) = cp(&stage, &[&file, to]);
            assert!(docker.code != 0 && docker.err.contains(why), "{to}: {docker:?}");
            assert!(dhow.code != 0 && dhow.err.contains(why), "{to}: {dhow:?}");
        }
        stage.dhow(["stop", "-t", "0", "box"]).ok();
    }
    stage.dhow(["start", "box"]).ok();
    stage.docker(["cp", &file, "box:/run"]).ok();
    for made_up in ["/proc/self/status", "/proc/uptime", "/sys/kernel"] {
        let (docker, _) = cp(&stage, &[&format!("box:{made_up}"), &path(&stage, "out")]);
        assert!(docker.err.contains("Could not find the file"), "{made_up}: {docker:?}");
    }
    assert_ne!(stage.docker(["cp", "box:/proc/1/root/etc/passwd", "-"]).code, 0);
    assert_ne!(stage.docker(["cp", &file, "box:/proc/sys/kernel/"]).code, 0);
}

/// `cp` of dockerd once followed links that a container put in place meanwhile (CVE-2018-15664, CVE-2026-41568): here a folder
/// and a link to the host's own folder change places in a volume, as fast as a process can.
#[test]
fn a_race_of_links_reads_and_writes_nothing_of_the_host() {
    let stage = Stage::new();
    let host = stage.folder().join("host");
    fs::create_dir_all(&host).expect("a folder");
    fs::write(host.join("secret"), "of the host").expect("a file");
    stage.dhow(["run", "-d", "--name", "box", "-v", "vol:/vol", "busybox", "sleep", "1000"]).ok();
    let volume = stage.data_root().join("volumes/vol/_data");
    fs::create_dir(volume.join("a")).expect("a folder");
    fs::write(volume.join("a/secret"), "of the container").expect("a file");
    symlink(&host, volume.join("b")).expect("a link");
    fs::write(stage.folder().join("evil"), "evil").expect("a file");
    let race = |container: &str| {
        let mut seen = 0;
        for _ in 0..30 {
            let out = stage.folder().join("out");
            if stage.docker(["cp", &format!("{container}:/vol/a/secret"), &out.display().to_string()]).code == 0 {
                assert_eq!(fs::read_to_string(&out).expect("copied"), "of the container");
                seen += 1;
                fs::remove_file(&out).expect("removed");
            }
            let _ = stage.docker(["cp", &path(&stage, "evil"), &format!("{container}:/vol/a/")]);
            let _ = stage.docker(["cp", &path(&stage, "evil"), &format!("{container}:/vol/b/../b/evil2")]);
        }
        assert_eq!(fs::read_dir(&host).expect("a folder").count(), 1, "{container}");
        seen
    };
    let seen = swapping(&volume, || race("box"));
    assert!(seen > 0, "no copy ever came through");
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    swapping(&volume, || race("box"));
    assert_eq!(fs::read_to_string(host.join("secret")).expect("there"), "of the host");
}

/// Has `a` and `b` change places while `work` is done.
fn swapping<T>(folder: &Path, work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    let open = fs::File::open(folder).expect("a folder");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = rustix::fs::renameat_with(&open, "a", &open, "b", rustix::fs::RenameFlags::EXCHANGE);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// dockerd once ran unpigz, xz and libnss of the container itself (CVE-2019-14271, CVE-2026-41567).
#[test]
fn nothing_of_the_container_is_executed() {
    let stage = Stage::new();
    let script = "#!/bin/sh\necho \"$0\" >> /ran\n";
    fs::write(stage.folder().join("evil"), script).expect("a file");
    fs::set_permissions(stage.folder().join("evil"), fs::Permissions::from_mode(0o755)).expect("a mode");
    stage.dhow(["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    stage.dhow(["exec", "box", "mkdir", "-p", "/usr/bin", "/usr/lib", "/lib/x86_64-linux-gnu"]).ok();
    for program in ["xz", "unpigz", "gzip", "pigz", "zstd", "bzip2", "tar"] {
        stage.dhow(["cp", &path(&stage, "evil"), &format!("box:/usr/bin/{program}")]).ok();
    }
    stage.dhow(["cp", &path(&stage, "evil"), "box:/lib/x86_64-linux-gnu/libnss_files.so.2"]).ok();
    fs::write(stage.folder().join("file"), "x").expect("a file");
    for flag in ["-c", "-cz", "--zstd -c", "-cJ", "-cj"] {
        let line = format!("cd {} && tar {flag} file", stage.folder().display());
        let tar = std::process::Command::new("sh").args(["-c", &line]).output().expect("tar(1) runs").stdout;
        for state in ["running", "stopped"] {
            stage.dhow_with_stdin(["cp", "-", "box:/tmp"], &tar).ok();
            let wanted = if state == "running" { "stop" } else { "start" };
            stage.dhow([wanted, "box"]).ok();
        }
    }
    stage.dhow(["start", "box"]).ok();
    assert_eq!(stage.dhow(["exec", "box", "cat", "/tmp/file"]).ok(), "x");
    assert_ne!(stage.dhow(["exec", "box", "ls", "/ran"]).code, 0);
}

/// Of one that does not run the files are looked at in a mount namespace of a thread: nothing of it is left.
#[test]
fn looking_at_a_stopped_container_leaves_nothing_mounted_and_keeps_nobody_from_starting_it() {
    let stage = Stage::new();
    stage
        .dhow([
            "run",
            "--name",
            "box",
            "-v",
            "vol:/vol",
            "busybox",
            "sh",
            "-c",
            "dd if=/dev/zero of=/vol/big bs=1M count=64 2>/dev/null; exec sleep 1000 & ",
        ])
        .ok();
    within("it ends", || stage.dhow(["ps", "-q"]).ok().is_empty());
    let before = mounts(&stage);
    let mut slow = stage.dhow_command(["cp", "box:/vol/big", "-"]);
    let mut slow = slow.stdout(std::process::Stdio::piped()).spawn().expect("dhow runs");
    let mut first = [0; 512];
    std::io::Read::read_exact(slow.stdout.as_mut().expect("a pipe"), &mut first).expect("it has begun");
    stage.dhow(["start", "box"]).ok();
    slow.kill().expect("killed");
    slow.wait().expect("a child");
    stage.dhow(["rm", "-f", "box"]).ok();
    assert_eq!(mounts(&stage), before);
    stage.dhow(["volume", "rm", "vol"]).ok();
}

fn mounts(stage: &Stage) -> String {
    stage.shell_inside("cat /proc/self/mounts").ok()
}

//! Who calls OCI runtimes: containerd, podman and dockerd run containers with ours.

use oci_tests::{binary, within};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A folder with our runtime under its own name, and a client's daemon and roots.
struct Client {
    folder: tempfile::TempDir,
    daemon: Option<Child>,
}

impl Client {
    fn new() -> Client {
        assert!(rustix::process::geteuid().is_root(), "these tests need root");
        let folder = tempfile::Builder::new().prefix("dhow-clients-").tempdir().expect("a temporary folder");
        symlink(binary(), folder.path().join("dhow-runtime")).expect("a link");
        Client { folder, daemon: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn runtime(&self) -> String {
        self.text("dhow-runtime")
    }

    /// Starts a daemon in namespaces of its own, and waits until `line` succeeds. A shell is the first process and reaps what is
    /// left to it; with it, all end.
    fn serve(&mut self, program: &str, words: &[String], line: &str) {
        let log = fs::File::create(self.path("daemon.log")).expect("a log");
        let mut command = Command::new("unshare");
        command.args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        command.args(["sh", "-c", "ip link set lo up; mount -t tmpfs tmpfs /run; \"$@\"; exit $?", "sh", program]);
        command.args(words).stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        self.daemon = Some(command.spawn().expect("unshare(1) runs"));
        within("the daemon answers", || self.inside(line).status.success());
    }

    /// Runs a shell line in the namespaces of the daemon.
    fn inside(&self, line: &str) -> Output {
        let unshare = self.daemon.as_ref().expect("a daemon").id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
        let mut command = Command::new("nsenter");
        command.args(["-t", children.split(' ').next().unwrap_or("0"), "--net", "--mount", "--pid", "--wdns=/"]);
        command.args(["sh", "-c", line]).stdin(Stdio::null());
        command.output().expect("nsenter(1) runs")
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let output = self.inside(line);
        let log = || fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
        let last = || log().lines().rev().take(8).collect::<Vec<_>>().join("\n");
        assert!(output.status.success(), "{line}: {output:?}\n{}", last());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn code(&self, line: &str) -> Option<i32> {
        self.inside(line).status.code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

/// A cgroup parent of a test's own, in every hierarchy; removed in the end.
struct Groups(String);

impl Drop for Groups {
    fn drop(&mut self) {
        // Podman makes folders for hierarchies that are not mounted, too.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        for hierarchy in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
            remove_folders(&hierarchy.join(self.0.trim_start_matches('/')));
        }
    }
}

/// With those below it. A group's files go with it, and cannot be removed; those of a plain folder must be.
fn remove_folders(folder: &Path) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match path.is_dir() {
            true => remove_folders(&path),
            false => drop(fs::remove_file(path)),
        }
    }
    let _ = fs::remove_dir(folder);
}

fn groups(name: &str) -> Groups {
    Groups(format!("/dhow-clients-{name}-{}", std::process::id()))
}

#[test]
fn dockerd_runs_containers_with_ours() {
    let mut client = Client::new();
    let groups = groups("docker");
    let socket = format!("unix://{}", client.text("docker.sock"));
    let mut words = vec![
        "-H".to_owned(),
        socket.clone(),
        "-p".into(),
        client.text("pid"),
        "--data-root".into(),
        client.text("data"),
    ];
    words.extend(["--exec-root".into(), client.text("run"), "--cgroup-parent".into(), groups.0.clone()]);
    words.extend([format!("--add-runtime=dhow={}", client.runtime()), "--default-runtime=dhow".into()]);
    let docker = format!("docker -H {socket}");
    client.serve("dockerd", &words, &format!("{docker} version"));
    client.ok(&format!("{docker} load -q -i {}", oci_tests::busybox_archive().display()));
    assert_eq!(client.ok(&format!("{docker} run --rm busybox echo hello")), "hello\n");
    assert_eq!(client.code(&format!("{docker} run --rm busybox sh -c 'exit 7'")), Some(7));
    assert_eq!(client.code(&format!("{docker} run --rm busybox nothing-of-this-name")), Some(127));
    client.ok(&format!("{docker} run -d --name box -m 64m busybox sleep 1000"));
    assert_eq!(client.ok(&format!("{docker} inspect -f '{{{{.HostConfig.Runtime}}}}' box")), "dhow\n");
    assert_eq!(client.ok(&format!("{docker} exec box sh -c 'echo in; exit 0'")), "in\n");
    assert_eq!(client.code(&format!("{docker} exec box sh -c 'exit 5'")), Some(5));
    assert!(client.ok(&format!("script -qec '{docker} exec -t box tty' /dev/null")).starts_with("/dev/pts/"));
    client.ok(&format!("{docker} pause box"));
    assert_eq!(client.ok(&format!("{docker} inspect -f '{{{{.State.Status}}}}' box")), "paused\n");
    client.ok(&format!("{docker} unpause box"));
    client.ok(&format!("{docker} update -m 128m --memory-swap 256m --pids-limit 50 box"));
    let usage = client.ok(&format!("{docker} stats --no-stream --format '{{{{.MemUsage}}}} {{{{.PIDs}}}}' box"));
    assert!(usage.contains("/ 128MiB") && usage.trim().ends_with(" 1"), "{usage}");
    assert!(client.ok(&format!("{docker} top box")).contains("sleep 1000"));
    client.ok(&format!("{docker} stop -t 1 box"));
    client.ok(&format!("{docker} start box && {docker} restart -t 0 box && {docker} kill box && {docker} rm box"));
    let terminal = client.ok(&format!("script -qec '{docker} run --rm -it busybox tty' /dev/null"));
    assert!(terminal.contains("/dev/pts/0"), "{terminal}");
    client.ok(&format!("{docker} run --rm --privileged busybox mount -t tmpfs tmpfs /tmp"));
    client.ok(&format!(
        "{docker} run --rm --read-only --tmpfs /run --cap-drop ALL --security-opt no-new-privileges busybox true"
    ));
}

#[test]
fn containerd_runs_containers_with_ours() {
    let mut client = Client::new();
    let config = format!(
        "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{}\"\n",
        client.text("root"),
        client.text("state"),
        client.text("containerd.sock")
    );
    fs::write(client.path("config.toml"), config).unwrap();
    let ctr = format!("ctr -a {}", client.text("containerd.sock"));
    client.serve("containerd", &["--config".into(), client.text("config.toml")], &format!("{ctr} version"));
    let root = client.path("bundle");
    it::busybox_root(&root).unwrap();
    let rootfs = root.display();
    let run = format!("{ctr} run --runc-binary {} --env PATH=/bin --rootfs", client.runtime());
    assert_eq!(client.ok(&format!("{run} --rm {rootfs} one echo hello")), "hello\n");
    assert_eq!(client.code(&format!("{run} --rm {rootfs} two sh -c 'exit 7'")), Some(7));
    client.ok(&format!("{run} -d {rootfs} three sleep 1000"));
    assert_eq!(client.ok(&format!("{ctr} task exec --exec-id e1 three echo in")), "in\n");
    assert!(
        client
            .ok(&format!("script -qec '{ctr} task exec -t --exec-id e2 three tty' /dev/null"))
            .starts_with("/dev/pts/")
    );
    client.ok(&format!("{ctr} task pause three"));
    assert!(client.ok(&format!("{ctr} task ls")).contains("PAUSED"));
    client.ok(&format!("{ctr} task resume three"));
    assert!(client.ok(&format!("{ctr} task metrics three")).contains("memory"));
    assert!(client.ok(&format!("{ctr} task ps three")).lines().count() == 2);
    client.ok(&format!("{ctr} task kill -s KILL three"));
    within("it is stopped", || client.ok(&format!("{ctr} task ls")).contains("STOPPED"));
    client.ok(&format!("{ctr} task delete three; {ctr} container delete three"));
}

#[test]
fn podman_runs_containers_with_ours() {
    let mut client = Client::new();
    let groups = groups("podman");
    let conf = client.path("containers.conf");
    // Its default limits are higher than a process without CAP_SYS_RESOURCE may ask for.
    let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=4096:4096\"]\n";
    fs::write(&conf, limits).unwrap();
    // Podman has no daemon: something has to hold the namespaces.
    client.serve("sleep", &["100000".into()], "true");
    let hide = "f=/sys/fs/cgroup/unified/cgroup.controllers; [ ! -e $f ] || mount --bind /dev/null $f";
    client.ok(hide);
    let podman = format!(
        "CONTAINERS_CONF={} podman --root {} --runroot {} --tmpdir {} --cgroup-manager cgroupfs --events-backend file --runtime {}",
        conf.display(),
        client.text("storage"),
        client.text("run"),
        client.text("tmp"),
        client.runtime()
    );
    client.ok(&format!("{podman} load -q -i {}", oci_tests::busybox_archive().display()));
    let run = format!("{podman} run --cgroup-parent {} --network none", groups.0);
    assert_eq!(client.ok(&format!("{run} --rm busybox echo hello")), "hello\n");
    assert_eq!(client.code(&format!("{run} --rm busybox sh -c 'exit 7'")), Some(7));
    assert_eq!(client.code(&format!("{run} --rm busybox nothing-of-this-name")), Some(127));
    client.ok(&format!("{run} -d --name box busybox sleep 1000"));
    assert_eq!(client.ok(&format!("{podman} exec box echo in")), "in\n");
    assert_eq!(client.code(&format!("{podman} exec box sh -c 'exit 5'")), Some(5));
    assert!(client.ok(&format!("script -qec '{podman} exec -t box tty' /dev/null")).starts_with("/dev/pts/"));
    client.ok(&format!("{podman} pause box"));
    assert_eq!(client.ok(&format!("{podman} inspect -f '{{{{.State.Status}}}}' box")), "paused\n");
    client.ok(&format!("{podman} unpause box"));
    client.ok(&format!("{podman} update --memory 64m box"));
    assert!(client.ok(&format!("{podman} stats --no-stream --format '{{{{.PIDs}}}}' box")).trim() == "1");
    client.ok(&format!("{podman} stop -t 1 box"));
    client.ok(&format!("{podman} start box"));
    client.ok(&format!("{podman} rm -f -t 0 box"));
    // Podman comes too late for the output of a program that ends at once, with any runtime.
    let terminal = client.ok(&format!("script -qec '{run} --rm -it busybox sh -c \"tty; sleep 1\"' /dev/null"));
    assert!(terminal.contains("/dev/pts/0"), "{terminal}");
    client.ok(&format!("umount {0}/* 2>/dev/null; umount {0} 2>/dev/null; true", client.text("storage")));
}

#[test]
fn the_runtime_has_a_name_of_its_own() {
    let client = Client::new();
    let output = Command::new(Path::new(&client.runtime())).arg("--version").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("dhow-runtime version ") && text.contains("spec: "), "{text}");
}

//! The whole engine as an ordinary user: no rights, ids of /etc/subuid, a network by pasta.
//!
//! The user exists in a mount namespace of the test only, with files of /etc of its own bound over the machine's, a /dev/net/tun
//! for everybody, and a network namespace whose one link leads nowhere.

use it::{Output, again, binary, busybox_archive, within};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The user's id, and the first of the 65,536 that are granted to him.
const USER: u32 = 4242;
const GRANTED: u32 = 1_900_000;

/// A user with a home, and what holds his machine.
struct User {
    folder: tempfile::TempDir,
    holder: Child,
}

/// What the user's machine is made of; `$1` is the folder.
const MACHINE: &str = r#"set -e
for file in passwd group subuid subgid resolv.conf; do
    [ -e "/etc/$file" ] && mount --bind "$1/etc/$file" "/etc/$file"
done
mount -t tmpfs -o mode=755 none /dev/net
mknod -m 666 /dev/net/tun c 10 200
ip link set lo up
ip link add out0 type veth peer name out1
ip link set out1 up
ip address add 198.51.100.7/32 dev lo
ip address add 192.0.2.5/24 dev out0
ip link set out0 up
ip route add default via 192.0.2.1
echo
exec sleep 100000"#;

impl User {
    /// With the sub ids that this text grants.
    fn with_ids(granted: &str) -> User {
        assert!(rustix::process::getuid().is_root(), "these tests need root");
        let folder = tempfile::Builder::new().prefix("dhow-user-").tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::create_dir(at("etc")).expect("a folder");
        let users = format!("root:x:0:0::/root:/bin/sh\ndhowtest:x:{USER}:{USER}::/:/bin/sh\n");
        fs::write(at("etc/passwd"), users).expect("a file");
        fs::write(at("etc/group"), format!("root:x:0:\ndhowtest:x:{USER}:\n")).expect("a file");
        fs::write(at("etc/subuid"), granted).expect("a file");
        fs::write(at("etc/subgid"), granted).expect("a file");
        // As systemd-resolved has it.
        fs::write(at("etc/resolv.conf"), "nameserver 127.0.0.53\n").expect("a file");
        for name in ["home", "run"] {
            fs::create_dir(at(name)).expect("a folder");
            chown(at(name), Some(USER), Some(USER)).expect("an owner");
        }
        fs::copy(binary(), at("dhow")).expect("a copy that this user can execute");
        fs::copy(busybox_archive(), at("busybox.tar")).expect("a copy that this user can read");
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--mount", "--propagation", "private", "sh", "-c", MACHINE, "sh"]).arg(folder.path());
        let mut holder = holder.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("unshare(1) runs");
        let pipe = holder.stdout.as_mut().expect("a pipe");
        pipe.read_exact(&mut [0]).expect("the machine is made");
        User { folder, holder }
    }

    fn new() -> User {
        let user = User::with_ids(&format!("dhowtest:{GRANTED}:65536\n"));
        user.dhow(&["load", "-q", "-i", &user.path("busybox.tar")]).ok();
        user
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    /// A command of the user.
    fn command(&self, program: &str) -> Command {
        let mut command = self.as_root("setpriv");
        command.args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()]).arg(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.at("home")).env("XDG_RUNTIME_DIR", self.at("run"));
        command
    }

    /// A command of root on the user's machine.
    fn as_root(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "--net", "--mount", "--wdns=/"]).arg(program);
        command
    }

    fn dhow(&self, words: &[&str]) -> Output {
        let mut command = self.command(&self.path("dhow"));
        said(command.args(words))
    }

    /// What answers at a port of the machine.
    fn ask(&self, port: u16) -> String {
        said(self.as_root("busybox").args(["nc", "-w", "2", "127.0.0.1", &port.to_string()])).out
    }

    /// Runs `work` on a thread in the network namespace of a process of the user's machine.
    fn inside<T: Send + 'static>(pid: u32, work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
        let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).expect("a namespace");
        std::thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).expect("root may enter it");
            work()
        })
    }

    /// The docker command line of this user.
    fn docker(&self, words: &[&str]) -> Output {
        let mut command = self.command("/usr/bin/env");
        command.arg(format!("DOCKER_HOST=unix://{}", self.path("run/dhow.sock"))).arg("docker");
        said(command.env("PATH", "/usr/local/bin:/usr/bin:/bin").args(words))
    }

    fn engine(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.at("run/dhow/dhow.pid")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Processes of this user's engine, by command line.
    fn processes(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let line = |pid| fs::read(format!("/proc/{pid}/cmdline")).ok();
        let lines = pids.filter(|pid| *pid != self.holder.id()).filter_map(line);
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(&folder) && !line.starts_with("nsenter")).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("run/dhow/engine.log")).unwrap_or_default()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the engine's log:\n{}", self.log());
        }
        let ids = self.dhow(&["ps", "-aq"]).out;
        let words: Vec<&str> = ["rm", "-f", "-v"].into_iter().chain(ids.split_whitespace()).collect();
        if words.len() > 3 {
            self.dhow(&words);
        }
        if let Some(pid) = self.engine() {
            let _ = kill_process(pid, Signal::TERM);
        }
        if !std::thread::panicking() {
            within("no process is left", || self.processes().is_empty());
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn said(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    Output {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("a file").uid()
}

#[test]
fn containers_run_and_are_entered_and_their_files_are_the_users() {
    let user = User::new();
    let run = user.dhow(&["run", "--rm", "busybox", "sh", "-c", "id -u; echo err >&2; exit 7"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (7, "0\n", "err\n"));
    user.dhow(&["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo hello; exec sleep 1000"]).ok();
    // One exec must not spoil what comes after it.
    for _ in 0..2 {
        assert_eq!(user.dhow(&["exec", "box", "sh", "-c", "exit 9"]).code, 9);
        assert_eq!(user.dhow(&["run", "--rm", "busybox", "echo", "on"]).ok(), "on\n");
    }
    within("the output is logged", || user.dhow(&["logs", "box"]).out == "hello\n");
    assert_eq!(user.dhow(&["run", "--rm", "-u", "alice", "busybox", "id", "-u"]).ok(), "1000\n");
    let volume = ["run", "--rm", "-v", "kept:/v", "busybox", "sh", "-c"];
    user.dhow(&[&volume[..], &["echo x > /v/f; chown 1000 /v/f"]].concat()).ok();
    assert_eq!(user.dhow(&[&volume[..], &["stat -c %u /v/f"]].concat()).ok(), "1000\n");
    let mine = format!("{}:/mine", user.path("home"));
    user.dhow(&["run", "--rm", "-v", &mine, "busybox", "sh", "-c", "touch /mine/a /mine/b; chown 7:7 /mine/b"]).ok();
    assert_eq!((owner(&user.at("home/a")), owner(&user.at("home/b"))), (USER, GRANTED + 6));
    let info = user.dhow(&["info"]).ok();
    assert!(info.contains("  rootless\n") && info.contains("docker context create"), "{info}");
    assert_eq!(
        user.dhow(&["run", "--rm", "--privileged", "busybox", "sh", "-c", "mount -t tmpfs x /tmp && echo m"]).ok(),
        "m\n"
    );
    for network in ["host", "none"] {
        user.dhow(&["run", "--rm", "--net", network, "busybox", "true"]).ok();
    }
}

#[test]
fn containers_meet_on_the_bridge_and_ports_are_published_on_the_host() {
    let user = User::new();
    let serve = "while :; do echo answer | nc -l -p 80; done";
    user.dhow(&["run", "-d", "--name", "web", "-p", "18080:80", "busybox", "sh", "-c", serve]).ok();
    let address = user.dhow(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"]).ok();
    let line = format!("nc -w 2 {} 80 < /dev/null", address.trim());
    within("a neighbour is answered", || user.dhow(&["run", "--rm", "busybox", "sh", "-c", &line]).out == "answer\n");
    within("the host is answered", || user.ask(18080) == "answer\n");
    let taken = user.dhow(&["run", "--rm", "-p", "18080:80", "busybox", "true"]);
    assert!(taken.code == 125 && taken.err.contains("18080"), "{taken:?}");
    let low = user.dhow(&["run", "--rm", "-p", "80:80", "busybox", "true"]);
    assert!(low.err.contains("net.ipv4.ip_unprivileged_port_start=80"), "{low:?}");
    let routes = user.dhow(&["run", "--rm", "--net", "host", "busybox", "ip", "route"]).ok();
    assert!(routes.contains("default via 192.0.2.1"), "pasta's network: {routes}\n{}", user.log());
    user.dhow(&["rm", "-f", "web"]).ok();
    assert_eq!(user.ask(18080), "");
    reaches_outside(&user);
}

/// Out through pasta, to an address that only the machine has.
fn reaches_outside(user: &User) {
    let (ready, listens) = std::sync::mpsc::channel();
    let server = User::inside(user.holder.id(), move || {
        let listener = TcpListener::bind("198.51.100.7:7000").expect("a listener");
        ready.send(()).expect("somebody waits");
        let (mut client, _) = listener.accept().expect("a client");
        client.write_all(b"outside").expect("sent");
    });
    listens.recv().expect("it listens");
    // Its input does not end: pasta of 2023 may lose what comes back on a connection that was half closed.
    let client = "mkfifo /tmp/open; exec 3<>/tmp/open; nc -w 20 198.51.100.7 7000 <&3";
    let asked = user.dhow(&["run", "--rm", "busybox", "sh", "-c", client]);
    // So that a server nobody came to ends as well.
    let _ = said(user.as_root("busybox").args(["nc", "-w", "1", "198.51.100.7", "7000"]));
    assert_eq!(asked.ok(), "outside");
    server.join().expect("it answered");
}

#[test]
fn what_a_layer_removes_stays_removed_when_it_is_saved_and_loaded() {
    let user = User::new();
    let change = "rm /etc/group; rm -r /data; mkdir /data; echo new > /data/own";
    user.dhow(&["run", "--name", "made", "busybox", "sh", "-c", change]).ok();
    user.dhow(&["commit", "made", "changed"]).ok();
    let look = ["run", "--rm", "changed", "sh", "-c", "ls /etc/group; ls /data"];
    assert_eq!(user.dhow(&look).out, "own\n");
    let archive = user.path("home/changed.tar");
    user.dhow(&["save", "-o", &archive, "changed"]).ok();
    user.dhow(&["rm", "made"]).ok();
    user.dhow(&["rmi", "changed"]).ok();
    user.dhow(&["load", "-q", "-i", &archive]).ok();
    assert_eq!(user.dhow(&look).out, "own\n");
}

#[test]
fn a_killed_engine_loses_nothing_and_the_next_one_goes_on() {
    let user = User::new();
    let serve = "echo before; while :; do echo answer | nc -l -p 80; done";
    user.dhow(&["run", "-d", "--name", "web", "-p", "18081:80", "busybox", "sh", "-c", serve]).ok();
    within("the host is answered", || user.ask(18081) == "answer\n");
    let engine = user.engine().expect("an engine");
    kill_process(engine, Signal::KILL).expect("it can be killed");
    within("its host side and pasta end", || {
        !user.processes().iter().any(|line| line.contains("pasta") || line.contains(" engine "))
    });
    // The next command starts the next engine, in the same namespaces.
    assert_eq!(user.dhow(&["inspect", "-f", "{{.State.Status}}", "web"]).ok(), "running\n");
    assert_ne!(user.engine(), Some(engine));
    assert_eq!(user.dhow(&["logs", "web"]).ok(), "before\n");
    assert_eq!(user.dhow(&["exec", "web", "echo", "here"]).ok(), "here\n");
    within("the host is answered again", || user.ask(18081) == "answer\n");
    reaches_outside(&user);
}

#[test]
fn a_killed_host_side_takes_the_engine_and_pasta_along() {
    let user = User::with_ids("");
    user.dhow(&["ps"]).ok();
    let engine = user.engine().expect("an engine").as_raw_pid();
    let status = fs::read_to_string(format!("/proc/{engine}/status")).expect("it runs");
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    let host_side = Pid::from_raw(parent.trim().parse().expect("a pid")).expect("no zero");
    kill_process(host_side, Signal::KILL).expect("it can be killed");
    within("engine and pasta end", || {
        !user.processes().iter().any(|line| line.contains("pasta") || line.contains(" engine "))
    });
}

/// Answers one question of a resolver with `address`.
fn answered(question: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut answer = question.to_vec();
    // A response without errors, with one answer.
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..8].copy_from_slice(&[0, 1]);
    // The name of the question, type A, class IN, a minute, four bytes (RFC 1035).
    answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend(address);
    answer
}

#[test]
fn names_are_found_by_a_resolver_at_the_hosts_loopback() {
    let user = User::new();
    let server = User::inside(user.holder.id(), || {
        let socket = UdpSocket::bind("127.0.0.53:53").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let mut bytes = [0; 512];
        let (length, from) = again(|| socket.recv_from(&mut bytes)).expect("a question");
        socket.send_to(&answered(&bytes[..length], [198, 51, 100, 77]), from).expect("sent");
    });
    let asked = user.dhow(&["run", "--rm", "busybox", "nslookup", "-type=a", "some.example"]);
    assert!(asked.out.contains("198.51.100.77"), "{asked:?}");
    server.join().expect("it answered");
}

#[test]
fn datagrams_reach_a_published_port_and_answers_come_back() {
    let user = User::new();
    user.dhow(&["run", "-d", "--name", "box", "-p", "15353:53/udp", "busybox", "sleep", "1000"]).ok();
    let pid = user.dhow(&["inspect", "-f", "{{.State.Pid}}", "box"]).ok().trim().parse().expect("a pid");
    let server = User::inside(pid, || {
        let socket = UdpSocket::bind("0.0.0.0:53").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let mut bytes = [0; 16];
        let (length, from) = again(|| socket.recv_from(&mut bytes)).expect("a datagram");
        socket.send_to(&[&bytes[..length], b" back"].concat(), from).expect("sent");
    });
    let client = User::inside(user.holder.id(), || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.connect("127.0.0.1:15353").expect("an address");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let mut bytes = [0; 16];
        let mut length = 0;
        // The server may not have its socket yet.
        within("an answer", || {
            socket.send(b"there and").expect("sent");
            socket.recv(&mut bytes).inspect(|got| length = *got).is_ok()
        });
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    });
    assert_eq!(client.join().expect("no panic"), "there and back");
    server.join().expect("it answered");
}

#[test]
fn a_user_without_sub_ids_is_told_and_has_containers_with_one_id() {
    let user = User::with_ids("");
    user.dhow(&["load", "-q", "-i", &user.path("busybox.tar")]).ok();
    assert!(user.log().contains("/etc/subuid grants dhowtest no ids"), "{}", user.log());
    // Files of others in the image are this user's too.
    let look = user.dhow(&["run", "--rm", "busybox", "sh", "-c", "id -u; stat -c %u /home/alice"]);
    assert_eq!(look.ok(), "0\n0\n");
    user.dhow(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    assert_eq!(user.dhow(&["exec", "box", "id", "-u"]).ok(), "0\n");
    let other = user.dhow(&["run", "--rm", "-u", "alice", "busybox", "id"]);
    assert!(other.code == 125 && other.err.contains("cannot be user 1000:1000"), "{other:?}");
    let archive = user.path("home/saved.tar");
    user.dhow(&["save", "-o", &archive, "busybox"]).ok();
    user.dhow(&["rm", "-f", "box"]).ok();
    user.dhow(&["rmi", "busybox"]).ok();
    user.dhow(&["load", "-q", "-i", &archive]).ok();
}

#[test]
fn dockers_command_line_works_and_limits_that_cannot_be_set_are_told() {
    let user = User::new();
    assert_eq!(user.docker(&["run", "--rm", "busybox", "echo", "out"]).ok(), "out\n");
    let limited =
        user.docker(&["run", "-d", "--name", "box", "-m", "64m", "busybox", "sh", "-c", "echo up; sleep 1000"]);
    // Where the machine's cgroups are v1, nothing can be delegated; in a delegated v2 tree limits are set.
    let warned = limited.err.contains("was delegated no cgroup");
    assert_eq!(user.docker(&["exec", "box", "echo", "in"]).ok(), "in\n");
    within("the output is logged", || user.docker(&["logs", "box"]).out == "up\n");
    assert!(user.docker(&["ps"]).ok().contains("box"));
    let paused = user.docker(&["pause", "box"]);
    assert_eq!(warned, paused.err.contains("no part that is delegated to this user"), "{limited:?} {paused:?}");
    user.docker(&["rm", "-f", "box"]).ok();
    user.docker(&["system", "prune", "-f"]).ok();
    assert_eq!(user.docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn a_socket_that_somebody_else_put_in_tmp_is_not_trusted() {
    let user = User::with_ids("");
    let place = PathBuf::from(format!("/tmp/dhow-{USER}"));
    fs::create_dir(&place).expect("nobody has it");
    let trap = std::os::unix::net::UnixListener::bind(place.join("dhow.sock")).expect("a socket");
    fs::set_permissions(place.join("dhow.sock"), fs::Permissions::from_mode(0o666)).expect("a mode");
    let asked = said(user.command(&user.path("dhow")).env_remove("XDG_RUNTIME_DIR").arg("ps"));
    trap.set_nonblocking(true).expect("no blocking");
    let met = trap.accept().is_ok();
    fs::remove_dir_all(&place).expect("it is ours");
    assert!(!met && asked.code != 0 && asked.err.contains("belongs to another user"), "{asked:?}");
}

#[test]
fn the_api_on_a_port_is_the_hosts_and_ends_with_the_engine() {
    let user = User::with_ids("");
    let mut engine = user.command(&user.path("dhow"));
    engine.args(["engine", "--insecure-tcp", "-H", "tcp://127.0.0.1:12375"]).stderr(Stdio::null());
    let mut engine = engine.spawn().expect("an engine");
    let ask = || said(user.as_root("busybox").args(["wget", "-q", "-O", "-", "http://127.0.0.1:12375/_ping"])).out;
    within("the API answers on the host", || ask() == "OK");
    // The host side passes it on.
    let host_side = Pid::from_child(&engine);
    kill_process(host_side, Signal::TERM).expect("it can be told");
    assert!(engine.wait().expect("it ends").success());
    assert_eq!(ask(), "");
}

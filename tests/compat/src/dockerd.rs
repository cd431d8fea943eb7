//! A dockerd of the test's own.

use crate::Seat;
use it::{Maker, Registry, Stage};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long dockerd may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the scenarios find a registry.
pub const REGISTRY_PORT: u16 = 5000;

/// Names the dockerd to compare with; what else is in its folder (containerd, runc, docker-init) goes before the machine's own.
pub const VARIABLE: &str = "DHOW_COMPAT_DOCKERD";

/// One dockerd on temporary roots; dropped, it is ended, and nothing of it may be left.
pub struct Dockerd {
    folder: tempfile::TempDir,
    daemon: Child,
    group: String,
}

impl Dockerd {
    /// Starts dockerd and loads `busybox:latest`.
    pub fn start() -> Dockerd {
        let mut alone = Command::new("unshare");
        alone.args(["--net", "--mount", "--propagation", "private"]);
        Dockerd::start_by(alone)
    }

    fn start_by(enter: Command) -> Dockerd {
        let folder = tempfile::Builder::new().prefix("dhow-compat-").tempdir().expect("a temporary folder");
        let group = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
        let daemon = command(enter, folder.path(), &group).spawn().expect("unshare(1) and dockerd run");
        let dockerd = Dockerd { folder, daemon, group };
        let deadline = Instant::now() + PATIENCE;
        while dockerd.run("docker version").code != 0 {
            assert!(Instant::now() < deadline, "dockerd does not answer:\n{}", dockerd.log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let loaded = dockerd.run("docker load -q -i $ARCHIVE");
        assert_eq!(loaded.code, 0, "{}", loaded.err);
        dockerd
    }

    /// Starts dockerd on the same machine as an engine of ours: in its network namespace, with rules of its own.
    pub fn beside(stage: &Stage) -> Dockerd {
        let target = stage.holder_pid().to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["-t", &target, "--net", "unshare", "--mount", "--propagation", "private"]);
        Dockerd::start_by(enter)
    }

    /// Where its commands are run.
    pub fn seat(&self) -> Seat {
        Seat { host: self.host(), data_root: self.folder.path().join("data") }
    }

    /// A registry at 127.0.0.1:5000 of its network namespace.
    pub fn registry(&self, maker: Maker) -> Registry {
        let target = self.daemon.id().to_string();
        let enter = |program: &OsStr| {
            let mut command = Command::new("nsenter");
            command.args(["-t", &target, "--net", "--mount", "--wdns=/"]).arg(program);
            command
        };
        Registry::start_in(self.folder.path(), &enter, maker, REGISTRY_PORT)
    }

    /// The first number of its version.
    pub fn version(&self) -> u32 {
        let answer = self.run("docker version -f {{.Server.Version}}").out;
        let first = answer.split('.').next().and_then(|number| number.parse().ok());
        first.unwrap_or_else(|| panic!("dockerd has the version {answer:?}"))
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    fn run(&self, line: &str) -> crate::Answer {
        self.seat().run(line)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("dockerd.log")).unwrap_or_default()
    }

    fn end(&mut self) {
        self.run("docker ps -aq | xargs -r docker rm -f -v");
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).ok();
        let pid = pid.and_then(|text| text.trim().parse().ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
        groups(&self.group).iter().for_each(|parent| remove(parent));
    }

    /// Command lines of processes of this dockerd.
    fn processes(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(&folder)).collect()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.processes().is_empty() {
            assert!(Instant::now() < deadline, "dockerd left processes: {:?}", self.processes());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        assert!(groups(&self.group).is_empty(), "dockerd left cgroups: {:?}", groups(&self.group));
    }
}

fn command(enter: Command, folder: &Path, group: &str) -> Command {
    let path = |name: &str| folder.join(name).display().to_string();
    let log = std::fs::File::create(folder.join("dockerd.log")).expect("a log");
    let (program, search) = program();
    let mut command = enter;
    command.args(["sh", "-c", "ip link set lo up; exec \"$@\"", "sh", &program]);
    command.args(["-H", &format!("unix://{}", path("docker.sock")), "-p", &path("pid")]);
    command.args(["--data-root", &path("data"), "--exec-root", &path("run")]);
    command.args(["--cgroup-parent", &format!("/{group}")]);
    command.env("PATH", search).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

/// The dockerd to run, and where it finds its programs.
fn program() -> (String, String) {
    let search = std::env::var("PATH").unwrap_or_default();
    match std::env::var(VARIABLE) {
        Ok(program) => {
            let folder = Path::new(&program).parent().unwrap_or(Path::new("/")).display().to_string();
            (program, format!("{folder}:{search}"))
        }
        Err(_) => ("dockerd".to_owned(), search),
    }
}

/// BuildKit leaves groups in its own.
fn remove(group: &Path) {
    let inner = std::fs::read_dir(group).into_iter().flatten().flatten();
    inner.filter(|entry| entry.path().is_dir()).for_each(|entry| remove(&entry.path()));
    let _ = std::fs::remove_dir(group);
}

/// The folders of a cgroup, in each hierarchy that has it.
fn groups(name: &str) -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let roots = hierarchies.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
    roots.map(|root| root.join(name)).filter(|path| path.is_dir()).collect()
}

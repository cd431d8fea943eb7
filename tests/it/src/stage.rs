//! One engine on temporary roots.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a condition may take to hold.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Output {
    /// The output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.out
    }
}

/// An engine of a test's own.
pub struct Stage {
    /// A process that holds the namespaces while no engine runs; the first to go.
    holder: Holder,
    folder: tempfile::TempDir,
    engine: Option<Child>,
    /// Further words for the engine's command line.
    flags: Vec<String>,
}

impl Stage {
    /// An engine without images but `host`.
    pub fn bare() -> Stage {
        assert!(rustix::process::getuid().is_root(), "these tests need root");
        let folder = tempfile::Builder::new().prefix("dhow-it-").tempdir().expect("a temporary folder");
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                "ip link set lo up; echo; exec sleep 100000",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) runs");
        let mut ready = [0];
        let pipe = holder.stdout.as_mut().expect("a pipe");
        std::io::Read::read_exact(pipe, &mut ready).expect("the namespaces are made");
        let mut stage = Stage { folder, engine: None, flags: Vec::new(), holder: Holder(holder) };
        stage.start_engine();
        stage
    }

    /// An engine with `busybox:latest`.
    pub fn new() -> Stage {
        let stage = Stage::bare();
        stage.dhow(["load", "-q", "-i", &crate::busybox_archive().display().to_string()]).ok();
        stage
    }

    /// The folder of this test: anything may be put there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data_root(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("dhow.sock").display())
    }

    /// Starts the engine; the socket answers when this returns.
    pub fn start_engine(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let mut command = self.inside(binary());
        command.arg("engine").arg("-H").arg(self.host());
        command.arg("--data-root").arg(self.data_root()).arg("--exec-root").arg(self.folder.path().join("run"));
        command.arg("--pidfile").arg(self.folder.path().join("engine.pid"));
        command.args(&self.flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the engine starts");
        self.engine = Some(child);
        within("the engine answers", || {
            if let Some(status) = self.engine.as_mut().and_then(|engine| engine.try_wait().ok().flatten()) {
                panic!("the engine ended: {status}\n{}", self.log_text());
            }
            self.dhow(["ps", "-q"]).code == 0
        });
    }

    /// Ends the engine and starts it with further flags, which stay.
    pub fn restart_with(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        self.stop_engine();
        self.start_engine();
    }

    /// SIGKILL, as a crash.
    pub fn kill_engine(&mut self) {
        let mut engine = self.engine.take().expect("an engine runs");
        let pid = self.engine_pid();
        kill_process(pid, Signal::KILL).expect("the engine can be killed");
        engine.wait().expect("the engine was a child");
    }

    /// SIGTERM, and its exit.
    pub fn stop_engine(&mut self) {
        kill_process(self.engine_pid(), Signal::TERM).expect("the engine can be told to end");
        let engine = self.engine.as_mut().expect("an engine runs");
        within("the engine ends", || engine.try_wait().expect("the engine was a child").is_some());
        self.engine = None;
    }

    /// The process that holds the namespaces: `/proc/PID/root` is their view.
    pub fn holder_pid(&self) -> u32 {
        self.holder.0.id()
    }

    /// Bytes of memory that the engine itself occupies.
    pub fn engine_memory(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.engine_pid().as_raw_nonzero());
        let text = std::fs::read_to_string(path).expect("an engine runs");
        let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number of pages");
        pages * rustix::param::page_size() as u64
    }

    /// File descriptors that the engine has open.
    pub fn engine_fds(&self) -> usize {
        let path = format!("/proc/{}/fd", self.engine_pid().as_raw_nonzero());
        std::fs::read_dir(path).expect("an engine runs").count()
    }

    /// What these are.
    pub fn engine_files(&self) -> Vec<String> {
        let path = format!("/proc/{}/fd", self.engine_pid().as_raw_nonzero());
        let entries = std::fs::read_dir(path).expect("an engine runs").flatten();
        entries.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string())).collect()
    }

    /// Threads of the engine.
    pub fn engine_threads(&self) -> usize {
        let path = format!("/proc/{}/task", self.engine_pid().as_raw_nonzero());
        std::fs::read_dir(path).expect("an engine runs").count()
    }

    fn engine_pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.folder.path().join("engine.pid")).expect("a pidfile");
        Pid::from_raw(text.trim().parse().expect("a pid")).expect("a pid above 0")
    }

    /// The engine's network namespace, as a file.
    pub fn network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.0.id()))
    }

    /// A command in the engine's network and mount namespaces.
    pub fn inside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.0.id().to_string(), "--net", "--mount", "--wdns=/"]);
        command.arg(program);
        command
    }

    /// Runs `dhow WORDS...` against this engine.
    pub fn dhow<I>(&self, words: I) -> Output
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        output(self.dhow_command(words), &[])
    }

    /// The same with something on stdin.
    pub fn dhow_with_stdin<I>(&self, words: I, stdin: &[u8]) -> Output
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        output(self.dhow_command(words), stdin)
    }

    /// A `dhow` command to be run by the test.
    pub fn dhow_command<I>(&self, words: I) -> Command
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(binary());
        command.arg("-H").arg(self.host()).args(words);
        command
    }

    /// Runs `docker WORDS...` against this engine.
    pub fn docker<I>(&self, words: I) -> Output
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        output(self.docker_command(words), &[])
    }

    /// A `docker` command to be run by the test.
    pub fn docker_command<I>(&self, words: I) -> Command
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).args(words);
        command
    }

    /// Removes these containers and every network that a test made: at its end no link may be left.
    pub fn clear_networks(&self, containers: &[&str]) {
        for name in containers {
            self.dhow(["rm", "-f", name]).ok();
        }
        self.dhow(["network", "prune", "-f"]).ok();
        within("the links are gone", || self.shell_inside("ip -o link show").out.lines().all(|l| !l.contains(": dh-")));
    }

    /// A shell line in the engine's network namespace; what it prints.
    pub fn shell_inside(&self, line: &str) -> Output {
        let mut command = self.inside("sh");
        command.args(["-c", line]);
        output(command, &[])
    }

    /// Runs a program in the engine's namespaces; what it says.
    pub fn tool<I>(&self, program: &str, words: I) -> Output
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = self.inside(program);
        command.args(words);
        output(command, &[])
    }

    /// Runs podman or buildah on a store of this stage's own.
    pub fn own_store<I>(&self, program: &str, words: I) -> Output
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = self.inside(program);
        command.arg("--root").arg(self.folder.path().join("containers"));
        command.arg("--runroot").arg(self.folder.path().join("containers-run"));
        command.args(["--storage-driver", "vfs"]).args(words);
        command.env("TMPDIR", self.folder.path());
        output(command, &[])
    }

    /// Files of the engine's images, also half-written ones.
    pub fn image_files(&self) -> Vec<String> {
        let mut command = Command::new("find");
        command.args([self.data_root().join("content"), self.data_root().join("layers")]);
        let mut files: Vec<String> = output(command, &[]).out.lines().map(str::to_owned).collect();
        files.sort();
        files
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("engine.log")
    }

    /// What the engine said so far.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Processes whose working folder, root or command line is of this stage, by command line.
    pub fn processes(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| *pid != std::process::id())
            .filter_map(|pid| std::fs::read(format!("/proc/{pid}/cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&folder) && !line.contains("nsenter"))
            .collect()
    }

    /// The cgroups of this engine's containers, in any hierarchy.
    pub fn groups(&self) -> Vec<PathBuf> {
        let info = self.group_parent();
        let Ok(hierarchies) = std::fs::read_dir("/sys/fs/cgroup") else { return Vec::new() };
        let roots = hierarchies.flatten().map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
        let parents = roots.map(|root| root.join(&info)).filter(|path| path.is_dir());
        parents
            .flat_map(|parent| std::fs::read_dir(parent).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    }

    /// As the engine names it: a hash of the data root.
    fn group_parent(&self) -> String {
        let root = self.data_root().canonicalize().unwrap_or_else(|_| self.data_root());
        let bytes = root.as_os_str().as_encoded_bytes();
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        format!("dhow-{:06x}", hash & 0xff_ffff)
    }

    /// Removes all containers, ends the engine, and checks that nothing is left.
    fn clear(&mut self) {
        if self.engine.is_none() {
            self.start_engine();
        }
        let ids = self.dhow(["ps", "-aq"]).ok();
        let mut words = vec!["rm", "-f", "-v"];
        words.extend(ids.split_whitespace());
        if words.len() > 3 {
            self.dhow(words).ok();
        }
        let ports = self.shell_inside("ip -o link show type bridge");
        self.stop_engine();
        within("no process is left", || self.processes().is_empty());
        within("no cgroup is left", || self.groups().is_empty());
        // Those of namespaces go with them, when the kernel comes to it.
        let links = || self.shell_inside("ip -o link show | grep -v ' lo:'").out;
        let mut left = String::new();
        let gone = eventually(|| {
            left = links();
            left.is_empty()
        });
        assert!(gone, "links are left, of {}\n{left}", ports.out);
    }

    /// Ends all that runs, whatever it says.
    fn abandon(&mut self) {
        eprintln!("the engine's log:\n{}", self.log_text());
        let ids = self.dhow(["ps", "-aq"]).out;
        let mut words = vec!["rm", "-f", "-v"];
        words.extend(ids.split_whitespace());
        let _ = self.dhow(words);
        if let Some(mut engine) = self.engine.take() {
            let _ = kill_process(Pid::from_child(&engine), Signal::TERM);
            if !eventually(|| engine.try_wait().is_ok_and(|ended| ended.is_some())) {
                let _ = engine.kill();
                let _ = engine.wait();
            }
        }
    }
}

impl Default for Stage {
    fn default() -> Stage {
        Stage::new()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return self.abandon();
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.clear())) {
            self.abandon();
            resume_unwind(panic);
        }
    }
}

/// A process that holds namespaces; killed when dropped.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `holds`; panics with `what` after half a minute.
#[track_caller]
pub fn within(what: &str, holds: impl FnMut() -> bool) {
    assert!(eventually(holds), "not in time: {what}");
}

/// Whether it comes to hold within half a minute. Of a machine that stands still that long the last look counts.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let late = Instant::now() >= deadline;
        if holds() {
            return true;
        }
        if late {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Makes a call anew that was interrupted. One with a time limit of its own is, wherever the machine is stopped for a moment,
/// and nobody repeats it (signal(7), "Interruption of system calls and library functions by stop signals").
pub fn again<T>(mut call: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        match call() {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted && Instant::now() < deadline => {}
            outcome => return outcome,
        }
    }
}

fn output(mut command: Command, stdin: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    let mut pipe = child.stdin.take().expect("a pipe");
    let stdin = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut pipe, &stdin);
    });
    let output = child.wait_with_output().expect("the command was a child");
    let _ = writer.join();
    Output {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The dhow binary: `DHOW_BINARY`, or beside this test program in the build folder.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("DHOW_BINARY") {
        return path.into();
    }
    let this = std::env::current_exe().expect("this program has a path");
    let folder = this.parent().and_then(Path::parent).expect("test programs are in target/NAME/deps");
    let path = folder.join("dhow");
    assert!(path.is_file(), "{} is missing: cargo build", path.display());
    path
}

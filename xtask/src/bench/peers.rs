//! Who is measured: each engine or runtime with the words that make it do a thing.

use super::fixture::{Fixture, shell};
use super::installed;
use crate::suite;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    RunNone,
    RunBridge,
    RunDetached,
    Exec,
    List,
    /// With those that do not run.
    ListAll,
}

/// One who is measured.
pub struct Peer {
    pub name: &'static str,
    /// The command line, without the deed's words.
    program: Vec<String>,
    env: Vec<(String, String)>,
    sort: Sort,
    /// Where its engine listens, if it has one.
    pub socket: Option<PathBuf>,
    /// Its engine, if this bench started one.
    pub pid: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Takes docker's words.
    Engine,
    /// Runs a bundle.
    Runtime,
}

/// All who are installed, and the daemons started for them.
pub struct Peers {
    pub all: Vec<Peer>,
    daemons: Vec<Child>,
    folder: PathBuf,
}

impl Peers {
    /// Starts engines on roots below `folder` and loads the busybox image into each.
    pub fn start(folder: &Path, fixture: &Fixture) -> Result<Peers, String> {
        let mut peers = Peers { all: Vec::new(), daemons: Vec::new(), folder: folder.to_owned() };
        peers.dhow(folder)?;
        peers.docker(folder)?;
        hide_unified()?;
        peers.podman(folder)?;
        for name in ["crun", "runc"] {
            peers.runtime(name, folder, fixture)?;
        }
        for peer in peers.all.iter().filter(|peer| peer.sort == Sort::Engine && !peer.name.contains("docker CLI")) {
            let load = peer.command(&["load", "-q", "-i", &fixture.busybox.display().to_string()]);
            succeed(load, &format!("{} load", peer.name))?;
        }
        Ok(peers)
    }

    fn dhow(&mut self, folder: &Path) -> Result<(), String> {
        let binary = suite::binary("release")?;
        let path = folder.join("dhow.sock");
        let socket = format!("unix://{}", path.display());
        let mut engine = Command::new(&binary);
        engine.arg("engine").arg("-H").arg(&socket);
        engine.arg("--data-root").arg(folder.join("dhow")).arg("--exec-root").arg(folder.join("dhow-run"));
        let own = Peer {
            name: "dhow",
            program: vec![binary.display().to_string(), "-H".into(), socket.clone()],
            env: Vec::new(),
            sort: Sort::Engine,
            socket: Some(path.clone()),
            pid: None,
        };
        let pid = Some(self.daemon(engine, &own)?);
        self.all.push(Peer { pid, ..own });
        if let Some(docker) = installed("docker") {
            let program = vec![docker.display().to_string(), "-H".into(), socket];
            let (env, sort) = (Vec::new(), Sort::Engine);
            self.all.push(Peer { name: "dhow (docker CLI)", program, env, sort, socket: Some(path), pid: None });
        }
        Ok(())
    }

    fn docker(&mut self, folder: &Path) -> Result<(), String> {
        let (Some(daemon), Some(docker)) = (installed("dockerd"), installed("docker")) else { return Ok(()) };
        let path = folder.join("docker.sock");
        let socket = format!("unix://{}", path.display());
        let mut engine = Command::new(daemon);
        engine.arg("-H").arg(&socket).arg("--data-root").arg(folder.join("docker"));
        engine.arg("--exec-root").arg(folder.join("docker-run")).arg("-p").arg(folder.join("docker.pid"));
        let peer = Peer {
            name: "docker",
            program: vec![docker.display().to_string(), "-H".into(), socket],
            env: Vec::new(),
            sort: Sort::Engine,
            socket: Some(path),
            pid: None,
        };
        let pid = Some(self.daemon(engine, &peer)?);
        self.all.push(Peer { pid, ..peer });
        Ok(())
    }

    fn podman(&mut self, folder: &Path) -> Result<(), String> {
        let Some(podman) = installed("podman") else { return Ok(()) };
        // Its default limits are higher than a process without CAP_SYS_RESOURCE may ask for.
        let conf = folder.join("containers.conf");
        let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=4096:4096\"]\n";
        std::fs::write(&conf, limits).map_err(|e| format!("cannot write {}: {e}", conf.display()))?;
        let mut program = vec![podman.display().to_string()];
        for (flag, name) in [("--root", "podman"), ("--runroot", "podman-run"), ("--tmpdir", "podman-tmp")] {
            program.extend([flag.to_owned(), folder.join(name).display().to_string()]);
        }
        program.extend(["--cgroup-manager".into(), "cgroupfs".into(), "--events-backend".into(), "file".into()]);
        let env = vec![("CONTAINERS_CONF".to_owned(), conf.display().to_string())];
        self.all.push(Peer { name: "podman", program, env, sort: Sort::Engine, socket: None, pid: None });
        Ok(())
    }

    fn runtime(&mut self, name: &'static str, folder: &Path, fixture: &Fixture) -> Result<(), String> {
        let Some(program) = installed(name) else { return Ok(()) };
        let bundle = folder.join(format!("bundle-{name}"));
        std::fs::create_dir_all(&bundle).map_err(|e| format!("cannot make {}: {e}", bundle.display()))?;
        let program = program.display().to_string();
        shell(&format!("cd '{}' && '{program}' spec", bundle.display()))?;
        let path = bundle.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let mut spec: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        spec["process"]["terminal"] = false.into();
        spec["process"]["args"] = serde_json::json!(["/bin/true"]);
        spec["root"]["path"] = fixture.root.display().to_string().into();
        std::fs::write(&path, spec.to_string()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        let root = folder.join(format!("{name}-run")).display().to_string();
        let program =
            vec![program, "--root".into(), root, "run".into(), "--bundle".into(), bundle.display().to_string()];
        self.all.push(Peer { name, program, env: Vec::new(), sort: Sort::Runtime, socket: None, pid: None });
        Ok(())
    }

    /// A line about each other program and its version.
    pub fn versions(&self) -> String {
        let names = ["dockerd", "docker", "podman", "crun", "runc"];
        let said = names.iter().filter_map(|name| shell(&format!("{} --version", installed(name)?.display())).ok());
        let lines: Vec<String> = said.filter_map(|said| said.lines().next().map(str::to_owned)).collect();
        lines.join("\n")
    }

    /// Its number, once it answers.
    fn daemon(&mut self, mut engine: Command, peer: &Peer) -> Result<u32, String> {
        let log = std::fs::File::create(self.folder.join(format!("{}.log", peer.name)));
        let log = log.map_err(|e| format!("cannot make a log: {e}"))?;
        engine.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = engine.spawn().map_err(|e| format!("cannot start {}: {e}", peer.name))?;
        let pid = child.id();
        self.daemons.push(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let answers = peer.command(&["ps", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if answers.is_ok_and(|status| status.success()) {
                return Ok(pid);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.folder.join(format!("{}.log", peer.name))).unwrap_or_default();
        Err(format!(
            "{} does not answer; its log ends:\n{}",
            peer.name,
            log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
        ))
    }
}

/// crun refuses cgroup v1 beside a cgroup v2 with controllers: lets it, and podman, see none there. Only in this mount namespace.
fn hide_unified() -> Result<(), String> {
    let file = "/sys/fs/cgroup/unified/cgroup.controllers";
    if !Path::new(file).exists() {
        return Ok(());
    }
    shell(&format!("mount --bind /dev/null {file}")).map(|_| ())
}

impl Drop for Peers {
    fn drop(&mut self) {
        for peer in self.all.iter().filter(|peer| peer.sort == Sort::Engine) {
            peer.remove_all();
        }
        for daemon in &mut self.daemons {
            if let Some(pid) = i32::try_from(daemon.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let _ = daemon.wait();
        }
        let _ = shell(&format!("mount | grep -F '{}' | cut -d' ' -f3 | tac | xargs -r umount", self.folder.display()));
    }
}

impl Peer {
    /// A command of this peer's.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).args(words).envs(self.env.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null());
        command
    }

    /// Whether it can do the deed at all.
    pub fn can(&self, deed: Deed) -> bool {
        self.sort == Sort::Engine || deed == Deed::RunNone
    }

    /// Does the deed once; how long it took.
    pub fn do_once(&self, deed: Deed, number: usize) -> Result<Duration, String> {
        let id = format!("bench-{}-{number}", std::process::id());
        let command = match (self.sort, deed) {
            (Sort::Runtime, _) => self.command(&[&id]),
            (_, Deed::RunNone) => self.command(&["run", "--rm", "--network", "none", "bench-busybox", "true"]),
            (_, Deed::RunBridge) => self.command(&["run", "--rm", "bench-busybox", "true"]),
            (_, Deed::RunDetached) => self.command(&["run", "-d", "--name", &id, "bench-busybox", "sleep", "600"]),
            (_, Deed::Exec) => self.command(&["exec", "bench-target", "true"]),
            (_, Deed::List) => self.command(&["ps"]),
            (_, Deed::ListAll) => self.command(&["ps", "-a"]),
        };
        let begun = Instant::now();
        succeed(command, &format!("{} {deed:?}", self.name))?;
        let took = begun.elapsed();
        if deed == Deed::RunDetached {
            succeed(self.remove(&[&id]), &format!("{} rm", self.name))?;
        }
        Ok(took)
    }

    /// Loads an archive; how long it took.
    pub fn load(&self, archive: &Path) -> Result<Duration, String> {
        let begun = Instant::now();
        succeed(self.command(&["load", "-q", "-i", &archive.display().to_string()]), &format!("{} load", self.name))?;
        Ok(begun.elapsed())
    }

    /// Pulls an image; how long it took.
    pub fn pull(&self, name: &str) -> Result<Duration, String> {
        let tls: &[&str] = if self.name == "podman" { &["--tls-verify=false"] } else { &[] };
        let begun = Instant::now();
        succeed(self.command(&[&["pull", "-q"], tls, &[name]].concat()), &format!("{} pull", self.name))?;
        Ok(begun.elapsed())
    }

    /// Removes an image if it is there.
    pub fn forget(&self, name: &str) {
        let _ = self.command(&["rmi", "-f", name]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }

    /// Gives an image another name and pushes it.
    pub fn push(&self, source: &str, target: &str) -> Result<(), String> {
        succeed(self.command(&["tag", source, target]), &format!("{} tag", self.name))?;
        succeed(self.command(&["push", "-q", target]), &format!("{} push", self.name))
    }

    /// Whether it is an engine that keeps containers.
    pub fn is_engine(&self) -> bool {
        self.sort == Sort::Engine
    }

    /// Starts a container that stays.
    pub fn hold(&self, name: &str) -> Result<(), String> {
        let run = self.command(&["run", "-d", "--name", name, "bench-busybox", "sleep", "100000"]);
        succeed(run, &format!("{} run -d", self.name))
    }

    /// `rm -f`; podman would first wait for what does not end when asked.
    fn remove(&self, ids: &[&str]) -> Command {
        let force: &[&str] = if self.name == "podman" { &["rm", "-f", "-t", "0"] } else { &["rm", "-f"] };
        self.command(&[force, ids].concat())
    }

    /// Removes all its containers.
    pub fn remove_all(&self) {
        let Ok(output) = self.command(&["ps", "-aq"]).output() else { return };
        let ids = String::from_utf8_lossy(&output.stdout).into_owned();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        for some in ids.chunks(25) {
            let _ = self.remove(some).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

pub fn succeed(mut command: Command, what: &str) -> Result<(), String> {
    let output = command.output().map_err(|e| format!("cannot run {what}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

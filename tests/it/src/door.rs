//! Certificates, and engines that are started by hand: for tests of the door itself.

use crate::{Output, Stage, binary, within};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Keys and certificates of an authority, an engine on this machine and a client, made by openssl(1).
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

const MAKE: &str = r#"
set -e
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
key ca-key.pem
openssl req -x509 -new -key ca-key.pem -subj /CN=authority -days 2 -out ca.pem
for who in server client; do
    mkdir -p $who
    key $who/key.pem
    openssl req -new -key $who/key.pem -subj /CN=$who -out $who.csr
    echo "extendedKeyUsage=${who}Auth" > ext
    if [ $who = server ]; then echo "subjectAltName=DNS:localhost,IP:127.0.0.1" >> ext; fi
    openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile ext -out $who/cert.pem
    cp ca.pem $who/
done
"#;

impl Certificates {
    /// Makes them below `folder`.
    pub fn make(folder: &Path) -> Certificates {
        std::fs::create_dir_all(folder).expect("a folder");
        let made = Command::new("sh").args(["-c", MAKE]).current_dir(folder).output().expect("sh runs");
        assert!(made.status.success(), "openssl(1): {}", String::from_utf8_lossy(&made.stderr));
        Certificates { folder: folder.to_owned() }
    }

    /// The folder with ca.pem, cert.pem and key.pem of `server` or `client`.
    pub fn of(&self, who: &str) -> PathBuf {
        self.folder.join(who)
    }

    /// The flags that dockerd, docker and dhow share.
    pub fn flags(&self, who: &str) -> Vec<String> {
        let file = |name: &str| self.of(who).join(name).display().to_string();
        let flags = [("--tlscacert", "ca.pem"), ("--tlscert", "cert.pem"), ("--tlskey", "key.pem")];
        let files = flags.iter().flat_map(|(flag, name)| [(*flag).to_owned(), file(name)]);
        std::iter::once("--tlsverify".to_owned()).chain(files).collect()
    }
}

/// An engine beside a stage's own, in its namespaces, on roots of its own.
pub struct Another {
    child: Child,
    folder: PathBuf,
}

impl Another {
    /// Starts it by a shell line in which `$ENGINE` stands for the command up to its roots; `stdin` is what the shell gets.
    pub fn start(stage: &Stage, line: &str, stdin: Stdio) -> Another {
        let folder = stage.folder().join("another");
        std::fs::create_dir_all(&folder).expect("a folder");
        let shown = |name: &str| folder.join(name).display().to_string();
        let engine = format!(
            "{} engine --data-root {} --exec-root {} --pidfile {}",
            binary().display(),
            shown("data"),
            shown("run"),
            shown("pid")
        );
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log");
        let mut command = stage.inside("sh");
        command.args(["-c", line]).env("ENGINE", engine).stdin(stdin).stdout(Stdio::null()).stderr(log);
        Another { child: command.spawn().expect("sh runs"), folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its process, once it has begun.
    pub fn pid(&self) -> rustix::process::Pid {
        let path = self.folder.join("pid");
        let read = || std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        within(&format!("{} is written\n{}", path.display(), self.log()), || read().is_some());
        read().and_then(rustix::process::Pid::from_raw).expect("a pid")
    }

    /// Its exit code when it ends by itself.
    pub fn code(&mut self) -> i32 {
        within("it ends", || self.child.try_wait().expect("a child").is_some());
        self.child.wait().expect("a child").code().unwrap_or(-1)
    }

    /// SIGTERM, and its end.
    pub fn stop(mut self) -> String {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).expect("it can be told to end");
        self.code();
        self.log()
    }
}

impl Drop for Another {
    /// Nothing is left when a test fails.
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).ok().and_then(|text| text.trim().parse().ok());
        if let (Some(pid), Ok(None)) = (pid.and_then(rustix::process::Pid::from_raw), self.child.try_wait()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Stage {
    /// Sends a signal to the engine.
    pub fn signal_engine(&self, signal: rustix::process::Signal) {
        let text = std::fs::read_to_string(self.folder().join("engine.pid")).expect("a pidfile");
        let pid = rustix::process::Pid::from_raw(text.trim().parse().expect("a pid")).expect("a pid above 0");
        rustix::process::kill_process(pid, signal).expect("the engine gets it");
    }

    /// Runs a command of this test's and gives what it says.
    pub fn output_of(&self, mut command: Command) -> Output {
        let said = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
        Output {
            code: said.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&said.stdout).into_owned(),
            err: String::from_utf8_lossy(&said.stderr).into_owned(),
        }
    }
}

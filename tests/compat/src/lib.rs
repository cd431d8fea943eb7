//! The same scenario on dockerd and on dhow, through the same docker command: the answers must be equal.
//!
//! Each engine runs on temporary roots in a network and a mount namespace of its own. What must differ (ids, times, addresses,
//! pids) is replaced by its name before the comparison.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A dockerd of the test's own.
pub struct Docker {
    folder: tempfile::TempDir,
    daemon: Child,
}

impl Docker {
    /// Starts dockerd and loads `busybox:latest`.
    pub fn start() -> Docker {
        let folder = tempfile::Builder::new().prefix("dhow-compat-").tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let log = std::fs::File::create(folder.path().join("dockerd.log")).expect("a log");
        let line = "ip link set lo up; exec dockerd \"$@\"";
        let daemon = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", line, "sh"])
            .args([
                "-H",
                &format!("unix://{}", path("docker.sock")),
                "--data-root",
                &path("data"),
                "--exec-root",
                &path("run"),
            ])
            .args(["-p", &path("pid")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare(1) and dockerd run");
        let docker = Docker { folder, daemon };
        let deadline = Instant::now() + Duration::from_secs(60);
        while docker.run(&["version"]).0 != 0 {
            let log = || std::fs::read_to_string(docker.folder.path().join("dockerd.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "dockerd does not answer:\n{}", log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let archive = it::busybox_archive().display().to_string();
        assert_eq!(docker.run(&["load", "-q", "-i", &archive]).0, 0);
        docker
    }

    /// The socket, as `DOCKER_HOST` wants it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    fn run(&self, words: &[&str]) -> (i32, String, String) {
        docker(&self.host(), words)
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let ids = self.run(&["ps", "-aq"]).1;
        for id in ids.split_whitespace() {
            let _ = self.run(&["rm", "-f", "-v", id]);
        }
        let pid: Option<PathBuf> = Some(self.folder.path().join("pid"));
        let pid = pid.and_then(|path| std::fs::read_to_string(path).ok()).and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}

/// Runs `docker WORDS...` against `host`: code, stdout, stderr.
pub fn docker(host: &str, words: &[&str]) -> (i32, String, String) {
    let output = Command::new("docker")
        .env("DOCKER_HOST", host)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("the docker command runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Replaces ids, times and addresses by their names, so that two engines can say the same.
pub fn neutral(text: &str) -> String {
    let words = text.split_inclusive(|c: char| c.is_whitespace() || "\"',()[]{}".contains(c));
    words.map(neutral_word).collect()
}

fn neutral_word(word: &str) -> String {
    let core = word.trim_end_matches(|c: char| c.is_whitespace() || "\"',.:()[]{}".contains(c));
    let tail = &word[core.len()..];
    let bare = core.trim_start_matches("sha256:").trim_end_matches('.');
    let hex = bare.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let name = if hex && (bare.len() == 64 || bare.len() == 12) {
        "ID"
    } else if core.len() >= 20 && core.as_bytes()[4] == b'-' && core.contains('T') {
        "TIME"
    } else if core.starts_with("172.") || core.starts_with("192.168.") {
        "ADDRESS"
    } else {
        core
    };
    format!("{name}{tail}")
}

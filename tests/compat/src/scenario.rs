//! Scenarios: files of shell lines, each with one docker command or a few.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A scenario's name and its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    pub name: String,
    pub lines: Vec<String>,
}

/// An engine, as the lines of a scenario need it.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The socket, as `DOCKER_HOST` wants it.
    pub host: String,
    pub data_root: PathBuf,
}

/// What a line said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Seat {
    /// The folder of docker's command line: its plugins are below it.
    pub fn docker_config(&self) -> PathBuf {
        self.data_root.with_file_name("docker-config")
    }

    /// Runs a shell line, for half a minute at most, with `DOCKER_HOST`, `ARCHIVE` (of the test image) and `DATA` (the data root).
    pub fn run(&self, line: &str) -> Answer {
        self.run_for("30", line)
    }

    /// The same, for so many seconds at most.
    pub fn run_for(&self, seconds: &str, line: &str) -> Answer {
        let output = Command::new("timeout")
            .args([seconds, "sh", "-c", line])
            .env("DOCKER_HOST", &self.host)
            .env("ARCHIVE", it::busybox_archive())
            .env("DATA", &self.data_root)
            .env("DOCKER_CONFIG", self.docker_config())
            .stdin(Stdio::null())
            .output()
            .expect("timeout(1) and sh(1) run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Answer { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// All scenarios, by name. In a file `#` opens a comment, and a line that ends with `\` goes on.
pub fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&folder).expect("the scenarios are in the source tree");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Scenario {
    let text = std::fs::read_to_string(path).expect("a scenario can be read").replace("\\\n", "");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    Scenario { name, lines: lines.map(str::to_owned).collect() }
}

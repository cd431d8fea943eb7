//! Where a part of a suite runs: on a terminal, in process and mount namespaces of its own, for a limited time.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most time of one part of most suites, in seconds.
pub const LIMIT: u32 = 300;
/// Until what does not end is killed, in seconds.
const GRACE: &str = "5";

/// The shell stays as the first process of its namespace, and reaps what tests leave to it. A `/run` of its own keeps states of
/// containers apart, unless systemd is needed.
const FIRST: &str = "\
    [ -d /run/systemd/system ] || mount -t tmpfs -o mode=755 tmpfs /run || exit 1
    \"$0\" \"$@\"
    exit $?";

/// What to run.
pub struct Play<'a> {
    pub words: Vec<String>,
    pub folder: &'a Path,
    pub env: Vec<(String, String)>,
    /// Most time.
    pub seconds: u32,
}

/// A temporary folder that containers of other users can reach.
pub fn folder() -> Result<tempfile::TempDir, String> {
    let at = |e: std::io::Error| format!("no temporary folder: {e}");
    let folder = tempfile::Builder::new().prefix("dhow-conformance-").tempdir().map_err(at)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).map_err(at)?;
    Ok(folder)
}

impl Play<'_> {
    /// Runs it and gives its output; how it ends is what the output says. Every process and mount is gone afterwards.
    pub fn run(&self) -> Result<String, String> {
        let at = |e: std::io::Error| format!("cannot run {}: {e}", self.words.join(" "));
        let groups = groups();
        let pty = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).map_err(|e| at(e.into()))?;
        grantpt(&pty).and_then(|()| unlockpt(&pty)).map_err(|e| at(e.into()))?;
        let name = ptsname(&pty, Vec::new()).map_err(|e| at(e.into()))?;
        let terminal = File::options().read(true).write(true).open(name.to_string_lossy().as_ref()).map_err(at)?;
        let output = tempfile::tempfile().map_err(at)?;
        let status = self
            .command()
            .stdin(Stdio::from(terminal))
            .stdout(Stdio::from(output.try_clone().map_err(at)?))
            .stderr(Stdio::from(output.try_clone().map_err(at)?))
            .status()
            .map_err(at)?;
        sweep(&groups);
        let mut text = std::io::read_to_string(rewound(output).map_err(at)?).map_err(at)?;
        if status.code() == Some(124) || status.code() == Some(137) {
            text.push_str(&format!("\n# ended after {} s\n", self.seconds));
        }
        Ok(text)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", "timeout", "--foreground", "-k", GRACE, &self.seconds.to_string()]);
        command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", FIRST]);
        command.args(&self.words).current_dir(self.folder).envs(self.env.iter().cloned());
        command
    }
}

fn rewound(mut file: File) -> std::io::Result<File> {
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// The control groups at the top of each hierarchy, and below this process's own, where runtimes may begin.
fn groups() -> Vec<PathBuf> {
    let base = Path::new("/sys/fs/cgroup");
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some(base.join(controllers.trim_start_matches("name=")).join(path.trim_start_matches('/')))
    });
    let mut all: Vec<PathBuf> = folders(base).into_iter().chain(own).flat_map(|folder| folders(&folder)).collect();
    all.sort();
    all.dedup();
    all
}

/// Names that the suites give to containers without a group of their own, and to the parents of those that have one.
const OURS: &[&str] =
    &["runc-cgroups-integration-test", "runc-test", "test", "ocitest", "cgroupTest", "cgroup-", "docker-py-"];

/// Removes groups that have come since, of those that a suite makes.
fn sweep(before: &[PathBuf]) {
    let new = groups().into_iter().filter(|group| !before.contains(group));
    let ours = |group: &PathBuf| {
        let name = group.file_name().unwrap_or_default().to_string_lossy().into_owned();
        OURS.iter().any(|start| name.starts_with(start)) || is_uuid(&name)
    };
    new.filter(ours).for_each(|group| remove(&group));
}

/// What contest and runtime-tools call containers.
fn is_uuid(name: &str) -> bool {
    let lengths = name.split('-').map(|part| part.bytes().filter(u8::is_ascii_hexdigit).count());
    name.len() == 36 && lengths.eq([8, 4, 4, 4, 12])
}

pub fn remove(group: &Path) {
    folders(group).iter().for_each(|inner| remove(inner));
    if let Err(e) = fs::remove_dir(group) {
        eprintln!("left behind: {}: {e}", group.display());
    }
}

pub fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Looks for a program in PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// `Err` names the programs that are missing, with the package of Debian that has each.
pub fn need(programs: &[(&str, &str)]) -> Result<(), String> {
    let missing: Vec<String> = programs
        .iter()
        .filter(|(name, _)| find(name).is_none())
        .map(|(name, package)| format!("{name} (package {package})"))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("missing: {}", missing.join(", "))) }
}

/// What `--version` says first.
pub fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.replace(" version ", " "))
}

/// Runs a shell script in a folder.
pub fn shell(folder: &Path, script: &str, env: &[(&str, String)]) -> Result<String, String> {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(folder).envs(env.iter().map(|(name, value)| (*name, value)));
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("cannot run sh: {e}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{script}\n{}", String::from_utf8_lossy(&output.stderr).trim_end())),
    }
}

/// Lets everybody look into a folder.
pub fn open(folder: &Path) -> Result<(), String> {
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, mode).map_err(|e| format!("cannot open {}: {e}", folder.display()))
}

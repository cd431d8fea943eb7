//! Runs a plugin once: its configuration on standard input, its answer on standard output, a time limit on all of it.

use crate::{Error, list};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde::Deserialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Bytes of an answer that are read, and of what it complains that are passed on.
const MOST_ANSWER: u64 = 1 << 20;
const MOST_COMPLAINT: usize = 2000;
/// A program that is busy is tried again this often, after so long.
const BUSY_TRIES: u32 = 50;
const BUSY_REST: Duration = Duration::from_millis(20);

/// One call of a plugin.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) plugin: &'a str,
    pub(crate) folders: &'a [PathBuf],
    /// `ADD`, ...
    pub(crate) command: &'static str,
    /// Further variables, `CNI_...`.
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) configuration: &'a serde_json::Value,
    pub(crate) patience: Duration,
}

/// The specification's result of failure.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failure {
    code: u32,
    msg: String,
    details: String,
}

impl Call<'_> {
    /// Calls it; the bytes of its answer.
    pub(crate) fn run(&self) -> Result<Vec<u8>, Error> {
        let path = find(self.plugin, self.folders)?;
        let io = |source: std::io::Error| Error::Io { action: "run", path: path.clone(), source };
        let mut input = memory(None).map_err(io)?;
        input.write_all(self.configuration.to_string().as_bytes()).map_err(io)?;
        input.seek(SeekFrom::Start(0)).map_err(io)?;
        let (mut answer, mut complaint) =
            (memory(Some(MOST_ANSWER)).map_err(io)?, memory(Some(MOST_ANSWER)).map_err(io)?);
        let stdio = |file: &File| file.try_clone().map(Stdio::from).map_err(io);
        let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        let mut command = Command::new(&path);
        command
            .env("CNI_COMMAND", self.command)
            .env("CNI_PATH", folders.join(":"))
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::from(input))
            .stdout(stdio(&answer)?)
            .stderr(stdio(&complaint)?)
            .process_group(0);
        let child = start(&mut command).map_err(io)?;
        let status = self.wait(child).map_err(io)?.ok_or_else(|| self.hung())?;
        let (answer, complaint) = (text(&mut answer).map_err(io)?, text(&mut complaint).map_err(io)?);
        if status.success() { Ok(answer) } else { Err(self.failure(status, &answer, &complaint)) }
    }

    /// Waits for its end; `None` when it was killed, with all that it started.
    fn wait(&self, mut child: Child) -> std::io::Result<Option<ExitStatus>> {
        let pid = Pid::from_child(&child);
        let fd: OwnedFd = pidfd_open(pid, PidfdFlags::empty())?;
        let end = Instant::now() + self.patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let limit = Timespec::try_from(left).map_err(|_| std::io::ErrorKind::InvalidInput)?;
            match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)) {
                Ok(0) => break,
                Ok(_) => return child.wait().map(Some),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // It is its group's first; one that is gone meanwhile has ended by itself.
        let _ = kill_process_group(pid, Signal::KILL);
        child.wait()?;
        Ok(None)
    }

    fn hung(&self) -> Error {
        Error::Hung { plugin: self.plugin.to_owned(), command: self.command, seconds: self.patience.as_secs() }
    }

    fn failure(&self, status: ExitStatus, answer: &[u8], complaint: &[u8]) -> Error {
        let (plugin, command) = (self.plugin.to_owned(), self.command);
        if let Ok(Failure { code, msg, details }) = serde_json::from_slice(answer)
            && (code > 0 || !msg.is_empty())
        {
            return Error::Refused {
                plugin,
                command,
                code,
                message: msg,
                details: Some(details).filter(|d| !d.is_empty()),
            };
        }
        let said = if complaint.is_empty() { answer } else { complaint };
        let from = said.len().saturating_sub(MOST_COMPLAINT);
        let said = String::from_utf8_lossy(&said[from..]).trim().to_owned();
        Error::Broken {
            plugin,
            command,
            said: if said.is_empty() { status.to_string() } else { format!("{said} ({status})") },
        }
    }
}

/// A program that somebody just writes, or wrote while another process was forked, cannot be executed for a moment (ETXTBSY).
fn start(command: &mut Command) -> std::io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::park_timeout(BUSY_REST),
            outcome => return outcome,
        }
    }
    command.spawn()
}

/// The program in the first of the folders that has it. Its name was checked to be one.
pub(crate) fn find(plugin: &str, folders: &[PathBuf]) -> Result<PathBuf, Error> {
    let here = |folder: &PathBuf| Some(folder.join(plugin)).filter(|path: &PathBuf| is_program(path));
    let found = Some(plugin).filter(|plugin| list::is_name(plugin)).and_then(|_| folders.iter().find_map(here));
    found.ok_or_else(|| {
        let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Error::NoPlugin { plugin: plugin.to_owned(), folders: folders.join(", ") }
    })
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// A file in memory; of a fixed size it cannot become longer, whoever writes to it.
fn memory(size: Option<u64>) -> std::io::Result<File> {
    let fd = rustix::fs::memfd_create("cni", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    if let Some(size) = size {
        rustix::fs::ftruncate(&fd, size)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::GROW)?;
    }
    Ok(fd.into())
}

/// What was written; the rest is zeros.
fn text(file: &mut File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    // Most of it was never written, and is not there.
    let mut part = [0; 16 << 10];
    loop {
        let length = file.read(&mut part)?;
        let written = part[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
        bytes.extend_from_slice(&part[..written]);
        if length == 0 || written < length {
            return Ok(bytes);
        }
    }
}

//! Starts the engine in the background when a command finds none.
//!
//! The command runs itself as `daemonize`, which leaves the session and the working directory, keeps only the log and
//! the pipe, and becomes `dhow engine ... --ready-fd N`. One byte on the pipe means that the socket answers. A lock beside the
//! socket lets one of many commands do this; the others then find the engine up.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use api::client::Client;
use rustix::fs::{FlockOperation, flock};

use crate::connect::{default_socket, nobody_there};
use crate::failure::Failure;
use crate::show::complain;

/// How long an engine may take until its socket answers.
const DEADLINE: Duration = Duration::from_secs(10);
/// How much of the end of the log is shown when it does not.
const LOG_TAIL: usize = 12;

/// Starts an engine that listens at `socket`, or finds that another command just did.
pub async fn engine(socket: &Path, client: &Client) -> Result<(), Failure> {
    let folder = socket.parent().unwrap_or(Path::new("/"));
    let lock = prepare(folder, socket).map_err(|cause| refused(socket, &cause))?;
    let deadline = Instant::now() + DEADLINE;
    wait_for_turn(&lock, deadline).await?;
    if client.warm().await.is_ok() {
        return Ok(());
    }
    let log_path = exec_root(socket).join("engine.log");
    let ready = tokio::task::spawn_blocking({
        let (socket, log_path) = (socket.to_owned(), log_path.clone());
        move || start(&socket, &log_path)
    });
    let (said_ready, log_start) = match tokio::time::timeout(DEADLINE, ready).await {
        Ok(Ok(started)) => started.map_err(|cause| refused(socket, &cause))?,
        _ => return Err(not_up(&log_path, 0, "it did not answer in time")),
    };
    // An engine that gave way to another one's lock says nothing, and then the other one's socket answers soon.
    loop {
        match client.warm().await {
            Ok(()) => return Ok(()),
            Err(failure) if !nobody_there(&failure) => return Err(failure.into()),
            Err(_) if !said_ready => return Err(not_up(&log_path, log_start, "it ended")),
            Err(_) if Instant::now() > deadline => {
                return Err(not_up(&log_path, log_start, "its socket does not answer"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn prepare(folder: &Path, socket: &Path) -> io::Result<File> {
    if socket == default_socket() && rootless::is_ordinary_user() {
        rootless::Folders::find().secure().map_err(io::Error::other)?;
    }
    std::fs::create_dir_all(folder)?;
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name))
}

/// Takes the lock; a command that holds it is starting the engine right now.
async fn wait_for_turn(lock: &File, deadline: Instant) -> Result<(), Failure> {
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::said(format!("cannot wait for the engine to start: {errno}"))),
        }
    }
}

/// Runs the engine and waits for its byte; true if it came, and where in the log its own words begin.
fn start(socket: &Path, log_path: &Path) -> io::Result<(bool, u64)> {
    if let Some(folder) = log_path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let log = OpenOptions::new().create(true).append(true).open(log_path)?;
    let log_start = log.metadata()?.len();
    let mut host = OsString::from("unix://");
    host.push(socket);
    let mut command = Command::new("/proc/self/exe");
    command.arg0("dhow").arg("daemonize").arg("-H").arg(host);
    command.arg("--pidfile").arg(log_path.with_file_name("dhow.pid"));
    for (variable, flag) in [("DHOW_DATA_ROOT", "--data-root"), ("DHOW_EXEC_ROOT", "--exec-root")] {
        if let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            command.arg(flag).arg(value);
        }
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
    let mut byte = [0u8];
    let said = match child.stdout.take() {
        Some(mut pipe) => pipe.read(&mut byte)?,
        None => 0,
    };
    if said == 0 {
        let _ = child.wait();
    }
    Ok((said == 1, log_start))
}

/// The engine's exec root, where its log is: the socket's folder unless said otherwise.
fn exec_root(socket: &Path) -> PathBuf {
    let told = std::env::var_os("DHOW_EXEC_ROOT").filter(|value| !value.is_empty()).map(PathBuf::from);
    let usual = || match socket.parent() {
        _ if rootless::is_ordinary_user() && socket == default_socket() => rootless::Folders::find().exec_root(),
        folder => folder.unwrap_or(Path::new("/")).to_owned(),
    };
    told.unwrap_or_else(usual)
}

fn refused(socket: &Path, cause: &io::Error) -> Failure {
    let hint = match cause.kind() {
        io::ErrorKind::PermissionDenied => {
            "\nhint: this folder is not yours; choose others with DHOW_HOST, DHOW_DATA_ROOT and DHOW_EXEC_ROOT"
        }
        _ => "",
    };
    Failure::said(format!("cannot start the engine for {}: {cause}{hint}", socket.display()))
}

fn not_up(log_path: &Path, from: u64, why: &str) -> Failure {
    let mut text = format!("cannot start the engine: {why}\nThe end of {}:", log_path.display());
    for line in last_lines(log_path, from) {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    Failure::said(text)
}

fn last_lines(path: &Path, from: u64) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(size.saturating_sub(16 * 1024))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].iter().map(|line| (*line).to_owned()).collect()
}

/// `dhow daemonize ARGS...`: stdout is the pipe, stderr the log. Becomes `dhow engine ARGS... --ready-fd N`.
pub fn daemonize(args: &[OsString]) -> ExitCode {
    let cause = match become_engine(args) {
        Ok(never) => match never {},
        Err(cause) => cause,
    };
    complain(&format!("cannot start the engine: {cause}"));
    ExitCode::FAILURE
}

fn become_engine(args: &[OsString]) -> io::Result<std::convert::Infallible> {
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Not close-on-exec: the engine inherits it.
    let ready = rustix::io::dup(rustix::stdio::stdout())?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("dhow").arg("engine").args(args).arg("--ready-fd").arg(ready.as_raw_fd().to_string());
    Err(command.exec())
}

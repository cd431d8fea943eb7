//! Hooks: programs that the specification calls at points of a container's life, with the container's state on standard input.

use oci::runtime::Hook;
use oci::state::State;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of what a hook wrote an error message repeats, in bytes.
const TOLD: u64 = 4 << 10;

/// Which hook failed, and why: the texts are runc's.
#[derive(Debug, thiserror::Error)]
#[error("error running {point} hook #{number}: {reason}")]
pub struct HookError {
    /// As the specification spells it: `createRuntime`.
    pub point: String,
    /// From 0.
    pub number: usize,
    pub reason: String,
}

/// Hooks of one point that run in a folder which is not the caller's.
#[derive(Debug, Clone, Copy)]
pub struct Calls<'a> {
    /// As the specification spells it: `createRuntime`.
    pub point: &'a str,
    pub hooks: &'a [Hook],
    pub state: &'a State,
    pub folder: &'a Path,
}

/// What ends a hook early: when `fd` is readable, `came` reads it and tells whether it was that.
pub struct Interruption<'a> {
    pub fd: BorrowedFd<'a>,
    pub came: &'a dyn Fn() -> bool,
}

/// Runs the hooks of `point` (`createRuntime`, ...) one after the other, until one fails.
///
/// Each gets `state` as JSON, the caller's folder and namespaces, and the environment that its entry has and nothing else. It
/// is killed after its timeout, or when it is interrupted. What it writes is kept for the error message.
pub fn run_hooks(
    point: &str,
    hooks: &[Hook],
    state: &State,
    interruption: Option<&Interruption<'_>>,
) -> Result<(), HookError> {
    let failed = |number, reason| HookError { point: point.to_owned(), number, reason };
    let numbered = &mut hooks.iter().enumerate();
    numbered.try_for_each(|(number, hook)| run(hook, state, None, interruption).map_err(|why| failed(number, why)))
}

impl Calls<'_> {
    /// As [`run_hooks`].
    pub fn run(&self, interruption: Option<&Interruption<'_>>) -> Result<(), HookError> {
        let failed = |number, reason| HookError { point: self.point.to_owned(), number, reason };
        let call = |hook| run(hook, self.state, Some(self.folder), interruption);
        let numbered = &mut self.hooks.iter().enumerate();
        numbered.try_for_each(|(number, hook)| call(hook).map_err(|why| failed(number, why)))
    }
}

fn run(
    hook: &Hook,
    state: &State,
    folder: Option<&Path>,
    interruption: Option<&Interruption<'_>>,
) -> Result<(), String> {
    let text = |e: io::Error| e.to_string();
    let state = serde_json::to_vec(state).map_err(|e| e.to_string())?;
    let (output, errors) = (memory("output").map_err(text)?, memory("errors").map_err(text)?);
    let mut child = command(hook, &state)
        .and_then(|mut command| {
            if let Some(folder) = folder {
                command.current_dir(folder);
            }
            command.stdout(output.try_clone()?).stderr(errors.try_clone()?).spawn()
        })
        .map_err(|e| format!("fork/exec {}: {}", hook.path, errno_text(&e)))?;
    let status = match wait(&mut child, hook.timeout, interruption).map_err(text)? {
        End::Ended(status) => status,
        End::Late(seconds) => return Err(format!("hook ran past specified timeout of {seconds}.0s")),
        End::Interrupted => return Err("interrupted by a signal".to_owned()),
    };
    if status.success() {
        return Ok(());
    }
    Err(format!("{}, stdout: {}, stderr: {}", describe(status), told(output), told(errors)))
}

/// The state is read from memory, so that a hook that does not read it does not stop us.
fn command(hook: &Hook, state: &[u8]) -> io::Result<Command> {
    let mut input = File::from(sys::sealed_memfd("hook-state", state)?);
    input.rewind()?;
    let mut command = Command::new(&hook.path);
    command.arg0(hook.args.first().unwrap_or(&hook.path)).args(hook.args.iter().skip(1)).stdin(Stdio::from(input));
    sys::signal::reset_in(&mut command);
    command.env_clear().envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    Ok(command)
}

fn memory(name: &str) -> io::Result<File> {
    let fd: OwnedFd = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?;
    Ok(File::from(fd))
}

/// How a hook came to its end. The last two were killed.
enum End {
    Ended(ExitStatus),
    Late(i64),
    Interrupted,
}

/// Waits for the end, at most `timeout` seconds.
fn wait(child: &mut Child, timeout: Option<i64>, interruption: Option<&Interruption<'_>>) -> io::Result<End> {
    if timeout.is_none() && interruption.is_none() {
        return child.wait().map(End::Ended);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = timeout.map(|seconds| Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let early = loop {
        let left = deadline.map(|deadline| Timespec::try_from(deadline.saturating_duration_since(Instant::now())));
        let left = left.transpose().map_err(io::Error::other)?;
        let mut polled = vec![PollFd::new(&pidfd, PollFlags::IN)];
        polled.extend(interruption.map(|by| PollFd::from_borrowed_fd(by.fd, PollFlags::IN)));
        match rustix::event::poll(&mut polled, left.as_ref()) {
            Ok(0) => break End::Late(timeout.unwrap_or_default()),
            Ok(_) if !polled[0].revents().is_empty() => return child.wait().map(End::Ended),
            Ok(_) if interruption.is_some_and(|by| (by.came)()) => break End::Interrupted,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    };
    // It may just have ended.
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    child.wait()?;
    Ok(early)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal: {}", signal_name(signal)),
        (None, None) => status.to_string(),
    }
}

/// As strsignal(3) has them, in the case of the other texts.
const SIGNALS: [(Signal, &str); 12] = [
    (Signal::HUP, "hangup"),
    (Signal::INT, "interrupt"),
    (Signal::QUIT, "quit"),
    (Signal::ILL, "illegal instruction"),
    (Signal::ABORT, "aborted"),
    (Signal::BUS, "bus error"),
    (Signal::FPE, "floating point exception"),
    (Signal::KILL, "killed"),
    (Signal::SEGV, "segmentation fault"),
    (Signal::PIPE, "broken pipe"),
    (Signal::TERM, "terminated"),
    (Signal::SYS, "bad system call"),
];

fn signal_name(signal: i32) -> String {
    let known = SIGNALS.iter().find(|(known, _)| known.as_raw() == signal);
    known.map_or_else(|| signal.to_string(), |(_, name)| (*name).to_owned())
}

fn told(mut file: File) -> String {
    let mut text = Vec::new();
    let _ = file.rewind().and_then(|()| file.take(TOLD).read_to_end(&mut text));
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// The kernel's text without Rust's number.
fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" (os error").map_or(text.clone(), |(text, _)| text.to_lowercase())
}

//! pasta(1), of the project passt: connects the engine's network namespace with the host's network, without any rights.

use crate::ids::find_program;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take until the namespace has its network.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Questions to this address go to the host's name server, even if that one is at the host's loopback.
pub const NAME_SERVER: &str = "169.254.1.1";

/// Nothing is forwarded by itself (published ports are the host side's), and the gateway's address is not the host's
/// loopback: services that listen there are not for containers.
const OPTIONS: [&str; 15] = [
    "--config-net",
    "--quiet",
    "--foreground",
    "--ipv4-only",
    "--no-map-gw",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
    "--tcp-ns",
    "none",
    "--udp-ns",
    "none",
    "--dns-forward",
    NAME_SERVER,
];

/// A pasta that runs.
pub struct Pasta {
    child: Child,
}

impl Pasta {
    /// Connects the network namespace of `pid`; ready when this returns. The error is for people.
    pub fn start(pid: i32, exec_root: &Path) -> Result<Pasta, String> {
        let program = find_program("pasta").ok_or("pasta is not installed (package passt)")?;
        let pid_file = exec_root.join("pasta.pid");
        let log = exec_root.join("pasta.log");
        end_earlier(&pid_file);
        let failed = |e: io::Error| format!("cannot run {}: {e}", program.display());
        let said = File::create(&log).map_err(failed)?;
        let mut command = Command::new(&program);
        command.args(OPTIONS).arg("--pid").arg(&pid_file).arg(pid.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let mut pasta = Pasta { child: command.spawn().map_err(failed)? };
        match pasta.wait_until_ready(&pid_file) {
            Ok(()) => Ok(pasta),
            Err(e) => {
                pasta.end();
                let said = last_words(&log);
                Err(format!("{} cannot connect containers: {}", program.display(), said.unwrap_or(e.to_string())))
            }
        }
    }

    pub fn pid(&self) -> Option<i32> {
        i32::try_from(self.child.id()).ok()
    }

    /// It writes its file once the namespace is connected.
    fn wait_until_ready(&mut self, pid_file: &Path) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let process = self.pid().and_then(open).ok_or(Errno::SRCH)?;
        loop {
            if fs::metadata(pid_file).is_ok_and(|file| file.len() > 0) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // Its end is told at once.
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&PAUSE)))?;
        }
    }

    pub fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that lost its engine and its host side at once.
fn end_earlier(pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let _ = fs::remove_file(pid_file);
    let Some((pid, process)) = pid.and_then(|pid| Some((pid, open(pid)?))) else { return };
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let path = pid_file.as_os_str().as_encoded_bytes();
    if words.split(|byte| *byte == 0).any(|word| word == path) {
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
}

pub fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

/// What it said last that is of use: it also complains when there is no syslog.
fn last_words(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty() && !line.contains("syslog"));
    lines.next().map(str::to_owned)
}

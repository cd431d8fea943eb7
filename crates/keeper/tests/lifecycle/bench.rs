//! What every test needs: an exec root of its own, and a way to wait.

use keeper::client::{Error, Found, Keeper, Options};
use keeper::message::Event;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const DEADLINE: Duration = Duration::from_secs(20);

/// An exec root; at its end no keeper of it lives.
pub struct Bench {
    folder: TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        Bench { folder: tempfile::Builder::new().prefix("dhow-keeper-test-").tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn try_connect(&self) -> Result<(Keeper, Vec<Found>, Receiver<Event>), Error> {
        let exec_root = self.folder.path().to_owned();
        Keeper::connect(&Options { exec_root, binary: std::env::current_exe().unwrap() })
    }

    pub fn connect(&self) -> (Keeper, Vec<Found>, Receiver<Event>) {
        self.try_connect().unwrap_or_else(|error| panic!("{}: {:?}", base::chain(&error), self.last_words()))
    }

    /// What the keeper wrote before it died.
    pub fn last_words(&self) -> String {
        std::fs::read_to_string(self.path("keeper.log")).unwrap_or_default()
    }

    /// The keeper of this exec root ends by itself, its socket too.
    pub fn wait_for_end(&self, pid: i32) {
        eventually("the keeper ends", || !is_alive(pid));
        assert!(!self.path("keeper.sock").exists());
        assert_eq!(self.last_words(), "");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // After a failure: a keeper that still holds the lock of this folder is ours.
        let Ok((keeper, found, _events)) = self.try_connect() else { return };
        for process in found.iter().filter(|found| found.process.exited.is_none()) {
            let _ = kill(process.process.pid);
        }
        let _ = kill(keeper.pid());
        let pid = keeper.pid();
        drop(keeper);
        eventually("the keeper is gone", || !is_alive(pid));
    }
}

pub fn kill(pid: i32) -> std::io::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(std::io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
}

/// Neither gone nor a zombie.
pub fn is_alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap().trim_start().starts_with(['Z', 'X'])
}

pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is() {
        assert!(Instant::now() < deadline, "it did not happen: {what}");
        std::thread::yield_now();
    }
}

//! What every test needs: an exec root of its own, and a way to wait.

use keeper::client::{Error, Found, Keeper, Options};
use keeper::message::Event;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const DEADLINE: Duration = Duration::from_secs(60);

/// An exec root; at its end no keeper of it lives.
pub struct Bench {
    folder: PathBuf,
    /// `None` in another process than the test's.
    owned: Option<TempDir>,
}

impl Bench {
    pub fn new() -> Bench {
        let folder = tempfile::Builder::new().prefix("dhow-keeper-test-").tempdir().unwrap();
        Bench { folder: folder.path().to_owned(), owned: Some(folder) }
    }

    /// The one that the test's process made.
    pub fn at(folder: &Path) -> Bench {
        Bench { folder: folder.to_owned(), owned: None }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn try_connect(&self) -> Result<(Keeper, Vec<Found>, Receiver<Event>), Error> {
        let exec_root = self.folder.clone();
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
        if self.owned.is_none() || !self.path("keeper.sock").exists() {
            return;
        }
        // A keeper that still lives here has containers, or exits that nobody collected.
        let Ok((keeper, found, events)) = self.try_connect() else { return };
        let pid = keeper.pid();
        let running: Vec<_> =
            found.iter().map(|found| &found.process).filter(|process| process.exited.is_none()).collect();
        running.iter().for_each(|process| drop(kill(process.pid)));
        let ended = running.iter().all(|_| events.recv_timeout(DEADLINE).is_ok());
        found.iter().for_each(|found| drop(keeper.release(found.process.key)));
        if !ended {
            let _ = kill(pid);
        }
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

//! Makes a daemon of this process, and the only keeper of its exec root.

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What a keeper owns as long as it lives.
#[derive(Debug)]
pub struct Seat {
    pub listener: OwnedFd,
    path: PathBuf,
    /// Holds the lock that says this exec root has a keeper.
    _lock: File,
}

/// What containers are to have instead of what the keeper has for itself.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    pub oom_score_adj: i32,
    pub open_files: (u64, u64),
}

impl Seat {
    /// Listens in `exec_root`; `None` when another keeper does.
    pub fn take(exec_root: &Path) -> io::Result<Option<Seat>> {
        let lock = File::options().create(true).append(true).open(exec_root.join("keeper.lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            other => other?,
        }
        let path = exec_root.join("keeper.sock");
        // Whoever left it is dead: the lock is ours.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = rustix::net::bind(&listener, &SocketAddrUnix::new(&path)?);
        rustix::process::umask(umask);
        bound?;
        rustix::net::listen(&listener, 16)?;
        Ok(Some(Seat { listener, path, _lock: lock }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Own session, own name, orphans come here, many open files, the last to be killed for memory.
pub fn become_daemon() -> io::Result<Before> {
    // Started by hand it may already lead a group: then the terminal stays, which does no harm.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let _ = rustix::thread::set_name(c"dhow-keeper");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(Before { oom_score_adj: protect_from_oom(), open_files: raise_open_files() })
}

/// Says what it was before.
fn protect_from_oom() -> i32 {
    const PATH: &str = "/proc/self/oom_score_adj";
    let before = fs::read_to_string(PATH).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    // Not permitted without CAP_SYS_RESOURCE: then it stays as it is.
    let _ = fs::write(PATH, "-999");
    before
}

fn raise_open_files() -> (u64, u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX))
}

/// Tells who started this process how it went, and lets go of his pipe.
pub fn answer(word: u8) -> io::Result<()> {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(&[word]).and_then(|()| stdout.flush());
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(())
}

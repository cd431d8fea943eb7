//! The runtime's own program, out of the reach of containers (CVE-2019-5736).
//!
//! A process that enters a container runs this program until execve, and whoever is in there may open it through /proc/PID/exe. If
//! that could be written to, the next call of the runtime would run a container's code with the host's rights.

use rustix::fs::{CWD, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::{Errno, FdFlags};
use rustix::mount::OpenTreeFlags;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use sys::mount::{Change, Reach, attribute};
use sys::process::Strings;

const SELF: &str = "/proc/self/exe";

/// Executes this program again, with the same arguments and environment, from where it cannot be written to; returns at once
/// when it runs from there already. To be called first of all, in a process with one thread.
///
/// That is a read-only mount of the same file which is in nobody's mount namespace, so that nobody can make it writable; or,
/// without the right to mount, a sealed copy in memory.
pub fn seal_self() -> io::Result<()> {
    match program()? {
        Program::Ours => name_process(),
        Program::Sealed(program) => {
            let Err(error) = execute(&program);
            Err(error)
        }
    }
}

/// This program, where it cannot be written to.
#[derive(Debug)]
pub(crate) enum Program {
    /// It runs from there.
    Ours,
    Sealed(OwnedFd),
}

impl Program {
    /// For an execve in a forked child.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Ours => SELF.to_owned(),
            Self::Sealed(program) => format!("/proc/self/fd/{}", program.as_raw_fd()),
        }
    }

    /// Over an execve.
    pub(crate) fn stay_open(&self) -> io::Result<()> {
        match self {
            Self::Ours => Ok(()),
            Self::Sealed(program) => Ok(rustix::io::fcntl_setfd(program, FdFlags::empty())?),
        }
    }
}

/// Finds or makes a place for it.
pub(crate) fn program() -> io::Result<Program> {
    if is_sealed()? {
        return Ok(Program::Ours);
    }
    match read_only_mount() {
        Err(Errno::PERM | Errno::NOSYS | Errno::INVAL) => copy(),
        other => Ok(other?),
    }
    .map(Program::Sealed)
}

fn is_sealed() -> io::Result<bool> {
    let flags = rustix::fs::statvfs(SELF)?.f_flag;
    if flags.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let file = rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let seals = rustix::fs::fcntl_get_seals(&file).unwrap_or(SealFlags::empty());
    Ok(seals.contains(SealFlags::WRITE))
}

/// The kernel names a process that was executed by descriptor after its number (before Linux 6.14).
fn name_process() -> io::Result<()> {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default().to_owned();
    match std::ffi::CString::new(name.into_vec()) {
        Ok(name) if !name.is_empty() => Ok(rustix::thread::set_name(&name)?),
        _ => Ok(()),
    }
}

fn read_only_mount() -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, SELF, flags)?;
    let change = Change { set: attribute::RDONLY, ..Change::default() };
    sys::mount::set_attributes(mount.as_fd(), change, Reach::One)
        .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(mount)
}

fn copy() -> io::Result<OwnedFd> {
    let mut content = Vec::new();
    File::open(SELF)?.read_to_end(&mut content)?;
    sys::sealed_memfd("dhow", &content)
}

fn execute(program: &OwnedFd) -> io::Result<Infallible> {
    let broken = || io::Error::from(io::ErrorKind::InvalidInput);
    let arguments = Strings::new(std::env::args_os().map(OsStringExt::into_vec)).ok_or_else(broken)?;
    let variables = std::env::vars_os().map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='));
    let environment = Strings::new(variables).ok_or_else(broken)?;
    Err(sys::process::execveat(program.as_fd(), &arguments, &environment))
}

//! What a container shares of another one: namespaces, and the /dev/shm that belongs to an ipc namespace.
//!
//! Everything is held by descriptor, and only after it was opened the other's process is asked for: a number that was given to
//! a stranger meanwhile is noticed.

use crate::{Engine, Error, Result};
use container::{Container, IpcMode, PidMode};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::thread::UnshareFlags;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// statfs(2): the magic number of tmpfs.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The process of a container that runs.
pub(super) struct Neighbour {
    pid: i32,
    pidfd: OwnedFd,
}

/// What a start holds open of others until its plan is made.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) pid: Option<OwnedFd>,
    pub(super) ipc: Option<OwnedFd>,
    /// A detached mount.
    pub(super) shm: Option<OwnedFd>,
}

impl Neighbour {
    /// One of its namespaces (`net`, `user`, `pid`, `ipc`).
    pub(super) fn namespace(&self, kind: &str) -> Result<OwnedFd> {
        let path = format!("/proc/{}/ns/{kind}", self.pid);
        let failed = |source| Error::Io { action: format!("open {path}"), source };
        let file = File::open(&path).map_err(failed)?;
        // Still the same process: so it was when the file was opened.
        sys::pidfd::send_signal(&self.pidfd, 0).map_err(failed)?;
        Ok(file.into())
    }

    /// A clone of its /dev/shm. A mount of another mount namespace can only be cloned from inside of that: a thread goes there
    /// for it, and ends.
    fn shm(&self) -> Result<OwnedFd> {
        let pidfd = self.pidfd.as_fd();
        let made = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("join-shm".into()).stack_size(256 << 10);
            let thread = thread.spawn_scoped(scope, || shm_of(pidfd))?;
            thread.join().map_err(|_| std::io::Error::other("the thread panicked"))?
        });
        made.map_err(|source| Error::Io {
            action: "share /dev/shm of the container whose ipc is joined".into(),
            source,
        })
    }
}

/// On a thread of its own, which is lost for everything else.
fn shm_of(pidfd: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    // A thread that shares its root and working folder with others cannot change its mount namespace (setns(2)).
    sys::namespace::unshare(UnshareFlags::FS)?;
    sys::namespace::setns(pidfd, UnshareFlags::NEWNS)?;
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat2(&root, "dev/shm", flags, Mode::empty(), inside)?;
    if rustix::fs::fstatfs(&folder)?.f_type != TMPFS_MAGIC {
        return Err(Errno::MEDIUMTYPE.into());
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(&folder, "", flags)?;
    let private = sys::mount::Change { propagation: Some(sys::mount::Propagation::Private), ..Default::default() };
    sys::mount::set_attributes(tree.as_fd(), private, sys::mount::Reach::One)?;
    Ok(tree)
}

impl Engine {
    /// A container that runs; `what` of it is to be joined.
    pub(super) fn neighbour(&self, text: &str, what: &str) -> Result<Neighbour> {
        let owner = self.house.shelf.find(text)?;
        let live = crate::streams::lock(&owner.live);
        let live = live
            .as_ref()
            .ok_or_else(|| Error::Conflict(format!("cannot join {what} of a non running container: {text}")))?;
        let pidfd = live.pidfd.try_clone();
        let pidfd = pidfd.map_err(|source| Error::Io { action: "duplicate a file descriptor".into(), source })?;
        Ok(Neighbour { pid: live.pid, pidfd })
    }

    /// Opens what `record` joins besides user and network namespaces.
    pub(super) fn join(&self, record: &Container) -> Result<Joined> {
        let mut joined = Joined::default();
        if let PidMode::Container(text) = &record.config.pid {
            joined.pid = Some(self.neighbour(text, "PID namespace")?.namespace("pid")?);
        }
        if let IpcMode::Container(text) = &record.config.ipc {
            self.check_shareable(text)?;
            let neighbour = self.neighbour(text, "IPC namespace")?;
            joined.ipc = Some(neighbour.namespace("ipc")?);
            joined.shm = Some(neighbour.shm()?);
        }
        Ok(joined)
    }

    /// Only those that offer it (as Docker's, daemon/container_operations_unix.go).
    fn check_shareable(&self, text: &str) -> Result<()> {
        match self.house.shelf.find(text)?.record().config.ipc {
            IpcMode::Shareable | IpcMode::Host | IpcMode::Container(_) => Ok(()),
            IpcMode::Private | IpcMode::None => Err(Error::Invalid(format!(
                "can't join IPC of container {text}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            ))),
        }
    }
}

/// A path that leads this very process to what `fd` refers to.
pub(super) fn path_of(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens a folder for nothing but to look further from there.
pub(super) fn open_folder(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

//! The files of a container as it sees them, on a thread of their own.
//!
//! - *It runs*: the root of its mount namespace, with volumes, binds and its tmpfs mounts. Opened by a thread that goes there and
//!   ends; everything else is done from outside, by that one descriptor.
//! - *It does not*: its layers, with its volumes and binds mounted over them in a mount namespace that nobody else sees. For
//!   reading the writable folder is a lower one, so that a slow reader keeps nobody from starting it; for writing its turn is held.

use super::seat::{self, Seat};
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::Container;
use rustix::fs::{Mode, OFlags};
use rustix::thread::UnshareFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// The root of a container while work is done below it.
pub(super) struct View {
    root: OwnedFd,
}

impl View {
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Engine {
    /// Does `work` with files that it does not change.
    pub(super) fn reading<T: Send>(&self, cell: &Arc<Cell>, work: impl FnOnce(&View) -> Result<T> + Send) -> Result<T> {
        self.refuse_dying(cell, "copy files of")?;
        let turn = lock(&cell.turn);
        if let Some(root) = live_root(cell)? {
            drop(turn);
            return work(&View { root });
        }
        let record = cell.record();
        let folder = self.house.roots.container(&record.id);
        let lowers = self.lowers(&record)?;
        self.complete_root(&record, &Seat { folder: folder.clone(), id_map: None, made_of: self.owner(&record) })?;
        let seat = Seat { folder: folder.clone(), id_map: None, made_of: 0 };
        let mounted = self.hold_volumes(&record)?;
        let sources = self.seat_sources(&record, seat::Access::Read)?;
        drop(turn);
        // Lives until the end: an empty folder may be a part of it.
        let tree = self.house.images.layers().view(&lowers, &folder)?;
        let done = on_own_thread(|| {
            let seated = seat.take(tree.root(), &sources)?;
            work(&View { root: seated.root()? })
        });
        drop(mounted);
        done
    }

    /// Does `work` with files that it may change; what it makes belongs to the container's root.
    pub(super) fn writing<T: Send>(&self, cell: &Arc<Cell>, work: impl FnOnce(&View) -> Result<T> + Send) -> Result<T> {
        self.refuse_dying(cell, "copy files to")?;
        let turn = lock(&cell.turn);
        let record = cell.record();
        let owner = self.owner(&record);
        if let Some(root) = live_root(cell)? {
            drop(turn);
            let done = on_own_thread(|| {
                act_as(owner)?;
                work(&View { root })
            })?;
            return match lock(&cell.live).is_some() {
                true => Ok(done),
                // Its mounts went away below the copy.
                false => Err(Error::Conflict(format!("container {} ended while files were copied to it", cell.name()))),
            };
        }
        let folder = self.house.roots.container(&record.id);
        let user_namespace = (owner != 0).then(|| self.house.user_namespace.as_fd());
        let seat = Seat { folder, id_map: user_namespace, made_of: owner };
        let _mounted = self.hold_volumes(&record)?;
        let sources = self.seat_sources(&record, seat::Access::Write)?;
        let tree = self.mount_root(&record)?;
        on_own_thread(|| {
            act_as(owner)?;
            let seated = seat.take(tree.as_fd(), &sources)?;
            work(&View { root: seated.root()? })
        })
    }

    /// Makes what volumes and binds are mounted on, as a start would: a tree for reading cannot.
    fn complete_root(&self, record: &Container, seat: &Seat<'_>) -> Result<()> {
        let root = self.mount_root(record)?;
        seat::targets(record).try_for_each(|(target, kind)| {
            seat.make_place(root.as_fd(), target, kind).map(drop).map_err(|e| seat::failed(target, e))
        })
    }
}

fn act_as(owner: u32) -> Result<()> {
    if owner == 0 {
        return Ok(());
    }
    sys::owner::make_files_of(owner)
        .map_err(|source| Error::Io { action: "act as the container's root".into(), source })
}

/// Namespaces and file system ids are the thread's, which is lost for everything else.
fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("files".into()).stack_size(1 << 20);
        let thread =
            thread.spawn_scoped(scope, work).map_err(|source| Error::Io { action: "start a thread".into(), source })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The root of the mount namespace of a container that runs.
fn live_root(cell: &Cell) -> Result<Option<OwnedFd>> {
    let failed = |source| Error::Io { action: format!("open the files of {}", cell.id), source };
    let live = lock(&cell.live);
    let Some(live) = live.as_ref() else { return Ok(None) };
    let pidfd = live.pidfd.try_clone().map_err(failed)?;
    on_own_thread(move || match enter(pidfd.as_fd()) {
        Ok(root) => Ok(Some(root)),
        // It has ended, and its end is not handled yet.
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            Err(Error::NotRunning(cell.id.to_string()))
        }
        Err(e) => Err(failed(e)),
    })
}

/// Of /proc/PID/root the container decides: chroot(2) changes it. That of its namespace it cannot change.
fn enter(pidfd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // A thread that shares its root and working folder with others cannot change its mount namespace (setns(2)).
    sys::namespace::unshare(UnshareFlags::FS)?;
    sys::namespace::setns(pidfd, UnshareFlags::NEWNS)?;
    Ok(rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

//! Mounts that have no place on the host yet, shown at paths: CRIU knows nothing else.
//!
//! ```text
//!   EXEC_ROOT/restoring/ID/      a private mount of its own: what is mounted in it spreads nowhere
//!       0, 1, 2, ...             one mount each
//!   EXEC_ROOT/restoring/ID.work  CRIU's log
//! ```
//!
//! The restored process opens these paths itself, with the rights of the container's root: it may pass, and look at nothing. When it
//! has taken them all is taken away; what an engine that was killed left the next one takes away.

use crate::containers::hooks::let_pass;
use crate::{Error, Result};
use base::Id;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use sys::mount::{Change, Propagation, Reach};

/// Below the exec root.
const FOLDER: &str = "restoring";

/// What is shown for one container. Dropped, it is no more.
#[derive(Debug)]
pub(super) struct Shown {
    folder: PathBuf,
    work: PathBuf,
    count: usize,
}

impl Shown {
    /// `group`: the container's root on the host.
    pub(super) fn make(exec: &Path, id: &Id, group: u32) -> Result<Shown> {
        let top = exec.join(FOLDER);
        let folder = top.join(id.to_string());
        let shown = Shown { work: top.join(format!("{id}.work")), folder, count: 0 };
        let make = || {
            take_away(&shown.folder)?;
            clear(&shown.work)?;
            DirBuilder::new().recursive(true).mode(0o710).create(&shown.folder)?;
            DirBuilder::new().mode(0o700).create(&shown.work)?;
            for parent in [exec, &top, &shown.folder] {
                let_pass(parent, group, 0o710)?;
            }
            rustix::mount::mount_bind(&shown.folder, &shown.folder)?;
            Ok(rustix::mount::mount_change(&shown.folder, MountPropagationFlags::PRIVATE)?)
        };
        make().map_err(|source| failed(&shown.folder, source))?;
        Ok(shown)
    }

    /// A folder for CRIU's log, which is in nobody else's hands.
    pub(super) fn work(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&self.work, flags, Mode::empty()).map_err(|e| failed(&self.work, e.into()))
    }

    pub(super) fn log(&self, name: &str) -> io::Result<File> {
        File::open(self.work.join(name))
    }

    /// The path at which a detached mount is shown from here on; its descriptor stays good.
    pub(super) fn place(&mut self, mount: BorrowedFd<'_>) -> Result<String> {
        let path = self.folder.join(self.count.to_string());
        self.count += 1;
        let place = || {
            let stat = rustix::fs::statat(mount, "", AtFlags::EMPTY_PATH)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => fs::create_dir(&path)?,
                _ => drop(File::create_new(&path)?),
            }
            Ok(rustix::mount::move_mount(mount, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
        };
        place().map_err(|source| failed(&path, source))?;
        Ok(path.display().to_string())
    }

    /// The same without what is mounted below it: of a mount with others below it no user namespace may take a part (EINVAL).
    pub(super) fn place_alone(&mut self, mount: BorrowedFd<'_>) -> Result<String> {
        let whole = self.place(mount)?;
        // Before Linux 6.15 only of one that has a place.
        let alone = clone(mount).map_err(|source| failed(Path::new(&whole), source))?;
        self.place(alone.as_fd())
    }

    /// The same for what lies at `rest` below a mount that is shown already, itself the top of a mount.
    pub(super) fn place_below(&mut self, mount: BorrowedFd<'_>, rest: &str) -> Result<String> {
        let copy = below(mount, rest).map_err(|source| failed(Path::new(rest), source))?;
        self.place(copy.as_fd())
    }
}

/// A copy of a mount below another one, found through no link.
fn below(mount: BorrowedFd<'_>, rest: &str) -> io::Result<OwnedFd> {
    let strict = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(mount, rest, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), strict)?;
    clone(found.as_fd())
}

/// A detached copy that spreads nowhere.
pub(super) fn clone(mount: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let copy = rustix::mount::open_tree(mount, "", flags)?;
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    sys::mount::set_attributes(copy.as_fd(), private, Reach::One)?;
    Ok(copy)
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io { action: format!("show the mount {} to criu", path.display()), source }
}

impl Drop for Shown {
    fn drop(&mut self) {
        for (path, gone) in [(&self.folder, take_away(&self.folder)), (&self.work, clear(&self.work))] {
            if let Err(e) = gone {
                tracing::warn!("cannot take {} away: {e}", path.display());
            }
        }
    }
}

/// Takes away what engines before this one left.
pub(crate) fn sweep(exec: &Path) {
    let Ok(entries) = fs::read_dir(exec.join(FOLDER)) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_work = path.extension().is_some_and(|extension| extension == "work");
        if let Err(e) = if is_work { clear(&path) } else { take_away(&path) } {
            tracing::warn!("cannot take {} away: {e}", path.display());
        }
    }
}

/// Unmounts a folder with all that is mounted in it, and then deletes what mounts were placed on: never what is in them.
fn take_away(folder: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(folder, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() { fs::remove_dir(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    fs::remove_dir(folder)
}

fn clear(work: &Path) -> io::Result<()> {
    match base::tree::remove(work) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

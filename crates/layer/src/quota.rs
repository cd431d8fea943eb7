//! How much a container may write into its root (`--storage-opt size=`): a project of the file system's quotas, where it has them
//! (xfs mounted with `pquota`, ext4 with `prjquota`).
//!
//! Upper and work folder are of one project: overlayfs moves files from one to the other, which a file system refuses between
//! projects.

use crate::Error;
use crate::lower::step;
use crate::store::fail;
use rustix::fs::{Mode, OFlags};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Projects of containers are numbered from here; people number theirs from 1.
const FIRST: u32 = 0x4000_0000;
/// How many numbers are tried before there seem to be none.
const TRIES: u32 = 64;

impl crate::Store {
    /// Limits what will be written into the root of a container at `rw`, in bytes. Before its first mount.
    pub fn limit(&self, rw: &Path, bytes: u64) -> Result<(), Error> {
        let upper = rw.join("upper");
        DirBuilder::new().recursive(true).mode(0o700).create(&upper).map_err(fail("make", &upper))?;
        let folder = open(&upper).map_err(fail("open", &upper))?;
        let project = free(folder.as_fd()).map_err(|_| Error::NoQuota)?;
        sys::quota::set_project(folder.as_fd(), project).map_err(|_| Error::NoQuota)?;
        sys::quota::set_limit(folder.as_fd(), project, bytes).map_err(step("limit what is written"))
    }

    /// Lets a container's project go, before its folder is removed.
    pub fn unlimit(&self, rw: &Path) {
        let Ok(folder) = open(&rw.join("upper")) else { return };
        if let Ok(project @ 1..) = sys::quota::project(folder.as_fd())
            && let Err(e) = sys::quota::set_limit(folder.as_fd(), project, 0)
        {
            tracing::warn!("the quota of project {project} stays: {e}");
        }
    }
}

/// Puts the work folder into the project of the upper one, if that has one.
pub(crate) fn share(rw: &Path) -> io::Result<()> {
    let upper = open(&rw.join("upper"))?;
    match sys::quota::project(upper.as_fd()) {
        // A file system that knows none.
        Ok(0) | Err(_) => Ok(()),
        Ok(project) => sys::quota::set_project(open(&rw.join("work"))?.as_fd(), project),
    }
}

/// A number that nobody has.
fn free(folder: BorrowedFd<'_>) -> io::Result<u32> {
    for _ in 0..TRIES {
        let digits = base::Id::random().short();
        let number = FIRST | (u32::from_str_radix(&digits[..7], 16).unwrap_or_default() & (FIRST - 1));
        match sys::quota::usage(folder, number) {
            Ok((0, false)) => return Ok(number),
            // XFS has no record of a project that never was.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(number),
            Err(e) => return Err(e),
            Ok(_) => {}
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

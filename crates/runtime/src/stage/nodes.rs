//! Device nodes and links that are made in the container's root itself.

use super::resolve::{self, PROC_SUPER_MAGIC, Sort};
use super::tree::{self, Tree};
use crate::Node;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// In it, `ptmx` is replaced: only that of the container's own devpts may be there.
const PTMX: &str = "/dev/ptmx";

impl Tree<'_> {
    /// Makes a node, or binds `host`'s where none may be made. What is there already stays.
    pub(super) fn make_device(&self, path: &str, node: &Node, host: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        let Some(host) = host else {
            return match rustix::fs::mknodat(&parent, name, sort_of(node), mode_of(node), node.number) {
                Err(Errno::EXIST) => Ok(()),
                other => other.and_then(|()| give(parent.as_fd(), name, node)),
            };
        };
        match rustix::fs::mknodat(&parent, name, FileType::RegularFile, Mode::empty(), 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        let place = resolve::strictly_beneath(parent.as_fd(), name, OFlags::PATH)?;
        if resolve::sort_of(place.as_fd())? == Sort::Folder {
            return Err(Errno::ISDIR);
        }
        tree::attach(host, place.as_fd())
    }

    pub(super) fn make_link(&self, path: &str, target: &str) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        if path == PTMX {
            match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        match rustix::fs::symlinkat(target, &parent, name) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    /// The folder that a path is in, made if it is not there, and the last name. Links in the way lead nowhere outside
    /// (CVE-2026-41579), nor into procfs.
    fn parent<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str), Errno> {
        let (parent, name) = path.trim_end_matches('/').rsplit_once('/').ok_or(Errno::INVAL)?;
        if matches!(name, "" | "." | "..") {
            return Err(Errno::INVAL);
        }
        let parent = resolve::folder(self.root(), parent)?;
        match rustix::fs::fstatfs(&parent)?.f_type {
            PROC_SUPER_MAGIC => Err(Errno::PERM),
            _ => Ok((parent, name)),
        }
    }
}

fn sort_of(node: &Node) -> FileType {
    FileType::from_raw_mode(node.mode)
}

/// The umask is 0 by now.
fn mode_of(node: &Node) -> Mode {
    Mode::from_raw_mode(node.mode & 0o7777)
}

/// Gives a new node to its owner, if it is still the one that was made.
fn give(parent: BorrowedFd<'_>, name: &str, node: &Node) -> Result<(), Errno> {
    if (node.uid, node.gid) == (0, 0) {
        return Ok(());
    }
    let made = resolve::strictly_beneath(parent, name, OFlags::PATH)?;
    let stat = rustix::fs::statat(&made, "", AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(stat.st_mode) != sort_of(node) || stat.st_rdev != node.number {
        return Err(Errno::STALE);
    }
    let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
    rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
}

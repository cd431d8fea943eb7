//! The folders that entries go into: opened once each, made where they are missing.

use super::Destination;
use crate::Error;
use crate::pack::is_made_up;
use crate::path::split;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Folders kept open at most.
const OPEN: usize = 128;
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

pub(super) struct Folders<'a> {
    destination: Destination<'a>,
    top: Rc<OwnedFd>,
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
}

impl<'a> Folders<'a> {
    pub(super) fn new(destination: Destination<'a>) -> Result<Folders<'a>, Error> {
        let opened = destination.folder.try_clone_to_owned().and_then(checked);
        let top = opened.map_err(|e| super::failed(destination.named.as_bytes(), e))?;
        Ok(Folders { destination, top: Rc::new(top), open: HashMap::new() })
    }

    /// Opens the folder `path` below the destination (normal; empty for that itself), and makes it where it is missing.
    pub(super) fn open(&mut self, path: &[u8]) -> io::Result<Rc<OwnedFd>> {
        match self.open_existing(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (parent, name) = split(path);
                let parent = self.open(parent)?;
                match rustix::fs::mkdirat(&*parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => self.open_existing(path),
                    Err(e) => Err(e.into()),
                }
            }
            other => other,
        }
    }

    pub(super) fn open_existing(&mut self, path: &[u8]) -> io::Result<Rc<OwnedFd>> {
        if path.is_empty() {
            return Ok(Rc::clone(&self.top));
        }
        if let Some(folder) = self.open.get(path) {
            return Ok(Rc::clone(folder));
        }
        let folder = Rc::new(checked(self.beneath(path)?)?);
        if self.open.len() >= OPEN {
            self.open.clear();
        }
        self.open.insert(path.to_vec(), Rc::clone(&folder));
        Ok(folder)
    }

    /// Removes what stands at `path`, which is `name` in `folder`, with all below it.
    pub(super) fn clear(&mut self, path: &[u8], folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            other => return Ok(other?),
        }
        let below = |other: &[u8]| other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
        self.open.retain(|open, _| !below(open));
        let inner = crate::beneath::open(folder.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY);
        // A volume is mounted there: it cannot be taken away.
        let inner = inner.map_err(|e| if e == Errno::XDEV { Errno::BUSY } else { e })?;
        base::tree::empty(inner.as_fd())?;
        Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
    }

    /// A relative symlink that stays below the destination is followed there; any other from the container's root.
    fn beneath(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        match resolve(self.top.as_fd(), path, ResolveFlags::BENEATH) {
            Err(Errno::XDEV) => {
                let whole = [self.destination.path.as_bytes(), b"/", path].concat();
                resolve(self.destination.root, &whole, ResolveFlags::IN_ROOT)
            }
            other => other,
        }
    }
}

fn resolve(folder: BorrowedFd<'_>, path: &[u8], how: ResolveFlags) -> Result<OwnedFd, Errno> {
    loop {
        match rustix::fs::openat2(folder, path, FOLDER, Mode::empty(), how | ResolveFlags::NO_MAGICLINKS) {
            // A rename somewhere raced with the walk (openat2(2)).
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Files of the kernel's own making are no place for a copy: some change the whole machine (CVE-2025-52881).
fn checked(folder: OwnedFd) -> io::Result<OwnedFd> {
    if is_made_up(folder.as_fd())? { Err(Errno::PERM.into()) } else { Ok(folder) }
}

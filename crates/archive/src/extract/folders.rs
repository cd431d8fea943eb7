//! The folders of a tree being unpacked: which are open, and what each will look like in the end.

use super::attributes;
use crate::overlay::Marks;
use crate::path::split;
use crate::{Entry, Error, beneath};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

/// Folders kept open at most: far more than one path is deep, far less than the fds of a process.
const OPEN: usize = 128;

/// Folders of one tree, below `root`.
pub struct Folders<'root> {
    root: BorrowedFd<'root>,
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// The folder of the latest entry: most entries come folder by folder.
    latest: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// What to set at the end: of each folder its latest entry.
    looks: BTreeMap<Vec<u8>, Entry>,
}

/// A later entry of the archive took the folder's place.
fn replaced(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}

/// What stands under a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Occupant {
    Folder,
    Whiteout,
    Other,
}

impl<'root> Folders<'root> {
    pub fn new(root: BorrowedFd<'root>) -> Folders<'root> {
        Folders { root, open: HashMap::new(), latest: None, looks: BTreeMap::new() }
    }

    /// Opens the folder `path` (normal; empty for the root) and makes it when it is missing.
    pub fn open(&mut self, path: &[u8]) -> io::Result<Rc<OwnedFd>> {
        match self.open_existing(path) {
            // ENOTDIR: perhaps a whiteout of this layer that now gives way.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.make_all(path)?;
                self.open_existing(path)
            }
            other => other,
        }
    }

    pub fn open_existing(&mut self, path: &[u8]) -> io::Result<Rc<OwnedFd>> {
        if let Some((latest, folder)) = &self.latest
            && latest == path
        {
            return Ok(Rc::clone(folder));
        }
        let folder = match self.open.get(path) {
            Some(folder) => Rc::clone(folder),
            None => {
                let folder = Rc::new(self.beneath(path, OFlags::PATH)?);
                if self.open.len() >= OPEN {
                    self.open.clear();
                }
                self.open.insert(path.to_vec(), Rc::clone(&folder));
                folder
            }
        };
        self.latest = Some((path.to_vec(), Rc::clone(&folder)));
        Ok(folder)
    }

    /// mkdirat(2); the mode comes at the end.
    pub fn make(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700))
    }

    /// Notes how the folder `path` shall look.
    pub fn remember(&mut self, path: Vec<u8>, entry: Entry) {
        self.looks.insert(path, entry);
    }

    /// Lower layers do not show through the folder `path` (overlayfs.rst, "whiteouts and opaque directories").
    pub fn make_opaque(&mut self, path: &[u8]) -> io::Result<()> {
        self.open(path)?;
        let folder = self.beneath(path, OFlags::RDONLY)?;
        Ok(rustix::fs::fsetxattr(folder, Marks::of_this_process().opaque(), b"y", rustix::fs::XattrFlags::empty())?)
    }

    pub fn occupant(&self, folder: &OwnedFd, name: &[u8]) -> io::Result<Occupant> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Occupant::Folder,
            FileType::CharacterDevice if stat.st_rdev == 0 => Occupant::Whiteout,
            _ => Occupant::Other,
        })
    }

    /// Removes what stands at `path`, which is `name` in `folder`, with all below it.
    pub fn clear(&mut self, path: &[u8], folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
        match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            other => return Ok(other?),
        }
        let below = |other: &[u8]| other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/');
        self.open.retain(|open, _| !below(open));
        self.latest.take_if(|(open, _)| below(open));
        let whole = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(OsStr::from_bytes(name));
        base::tree::remove(&whole)
    }

    /// Gives every folder its owner, mode, attributes and time.
    pub fn settle(mut self) -> Result<(), Error> {
        for (path, entry) in std::mem::take(&mut self.looks) {
            let done = match self.beneath(&path, OFlags::RDONLY) {
                Ok(folder) => {
                    let done = attributes::on_file(folder.as_fd(), &entry);
                    // The next one is often below it.
                    self.latest = Some((path.clone(), Rc::new(folder)));
                    done
                }
                Err(e) if replaced(&e) => Ok(()),
                Err(e) => Err(e),
            };
            done.map_err(|source| Error::Entry { path: String::from_utf8_lossy(&path).into_owned(), source })?;
        }
        Ok(())
    }

    fn make_all(&mut self, path: &[u8]) -> io::Result<()> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let (folder, name) = split(&path[..end]);
            let folder = self.open_existing(folder)?;
            match self.make_plain(&folder, name) {
                Ok(()) => {}
                Err(Errno::EXIST) => self.uncover(&path[..end], &folder, name)?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// A parent as it looks that the archive never names. Nothing above has a set-group-id bit or a default ACL yet.
    fn make_plain(&self, folder: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        self.make(folder, name)?;
        rustix::fs::chmodat(folder, name, Mode::from_raw_mode(0o755), AtFlags::empty())
    }

    /// A parent that an earlier entry hid: a fresh folder that hides what is below, as image-spec's order-free rule
    /// asks.
    fn uncover(&mut self, path: &[u8], folder: &OwnedFd, name: &[u8]) -> io::Result<()> {
        if self.occupant(folder, name)? != Occupant::Whiteout {
            return Ok(());
        }
        self.clear(path, folder, name)?;
        self.make_plain(folder, name)?;
        let fresh = self.beneath(path, OFlags::RDONLY)?;
        Ok(rustix::fs::fsetxattr(fresh, Marks::of_this_process().opaque(), b"y", rustix::fs::XattrFlags::empty())?)
    }

    fn beneath(&self, path: &[u8], access: OFlags) -> io::Result<OwnedFd> {
        // From the latest folder on: a path of a thousand names is so opened name by name, and not from the root each time.
        let shorter = self.latest.as_ref().and_then(|(latest, folder)| {
            let rest = path.strip_prefix(&latest[..])?.strip_prefix(b"/")?;
            (!latest.is_empty()).then_some((folder.as_fd(), rest))
        });
        let (from, path) = shorter.unwrap_or((self.root, path));
        Ok(beneath::open(from, path, access | OFlags::DIRECTORY)?)
    }
}

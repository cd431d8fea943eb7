//! The walk of the tree: every path against what is expected of it.

use super::expected::{Content, Expected, Node, NodeKind, Same, failed};
use super::{Difference, MOST};
use crate::beneath::open;
use crate::overlay::Marks;
use crate::{Entry, EntryKind, Error, Time, owners};
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, makedev};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Largest extended attribute (xattr(7)).
const MAX_ATTRIBUTE: usize = 64 * 1024;

pub fn walk(expected: Expected<'_>) -> Result<Vec<Difference>, Error> {
    let Expected { root, nodes, files, .. } = expected;
    let mut walk = Walk { nodes, files, found: Vec::new() };
    let top = open(root, b"", OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed(b"", e.into()))?;
    walk.one(&top, b".", Vec::new()).map_err(|e| failed(b"", e))?;
    let mut folders = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let open = open(root, &folder, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| failed(&folder, e.into()))?;
        walk.folder(&open, &folder, &mut folders).map_err(|e| failed(&folder, e))?;
        if walk.found.len() >= MOST {
            return Ok(walk.found);
        }
    }
    let missing = walk.nodes.into_keys().map(|path| Difference { path, what: "is missing" });
    walk.found.extend(missing.take(MOST));
    Ok(walk.found)
}

struct Walk {
    nodes: BTreeMap<Vec<u8>, Node>,
    files: Vec<Content>,
    found: Vec<Difference>,
}

impl Walk {
    fn folder(&mut self, open: &OwnedFd, folder: &[u8], folders: &mut Vec<Vec<u8>>) -> io::Result<()> {
        for entry in Dir::read_from(open)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let path = if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') };
            if self.one(open, name, path.clone())? {
                folders.push(path);
            }
        }
        Ok(())
    }

    /// Looks at `name` in `folder`. Returns whether it is a folder whose content is to be looked at.
    fn one(&mut self, folder: &OwnedFd, name: &[u8], path: Vec<u8>) -> io::Result<bool> {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let Some(node) = self.nodes.remove(&path) else {
            // The root needs no entry.
            if !path.is_empty() {
                self.found.push(Difference { path, what: "is not in the tar" });
            }
            return Ok(false);
        };
        let here = Here { path: place(folder, name), stat: &stat };
        let what = match &node.kind {
            NodeKind::Whiteout => (!here.is_device(FileType::CharacterDevice, 0)).then_some("is no whiteout"),
            NodeKind::Parent if !is_folder => Some("is no folder"),
            NodeKind::Parent if path.is_empty() => None,
            NodeKind::Parent => here.looks(0o755, 0, 0),
            NodeKind::Named(entry) => here.differs(entry)?,
        };
        let what = match what {
            None if node.is_folder()
                && here.attribute(Marks::of_this_process().opaque().as_bytes())?.is_some() != node.opaque =>
            {
                Some("hides other things of lower layers")
            }
            None => node.file.and_then(|file| self.files.get_mut(file)).and_then(|file| content(file, stat.st_ino)),
            what => what,
        };
        self.found.extend(what.map(|what| Difference { path, what }));
        Ok(is_folder && node.is_folder())
    }
}

fn content(file: &mut Content, inode: u64) -> Option<&'static str> {
    if *file.inode.get_or_insert(inode) != inode {
        return Some("is no longer the same file under all its names");
    }
    (file.same == Same::No).then_some("has other content")
}

/// One path of the tree.
struct Here<'a> {
    path: PathBuf,
    stat: &'a Stat,
}

impl Here<'_> {
    fn differs(&self, entry: &Entry) -> io::Result<Option<&'static str>> {
        if !self.is_a(entry) {
            return Ok(Some("is of another type"));
        }
        let mode = if entry.kind == EntryKind::Symlink { self.stat.st_mode & 0o7777 } else { entry.mode };
        let (uid, gid) = owners::of(entry);
        if let Some(what) = self.looks(mode, uid, gid) {
            return Ok(Some(what));
        }
        let size = entry.sparse.as_ref().map_or(entry.size, |sparse| sparse.file_size);
        if entry.kind == EntryKind::File && u64::try_from(self.stat.st_size).ok() != Some(size) {
            return Ok(Some("has another size"));
        }
        if entry.kind == EntryKind::Symlink && std::fs::read_link(&self.path)?.as_os_str().as_bytes() != entry.link {
            return Ok(Some("points elsewhere"));
        }
        if !same_time(self.stat, entry.modified) {
            return Ok(Some("has another time"));
        }
        self.attributes(entry)
    }

    fn is_a(&self, entry: &Entry) -> bool {
        let device = makedev(entry.device.0, entry.device.1);
        match entry.kind {
            EntryKind::Char => self.is_device(FileType::CharacterDevice, device),
            EntryKind::Block => self.is_device(FileType::BlockDevice, device),
            kind => {
                let wanted = match kind {
                    EntryKind::Folder => FileType::Directory,
                    EntryKind::Symlink => FileType::Symlink,
                    EntryKind::Fifo => FileType::Fifo,
                    _ => FileType::RegularFile,
                };
                FileType::from_raw_mode(self.stat.st_mode) == wanted
            }
        }
    }

    fn is_device(&self, kind: FileType, device: u64) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == kind && self.stat.st_rdev == device
    }

    fn looks(&self, mode: u32, uid: u32, gid: u32) -> Option<&'static str> {
        if (self.stat.st_uid, self.stat.st_gid) != (uid, gid) {
            return Some("has another owner");
        }
        (self.stat.st_mode & 0o7777 != mode).then_some("has another mode")
    }

    /// What a file system cannot keep was left out when the tree was made; capabilities never were, nor are they added.
    fn attributes(&self, entry: &Entry) -> io::Result<Option<&'static str>> {
        const CAPABILITY: &[u8] = b"security.capability";
        for (name, value) in entry.kept_xattrs() {
            let same = match self.attribute(name)? {
                Some(ours) => ours == value,
                None => name != CAPABILITY && !(name.starts_with(b"user.") && entry.kind == EntryKind::File),
            };
            if !same {
                return Ok(Some("has other extended attributes"));
            }
        }
        let has_capability = entry.xattrs.iter().any(|(name, _)| name == CAPABILITY);
        if entry.kind == EntryKind::File && !has_capability && self.attribute(CAPABILITY)?.is_some() {
            return Ok(Some("has capabilities that the tar does not give"));
        }
        Ok(None)
    }

    fn attribute(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; MAX_ATTRIBUTE];
        match rustix::fs::lgetxattr(&self.path, name, &mut value[..]) {
            Ok(size) => {
                value.truncate(size);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// File systems keep whole seconds or finer, and none keeps every second there is.
fn same_time(stat: &Stat, time: Time) -> bool {
    const KEPT_EVERYWHERE: std::ops::Range<i64> = -(1 << 31)..(1 << 31);
    if !KEPT_EVERYWHERE.contains(&time.seconds) {
        return true;
    }
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime == time.seconds && (nanoseconds == time.nanoseconds || nanoseconds == 0)
}

/// The name of a file for the calls that take no file descriptor and a name.
fn place(folder: &OwnedFd, name: &[u8]) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(OsStr::from_bytes(name))
}

//! A tar's files put into a tree that exists, while others may change that.
//!
//! Where [`extract`](crate::extract()) fills a folder of nobody else's, here a container may swap any folder for a symlink between
//! two steps. So folders are held by descriptor, names in them are never followed, and a symlink on the way to a folder leads
//! to where it leads in the container: below its root (openat2(2), RESOLVE_IN_ROOT), never elsewhere.

mod folders;
mod nodes;
#[cfg(test)]
mod tests;

use crate::extract::fill::Filling;
use crate::extract::{attributes, failed};
use crate::path::{normal, split};
use crate::{Entry, EntryKind, Error, Reader};
use folders::Folders;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// Ids of a container (ARCHITECTURE.md, "Ids").
const RANGE: u32 = 65_536;

/// Where a tar goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// What absolute symlinks begin at, and none leads out of.
    pub root: BorrowedFd<'a>,
    /// The folder.
    pub folder: BorrowedFd<'a>,
    /// How one gets there from the root.
    pub path: &'a str,
    /// How it is called where something is wrong.
    pub named: &'a str,
    /// What names begin with in the archive, and what they are to begin with.
    pub renamed: Option<Renamed<'a>>,
    /// The host's id of the container's root: owners are counted from it. 0 leaves them as they are.
    pub owner: u32,
    /// Owner of all, in place of the entries': as the container counts them.
    pub of: Option<(u32, u32)>,
    pub replacing: Replacing,
}

/// Another beginning of names: an empty one is the root of all (`/etc`).
#[derive(Debug, Clone, Copy)]
pub struct Renamed<'a> {
    pub from: &'a str,
    pub to: &'a str,
}

impl Renamed<'_> {
    fn apply(&self, path: Vec<u8>) -> Vec<u8> {
        if self.from.is_empty() {
            let bare = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
            return [self.to.as_bytes(), b"/", &path[bare..]].concat();
        }
        match path.strip_prefix(self.from.as_bytes()) {
            Some(rest) if rest.is_empty() || rest[0] == b'/' => [self.to.as_bytes(), rest].concat(),
            _ => path,
        }
    }
}

/// What may give way to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacing {
    Anything,
    /// A folder only to a folder, and nothing else to a folder.
    SameKind,
}

/// Puts the files of the plain tar `source` into `destination`.
pub fn copy_in(source: impl Read, destination: Destination<'_>) -> Result<(), Error> {
    let mut reader = Reader::new(source);
    let folders = Folders::new(destination)?;
    let mut placing = Placing { destination, folders, late: Vec::new() };
    while let Some(entry) = reader.next()? {
        placing.entry(&mut reader, entry)?;
    }
    placing.settle();
    Ok(())
}

struct Placing<'a> {
    destination: Destination<'a>,
    folders: Folders<'a>,
    /// Folders whose times are set at the end: what is put into them changes those.
    late: Vec<(Vec<u8>, Entry)>,
}

/// Where an entry goes: a folder that is open, and a name in it.
struct Place<'a> {
    path: &'a [u8],
    folder: Rc<OwnedFd>,
    name: &'a [u8],
}

impl Placing<'_> {
    fn entry<R: Read>(&mut self, reader: &mut Reader<R>, mut entry: Entry) -> Result<(), Error> {
        if let Some(renamed) = self.destination.renamed {
            entry.path = renamed.apply(entry.path);
            if entry.kind == EntryKind::Hardlink {
                entry.link = renamed.apply(entry.link);
            }
        }
        let outside = |_| Error::Outside {
            name: String::from_utf8_lossy(&entry.path).into_owned(),
            folder: self.destination.named.to_owned(),
        };
        let path = normal(&entry.path).map_err(outside)?;
        if path.is_empty() {
            return Ok(());
        }
        let entry = self.owned(&path, entry)?;
        let (folder, name) = split(&path);
        let place = Place { path: &path, folder: self.folders.open(folder).map_err(|e| failed(&path, e))?, name };
        let there = self.make_room(&place, &entry)?;
        match entry.kind {
            EntryKind::File => file(reader, &place, entry),
            EntryKind::Folder => self.folder(&place, entry, there).map_err(|e| failed(&path, e)),
            EntryKind::Hardlink => self.hardlink(&place, &entry).map_err(|e| failed(&path, e)),
            EntryKind::Symlink | EntryKind::Char | EntryKind::Block | EntryKind::Fifo => {
                nodes::make(place.folder.as_fd(), place.name, &entry).map_err(|e| failed(&path, e))
            }
            EntryKind::Note => Ok(()),
        }
    }

    /// The entry with the ids that its owner has on the host.
    fn owned(&self, path: &[u8], mut entry: Entry) -> Result<Entry, Error> {
        (entry.uid, entry.gid) = self.destination.of.unwrap_or((entry.uid, entry.gid));
        let owner = self.destination.owner;
        if owner != 0 {
            if let Some(id) = [entry.uid, entry.gid].into_iter().find(|id| *id >= RANGE) {
                let why = io::Error::other(format!("Container ID {id} cannot be mapped to a host ID"));
                return Err(failed(path, why));
            }
            entry.uid += owner;
            entry.gid += owner;
            nodes::own_capability(&mut entry, owner);
        }
        Ok(entry)
    }

    /// What stands at the place gives way, unless it must not. True when a folder is there for a folder.
    fn make_room(&mut self, place: &Place<'_>, entry: &Entry) -> Result<bool, Error> {
        let kind = match rustix::fs::statat(&*place.folder, place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            other => other.map_err(|e| failed(place.path, e.into()))?.st_mode,
        };
        let (is, will_be) = (FileType::from_raw_mode(kind) == FileType::Directory, entry.kind == EntryKind::Folder);
        if is && will_be {
            return Ok(true);
        }
        if is != will_be && self.destination.replacing == Replacing::SameKind {
            let full =
                format!("{}/{}", self.destination.named.trim_end_matches('/'), String::from_utf8_lossy(place.path));
            let folder = self.destination.named.to_owned();
            return Err(if is {
                Error::OverFolder { path: full, folder }
            } else {
                Error::OverFile { path: full, folder }
            });
        }
        self.folders.clear(place.path, &place.folder, place.name).map_err(|e| failed(place.path, e))?;
        Ok(false)
    }

    fn folder(&mut self, place: &Place<'_>, entry: Entry, there: bool) -> io::Result<()> {
        if !there {
            rustix::fs::mkdirat(&*place.folder, place.name, Mode::RWXU)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::openat(&*place.folder, place.name, flags, Mode::empty())?;
        give(open.as_fd(), &entry)?;
        attributes::on_file(open.as_fd(), &entry)?;
        self.late.push((place.path.to_vec(), entry));
        Ok(())
    }

    /// linkat(2) without AT_SYMLINK_FOLLOW: the target is a name in a folder, never what a symlink points to.
    fn hardlink(&mut self, place: &Place<'_>, entry: &Entry) -> io::Result<()> {
        let target = normal(&entry.link).map_err(io::Error::other)?;
        let (folder, name) = split(&target);
        let folder = self.folders.open_existing(folder)?;
        Ok(rustix::fs::linkat(&*folder, name, &*place.folder, place.name, AtFlags::empty())?)
    }

    /// Of a folder that somebody took away meanwhile nothing is to be set.
    fn settle(mut self) {
        for (path, entry) in std::mem::take(&mut self.late) {
            if let Ok(folder) = self.folders.open_existing(&path) {
                let _ = rustix::fs::openat(&*folder, c".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                    .and_then(|open| rustix::fs::futimens(&open, &attributes::times(&entry)));
            }
        }
    }
}

fn file<R: Read>(reader: &mut Reader<R>, place: &Place<'_>, entry: Entry) -> Result<(), Error> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&*place.folder, place.name, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|e| failed(place.path, e.into()))?);
    give(file.as_fd(), &entry).map_err(|e| failed(place.path, e))?;
    if entry.sparse.is_some() {
        fill_sparse(reader, &file, &entry).map_err(|e| e.during(place.path))?;
        return attributes::on_file(file.as_fd(), &entry).map_err(|e| failed(place.path, e));
    }
    let mut filling = Filling::new(file, entry);
    loop {
        match reader.content()? {
            [] => return filling.finish(),
            piece => filling.piece(piece)?,
        }
    }
}

/// Whatever the folder around it would give to what is new (a set-group-id bit its group).
fn give(file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let (uid, gid) = crate::owners::of(entry);
    Ok(rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Why a sparse file was not filled.
enum Unfilled {
    Archive(Error),
    File(io::Error),
}

impl Unfilled {
    fn during(self, path: &[u8]) -> Error {
        match self {
            Unfilled::Archive(error) => error,
            Unfilled::File(error) => failed(path, error),
        }
    }
}

/// Holes stay holes.
fn fill_sparse<R: Read>(reader: &mut Reader<R>, file: &File, entry: &Entry) -> Result<(), Unfilled> {
    let Some(sparse) = &entry.sparse else { return Ok(()) };
    file.set_len(sparse.file_size).map_err(Unfilled::File)?;
    for extent in &sparse.extents {
        let (mut at, mut left) = (extent.offset, extent.length);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = reader.content_up_to(most).map_err(Unfilled::Archive)?;
            if piece.is_empty() {
                return Ok(());
            }
            file.write_all_at(piece, at).map_err(Unfilled::File)?;
            at += piece.len() as u64;
            left -= piece.len() as u64;
        }
    }
    Ok(())
}

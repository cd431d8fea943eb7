//! A layer's tar becomes a folder that overlayfs can take as a lower layer (image-spec 1.1, layer.md).
//!
//! Every path is opened below the root fd by openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS (Linux 5.6): a
//! symlink of the archive can point where it likes, nothing is ever written through it. The tree must be private to the
//! caller until this ends.
//!
//! - A later entry replaces an earlier one; folders merge.
//! - Missing parents are made, mode 0755, owner 0:0.
//! - Owners, modes and times of folders are set at the end: what is written into a folder does not disturb them, and
//!   neither a
//!   set-group-id bit nor a default ACL leaks into what is unpacked after it.
//! - Nothing is synced: that is the layer store's policy.

pub(crate) mod attributes;
pub(crate) mod fill;
mod folders;
mod holes;
#[cfg(test)]
mod tests;
pub(crate) mod whiteout;

use crate::path::{normal, split};
use crate::{Entry, EntryKind, Error, Reader};
use fill::{Aside, Filling, Gone};
use folders::{Folders, Occupant};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::OnceLock;
use std::thread::Scope;
use whiteout::Whiteout;

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Bytes of the files' content and of the symlinks' targets.
    pub bytes: u64,
    pub entries: u64,
}

/// Unpacks the plain tar `source` below `root`, and reads the source to its end.
pub fn extract(source: impl Read, root: BorrowedFd<'_>) -> Result<Unpacked, Error> {
    let mut reader = Reader::new(source);
    std::thread::scope(|scope| {
        let mut tree = Tree { folders: Folders::new(root), done: Unpacked::default(), scope, aside: None };
        let read = tree.entries(&mut reader);
        // Where both failed, the other thread is why.
        tree.aside.take().map_or(Ok(()), Aside::join)?;
        read?;
        tree.folders.settle()?;
        Ok(tree.done)
    })
}

struct Tree<'root, 'scope, 'env> {
    folders: Folders<'root>,
    done: Unpacked,
    scope: &'scope Scope<'scope, 'env>,
    /// Made when the first large file comes.
    aside: Option<Aside<'scope>>,
}

/// Where an entry goes: a folder that is open, and a name in it.
struct Place<'a> {
    path: &'a [u8],
    folder: Rc<OwnedFd>,
    name: &'a [u8],
}

impl<'scope> Tree<'_, 'scope, '_> {
    fn entries<R: Read>(&mut self, reader: &mut Reader<R>) -> Result<(), Error> {
        while let Some(entry) = reader.next()? {
            self.entry(reader, entry)?;
        }
        reader.drain()
    }

    fn entry<R: Read>(&mut self, reader: &mut Reader<R>, entry: Entry) -> Result<(), Error> {
        let path = normal(&entry.path)?;
        self.done.entries += 1;
        match whiteout::read(&path, &entry.path)? {
            Whiteout::No => self.unpack(reader, &path, entry),
            Whiteout::Metadata => Ok(()),
            Whiteout::Opaque { folder } => self.folders.make_opaque(folder).map_err(|e| failed(&path, e)),
            Whiteout::Of { folder, name } => self.hide(&path, folder, name).map_err(|e| failed(&path, e)),
        }
    }

    fn unpack<R: Read>(&mut self, reader: &mut Reader<R>, path: &[u8], entry: Entry) -> Result<(), Error> {
        if path.is_empty() {
            if entry.kind != EntryKind::Folder {
                return Err(Error::broken(&entry.path, "the root can only be a folder"));
            }
            self.folders.remember(Vec::new(), entry);
            return Ok(());
        }
        let (folder, name) = split(path);
        let folder = self.folders.open(folder).map_err(|e| refused(path, e))?;
        let place = Place { path, folder, name };
        match entry.kind {
            EntryKind::File => self.file(reader, &place, entry),
            EntryKind::Hardlink => self.hardlink(&place, &entry),
            EntryKind::Folder => self.folder(&place, entry).map_err(|e| failed(path, e)),
            EntryKind::Symlink if entry.link.is_empty() => Err(Error::broken(path, "a symlink to nothing")),
            EntryKind::Symlink | EntryKind::Char | EntryKind::Block | EntryKind::Fifo => {
                self.node(&place, &entry).map_err(|e| failed(path, e))
            }
            EntryKind::Note => Ok(()),
        }
    }

    fn file<R: Read>(&mut self, reader: &mut Reader<R>, place: &Place<'_>, entry: Entry) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self
            .put(place, || rustix::fs::openat(&*place.folder, place.name, flags, Mode::from_raw_mode(0o600)))
            .map_err(|e| failed(place.path, e))?;
        let file = File::from(file);
        if let Some(sparse) = &entry.sparse {
            self.fill_sparse(reader, &file, place, sparse)?;
            return attributes::on_file(file.as_fd(), &entry).map_err(|e| failed(place.path, e));
        }
        self.done.bytes += entry.size;
        if fill::is_large(entry.size) && several_cores() {
            if self.aside.is_none() {
                self.aside = Aside::start(self.scope);
            }
            if let Some(aside) = self.aside.as_ref().filter(|aside| aside.takes(entry.size)) {
                return hand_over(reader, aside, Filling::new(file, entry));
            }
        }
        let mut filling = Filling::new(file, entry);
        loop {
            match reader.content()? {
                [] => return filling.finish(),
                piece => filling.piece(piece)?,
            }
        }
    }

    /// Holes stay holes, so a small archive cannot fill the disk.
    fn fill_sparse<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        file: &File,
        place: &Place<'_>,
        sparse: &crate::Sparse,
    ) -> Result<(), Error> {
        file.set_len(sparse.file_size).map_err(|e| failed(place.path, e))?;
        let mut extents = sparse.extents.iter().filter(|extent| extent.length > 0).copied();
        let mut extent = extents.next();
        loop {
            let mut piece = reader.content()?;
            if piece.is_empty() {
                return Ok(());
            }
            self.done.bytes += piece.len() as u64;
            while let (Some(current), false) = (extent.as_mut(), piece.is_empty()) {
                let length = usize::try_from(current.length).map_or(piece.len(), |l| l.min(piece.len()));
                let (now, later) = piece.split_at(length);
                file.write_all_at(now, current.offset).map_err(|e| failed(place.path, e))?;
                current.offset += length as u64;
                current.length -= length as u64;
                piece = later;
                if current.length == 0 {
                    extent = extents.next();
                }
            }
        }
    }

    fn folder(&mut self, place: &Place<'_>, entry: Entry) -> io::Result<()> {
        match self.folders.make(&place.folder, place.name) {
            Ok(()) => {}
            Err(Errno::EXIST) => match self.folders.occupant(&place.folder, place.name)? {
                Occupant::Folder => {}
                Occupant::Whiteout => {
                    self.folders.clear(place.path, &place.folder, place.name)?;
                    self.folders.make(&place.folder, place.name)?;
                    self.folders.make_opaque(place.path)?;
                }
                Occupant::Other => {
                    self.folders.clear(place.path, &place.folder, place.name)?;
                    self.folders.make(&place.folder, place.name)?;
                }
            },
            Err(errno) => return Err(errno.into()),
        }
        self.folders.remember(place.path.to_vec(), entry);
        Ok(())
    }

    /// linkat(2) without AT_SYMLINK_FOLLOW below openat2(2): the target is a name in this layer, never what a symlink
    /// points to.
    fn hardlink(&mut self, place: &Place<'_>, entry: &Entry) -> Result<(), Error> {
        let target = normal(&entry.link)?;
        if target.is_empty() {
            return Err(Error::broken(place.path, "a hard link to nothing"));
        }
        if target == place.path {
            return Ok(());
        }
        let (folder, name) = split(&target);
        let folder = match self.folders.open_existing(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(no_target(place.path)),
            other => other.map_err(|e| refused(place.path, e))?,
        };
        let link = || rustix::fs::linkat(&*folder, name, &*place.folder, place.name, AtFlags::empty());
        match self.put(place, link) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(no_target(place.path)),
            other => other.map_err(|e| failed(place.path, e)),
        }
    }

    fn node(&mut self, place: &Place<'_>, entry: &Entry) -> io::Result<()> {
        let device = makedev(entry.device.0, entry.device.1);
        let mode = Mode::from_raw_mode(0o600);
        let (folder, name) = (&*place.folder, place.name);
        self.put(place, || match entry.kind {
            EntryKind::Symlink => rustix::fs::symlinkat(&entry.link[..], folder, name),
            EntryKind::Char => rustix::fs::mknodat(folder, name, FileType::CharacterDevice, mode, device),
            EntryKind::Block => rustix::fs::mknodat(folder, name, FileType::BlockDevice, mode, device),
            _ => rustix::fs::mknodat(folder, name, FileType::Fifo, mode, 0),
        })?;
        // Of a symlink the length of its target.
        self.done.bytes += entry.link.len() as u64;
        attributes::on_name(folder.as_fd(), name, entry)
    }

    /// `name` of the lower layers is gone. What this layer itself has under the name stays (image-spec 1.1, layer.md,
    /// "Whiteouts"), but hides all that is below it.
    fn hide(&mut self, path: &[u8], folder: &[u8], name: &[u8]) -> io::Result<()> {
        let open = self.folders.open(folder)?;
        match rustix::fs::mknodat(&*open, name, FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
        if self.folders.occupant(&open, name)? == Occupant::Folder {
            let (folder, _) = split(path);
            let own = if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') };
            self.folders.make_opaque(&own)?;
        }
        Ok(())
    }

    /// Creates something at `place`; what stands there gives way.
    fn put<T>(&mut self, place: &Place<'_>, create: impl Fn() -> Result<T, Errno>) -> io::Result<T> {
        match create() {
            Err(Errno::EXIST) => {
                self.folders.clear(place.path, &place.folder, place.name)?;
                Ok(create()?)
            }
            other => Ok(other?),
        }
    }
}

fn hand_over<R: Read>(reader: &mut Reader<R>, aside: &Aside<'_>, filling: Filling) -> Result<(), Error> {
    let gone = |_: Gone| Error::Broken("the thread that writes files has ended".to_owned());
    aside.begin(filling).map_err(gone)?;
    loop {
        match reader.content()? {
            [] => return aside.end().map_err(gone),
            piece => aside.piece(piece).map_err(gone)?,
        }
    }
}

fn several_cores() -> bool {
    static SEVERAL: OnceLock<bool> = OnceLock::new();
    *SEVERAL.get_or_init(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}

pub(crate) fn failed(path: &[u8], source: io::Error) -> Error {
    Error::Entry { path: String::from_utf8_lossy(path).into_owned(), source }
}

/// A parent that is a symlink is the archive's fault; everything else is the file system's.
fn refused(path: &[u8], error: io::Error) -> Error {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::LOOP | Errno::NOTDIR) => Error::broken(path, "it goes through a symlink or a file"),
        _ => failed(path, error),
    }
}

fn no_target(path: &[u8]) -> Error {
    Error::broken(path, "a hard link to a file that is not in the archive")
}

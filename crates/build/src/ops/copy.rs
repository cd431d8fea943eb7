//! `COPY`: files of a tree put into another. What is there stays or gives way as it does with BuildKit.

use super::mode::Chmod;
use super::place::{self, Occupied, Owner};
use crate::context::{Chosen, Deep, Each, Entry, Pattern, Scope, choose, cleaned, joined};
use crate::{Error, Result};
use archive::pack::{At, Attributes, Look};
use registry::Cancel;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

const BUFFER: usize = 1 << 20;

/// How files are copied.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// In place of the source's owners.
    pub owner: Option<Owner>,
    pub chmod: Option<Chmod>,
    /// Below the destination, the folders of the source's path too.
    pub parents: Parents,
    /// Whether a stage's extended attributes come along; a client's mean nothing.
    pub attributes: Keep,
    /// What a source without owners of its own gets.
    pub cancel: Cancel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parents {
    No,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    No,
    Yes,
}

/// A source of a `COPY`, as it is written, with the number of parts before `/./`, which `--parents` leaves away.
pub(crate) fn sources(scope: Scope<'_>, text: &str, parents: Parents) -> Result<(usize, Vec<Chosen>)> {
    let deep = if parents == Parents::Yes { Deep::Yes } else { Deep::No };
    let chosen = choose(scope, Pattern { text, deep })?;
    let left_away = text.find("/./").map_or(String::new(), |at| cleaned(&text[..at]));
    let pivot = left_away.split('/').filter(|part| !part.is_empty()).count();
    Ok((pivot, chosen))
}

/// Copies what was chosen to `destination`, an absolute path whose slash at the end means something.
pub(crate) fn copy(
    root: BorrowedFd<'_>,
    scope: Scope<'_>,
    (pivot, chosen): &(usize, Vec<Chosen>),
    destination: &str,
    manner: &Manner,
) -> Result<()> {
    let mut copying = Copying {
        root,
        manner,
        attributes: Attributes::new(0),
        links: HashMap::new(),
        buffer: Vec::new(),
        late: Vec::new(),
    };
    // A file that is named itself is meant, whatever `--exclude` says; with `--parents` it is one of a tree.
    let is_left_out = |source: &Chosen| {
        manner.parents == Parents::Yes && scope.leaves_out(source, without_first(&source.path, *pivot))
    };
    for source in chosen.iter().filter(|source| !is_left_out(source)) {
        copying.source(scope, source, *pivot, destination)?;
    }
    Ok(())
}

struct Copying<'a> {
    root: BorrowedFd<'a>,
    manner: &'a Manner,
    attributes: Attributes,
    /// Where the first name of a file with several lies, of one source.
    links: HashMap<(u32, u32, u64), Vec<u8>>,
    buffer: Vec<u8>,
    /// Folders whose times are set at the end: what is put into them changes those.
    late: Vec<(OwnedFd, Look)>,
}

impl Copying<'_> {
    fn source(&mut self, scope: Scope<'_>, source: &Chosen, pivot: usize, destination: &str) -> Result<()> {
        let mut base = cleaned(destination).into_bytes();
        if self.manner.parents == Parents::Yes {
            let path = without_first(&source.path, pivot);
            let above = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &path[..at]);
            self.parents(scope, source, path, &base)?;
            if source.look.kind == FileType::Directory {
                base = joined(&base, path);
                return self.tree(scope, source, &base);
            }
            base = joined(&base, above);
            return self.file(source, &base, name_of(path));
        }
        if source.look.kind == FileType::Directory {
            return self.tree(scope, source, &base);
        }
        let is_folder = destination.ends_with('/')
            || destination.ends_with("/.")
            || place::find(self.root, &base, OFlags::PATH | OFlags::DIRECTORY).is_ok_and(|found| found.is_some());
        if is_folder {
            return self.file(source, &base, name_of(&source.path));
        }
        let mut base = place::behind_links(self.root, base)?;
        let name = name_of(&base).to_vec();
        base.truncate(base.len().saturating_sub(name.len() + 1));
        self.file(source, &base, &name)
    }

    /// The folders above a source, as they are there.
    fn parents(&mut self, scope: Scope<'_>, source: &Chosen, path: &[u8], base: &[u8]) -> Result<()> {
        let before = source.path.len() - path.len();
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let there = place::find(scope.root, &source.path[..before + at], OFlags::PATH | OFlags::DIRECTORY)?;
            let Some(there) = there else { continue };
            let look = Look::of_open(&there).map_err(Error::io("look at a folder"))?;
            let target = joined(base, &path[..at]);
            if place::find(self.root, &target, OFlags::PATH)?.is_none() {
                let folder = place::folder(self.root, &target, self.owner(&look), self.mode(&look))?;
                self.late.push((folder, look));
            }
        }
        Ok(())
    }

    fn owner(&self, look: &Look) -> Owner {
        self.manner.owner.unwrap_or(match self.manner.attributes {
            Keep::Yes => Owner { uid: look.uid, gid: look.gid },
            Keep::No => Owner::default(),
        })
    }

    fn mode(&self, look: &Look) -> u32 {
        let is_folder = look.kind == FileType::Directory;
        self.manner.chmod.as_ref().map_or(look.mode, |chmod| chmod.apply(look.mode, is_folder))
    }

    /// The mode of folders that are made on the way: numbers of `--chmod` count for them, words do not.
    fn mode_above(&self) -> u32 {
        match &self.manner.chmod {
            Some(Chmod::Bits(bits)) => bits & 0o777,
            _ => 0o755,
        }
    }

    /// What is in a folder, into another, which is made when it is missing.
    fn tree(&mut self, scope: Scope<'_>, source: &Chosen, base: &[u8]) -> Result<()> {
        let owner = self.manner.owner.unwrap_or_default();
        let top = place::folder(self.root, base, owner, self.mode_above())?;
        // It has the time of the source, new or not, and never its mode.
        let again = top.try_clone().map_err(Error::io("keep a folder open"))?;
        self.late.push((again, source.look));
        self.links.clear();
        let mut folders: Vec<(Vec<u8>, OwnedFd)> = vec![(Vec::new(), top)];
        let mut each = Each::new(scope, source)?;
        while let Some(entry) = each.next_entry()? {
            if self.manner.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let above = entry.path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at);
            while folders.last().is_some_and(|(path, _)| path.as_slice() != &entry.path[..above]) && folders.len() > 1 {
                folders.pop();
            }
            let Some((_, parent)) = folders.last() else { return Ok(()) };
            let parent = parent.try_clone().map_err(Error::io("keep a folder open"))?;
            if let Some(folder) = self.entry(&entry, parent.as_fd(), &joined(base, &entry.path))? {
                folders.push((entry.path, folder));
            }
        }
        self.settle()
    }

    fn settle(&mut self) -> Result<()> {
        for (folder, look) in std::mem::take(&mut self.late).into_iter().rev() {
            rustix::fs::futimens(&folder, &times(&look)).map_err(Error::errno("set the time of a folder"))?;
        }
        Ok(())
    }

    /// One thing below a folder; a folder is returned, for what is in it.
    fn entry(&mut self, entry: &Entry, parent: BorrowedFd<'_>, target: &[u8]) -> Result<Option<OwnedFd>> {
        let name = entry.name.to_bytes();
        if entry.look.kind == FileType::Directory {
            return self.folder(entry, parent, target).map(Some);
        }
        place::make_room(parent, name, entry.look.kind)?;
        if entry.look.kind != FileType::RegularFile {
            self.node(entry, parent, name).map_err(Error::errno(format!("copy {}", place::shown(target))))?;
            return Ok(None);
        }
        if entry.look.links > 1 {
            if self.linked(&entry.look, parent, name) {
                return Ok(None);
            }
            self.links.insert(entry.look.inode, target.to_vec());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = rustix::fs::openat(entry.folder.as_fd(), &*entry.name, flags, Mode::empty());
        let source = source.map_err(Error::errno(format!("read {}", place::shown(&entry.path))))?;
        self.content(source, &entry.look, parent, name).map(|()| None)
    }

    /// Whether a file of several names could get this one, too. Links on the way to the first name lead where they lead in this
    /// tree: linkat(2) alone would follow them to the machine's own files.
    fn linked(&self, look: &Look, parent: BorrowedFd<'_>, name: &[u8]) -> bool {
        let Some(first) = self.links.get(&look.inode) else { return false };
        let above = first.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |at| &first[..at]);
        let Ok(Some(folder)) = place::find(self.root, above, OFlags::PATH | OFlags::DIRECTORY) else { return false };
        let Ok(first) = CString::new(name_of(first)) else { return false };
        // Another file may have taken its place.
        let is_same = Look::of(folder.as_fd(), &first).is_ok_and(|there| {
            (there.kind, there.size, there.modified) == (FileType::RegularFile, look.size, look.modified)
        });
        is_same && rustix::fs::linkat(&folder, &*first, parent, OsStr::from_bytes(name), AtFlags::empty()).is_ok()
    }

    fn folder(&mut self, entry: &Entry, parent: BorrowedFd<'_>, target: &[u8]) -> Result<OwnedFd> {
        let failed = || format!("copy {}", place::shown(target));
        let name = OsStr::from_bytes(entry.name.to_bytes());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match place::make_room(parent, entry.name.to_bytes(), FileType::Directory)? {
            Occupied::Link => place::folder(self.root, target, Owner::default(), 0o755)?,
            occupied => {
                if occupied == Occupied::No {
                    rustix::fs::mkdirat(parent, name, Mode::RWXU).map_err(Error::errno(failed()))?;
                }
                let open = rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, Mode::empty());
                open.map_err(Error::errno(failed()))?
            }
        };
        self.dress(folder.as_fd(), &entry.look, At::Name(entry.folder.as_fd(), &entry.name))
            .map_err(Error::io(failed()))?;
        let again = folder.try_clone().map_err(Error::io(failed()))?;
        self.late.push((again, entry.look));
        Ok(folder)
    }

    /// A source that is no folder, under a name in a folder.
    fn file(&mut self, source: &Chosen, base: &[u8], name: &[u8]) -> Result<()> {
        let folder = place::folder(self.root, base, self.manner.owner.unwrap_or_default(), self.mode_above())?;
        if name.is_empty() {
            return Err(Error::Invalid("a file cannot take the place of the root".to_owned()));
        }
        // What is there may be a link to a file: it is replaced, not written through.
        place::make_room(folder.as_fd(), name, source.look.kind)?;
        if source.look.kind != FileType::RegularFile {
            return Err(Error::Invalid(format!("{}: not a file or folder", place::shown(&source.path))));
        }
        let path = format!("/proc/self/fd/{}", source.file.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = rustix::fs::open(path, flags, Mode::empty());
        let open = open.map_err(Error::errno(format!("read {}", place::shown(&source.path))))?;
        self.content(open, &source.look, folder.as_fd(), name)?;
        self.settle()
    }

    fn content(&mut self, source: OwnedFd, look: &Look, parent: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
        let failed = || Error::io(format!("copy {}", place::shown(name)));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = rustix::fs::openat(parent, OsStr::from_bytes(name), flags, Mode::RUSR | Mode::WUSR);
        let target = target.map_err(|e| failed()(e.into()))?;
        let (mut source, mut target) = (File::from(source), File::from(target));
        self.pour(&mut source, &mut target).map_err(failed())?;
        self.dress(target.as_fd(), look, At::Open(source.as_fd())).map_err(failed())?;
        rustix::fs::futimens(&target, &times(look)).map_err(|e| failed()(e.into()))
    }

    fn pour(&mut self, source: &mut File, target: &mut File) -> std::io::Result<()> {
        self.buffer.resize(BUFFER, 0);
        loop {
            let got = match source.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => got,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if self.manner.cancel.is_cancelled() {
                return Err(std::io::Error::other("cancelled"));
            }
            target.write_all(&self.buffer[..got])?;
        }
    }

    /// Owner, mode, and attributes of a stage's file.
    fn dress(&mut self, target: BorrowedFd<'_>, look: &Look, from: At<'_>) -> std::io::Result<()> {
        let owner = self.owner(look);
        rustix::fs::fchown(target, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
        rustix::fs::fchmod(target, Mode::from_raw_mode(self.mode(look)))?;
        if self.manner.attributes == Keep::Yes {
            for (name, value) in self.attributes.read(from)? {
                rustix::fs::fsetxattr(target, name.as_str(), &value, XattrFlags::empty())?;
            }
        }
        Ok(())
    }

    /// A symlink, a device or a pipe.
    fn node(&mut self, entry: &Entry, parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
        let (look, name) = (&entry.look, OsStr::from_bytes(name));
        let mode = Mode::from_raw_mode(self.mode(look));
        if look.kind == FileType::Symlink {
            let target = rustix::fs::readlinkat(entry.folder.as_fd(), &*entry.name, Vec::new())?;
            rustix::fs::symlinkat(target, parent, name)?;
        } else {
            let device = rustix::fs::makedev(look.device.0, look.device.1);
            rustix::fs::mknodat(parent, name, look.kind, mode, device)?;
            rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
        }
        let owner = self.owner(look);
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::utimensat(parent, name, &times(look), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// A path without so many of its first parts.
fn without_first(path: &[u8], parts: usize) -> &[u8] {
    (0..parts).fold(path, |path, _| {
        path.iter().position(|byte| *byte == b'/').map_or(&path[path.len()..], |at| &path[at + 1..])
    })
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn times(look: &Look) -> Timestamps {
    let at = Timespec { tv_sec: look.modified.seconds, tv_nsec: look.modified.nanoseconds.into() };
    Timestamps { last_access: at, last_modification: at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn copied(from: &Path, to: &Path) {
        let (from, to) = (File::open(from).unwrap(), File::open(to).unwrap());
        let scope = Scope { root: from.as_fd(), ignore: None, exclude: None };
        let manner =
            Manner { owner: None, chmod: None, parents: Parents::No, attributes: Keep::Yes, cancel: Cancel::default() };
        let chosen = sources(scope, ".", Parents::No).unwrap();
        copy(to.as_fd(), scope, &chosen, "/", &manner).unwrap();
    }

    #[test]
    fn what_is_left_away_is_counted_in_folders() {
        assert_eq!(without_first(b"alpha/b/c", 1), b"b/c");
        assert_eq!(without_first(b"alpha/b/c", 0), b"alpha/b/c");
        assert_eq!(without_first(b"alpha", 1), b"");
        assert_eq!(without_first(b"a", 3), b"");
    }

    #[test]
    fn a_second_name_is_never_one_of_the_machines_own_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["machine", "source/x", "root"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("machine/first"), "secret").unwrap();
        fs::write(at("source/x/first"), "copied").unwrap();
        fs::hard_link(at("source/x/first"), at("source/x/second")).unwrap();
        let modified = fs::metadata(at("source/x/first")).unwrap().modified().unwrap();
        File::options().write(true).open(at("machine/first")).unwrap().set_modified(modified).unwrap();
        // In the root the link leads to a folder of the root's.
        let inside = at("root").join(at("machine").strip_prefix("/").unwrap());
        fs::create_dir_all(&inside).unwrap();
        std::os::unix::fs::symlink(at("machine"), at("root/x")).unwrap();
        copied(&at("source"), &at("root"));
        for name in ["first", "second"] {
            assert_eq!(fs::read_to_string(inside.join(name)).unwrap(), "copied", "{name}");
        }
        use std::os::unix::fs::MetadataExt;
        assert_eq!(fs::metadata(inside.join("second")).unwrap().nlink(), 2);
        assert_eq!(fs::metadata(at("machine/first")).unwrap().nlink(), 1);
    }
}

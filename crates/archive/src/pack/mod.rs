//! A tree becomes a tar: sorted, with PAX records where USTAR is too small, the same bytes for the same tree.
//!
//! - Names are sorted bytewise in each folder, parents come before what is in them; `./` is there only when the root is
//!   not 0755 of 0:0. The second name of a file is a hard link to its first.
//! - Sockets are left out, as everywhere; so is what is on other mounts.
//! - Sparse files are written in full, their holes not read. The sparse formats of PAX and GNU would break what splits and
//!   joins layers again to the byte (tar-split, in Docker and Podman); who unpacks makes holes of long runs of zeros.
//! - A tree that changes meanwhile (a running container) still becomes a well-formed tar: what is gone is left out, a file
//!   that shrank ends in zeros, one that grew is cut.

mod copy_out;
mod header;
mod look;
mod stream;
#[cfg(test)]
mod tests;
mod walk;

pub use copy_out::{copy_out, is_made_up};
pub use look::{At, Attributes, Look};
pub use walk::{Step, Walk, is_gone, open, open_folder, open_folder_across};

use crate::Time;
use crate::beneath::{self, Mounts};
use header::Head;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use stream::{Content, Stream};
use tar_core::EntryType;

/// What stands for what in the tar.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packing {
    /// Owners are counted from this host id: `0x7000_0000` on disk is 0 in the tar. Ids outside the 65,536 from it stay as
    /// they are.
    pub owner: u32,
    pub whiteouts: Whiteouts,
    pub times: Times,
}

/// When files are said to be of; seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    #[default]
    AsTheyAre,
    /// What is younger is of then.
    NoLaterThan(i64),
    All(i64),
}

/// What overlayfs' marks become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// `.wh.NAME` and `.wh..wh..opq`, as layers have them. Files that are really called `.wh.` are left out: a layer has
    /// no way to say them (image-spec 1.1, layer.md, "Whiteouts").
    #[default]
    Layer,
    /// There are none: the tree is a whole root, and what looks like one is a device.
    None,
}

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Writes the tree below `root` as a tar, two zero blocks included. Stays on `root`'s file system.
pub fn pack(root: BorrowedFd<'_>, packing: Packing, sink: &mut dyn Write) -> io::Result<()> {
    pack_without(root, packing, &[], sink)
}

/// [`pack`], without the paths (relative, without a slash at either end) in `left_out` and what is below them.
pub fn pack_without(
    root: BorrowedFd<'_>,
    packing: Packing,
    left_out: &[&[u8]],
    sink: &mut dyn Write,
) -> io::Result<()> {
    pack_chosen(root, (packing, Mounts::Stay), &|step| !left_out.contains(&&step.path[..]), sink)
}

/// [`pack`], of what is chosen: what is below a folder that is not is not asked for. Enters other mounts where the second of `manner`
/// says so.
pub fn pack_chosen(
    root: BorrowedFd<'_>,
    manner: (Packing, Mounts),
    is_chosen: &dyn Fn(&Step) -> bool,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let (packing, mounts) = manner;
    let mut packer = Packer::new(packing, mounts, sink);
    packer.root(root)?;
    let mut walk = Walk::across(root, mounts)?;
    while let Some(step) = walk.next_step()? {
        if !is_chosen(&step) {
            continue;
        }
        if let Some(folder) = packer.step(&step)? {
            walk.enter(&step.path, folder).map_err(|e| at(&step.path, e))?;
        }
    }
    packer.stream.finish()
}

/// Several trees as one tar, each at the top or below a folder that is named for it (`linux_amd64`). No two may have the same file.
pub fn pack_together(
    trees: &[(Option<&str>, BorrowedFd<'_>)],
    packing: Packing,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let mut packer = Packer::new(packing, Mounts::Stay, sink);
    for (name, root) in trees {
        let below = name.map(|name| [name.as_bytes(), b"/"].concat()).unwrap_or_default();
        if below.is_empty() {
            packer.root(*root)?;
        } else {
            let look = Look::of_open(&open_folder(*root, c".")?)?.counted_from(packing.owner);
            packer.head(&below, EntryType::Directory, &look, b"", &Xattrs::new())?;
        }
        let mut walk = Walk::new(*root)?;
        while let Some(mut step) = walk.next_step()? {
            let path = step.path.clone();
            step.path = [&below[..], &path].concat();
            if let Some(folder) = packer.step(&step)? {
                walk.enter(&path, folder).map_err(|e| at(&step.path, e))?;
            }
        }
    }
    packer.stream.finish()
}

/// The cause keeps its kind; a failed sink is not wrapped.
#[derive(Debug, thiserror::Error)]
#[error("cannot pack {path:?}")]
struct Unreadable {
    path: String,
    source: io::Error,
}

fn at(path: &[u8], source: io::Error) -> io::Error {
    io::Error::new(source.kind(), Unreadable { path: String::from_utf8_lossy(path).into_owned(), source })
}

struct Packer<'a> {
    packing: Packing,
    mounts: Mounts,
    stream: Stream<'a>,
    attributes: Attributes,
    /// Files that have more than one name, by inode.
    first_names: HashMap<(u32, u32, u64), Vec<u8>>,
}

type Xattrs = Vec<(String, Vec<u8>)>;

impl<'a> Packer<'a> {
    fn new(packing: Packing, mounts: Mounts, sink: &'a mut dyn Write) -> Packer<'a> {
        let attributes = Attributes::new(packing.owner);
        Packer { packing, mounts, stream: Stream::new(sink), attributes, first_names: HashMap::new() }
    }

    fn root(&mut self, root: BorrowedFd<'_>) -> io::Result<()> {
        let folder = open_folder(root, c".")?;
        let look = Look::of_open(&folder)?.counted_from(self.packing.owner);
        let xattrs = self.attributes.read(At::Open(folder.as_fd()))?;
        if (look.mode, look.uid, look.gid) != (0o755, 0, 0) || !xattrs.is_empty() {
            self.head(b"./", EntryType::Directory, &look, b"", &xattrs)?;
        }
        self.opaque_mark(b"", folder.as_fd())
    }

    /// Writes one entry; a folder is returned, to go on with what is in it.
    fn step(&mut self, step: &Step) -> io::Result<Option<OwnedFd>> {
        if self.packing.whiteouts == Whiteouts::Layer && step.name.to_bytes().starts_with(WHITEOUT) {
            return Ok(None);
        }
        let kind = match step.kind {
            FileType::Unknown => Look::of(step.folder.as_fd(), &step.name).map(|look| look.kind),
            known => Ok(known),
        };
        let done = match kind {
            Ok(FileType::Directory) => self.folder(step),
            Ok(FileType::RegularFile) => self.file(step).map(|()| None),
            Ok(FileType::Socket) => Ok(None),
            Ok(_) => self.node(step).map(|()| None),
            Err(e) => Err(Failed::Read(e)),
        };
        match done {
            Ok(folder) => Ok(folder),
            Err(Failed::Read(e)) if is_gone(&e) => Ok(None),
            Err(Failed::Read(e)) => Err(at(&step.path, e)),
            Err(Failed::Write(e)) => Err(e),
        }
    }

    fn folder(&mut self, step: &Step) -> Result<Option<OwnedFd>, Failed> {
        let path = [&step.path[..], b"/"].concat();
        let folder = match walk::open_folder_across(step.folder.as_fd(), &step.name, self.mounts) {
            Err(e) if e.raw_os_error() == Some(Errno::XDEV.raw_os_error()) => {
                let look = self.looked(Look::of(step.folder.as_fd(), &step.name))?;
                self.head(&path, EntryType::Directory, &look, b"", &Xattrs::new()).map_err(Failed::Write)?;
                return Ok(None);
            }
            other => other.map_err(Failed::Read)?,
        };
        let look = self.looked(Look::of_open(&folder))?;
        let xattrs = self.attributes.read(At::Open(folder.as_fd())).map_err(Failed::Read)?;
        self.head(&path, EntryType::Directory, &look, b"", &xattrs).map_err(Failed::Write)?;
        self.opaque_mark(&path, folder.as_fd()).map_err(Failed::Write)?;
        Ok(Some(folder))
    }

    fn file(&mut self, step: &Step) -> Result<(), Failed> {
        let file = match beneath::open_file(step.folder.as_fd(), step.name.to_bytes(), self.mounts) {
            Err(Errno::XDEV) => return Ok(()),
            other => other.map_err(|e| Failed::Read(e.into()))?,
        };
        let look = self.looked(Look::of_open(&file))?;
        let xattrs = self.attributes.read(At::Open(file.as_fd())).map_err(Failed::Read)?;
        if self.is_linked(step, &look, &xattrs)? {
            return Ok(());
        }
        self.head(&step.path, EntryType::Regular, &look, b"", &xattrs).map_err(Failed::Write)?;
        let content = Content { file: file.as_fd(), size: look.size, has_holes: look.stored < look.size };
        self.stream.content(content, |e| at(&step.path, e)).map_err(Failed::Write)
    }

    /// What is not opened: a symlink, a device, a pipe.
    fn node(&mut self, step: &Step) -> Result<(), Failed> {
        let (folder, name) = (step.folder.as_fd(), &*step.name);
        let look = self.looked(Look::of(folder, name))?;
        if look.is_whiteout() && self.packing.whiteouts == Whiteouts::Layer {
            // overlayfs gives one inode many names: they are no hard links of each other.
            let (parent, name) = crate::path::split(&step.path);
            let slash: &[u8] = if parent.is_empty() { b"" } else { b"/" };
            return self.mark(&[parent, slash, WHITEOUT, name].concat()).map_err(Failed::Write);
        }
        if look.is_mount_point && self.mounts == Mounts::Stay {
            return Ok(());
        }
        let kind = match look.kind {
            FileType::Symlink => EntryType::Symlink,
            FileType::CharacterDevice => EntryType::Char,
            FileType::BlockDevice => EntryType::Block,
            FileType::Fifo => EntryType::Fifo,
            // Something else took the name since it was listed.
            _ => return Ok(()),
        };
        let target = match kind {
            EntryType::Symlink => rustix::fs::readlinkat(folder, name, Vec::new()).map(|text| text.into_bytes()),
            _ => Ok(Vec::new()),
        };
        let target = match target {
            Err(Errno::INVAL) => return Ok(()),
            other => other.map_err(|e| Failed::Read(e.into()))?,
        };
        let xattrs = self.attributes.read(At::Name(folder, name)).map_err(Failed::Read)?;
        if self.is_linked(step, &look, &xattrs)? {
            return Ok(());
        }
        self.head(&step.path, kind, &look, &target, &xattrs).map_err(Failed::Write)
    }

    /// Whether this is another name of something that is in the tar already: then it is written as that.
    ///
    /// The attributes come again, because some who unpack give a link its owner, and so take its capabilities.
    fn is_linked(&mut self, step: &Step, look: &Look, xattrs: &Xattrs) -> Result<bool, Failed> {
        if look.links < 2 {
            return Ok(false);
        }
        let Some(first) = self.first_names.get(&look.inode).cloned() else {
            self.first_names.insert(look.inode, step.path.clone());
            return Ok(false);
        };
        self.head(&step.path, EntryType::Link, look, &first, xattrs).map_err(Failed::Write)?;
        Ok(true)
    }

    fn opaque_mark(&mut self, path: &[u8], folder: BorrowedFd<'_>) -> io::Result<()> {
        if self.packing.whiteouts == Whiteouts::Layer && self.attributes.is_opaque(folder)? {
            self.mark(&[path, OPAQUE].concat())?;
        }
        Ok(())
    }

    /// An empty file that is only a name; its time and owner mean nothing, so they are always the same.
    fn mark(&mut self, path: &[u8]) -> io::Result<()> {
        let head = Head {
            path,
            kind: EntryType::Regular,
            mode: 0o600,
            uid: 0,
            gid: 0,
            size: 0,
            modified: Time::default(),
            link: b"",
            device: (0, 0),
            xattrs: &[],
        };
        self.stream.put(&header::blocks(&head)?)
    }

    fn head(&mut self, path: &[u8], kind: EntryType, look: &Look, link: &[u8], xattrs: &Xattrs) -> io::Result<()> {
        let head = Head {
            path,
            kind,
            mode: look.mode,
            uid: look.uid,
            gid: look.gid,
            size: if kind == EntryType::Regular { look.size } else { 0 },
            modified: self.modified(look),
            link,
            device: if matches!(kind, EntryType::Char | EntryType::Block) { look.device } else { (0, 0) },
            xattrs,
        };
        self.stream.put(&header::blocks(&head)?)
    }

    fn modified(&self, look: &Look) -> Time {
        match self.packing.times {
            Times::All(seconds) => Time { seconds, nanoseconds: 0 },
            Times::NoLaterThan(seconds) if look.modified.seconds >= seconds => Time { seconds, nanoseconds: 0 },
            _ => look.modified,
        }
    }

    fn looked(&self, look: io::Result<Look>) -> Result<Look, Failed> {
        look.map(|look| look.counted_from(self.packing.owner)).map_err(Failed::Read)
    }
}

/// Whose fault it is: the tree's, which may be changing, or the sink's.
enum Failed {
    Read(io::Error),
    Write(io::Error),
}

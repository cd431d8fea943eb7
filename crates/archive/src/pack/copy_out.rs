//! One file or folder of a tree that others use and may change meanwhile, as a tar under the name that was asked for.
//!
//! What is on other mounts (volumes) belongs to it; what the kernel makes up (procfs, sysfs, control groups) does not.

use super::{At, Failed, Look, Packer, Packing, Walk, at, is_gone};
use crate::beneath::{self, Mounts};
use rustix::fs::FileType;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tar_core::EntryType;

/// statfs(2): file systems whose files are the kernel's words (linux/magic.h): proc, sysfs, cgroup, cgroup2, devpts, mqueue,
/// debugfs, tracefs, securityfs, bpf, binfmt_misc, configfs, efivarfs, selinuxfs.
const MADE_UP: [i64; 14] = [
    0x9fa0,
    0x6265_6572,
    0x27_e0eb,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0x4249_4e4d,
    0x6265_6570,
    0xde5e_81e4,
    0xf97c_ff8c,
];

/// Whether what is open lies on a file system that the kernel makes up.
pub fn is_made_up(file: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(MADE_UP.contains(&rustix::fs::fstatfs(file)?.f_type))
}

/// Writes what `seen` (an O_PATH descriptor, of a symlink itself) refers to as a tar, two zero blocks included.
///
/// Entries are named `name` and below it: `etc/`, `etc/passwd`; an empty one is the root of all, `/` and `/etc`. The folders
/// whose paths (relative, without a slash at either end) are in `closed` are written without what is in them.
pub fn copy_out(
    seen: BorrowedFd<'_>,
    name: &[u8],
    closed: &[&[u8]],
    packing: Packing,
    sink: &mut dyn Write,
) -> io::Result<()> {
    let mut packer = Packer::new(packing, Mounts::Cross, sink);
    let look = Look::of_open(seen)?.counted_from(packing.owner);
    let done = match look.kind {
        FileType::Directory => return folder(packer, seen, name, closed),
        FileType::RegularFile => packer.asked_file(seen, name),
        FileType::Socket => Ok(()),
        _ => packer.asked_node(seen, name, &look),
    };
    match done {
        Ok(()) => packer.stream.finish(),
        Err(Failed::Read(e)) => Err(at(name, e)),
        Err(Failed::Write(e)) => Err(e),
    }
}

fn folder(mut packer: Packer<'_>, seen: BorrowedFd<'_>, name: &[u8], closed: &[&[u8]]) -> io::Result<()> {
    let below = [name, b"/"].concat();
    let top = beneath::open(seen, b"", rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY)?;
    let look = Look::of_open(&top)?.counted_from(packer.packing.owner);
    let xattrs = packer.attributes.read(At::Open(top.as_fd()))?;
    packer.head(&below, EntryType::Directory, &look, b"", &xattrs)?;
    let mut walk = Walk::across(top.as_fd(), Mounts::Cross)?;
    while let Some(mut step) = walk.next_step()? {
        let path = step.path.clone();
        step.path = [&below[..], &path].concat();
        let Some(inner) = packer.step(&step)? else { continue };
        if closed.contains(&&path[..]) || is_another_world(&inner)? {
            continue;
        }
        match walk.enter(&path, inner) {
            Err(e) if !is_gone(&e) => return Err(at(&step.path, e)),
            _ => {}
        }
    }
    packer.stream.finish()
}

fn is_another_world(folder: &OwnedFd) -> io::Result<bool> {
    Ok(Look::of_open(folder)?.is_mount_point && is_made_up(folder.as_fd())?)
}

impl Packer<'_> {
    fn asked_file(&mut self, seen: BorrowedFd<'_>, name: &[u8]) -> Result<(), Failed> {
        let file = beneath::read_file(seen).map_err(|e| Failed::Read(e.into()))?;
        let look = self.looked(Look::of_open(&file))?;
        let xattrs = self.attributes.read(At::Open(file.as_fd())).map_err(Failed::Read)?;
        self.head(name, EntryType::Regular, &look, b"", &xattrs).map_err(Failed::Write)?;
        let content = super::Content { file: file.as_fd(), size: look.size, has_holes: look.stored < look.size };
        self.stream.content(content, |e| at(name, e)).map_err(Failed::Write)
    }

    /// A symlink, a device or a pipe: never opened.
    fn asked_node(&mut self, seen: BorrowedFd<'_>, name: &[u8], look: &Look) -> Result<(), Failed> {
        let kind = match look.kind {
            FileType::Symlink => EntryType::Symlink,
            FileType::CharacterDevice => EntryType::Char,
            FileType::BlockDevice => EntryType::Block,
            _ => EntryType::Fifo,
        };
        let target = match kind {
            EntryType::Symlink => rustix::fs::readlinkat(seen, c"", Vec::new()).map_err(|e| Failed::Read(e.into()))?,
            _ => Default::default(),
        };
        self.head(name, kind, look, target.as_bytes(), &Vec::new()).map_err(Failed::Write)
    }
}

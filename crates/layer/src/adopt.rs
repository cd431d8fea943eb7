//! Layers that are made here: a folder is written into above other layers, and becomes a layer as it lies there.
//!
//! Nothing is copied and no tar is written: the tree is read once, as the tar that it would be, for the name it gets.

use crate::capture::made_in;
use crate::lower::Ids;
use crate::store::{Draft, fail};
use crate::{Error, Lower, Store, Sync};
use archive::Packing;
use archive::pack::{At, Attributes, Look, Walk, is_gone, open_folder};
use base::Digest;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Bytes of the tar of nothing.
const EMPTY_TAR: u64 = 1024;
const CAPABILITY: &str = "security.capability";

/// A layer that was made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adopted {
    pub diff_id: Digest,
    /// Bytes of its tar.
    pub tar: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// A tree above layers, to be written into by this process; its files have the ids that an image gives them. What was not
/// finished goes when it is dropped.
#[derive(Debug)]
pub struct Work {
    root: OwnedFd,
    draft: Draft,
}

impl Work {
    /// The whole tree, attached nowhere.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

impl Store {
    /// Begins a layer above `lowers` (topmost first), which may be none.
    pub fn begin(&self, lowers: &[Lower]) -> Result<Work, Error> {
        let draft = self.draft()?;
        let root = match lowers {
            [] => self.bare(&draft)?,
            _ => {
                let ids = Ids { namespace: None, owner: 0 };
                let opened = self.lowers.open(lowers, ids, |digest| self.diff(digest))?;
                crate::mount::mount(&self.lowers, &opened, &draft.path, 0, Sync::Never)?
            }
        };
        Ok(Work { root, draft })
    }

    /// Without lowers there is nothing to be above of.
    fn bare(&self, draft: &Draft) -> Result<OwnedFd, Error> {
        let upper = draft.path.join("upper");
        std::fs::create_dir(&upper).map_err(fail("make", &upper))?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&upper, mode).map_err(fail("make", &upper))?;
        open(&upper)
    }

    /// The layer is complete; `None` when nothing was written.
    pub fn finish(&self, work: Work) -> Result<Option<Adopted>, Error> {
        let Work { root, draft } = work;
        drop(root);
        self.adopt(&draft.path, 0)
    }

    /// What was written into `rw` becomes a layer; `None` when that is nothing. `rw` and `owner` are those of
    /// [`Store::mount`]; nobody may have it mounted any more.
    pub fn adopt(&self, rw: &Path, owner: u32) -> Result<Option<Adopted>, Error> {
        let upper = rw.join("upper");
        let draft = self.draft()?;
        let diff = draft.path.join("diff");
        match std::fs::rename(&upper, &diff) {
            // Never mounted, so nothing was written.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(fail("take over", &upper))?,
        }
        let root = open(&diff)?;
        drop_mount_points(root.as_fd(), owner).map_err(fail("read", &diff))?;
        let bytes = settle(root.as_fd(), owner).map_err(fail("read", &diff))?;
        let mut named = Named { hash: Sha256::new(), bytes: 0 };
        let packing = Packing::default();
        archive::pack(root.as_fd(), packing, &mut named).map_err(fail("read", &diff))?;
        if named.bytes == EMPTY_TAR {
            return Ok(None);
        }
        let diff_id = Digest::from_bytes(named.hash.finalize().into());
        self.keep(&draft, &diff_id, bytes)?;
        Ok(Some(Adopted { diff_id, tar: named.bytes, bytes }))
    }
}

fn open(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|e| fail("open", path)(e.into()))
}

/// What a start made to mount on.
fn drop_mount_points(root: BorrowedFd<'_>, owner: u32) -> io::Result<()> {
    for (path, is_folder) in made_in(root, owner)? {
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(root, OsStr::from_bytes(path), flags)?;
    }
    Ok(())
}

/// Gives the tree the ids that an image has, takes out what no tar can say, and adds up the bytes of its files.
fn settle(root: BorrowedFd<'_>, owner: u32) -> io::Result<u64> {
    let top = open_folder(root, c".")?;
    let mut settling = Settling { owner, attributes: Attributes::new(owner), seen: HashSet::new(), bytes: 0 };
    settling.own(top.as_fd(), c".", &Look::of_open(&top)?)?;
    let mut walk = Walk::new(root)?;
    while let Some(step) = walk.next_step()? {
        let look = match Look::of(step.folder.as_fd(), &step.name) {
            Err(e) if is_gone(&e) => continue,
            other => other?,
        };
        if look.kind == FileType::Socket {
            rustix::fs::unlinkat(&*step.folder, &step.name, AtFlags::empty())?;
            continue;
        }
        settling.own(step.folder.as_fd(), &step.name, &look)?;
        settling.count(&look);
        if look.kind == FileType::Directory {
            let folder = open_folder(step.folder.as_fd(), &step.name)?;
            walk.enter(&step.path, folder)?;
        }
    }
    Ok(settling.bytes)
}

struct Settling {
    owner: u32,
    attributes: Attributes,
    /// Files with more names than one.
    seen: HashSet<(u32, u32, u64)>,
    bytes: u64,
}

impl Settling {
    fn count(&mut self, look: &Look) {
        match look.kind {
            FileType::RegularFile if look.links < 2 || self.seen.insert(look.inode) => self.bytes += look.size,
            _ => {}
        }
    }

    /// An owner counted from the container's root becomes the number that the container sees.
    fn own(&mut self, folder: BorrowedFd<'_>, name: &CStr, look: &Look) -> io::Result<()> {
        let inside = look.counted_from(self.owner);
        if (inside.uid, inside.gid) == (look.uid, look.gid) {
            return Ok(());
        }
        // A change of owner takes capabilities and set-id bits away (chown(2)).
        let is_file = look.kind == FileType::RegularFile;
        let capability = if is_file { self.attributes.capability(At::Name(folder, name))? } else { None };
        let (uid, gid) = (Uid::from_raw(inside.uid), Gid::from_raw(inside.gid));
        rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if look.mode & 0o6000 != 0 && look.kind != FileType::Symlink {
            rustix::fs::chmodat(folder, name, Mode::from_raw_mode(look.mode), AtFlags::empty())?;
        }
        match capability {
            Some(value) => Ok(rustix::fs::lsetxattr(by_name(folder, name), CAPABILITY, &value, XattrFlags::empty())?),
            None => Ok(()),
        }
    }
}

fn by_name(folder: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(OsStr::from_bytes(name.to_bytes()))
}

/// The name of a layer whose tar goes by.
struct Named {
    hash: Sha256,
    bytes: u64,
}

impl Write for Named {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

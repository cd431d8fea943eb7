//! What a container changed: its upper folder as a layer's tar, or as a list; and trees as plain tars.

mod changes;
mod mount_points;
mod view;

pub use changes::{Change, ChangeKind};
pub use view::View;

use crate::lower::Ids;
use crate::store::fail;
use crate::{Error, Lower, Store};
use archive::{Packing, Times, Whiteouts};
use mount_points::MountPoints;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A tar of nothing: two blocks of zeros.
const EMPTY: [u8; 1024] = [0; 1024];

impl Store {
    /// Writes what a container changed as a layer's tar (image-spec 1.1, layer.md): whiteouts for what it removed.
    ///
    /// `rw` and `owner` are those of [`Store::mount`]. Folders that overlayfs copied up only for the sake of what is in
    /// them are in it, too; the empty files and folders that a start made to mount on are not.
    pub fn capture(&self, rw: &Path, owner: u32, sink: &mut dyn Write) -> Result<(), Error> {
        let Some(upper) = open_upper(rw)? else {
            return sink.write_all(&EMPTY).map_err(fail("write the changes of", rw));
        };
        let made = MountPoints::find(upper.as_fd(), owner).map_err(fail("read", rw))?;
        let packing = Packing { owner, ..Packing::default() };
        archive::pack_without(upper.as_fd(), packing, made.paths(), sink).map_err(fail("pack", rw))
    }

    /// What a container changed against its lowers (topmost first), sorted by path: `docker diff`.
    ///
    /// `rw` and `owner` are those of [`Store::mount`].
    pub fn changes(&self, lowers: &[Lower], rw: &Path, owner: u32) -> Result<Vec<Change>, Error> {
        let Some(upper) = open_upper(rw)? else { return Ok(Vec::new()) };
        let made = MountPoints::find(upper.as_fd(), owner).map_err(fail("read", rw))?;
        let before = View::of(self, None, &self.with_bottom(lowers))?;
        changes::between(before.root(), upper.as_fd(), owner, made.paths()).map_err(fail("compare", rw))
    }

    /// The whole root of a container, to be read while it runs and after. Owners are what they are on disk.
    pub fn view(&self, lowers: &[Lower], rw: &Path) -> Result<View, Error> {
        let upper = open_upper(rw)?;
        View::of(self, upper.as_ref().map(AsFd::as_fd), &self.with_bottom(lowers))
    }

    /// An image's own tree, with the owners that `user_namespace` gives them (`owner` is its root's id on the host).
    pub fn image_view(
        &self,
        lowers: &[Lower],
        user_namespace: Option<BorrowedFd<'_>>,
        owner: u32,
    ) -> Result<OwnedFd, Error> {
        let ids = Ids { namespace: user_namespace, owner };
        // Of an overlay of one lower the other would have to be an empty folder that stays.
        if let [only] = lowers
            && let Some(alone) = self.lowers.alone(only, ids, |digest| self.diff(digest))?
        {
            return Ok(alone);
        }
        View::with_ids(self, None, lowers, ids).map(View::into_root)
    }

    /// Writes the whole root of a container as one plain tar: `docker export`. Works while it runs and after.
    pub fn export(&self, lowers: &[Lower], rw: &Path, owner: u32, sink: &mut dyn Write) -> Result<(), Error> {
        let upper = open_upper(rw)?;
        let view = View::of(self, upper.as_ref().map(AsFd::as_fd), &self.with_bottom(lowers))?;
        let packing = Packing { owner, whiteouts: Whiteouts::None, ..Packing::default() };
        archive::pack(view.root(), packing, sink).map_err(fail("pack", rw))
    }

    /// Writes a layer as a tar again. Its bytes are not those that it came as; its tree is.
    pub fn repack(&self, diff_id: &base::Digest, sink: &mut dyn Write) -> Result<(), Error> {
        self.repack_with(diff_id, Packing::default(), sink)
    }

    /// [`Store::repack`], as if nothing of it were younger than so many seconds after 1970.
    pub fn repack_clamped(&self, diff_id: &base::Digest, seconds: i64, sink: &mut dyn Write) -> Result<(), Error> {
        self.repack_with(diff_id, Packing { times: Times::NoLaterThan(seconds), ..Packing::default() }, sink)
    }

    fn repack_with(&self, diff_id: &base::Digest, packing: Packing, sink: &mut dyn Write) -> Result<(), Error> {
        pack_tree(&self.diff(diff_id), diff_id, packing, sink)
    }
}

/// [`Store::repack`] for one who only reads the layers at `root`, and has no store of them.
pub fn repack_of(root: &Path, diff_id: &base::Digest, sink: &mut dyn Write) -> Result<(), Error> {
    pack_tree(&crate::tree_of(root, diff_id), diff_id, Packing::default(), sink)
}

fn pack_tree(path: &Path, diff_id: &base::Digest, packing: Packing, sink: &mut dyn Write) -> Result<(), Error> {
    let root = match open_folder(CWD, path) {
        Err(Errno::NOENT) => return Err(Error::NotFound(*diff_id)),
        other => other.map_err(|e| fail("open", path)(e.into()))?,
    };
    archive::pack(root.as_fd(), packing, sink).map_err(fail("pack", path))
}

/// What a start made in an upper folder to mount on: relative paths, what is in a folder before it, and whether each is a folder.
pub(crate) fn made_in(upper: BorrowedFd<'_>, owner: u32) -> io::Result<Vec<(&'static [u8], bool)>> {
    Ok(MountPoints::find(upper, owner)?.into_paths())
}

/// The upper folder; none of a container that was never mounted.
fn open_upper(rw: &Path) -> Result<Option<OwnedFd>, Error> {
    let open = || -> Result<OwnedFd, Errno> { open_folder(open_folder(CWD, rw)?.as_fd(), Path::new("upper")) };
    match open() {
        Ok(upper) => Ok(Some(upper)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(fail("open", rw)(io::Error::from(e))),
    }
}

fn open_folder(folder: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, path, flags, Mode::empty())
}

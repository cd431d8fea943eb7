//! The only file that knows how layers lie on disk.

use crate::lower::{Ids, Lowers};
use crate::way::{self, Way};
use crate::{Error, Lower, Sync};
use base::Digest;
use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

/// All layers of an engine. Callable from many threads at once; one store per folder and machine.
#[derive(Debug)]
pub struct Store {
    pub(crate) root: PathBuf,
    boot: String,
    pub(crate) lowers: Lowers,
    /// Layers that some thread is unpacking now, as far as their names are known beforehand.
    busy: Mutex<HashSet<Digest>>,
    free: Condvar,
    /// Bytes on disk of the trees that were measured.
    pub(crate) usage: Mutex<HashMap<Digest, u64>>,
}

/// A layer's file `unsynced`.
struct Mark {
    path: PathBuf,
    inode: u64,
}

/// The right to unpack one layer.
pub(crate) struct Turn<'store> {
    store: &'store Store,
    digest: Digest,
}

/// A folder below `tmp/`, removed on drop unless it got its name.
#[derive(Debug)]
pub(crate) struct Draft {
    pub path: PathBuf,
}

impl Draft {
    /// Stays until the next [`Store::open`].
    pub fn leave(mut self) {
        self.path = PathBuf::new();
    }
}

fn folder_of(root: &Path, digest: &Digest) -> PathBuf {
    root.join("sha256").join(digest.hex())
}

/// The tree of a layer of the store at `root`.
pub fn tree_of(root: &Path, diff_id: &Digest) -> PathBuf {
    folder_of(root, diff_id).join("diff")
}

impl Store {
    /// Opens the store at `root` (mode 0700) and removes what an earlier process, or an earlier boot, left half-done.
    pub fn open(root: &Path) -> Result<Store, Error> {
        for folder in [root.to_owned(), root.join("sha256"), root.join("tmp"), root.join("mnt")] {
            make_folder(&folder)?;
        }
        crate::bottom::make(root)?;
        base::tree::spread(&root.join("tmp"));
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let store = Store {
            root: root.to_owned(),
            boot: boot.trim().to_owned(),
            lowers: Lowers::new(root.join("mnt"), Way::find()),
            busy: Mutex::default(),
            free: Condvar::new(),
            usage: Mutex::default(),
        };
        if let Some(release) = way::too_old() {
            tracing::warn!(
                "Linux {release} cannot map the owners of layers: Linux 5.19 can; use --userns=host until then"
            );
        }
        store.lowers.sweep();
        store.sweep()?;
        Ok(store)
    }

    pub fn has(&self, diff_id: &Digest) -> bool {
        self.diff(diff_id).is_dir()
    }

    /// Unpacks a tar stream (plain, gzip or zstd, found by its first bytes) and reads it to its end.
    ///
    /// Verifies `expected` when given; a layer of that name that is there already is returned at once, without reading
    /// the stream. The same layer twice at once is unpacked once when `expected` is given, and kept once in any case.
    pub fn unpack(&self, tar: &mut dyn io::Read, expected: Option<&Digest>) -> Result<Digest, Error> {
        let _turn = expected.map(|digest| self.turn(*digest));
        if let Some(digest) = expected
            && self.has(digest)
        {
            return Ok(*digest);
        }
        crate::unpack::unpack(self, tar, expected)
    }

    /// Bytes of the files of a layer.
    pub fn size(&self, diff_id: &Digest) -> Result<u64, Error> {
        let path = self.folder(diff_id).join("size");
        let text = fs::read_to_string(&path).map_err(|e| missing(diff_id, e, "read", &path))?;
        text.trim().parse().map_err(|_| fail("read", &path)(io::ErrorKind::InvalidData.into()))
    }

    /// All layers, in no order.
    pub fn list(&self) -> Result<Vec<Digest>, Error> {
        let path = self.root.join("sha256");
        let mut found = Vec::new();
        for entry in fs::read_dir(&path).map_err(fail("list", &path))? {
            let name = entry.map_err(fail("list", &path))?.file_name();
            found.extend(format!("sha256:{}", name.to_string_lossy()).parse::<Digest>());
        }
        Ok(found)
    }

    /// Removes a layer; containers that have it mounted keep what they see. One that is not there is fine.
    pub fn remove(&self, diff_id: &Digest) -> Result<(), Error> {
        self.discard(diff_id, &mut crate::Trash::default())
    }

    /// Whether all layers are safe against a power cut.
    pub fn is_synced(&self) -> Result<bool, Error> {
        Ok(self.unsynced()?.is_empty())
    }

    /// Makes all layers safe against a power cut (syncfs(2)). Takes as long as the disk needs: not for a start path.
    pub fn sync(&self) -> Result<(), Error> {
        let unsynced = self.unsynced()?;
        if unsynced.is_empty() {
            return Ok(());
        }
        let root = fs::File::open(&self.root).map_err(fail("open", &self.root))?;
        rustix::fs::syncfs(&root).map_err(|e| fail("sync", &self.root)(e.into()))?;
        for mark in unsynced {
            // A layer that went and came again meanwhile has a mark of its own.
            if inode(&mark.path) == Some(mark.inode) {
                remove_if_there(&mark.path)?;
            }
        }
        Ok(())
    }

    /// Hides files and folders of the host from the `host` image: the engine's own data, run state, configuration and
    /// keys.
    ///
    /// Replaces what was hidden before; takes effect at the next mount.
    pub fn hide_from_host_image(&self, paths: &[PathBuf]) {
        self.lowers.hide(paths);
    }

    /// Before the process ends: detaches what older kernels need attached in `mnt/` (the next [`Store::open`] does it, too).
    pub fn close(&self) {
        self.lowers.close();
    }

    /// Mounts an overlay of `lowers` (topmost first) and the writable folder `rw` as a detached mount.
    ///
    /// `rw` gets `upper` and `work`. The root of a fresh `upper` looks like the topmost lower's root; its owner is that
    /// root's owner counted from `owner`. With `user_namespace` every lower is id-mapped with its maps, so that root on
    /// disk is root of the container. The mapped lowers are kept for the next mount in the same namespace.
    pub fn mount(
        &self,
        lowers: &[Lower],
        rw: &Path,
        user_namespace: Option<BorrowedFd<'_>>,
        owner: u32,
        sync: Sync,
    ) -> Result<OwnedFd, Error> {
        let ids = Ids { namespace: user_namespace, owner };
        let opened = self.lowers.open(&self.with_bottom(lowers), ids, |digest| self.diff(digest))?;
        crate::mount::mount(&self.lowers, &opened, rw, owner, sync)
    }

    /// The tree of a layer.
    pub fn diff(&self, diff_id: &Digest) -> PathBuf {
        tree_of(&self.root, diff_id)
    }

    /// A fresh folder to unpack into.
    pub(crate) fn draft(&self) -> Result<Draft, Error> {
        let draft = Draft { path: self.root.join("tmp").join(base::Id::random().to_string()) };
        make_folder(&draft.path)?;
        let diff = draft.path.join("diff");
        DirBuilder::new().mode(0o755).create(&diff).map_err(fail("make", &diff))?;
        Ok(draft)
    }

    /// Names a complete draft. Returns whether it is the one that stays.
    pub(crate) fn keep(&self, draft: &Draft, digest: &Digest, bytes: u64) -> Result<bool, Error> {
        for (name, text) in [("size", bytes.to_string()), ("unsynced", self.boot.clone())] {
            let path = draft.path.join(name);
            fs::write(&path, text).map_err(fail("write", &path))?;
        }
        let path = self.folder(digest);
        match fs::rename(&draft.path, &path) {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => Ok(false),
            Err(e) => Err(fail("name", &path)(e)),
        }
    }

    /// The marks of layers that may not be on disk yet.
    fn unsynced(&self) -> Result<Vec<Mark>, Error> {
        let paths = self.list()?.into_iter().map(|digest| self.folder(&digest).join("unsynced"));
        Ok(paths.filter_map(|path| inode(&path).map(|inode| Mark { path, inode })).collect())
    }

    pub(crate) fn turn(&self, digest: Digest) -> Turn<'_> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while busy.contains(&digest) {
            busy = self.free.wait(busy).unwrap_or_else(PoisonError::into_inner);
        }
        busy.insert(digest);
        Turn { store: self, digest }
    }

    pub(crate) fn folder(&self, digest: &Digest) -> PathBuf {
        folder_of(&self.root, digest)
    }

    fn sweep(&self) -> Result<(), Error> {
        let path = self.root.join("tmp");
        for entry in fs::read_dir(&path).map_err(fail("list", &path))? {
            let left = entry.map_err(fail("list", &path))?.path();
            base::tree::remove(&left).map_err(fail("remove", &left))?;
        }
        for digest in self.list()? {
            let mark = self.folder(&digest).join("unsynced");
            let of_other_boot = fs::read_to_string(mark).is_ok_and(|boot| boot != self.boot || boot.is_empty());
            if of_other_boot {
                tracing::warn!(layer = %digest, "the machine went down before the layer was on disk: removing it");
                self.remove(&digest)?;
            }
        }
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.store.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
        self.store.free.notify_all();
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed goes at the next start. A path that was taken away is none.
        if !self.path.as_os_str().is_empty() {
            let _ = base::tree::remove(&self.path);
        }
    }
}

fn make_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail("make", path))
}

fn inode(path: &Path) -> Option<u64> {
    rustix::fs::lstat(path).ok().map(|stat| stat.st_ino)
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(fail("remove", path)),
    }
}

pub(crate) fn fail<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

fn missing(digest: &Digest, error: io::Error, action: &'static str, path: &Path) -> Error {
    if error.kind() == io::ErrorKind::NotFound { Error::NotFound(*digest) } else { fail(action, path)(error) }
}

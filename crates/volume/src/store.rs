//! The folder layout of volumes, and what can be done with them.

use crate::clone::NEXT;
use crate::copy::Scope;
use crate::record::Record;
use crate::{Error, Made, Volume, copy, options};
use base::atomic::{self, Durability};
use base::{Undo, tree};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) const DATA: &str = "_data";
pub(crate) const RECORD: &str = "volume.json";
pub(crate) const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// Of the root and of each volume's folder: others may pass through to what they know, and list nothing (as Docker's).
const FOLDER_MODE: u32 = 0o701;
const DATA_MODE: u32 = 0o755;

/// Longer names do not fit into a path's component.
const MAX_NAME: usize = 255;

/// All volumes.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// One holder at a time fills or removes a volume.
    busy: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl Store {
    /// Opens the volumes below `root`, made with mode 0701 when missing, and clears away what a crash left half done.
    pub fn open(root: PathBuf) -> Result<Store, Error> {
        let failed = |source| Error::Io { action: "open", name: root.display().to_string(), source };
        match DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&root) {
            Ok(()) => fs::set_permissions(&root, fs::Permissions::from_mode(FOLDER_MODE)).map_err(failed)?,
            Err(e) => return Err(failed(e)),
        }
        for entry in fs::read_dir(&root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Err(e) = recover(&root, name) {
                tracing::warn!("cannot clear away {}: {e}", root.join(name).display());
            }
        }
        Ok(Store { root, busy: Mutex::default() })
    }

    /// The volume of that name, made when missing; `None` makes an anonymous one with a name of 64 hex digits.
    ///
    /// An existing volume is returned as it is: `labels` are for a new one. A volume appears complete or not at all; the
    /// record of a named one is on disk when this returns.
    pub fn create(&self, name: Option<&str>, labels: BTreeMap<String, String>) -> Result<Volume, Error> {
        self.create_with(name, labels, BTreeMap::new()).map(|made| made.volume)
    }

    /// [`Store::create`] with options of the driver, telling whether there was such a volume before.
    pub fn create_with(
        &self,
        name: Option<&str>,
        labels: BTreeMap<String, String>,
        options: BTreeMap<String, String>,
    ) -> Result<Made, Error> {
        let Some(name) = name else {
            let name = base::Id::random().to_string();
            options::check(&name, &options)?;
            return self.make(Record::new(&name, labels, options, true)).map(Made::new);
        };
        match self.get(name) {
            Err(Error::NotFound(_)) => {
                options::check(name, &options)?;
                self.make(Record::new(name, labels, options, false)).map(Made::new)
            }
            known => Ok(Made { volume: known?, is_new: false }),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Refuses a name that is none, or taken.
    pub(crate) fn check_free(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        match self.root.join(name).symlink_metadata() {
            Ok(_) => Err(Error::Taken(name.to_owned())),
            Err(_) => Ok(()),
        }
    }

    /// Gives a folder its name for good, unless that is taken.
    pub(crate) fn settle(&self, folder: &Path, name: &str) -> io::Result<()> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(rustix::fs::CWD, folder, rustix::fs::CWD, self.root.join(name), flags)?;
        fs::File::open(&self.root)?.sync_all()
    }

    fn make(&self, record: Record) -> Result<Volume, Error> {
        let name = record.name().to_owned();
        let (name, anonymous) = (name.as_str(), record.is_anonymous());
        check_name(name)?;
        let failed = |source| Error::Io { action: "create", name: name.to_owned(), source };
        let folder = self.root.join(format!("{NEW}{}", base::Id::random()));
        let mut undo = Undo::new();
        make_volume_folders(&folder).map_err(failed)?;
        undo.push(|| drop(fs::remove_dir_all(&folder)));
        let durability = if anonymous { Durability::Process } else { Durability::PowerCut };
        let bytes = record.bytes().map_err(failed)?;
        atomic::write(&folder.join(RECORD), &bytes, 0o600, durability).map_err(failed)?;
        match fs::rename(&folder, self.root.join(name)) {
            Ok(()) => undo.keep(),
            // Someone else made it meanwhile.
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                return self.get(name);
            }
            Err(e) => return Err(failed(e)),
        }
        if !anonymous {
            fs::File::open(&self.root).and_then(|root| root.sync_all()).map_err(failed)?;
        }
        Ok(record.volume(self.root.join(name).join(DATA)))
    }

    /// The volume of that name.
    pub fn get(&self, name: &str) -> Result<Volume, Error> {
        check_name(name)?;
        let folder = self.root.join(name);
        match Record::read(&folder.join(RECORD), name) {
            Ok(record) => Ok(record.volume(folder.join(DATA))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::NotFound(name.to_owned())),
            Err(source) => Err(Error::Io { action: "read", name: name.to_owned(), source }),
        }
    }

    /// All volumes by name. One whose record cannot be read is left out, with a warning.
    pub fn list(&self) -> Result<Vec<Volume>, Error> {
        let failed = |source| Error::Io { action: "list", name: self.root.display().to_string(), source };
        let mut volumes = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str().filter(|name| check_name(name).is_ok()) else { continue };
            match self.get(name) {
                Ok(volume) => volumes.push(volume),
                Err(Error::NotFound(_)) => {}
                Err(e) => tracing::warn!("{}", base::chain(&e)),
            }
        }
        volumes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(volumes)
    }

    /// Removes a volume with all its files. Whether a container uses it is the caller's to know.
    ///
    /// It is gone at once for everyone else; files that then cannot be deleted are an error, tried again by [`Store::open`].
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let gone = self.withdraw(name)?;
        tree::remove(&gone).map_err(|source| Error::Io { action: "remove", name: name.to_owned(), source })
    }

    /// The first half of [`Store::remove`]: the volume is gone for everyone, its files wait in the folder that is returned for
    /// [`crate::remove_tree`], at the latest by the next [`Store::open`].
    pub fn withdraw(&self, name: &str) -> Result<PathBuf, Error> {
        check_name(name)?;
        let failed = |source| Error::Io { action: "remove", name: name.to_owned(), source };
        let lock = self.lock(name);
        let held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = self.root.join(format!("{GONE}{}", base::Id::random()));
        match fs::rename(self.root.join(name), &gone) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound(name.to_owned())),
            Err(e) => return Err(failed(e)),
        }
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        drop(held);
        Ok(gone)
    }

    /// Copy-up: fills an empty volume from `source` (a folder opened below a container's root), owners, modes, times, xattrs and
    /// hard links kept; owners are taken as the kernel shows them through `source`, minus `id_base` where they are at least that
    /// (the source is seen through an id-mapped mount).
    ///
    /// A volume with anything in it is left alone. Symbolic links are copied, never followed; sockets and device nodes are left
    /// out. An engine that is killed leaves an empty volume or (after [`Store::open`]) a complete one; nothing is forced to disk.
    /// Folders nested deeper than 256 are an error.
    pub fn copy_up(&self, volume: &Volume, source: BorrowedFd<'_>, id_base: u32) -> Result<(), Error> {
        check_name(&volume.name)?;
        let failed = |e: Errno| Error::Io { action: "fill", name: volume.name.clone(), source: e.into() };
        if volume.needs_mount() {
            return fill_foreign(volume, source, id_base).map_err(failed);
        }
        let folder = match open_folder(rustix::fs::CWD, self.root.join(&volume.name)) {
            Err(Errno::NOENT) => return Err(Error::NotFound(volume.name.clone())),
            folder => folder.map_err(failed)?,
        };
        let lock = self.lock(&volume.name);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        fill(&folder, source, id_base).map_err(failed)
    }

    fn lock(&self, name: &str) -> Arc<Mutex<()>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone()
    }
}

/// What is mounted for the volume cannot be filled aside, as it is another file system.
fn fill_foreign(volume: &Volume, source: BorrowedFd<'_>, id_base: u32) -> Result<(), Errno> {
    let data = open_folder(rustix::fs::CWD, &volume.mountpoint)?;
    match tree::is_empty(data.as_fd())? {
        true => copy::tree(source, data.as_fd(), Scope::Image { id_base }),
        false => Ok(()),
    }
}

const STAGE: &str = "_data.tmp";
const FULL: &str = "_data.full";

fn fill(folder: &OwnedFd, source: BorrowedFd<'_>, id_base: u32) -> Result<(), Errno> {
    let data = open_folder(folder, DATA)?;
    finish(folder, &data)?;
    if !tree::is_empty(data.as_fd())? {
        return Ok(());
    }
    throw_away(folder, STAGE)?;
    rustix::fs::mkdirat(folder, STAGE, Mode::RWXU)?;
    let stage = open_folder(folder, STAGE)?;
    let copied = copy::tree(source, stage.as_fd(), Scope::Image { id_base });
    if copied.is_err() {
        let _ = throw_away(folder, STAGE);
        return copied;
    }
    rustix::fs::renameat(folder, STAGE, folder, FULL)?;
    finish(folder, &data)
}

/// Moves what a complete copy holds into `_data`, and gives that the copied folder's owner, mode and times.
fn finish(folder: &OwnedFd, data: &OwnedFd) -> Result<(), Errno> {
    let full = match open_folder(folder, FULL) {
        Err(Errno::NOENT) => return Ok(()),
        full => full?,
    };
    let same = crate::file::Attributes::read(full.as_fd(), Scope::Image { id_base: 0 })?;
    for name in tree::names(full.as_fd())? {
        rustix::fs::renameat(&full, &name, data, &name)?;
    }
    same.give(data.as_fd())?;
    rustix::fs::unlinkat(folder, FULL, AtFlags::REMOVEDIR)
}

fn throw_away(folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    match open_folder(folder, name) {
        Err(Errno::NOENT) => Ok(()),
        open => {
            tree::empty(open?.as_fd())?;
            rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
        }
    }
}

/// Deletes a folder of the root.
fn discard(root: &Path, name: &str) -> io::Result<()> {
    let root = open_folder(rustix::fs::CWD, root)?;
    Ok(throw_away(&root, name)?)
}

/// Ends what a crash interrupted.
fn recover(root: &Path, name: &str) -> io::Result<()> {
    if name.starts_with(NEW) || name.starts_with(GONE) {
        return discard(root, name);
    }
    if check_name(name).is_err() {
        return Ok(());
    }
    end_rename(&root.join(name), name)?;
    let folder = open_folder(rustix::fs::CWD, root.join(name))?;
    throw_away(&folder, STAGE)?;
    match open_folder(&folder, DATA) {
        Err(Errno::NOENT) => Ok(()),
        data => Ok(finish(&folder, &data?)?),
    }
}

/// A rename got its name and not its record, or its record and not its name.
fn end_rename(folder: &Path, name: &str) -> io::Result<()> {
    let next = folder.join(NEXT);
    match Record::read(&next, name) {
        Ok(_) => fs::rename(&next, folder.join(RECORD)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => fs::remove_file(&next),
    }
}

pub(crate) fn open_folder(at: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

/// The folders of a volume, empty.
pub(crate) fn make_volume_folders(folder: &Path) -> io::Result<()> {
    make_folder(folder, FOLDER_MODE)?;
    make_folder(&folder.join(DATA), DATA_MODE)
}

/// Makes a folder with that very mode, whatever the umask.
fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn check_name(name: &str) -> Result<(), Error> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if first && rest && name.len() <= MAX_NAME {
        return Ok(());
    }
    Err(Error::Name(name.chars().take(MAX_NAME).collect()))
}

//! Folders of checkpoints: found below one open folder, through no link, and made whole or not at all.

use super::Kept;
use super::description::{Description, NAME};
use crate::{Error, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a checkpoint is called while it is made; no checkpoint can have such a name.
const DRAFT: &str = ".new-";

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is done about a folder that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Make,
    Leave,
}

/// The folder that checkpoints are in.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

/// A checkpoint that is being made. Dropped, it was never there.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    folder: &'a Folder,
    name: &'a str,
    images: OwnedFd,
    kept: bool,
}

/// In Docker's words.
pub(super) fn absent(name: &str, container: &str) -> Error {
    Error::Checkpoint(format!("checkpoint {name} does not exist for container {container}"))
}

impl Folder {
    /// `None`: it is not there.
    pub(super) fn open(path: &Path, absent: Absent) -> Result<Option<Folder>> {
        let cannot = |source| Error::Io { action: format!("open the checkpoint directory {}", path.display()), source };
        if absent == Absent::Make {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(cannot)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Folder { path: path.to_owned(), fd })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => Err(Error::Invalid(format!(
                "checkpoint directory {:?} exists but is not a directory",
                path.display().to_string()
            ))),
            Err(e) => Err(cannot(e.into())),
        }
    }

    /// Names of the checkpoints in it, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let entries = base::tree::names(self.fd.as_fd()).map_err(|e| self.cannot("read", e))?;
        let names = entries.into_iter().filter_map(|name| name.into_string().ok());
        let is_one = |name: &String| {
            super::check_name(name).is_ok()
                && self.find(name).is_ok_and(|found| matches!(Description::read(found.as_fd()), Ok(Some(_))))
        };
        let mut names: Vec<String> = names.filter(is_one).collect();
        names.sort();
        Ok(names)
    }

    fn cannot(&self, what: &str, errno: Errno) -> Error {
        let action = format!("{what} the checkpoint directory {}", self.path.display());
        Error::Io { action, source: errno.into() }
    }

    /// A folder in it, and nothing that a link leads to.
    fn find(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.fd, name, OPEN, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn find_for(&self, name: &str, container: &str) -> Result<OwnedFd> {
        self.find(name).map_err(|e| match e {
            Errno::NOTDIR | Errno::LOOP => self.no_folder(name),
            Errno::NOENT => absent(name, container),
            other => self.cannot("look into", other),
        })
    }

    fn no_folder(&self, name: &str) -> Error {
        Error::Checkpoint(format!("{} exists and is not a directory", self.path.join(name).display()))
    }

    /// That nothing has this name yet, in Docker's words.
    pub(super) fn check_free(&self, name: &str, container: &str) -> Result<()> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.cannot("look into", e)),
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                Err(Error::Checkpoint(format!("checkpoint with name {name} already exists for container {container}")))
            }
            Ok(_) => Err(self.no_folder(name)),
        }
    }

    /// An empty folder for a new checkpoint. What an engine that was killed left of an earlier attempt is deleted.
    pub(super) fn begin<'a>(&'a self, name: &'a str) -> Result<Draft<'a>> {
        let draft = format!("{DRAFT}{name}");
        let made = || {
            self.delete(&draft)?;
            rustix::fs::mkdirat(&self.fd, &draft, Mode::from_raw_mode(0o700))?;
            self.find(&draft)
        };
        let images = made().map_err(|e| self.cannot("make a folder in", e))?;
        Ok(Draft { folder: self, name, images, kept: false })
    }

    /// A folder with all that is in it. One that is not there is fine.
    fn delete(&self, name: &str) -> rustix::io::Result<()> {
        match self.find(name) {
            Ok(found) => base::tree::empty(found.as_fd())?,
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => return Err(e),
        }
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
    }

    pub(super) fn remove(&self, name: &str, container: &str) -> Result<()> {
        let found = self.find_for(name, container)?;
        self.describe(name, found.as_fd())?;
        self.delete(name).map_err(|e| self.cannot("delete from", e))
    }

    fn describe(&self, name: &str, found: BorrowedFd<'_>) -> Result<Description> {
        Description::read(found)?.ok_or_else(|| {
            let path = self.path.join(name);
            Error::Invalid(format!(
                "{} is no checkpoint of this engine: it has no {NAME} that it wrote",
                path.display()
            ))
        })
    }

    /// For a restoration.
    pub(super) fn kept(&self, name: &str, container: &str) -> Result<Kept> {
        let images = self.find_for(name, container)?;
        if let Some(what) = untrusted(images.as_fd()).map_err(|e| self.cannot("look into", e))? {
            let path = self.path.join(name);
            return Err(Error::Denied(format!(
                "the checkpoint {} is not restored: {what} is no plain file that only root can write to, and a checkpoint says \
                 what root of this machine executes",
                path.display()
            )));
        }
        let description = self.describe(name, images.as_fd())?;
        Ok(Kept { images, description })
    }
}

impl Kept {
    /// Lets a group read the images. CRIU's processes open some when they are the container's root already, and some before, when they
    /// are still the owner.
    pub(in crate::containers) fn let_read(&self, group: u32) -> Result<()> {
        if group == 0 {
            return Ok(());
        }
        let group = Some(Gid::from_raw(group));
        let give = || {
            for name in base::tree::names(self.images.as_fd())? {
                // Checked to be plain files of this user's.
                rustix::fs::chownat(&self.images, &name, None, group, AtFlags::SYMLINK_NOFOLLOW)?;
                rustix::fs::chmodat(&self.images, &name, Mode::from_raw_mode(0o640), AtFlags::empty())?;
            }
            rustix::fs::fchown(&self.images, None, group)?;
            rustix::fs::fchmod(&self.images, Mode::from_raw_mode(0o750))
        };
        give()
            .map_err(|e| Error::Io { action: "let the container's root read its checkpoint".into(), source: e.into() })
    }
}

impl Draft<'_> {
    pub(super) fn images(&self) -> BorrowedFd<'_> {
        self.images.as_fd()
    }

    /// It is a checkpoint from here on.
    pub(super) fn keep(mut self) -> Result<()> {
        let (folder, draft) = (self.folder, format!("{DRAFT}{}", self.name));
        let flags = RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&folder.fd, draft, &folder.fd, self.name, flags)
            .map_err(|e| folder.cannot("name a checkpoint in", e))?;
        self.kept = true;
        Ok(())
    }

    /// What CRIU wrote about its work.
    pub(super) fn log(&self, name: &str) -> io::Result<std::fs::File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.images, name, flags, Mode::empty())?.into())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let draft = format!("{DRAFT}{}", self.name);
        if let Err(e) = self.folder.delete(&draft) {
            tracing::warn!("cannot delete {}: {e}", self.folder.path.join(draft).display());
        }
    }
}

/// The first thing in a folder, or itself, that others than this user decide about: a link, a device, somebody else's file.
fn untrusted(folder: BorrowedFd<'_>) -> rustix::io::Result<Option<String>> {
    let own = rustix::process::geteuid().as_raw();
    let ours = |stat: &rustix::fs::Stat| stat.st_uid == own && stat.st_mode & 0o022 == 0;
    if !ours(&rustix::fs::fstat(folder)?) {
        return Ok(Some("its folder".into()));
    }
    for name in base::tree::names(folder)? {
        let stat = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 || !ours(&stat) {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> (tempfile::TempDir, Folder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(&temporary.path().join("a/b"), Absent::Make).unwrap().unwrap();
        (temporary, folder)
    }

    fn make(folder: &Folder, name: &str) {
        let draft = folder.begin(name).unwrap();
        Description::new().write(draft.images()).unwrap();
        draft.keep().unwrap();
    }

    #[test]
    fn a_checkpoint_is_there_when_it_is_whole() {
        let (_temporary, folder) = folder();
        let draft = folder.begin("one").unwrap();
        Description::new().write(draft.images()).unwrap();
        assert_eq!(folder.names().unwrap(), [""; 0]);
        drop(draft);
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 0);
        // What a killed engine leaves is in nobody's way.
        fs::create_dir(folder.path.join(".new-one")).unwrap();
        fs::write(folder.path.join(".new-one/pages-1.img"), "x").unwrap();
        make(&folder, "one");
        make(&folder, "another");
        assert_eq!(folder.names().unwrap(), ["another", "one"]);
        assert!(folder.check_free("one", "web").unwrap_err().to_string().contains("already exists for container web"));
        folder.remove("one", "web").unwrap();
        assert_eq!(folder.names().unwrap(), ["another"]);
        assert!(folder.remove("one", "web").unwrap_err().to_string().contains("does not exist for container web"));
    }

    #[test]
    fn nothing_but_checkpoints_is_deleted() {
        let (temporary, folder) = folder();
        let canary = temporary.path().join("canary");
        fs::create_dir(&canary).unwrap();
        fs::write(canary.join("file"), "alive").unwrap();
        Description::new().write(fs::File::open(&canary).unwrap().as_fd()).unwrap();
        symlink(&canary, folder.path.join("link")).unwrap();
        fs::create_dir(folder.path.join("plain")).unwrap();
        fs::write(folder.path.join("file"), "alive").unwrap();
        for name in ["link", "plain", "file"] {
            assert!(folder.remove(name, "web").is_err(), "{name}");
            assert!(folder.kept(name, "web").is_err(), "{name}");
            assert!(folder.check_free(name, "web").is_err(), "{name}");
        }
        assert_eq!(folder.names().unwrap(), [""; 0]);
        assert_eq!(fs::read_to_string(canary.join("file")).unwrap(), "alive");
        assert!(folder.path.join("plain").is_dir());
    }

    #[test]
    fn a_checkpoint_that_others_can_change_is_not_restored() {
        let (_temporary, folder) = folder();
        make(&folder, "one");
        let path = folder.path.join("one");
        assert!(folder.kept("one", "web").is_ok());
        let refused = || folder.kept("one", "web").unwrap_err().to_string();
        symlink("/etc/passwd", path.join("core-1.img")).unwrap();
        assert!(refused().contains("core-1.img is no plain file"), "{}", refused());
        fs::remove_file(path.join("core-1.img")).unwrap();
        fs::hard_link(path.join("description.json"), path.join("core-1.img")).unwrap();
        assert!(refused().contains("is no plain file"));
        fs::remove_file(path.join("core-1.img")).unwrap();
        fs::write(path.join("core-1.img"), "").unwrap();
        fs::set_permissions(path.join("core-1.img"), Permissions::from_mode(0o666)).unwrap();
        assert!(refused().contains("core-1.img"));
        fs::set_permissions(path.join("core-1.img"), Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o770)).unwrap();
        assert!(refused().contains("its folder"));
    }
}

//! The engine's folders: what lies where below the data root and the exec root. One engine a root.

use crate::{Error, Result, Settings};
use base::Id;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folders, and the locks that keep a second engine out.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) data: PathBuf,
    pub(crate) exec: PathBuf,
    _locks: [File; 2],
}

impl Roots {
    /// Makes the folders (mode 0710: containers' root may pass, others not even look) and locks both roots.
    pub(crate) fn open(settings: &Settings) -> Result<Roots> {
        let data = make(&settings.data_root)?;
        let exec = make(&settings.exec_root)?;
        for folder in ["containers", "trash"] {
            make(&data.join(folder))?;
        }
        let locks = [lock(&data)?, lock(&exec)?];
        let roots = Roots { data, exec, _locks: locks };
        roots.sweep();
        crate::containers::sweep_shown(&roots.exec);
        Ok(roots)
    }

    /// The folder of one container: `upper`, `work`, its files and its log.
    pub(crate) fn container(&self, id: &Id) -> PathBuf {
        self.data.join("containers").join(id.to_string())
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    /// Takes a container's folder out of sight at once, and deletes it then.
    pub(crate) fn discard(&self, id: &Id) -> io::Result<()> {
        let trash = self.data.join("trash").join(Id::random().to_string());
        match fs::rename(self.container(id), &trash) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
            Ok(()) => volume::remove_tree(&trash),
        }
    }

    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.data.join("trash")) else { return };
        for entry in entries.flatten() {
            if let Err(e) = volume::remove_tree(&entry.path()) {
                tracing::warn!("cannot delete {}: {e}", entry.path().display());
            }
        }
    }
}

fn make(path: &Path) -> Result<PathBuf> {
    let failed = |source| Error::Io { action: format!("make the folder {}", path.display()), source };
    DirBuilder::new().recursive(true).mode(0o710).create(path).map_err(failed)?;
    path.canonicalize().map_err(failed)
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("engine.lock");
    let failed = |source| Error::Io { action: format!("lock {}", path.display()), source };
    let file = File::create(&path).map_err(failed)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Conflict(format!(
            "another engine already runs on {}: give this one other roots",
            root.display()
        ))),
        Err(e) => Err(failed(e.into())),
    }
}

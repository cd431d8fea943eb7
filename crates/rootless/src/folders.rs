//! Where a user's engine keeps what it has (XDG Base Directory Specification).

use crate::Error;
use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A user's folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Sockets and live state, mode 0700, gone after a boot: `$XDG_RUNTIME_DIR`, else `/tmp/dhow-UID`.
    pub runtime: PathBuf,
}

/// Whether whoever started this program has no rights of root: also once it has become root of a namespace.
#[must_use]
pub fn is_ordinary_user() -> bool {
    *started_by() != 0
}

/// The user as it was when this was first asked.
fn started_by() -> &'static u32 {
    static USER: OnceLock<u32> = OnceLock::new();
    USER.get_or_init(|| rustix::process::geteuid().as_raw())
}

impl Folders {
    /// Finds them by the environment, without making any.
    #[must_use]
    pub fn find() -> Folders {
        let told = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let fallback = || PathBuf::from(format!("/tmp/dhow-{}", started_by()));
        Folders { runtime: told.unwrap_or_else(fallback) }
    }

    /// `$XDG_RUNTIME_DIR/dhow`
    #[must_use]
    pub fn exec_root(&self) -> PathBuf {
        self.runtime.join("dhow")
    }

    /// `$XDG_RUNTIME_DIR/dhow.sock`
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("dhow.sock")
    }

    /// `$XDG_DATA_HOME/dhow`, else `~/.local/share/dhow`.
    pub fn data_root() -> Result<PathBuf, Error> {
        let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")));
        data.map(|data| data.join("dhow")).ok_or(Error::Homeless)
    }

    /// `$XDG_CONFIG_HOME/dhow`, else `~/.config/dhow`.
    #[must_use]
    pub fn config() -> Option<PathBuf> {
        let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")));
        config.map(|config| config.join("dhow"))
    }

    /// Makes the runtime folder where nobody has, and makes sure that it is this user's alone: /tmp is everybody's.
    pub fn secure(&self) -> Result<(), Error> {
        let path = &self.runtime;
        let failed = |source| Error::Folder { path: path.clone(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
            _ => {}
        }
        self.check()
    }

    /// Refuses a runtime folder in which somebody else could have put the socket; one that is not there is fine.
    pub fn check(&self) -> Result<(), Error> {
        let path = self.runtime.clone();
        match is_ours(&path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Stranger { path }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::Folder { path, source }),
        }
    }
}

/// A folder (no link) of this user that nobody else can write to.
fn is_ours(path: &Path) -> io::Result<bool> {
    let look = fs::symlink_metadata(path)?;
    Ok(look.is_dir() && look.uid() == rustix::process::geteuid().as_raw() && look.mode() & 0o022 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_runtime_folder_that_others_can_write_to_is_refused() {
        let yard = tempfile::tempdir().unwrap();
        let folders = Folders { runtime: yard.path().join("run") };
        folders.check().unwrap();
        assert!(!folders.runtime.exists());
        folders.secure().unwrap();
        folders.secure().unwrap();
        fs::set_permissions(&folders.runtime, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(folders.secure(), Err(Error::Stranger { .. })));
        let link = Folders { runtime: yard.path().join("link") };
        std::os::unix::fs::symlink("/", &link.runtime).unwrap();
        assert!(matches!(link.secure(), Err(Error::Stranger { .. })));
    }
}

//! Where the state of containers is kept, and whether this process has root's rights on the machine.

use crate::error::{Error, Result};
use rustix::fs::Mode;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Root by number: also of a user namespace.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether ids of this process are not those of the machine (user_namespaces(7)): its map is not the whole one.
#[must_use]
pub fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && !map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The default of `--root`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Default {
    Machine(PathBuf),
    /// Below $XDG_RUNTIME_DIR, where files without the sticky bit are removed after a while.
    Personal(PathBuf),
}

impl Default {
    #[must_use]
    pub fn find(name: &str) -> Default {
        match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()) {
            Some(folder) if wants_personal() => Default::Personal(Path::new(&folder).join(name)),
            _ => Default::Machine(Path::new("/run").join(name)),
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Default::Machine(path) | Default::Personal(path) => path,
        }
    }

    /// Makes a personal one, with the sticky bit (XDG Base Directory Specification, $XDG_RUNTIME_DIR).
    pub fn ready(&self) -> Result<()> {
        let Default::Personal(path) = self else { return Ok(()) };
        let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
        let sticky = Mode::from_raw_mode(0o1700);
        made.and_then(|()| Ok(rustix::fs::chmod(path, sticky)?))
            .map_err(|e: io::Error| Error::because("the path in $XDG_RUNTIME_DIR must be writable by the user", &e))
    }
}

/// Root of the machine keeps its state where it always was, whatever login session it comes from.
fn wants_personal() -> bool {
    if !is_root() {
        return true;
    }
    in_user_namespace() && std::env::var_os("USER").is_none_or(|user| user != "root")
}

/// `--root` as an absolute path without `.` and `..`.
pub fn given(root: OsString) -> Result<PathBuf> {
    let cannot = |e: io::Error| Error::because("cannot find out the current directory", &e);
    let path = match root.is_empty() {
        true => std::env::current_dir().map_err(cannot)?,
        false => std::path::absolute(root).map_err(cannot)?,
    };
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(clean.pop()),
            std::path::Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    if clean == Path::new("/") {
        return Err(Error::new("Option --root argument should not be set to /"));
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_absolute_and_clean_and_not_the_whole_machine() {
        assert_eq!(given("/a/../b/./c/".into()).unwrap(), Path::new("/b/c"));
        assert!(given("x".into()).unwrap().is_absolute());
        for wrong in ["/", "/..", "/a/.."] {
            assert!(given(wrong.into()).is_err(), "{wrong}");
        }
    }
}

//! What is in every container unless its image has it: /.dockerenv, by which programs know that they are in a container,
//! /etc/mtab, which leads to /proc/mounts, and what every start mounts something on.
//!
//! A folder below all layers, so that the image's own files win and nothing of it counts as a change of the container's.

use crate::lower::MOST_LOWERS;
use crate::store::fail;
use crate::{Error, Lower, Store};
use std::borrow::Cow;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const FOLDER: &str = "bottom";

/// Empty files, and their modes.
const FILES: [(&str, u32); 4] =
    [(".dockerenv", 0o755), ("etc/hostname", 0o644), ("etc/hosts", 0o644), ("etc/resolv.conf", 0o644)];

/// Makes the folder in a store.
pub(crate) fn make(root: &Path) -> Result<(), Error> {
    let bottom = root.join(FOLDER);
    for folder in ["dev", "etc", "proc", "sys"].map(|name| bottom.join(name)) {
        DirBuilder::new().recursive(true).mode(0o755).create(&folder).map_err(fail("make", &folder))?;
    }
    for (name, mode) in FILES {
        let file = bottom.join(name);
        OpenOptions::new().create(true).append(true).mode(mode).open(&file).map_err(fail("make", &file))?;
    }
    let mtab = bottom.join("etc/mtab");
    match std::os::unix::fs::symlink("/proc/mounts", &mtab) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(fail("make", &mtab)(e)),
        _ => Ok(()),
    }
}

impl Store {
    /// The lowers of a container's root: those of its image, and the bottom below them. The host as an image has none: the
    /// store lies in it, and overlayfs refuses lowers that contain each other.
    pub(crate) fn with_bottom<'a>(&self, lowers: &'a [Lower]) -> Cow<'a, [Lower]> {
        let is_host = lowers.contains(&Lower::Folder(PathBuf::from("/")));
        if is_host || lowers.len() >= MOST_LOWERS {
            return Cow::Borrowed(lowers);
        }
        let mut all = lowers.to_vec();
        all.push(Lower::Folder(self.root.join(FOLDER)));
        Cow::Owned(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_bottom_is_made_once_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path()).unwrap();
        make(folder.path()).unwrap();
        let bottom = folder.path().join(FOLDER);
        assert_eq!(fs::read(bottom.join(".dockerenv")).unwrap(), b"");
        assert_eq!(fs::read_link(bottom.join("etc/mtab")).unwrap(), Path::new("/proc/mounts"));
    }
}

//! Files and folders that are there only because something was mounted on them: they are no part of what a step made.
//!
//! Which are missing is looked up before the step, and only these, empty, go after it: opened below the step's own folder and
//! through no link, so that nothing else can be meant (CVE-2024-23652).

use super::place;
use crate::Result;
use crate::context::cleaned;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Paths that are not there before the step, what is in a folder before the folder.
#[derive(Debug, Default)]
pub(crate) struct Stubs {
    paths: Vec<String>,
}

impl Stubs {
    /// What of the way to each of `targets` is missing in a tree.
    pub fn missing(root: BorrowedFd<'_>, targets: &[&str]) -> Result<Stubs> {
        let mut paths: Vec<String> = Vec::new();
        for target in targets {
            let clean = cleaned(target);
            let ends = clean.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| at);
            for end in ends.chain([clean.len()]) {
                let path = &clean[..end];
                let is_there = place::find(root, path.as_bytes(), OFlags::PATH).is_ok_and(|found| found.is_some());
                if !is_there && !path.is_empty() && !paths.iter().any(|known| known == path) {
                    paths.push(path.to_owned());
                }
            }
        }
        paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        Ok(Stubs { paths })
    }

    /// Takes away those that are empty.
    pub fn clear(&self, upper: &Path) -> io::Result<()> {
        if self.paths.is_empty() {
            return Ok(());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = match rustix::fs::open(upper, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        for path in &self.paths {
            match clear(root.as_fd(), path) {
                Ok(())
                | Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY | Errno::LOOP | Errno::XDEV | Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

fn clear(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<()> {
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat2(root, folder, flags, Mode::empty(), beneath)?;
    let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR),
        FileType::RegularFile if stat.st_size == 0 => rustix::fs::unlinkat(&folder, name, AtFlags::empty()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_what_was_missing_and_is_empty_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (before, upper) = (folder.path().join("before"), folder.path().join("upper"));
        fs::create_dir_all(before.join("there")).unwrap();
        let root = fs::File::open(&before).unwrap();
        let stubs = Stubs::missing(root.as_fd(), &["/there/a/b", "/kept/x", "/file", "/link/victim"]).unwrap();
        fs::create_dir_all(upper.join("there/a/b")).unwrap();
        fs::create_dir_all(upper.join("kept/x")).unwrap();
        fs::write(upper.join("kept/own"), "1").unwrap();
        fs::write(upper.join("file"), "").unwrap();
        fs::write(folder.path().join("victim"), "").unwrap();
        std::os::unix::fs::symlink(folder.path(), upper.join("link")).unwrap();
        stubs.clear(&upper).unwrap();
        assert!(upper.join("there").is_dir() && !upper.join("there/a").exists());
        assert!(upper.join("kept/own").is_file() && !upper.join("kept/x").exists());
        assert!(!upper.join("file").exists() && folder.path().join("victim").exists());
    }
}

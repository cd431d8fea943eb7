//! What CRIU does not know of a container: what of it belongs to the engine, by the names that the images have for it.
//!
//! It is read from folders that anybody may have filled: bounded, and nothing in it is a path of the host.

use crate::{Error, Result};
use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

/// The file in a checkpoint's folder.
pub(super) const NAME: &str = "description.json";
/// More than a thousand mounts take, in bytes.
const LONGEST: u64 = 1 << 20;
/// The version that is written and understood.
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::containers) struct Description {
    pub(super) version: u32,
    /// The container that it was made of.
    pub(in crate::containers) container: String,
    pub(in crate::containers) image: String,
    /// Nanoseconds since the epoch.
    pub(in crate::containers) created_at: i64,
    pub(in crate::containers) terminal: bool,
    pub(in crate::containers) open_stdin: bool,
    /// Numbers of the pipes that were stdin, stdout and stderr.
    pub(in crate::containers) pipes: [Option<u64>; 3],
    /// The host's /dev/null as its stdin: numbers of mount and inode.
    pub(in crate::containers) nulls: Vec<(u64, u64)>,
    /// Mounts that are made by the engine: where they were, and what the specification calls that place.
    pub(in crate::containers) mounts: BTreeMap<String, String>,
}

impl Description {
    pub(super) fn new() -> Description {
        Description { version: VERSION, ..Description::default() }
    }

    /// Of a checkpoint; `None` when the folder is none of ours.
    pub(super) fn read(folder: BorrowedFd<'_>) -> Result<Option<Description>> {
        let cannot = |source| Error::Io { action: format!("read {NAME} of the checkpoint"), source };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(folder, NAME, flags, Mode::empty()) {
            Ok(file) => file,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return Ok(None),
            Err(e) => return Err(cannot(e.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| cannot(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut text = Vec::new();
        File::from(file).take(LONGEST + 1).read_to_end(&mut text).map_err(cannot)?;
        if text.len() as u64 > LONGEST {
            return Ok(None);
        }
        let read = serde_json::from_slice::<Description>(&text).ok();
        Ok(read.filter(|description| description.version == VERSION && description.is_sane()))
    }

    pub(super) fn write(&self, folder: BorrowedFd<'_>) -> Result<()> {
        let cannot = |source| Error::Io { action: format!("write {NAME} of the checkpoint"), source };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, NAME, flags, Mode::from_raw_mode(0o600)).map_err(|e| cannot(e.into()))?;
        let text = serde_json::to_vec(self).map_err(|e| cannot(e.into()))?;
        File::from(file).write_all(&text).map_err(cannot)
    }

    fn is_sane(&self) -> bool {
        self.mounts.iter().all(|(point, place)| is_plain(point) && is_plain(place))
    }

    /// What CRIU calls the descriptors that are the engine's, and the standard stream that each becomes.
    pub(in crate::containers) fn descriptors(&self) -> impl Iterator<Item = (String, i32)> + '_ {
        let pipes = (0..3).zip(self.pipes);
        let pipes = pipes.filter_map(|(stream, pipe)| Some((format!("pipe:[{}]", pipe?), stream)));
        pipes.chain(self.nulls.iter().map(|null| (null_name(*null), 0)))
    }
}

/// As CRIU names a file from outside of the container.
pub(super) fn null_name((mount, inode): (u64, u64)) -> String {
    format!("file[{mount:x}:{inode:x}]")
}

/// An absolute path without `.`, `..` or an empty part.
fn is_plain(path: &str) -> bool {
    let parts = path.strip_prefix('/');
    parts.is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0')))
}

/// The longest of `places` that `path` is, or is below, and what is below it.
pub(in crate::containers) fn split_place<'a>(path: &'a str, places: &[&str]) -> Option<(usize, &'a str)> {
    let below = |place: &str| match path.strip_prefix(place)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    };
    let found = places.iter().enumerate().filter_map(|(index, place)| Some((place.len(), index, below(place)?)));
    found.max_by_key(|(length, ..)| *length).map(|(_, index, rest)| (index, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn folder(text: &[u8]) -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), text).unwrap();
        let open = File::open(folder.path()).unwrap();
        (folder, open)
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let open = File::open(folder.path()).unwrap();
        assert_eq!(Description::read(open.as_fd()).unwrap(), None);
        let mut written = Description::new();
        written.pipes = [None, Some(7), Some(8)];
        written.nulls = vec![(0x1f, 4)];
        written.mounts = BTreeMap::from([("/run/docker.sock".into(), "/var/run/docker.sock".into())]);
        written.write(open.as_fd()).unwrap();
        assert_eq!(Description::read(open.as_fd()).unwrap().as_ref(), Some(&written));
        let descriptors: Vec<_> = written.descriptors().collect();
        assert_eq!(descriptors, [("pipe:[7]".into(), 1), ("pipe:[8]".into(), 2), ("file[1f:4]".into(), 0)]);
    }

    #[test]
    fn hostile_descriptions_are_none() {
        let with = |point: &str, place: &str| format!(r#"{{"version":1,"mounts":{{"{point}":"{place}"}}}}"#);
        for text in [
            "".to_owned(),
            "{}".to_owned(),
            r#"{"version":2}"#.to_owned(),
            with("/data", "/data/../../etc"),
            with("data", "/data"),
            with("/a/./b", "/a"),
            with("/", "/"),
            with("/data", "//etc"),
            format!(r#"{{"version":1,"container":"{}"}}"#, "x".repeat(2 << 20)),
        ] {
            let (_folder, open) = folder(text.as_bytes());
            assert_eq!(Description::read(open.as_fd()).unwrap(), None, "{}", text.get(..60).unwrap_or(&text));
        }
        let (_folder, open) = folder(with("/data", "/data").as_bytes());
        assert!(Description::read(open.as_fd()).unwrap().is_some());
    }

    #[test]
    fn links_and_pipes_are_no_descriptions() {
        let folder = tempfile::tempdir().unwrap();
        let open = File::open(folder.path()).unwrap();
        std::fs::write(folder.path().join("other"), r#"{"version":1}"#).unwrap();
        std::os::unix::fs::symlink("other", folder.path().join(NAME)).unwrap();
        assert_eq!(Description::read(open.as_fd()).unwrap(), None);
        std::fs::remove_file(folder.path().join(NAME)).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(&open, NAME, FileType::Fifo, mode, 0).unwrap();
        assert_eq!(Description::read(open.as_fd()).unwrap(), None);
    }

    #[test]
    fn a_place_is_the_deepest_mount_above_it() {
        let places = ["/data", "/data/deep", "/dat"];
        assert_eq!(split_place("/data", &places), Some((0, "")));
        assert_eq!(split_place("/data/x/y", &places), Some((0, "x/y")));
        assert_eq!(split_place("/data/deep/x", &places), Some((1, "x")));
        assert_eq!(split_place("/database", &places), None);
    }
}

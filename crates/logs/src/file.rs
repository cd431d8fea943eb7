//! The log file of one container: opened at its first output, appended to, rotated, cut back.

use crate::Target;
use crate::format::Format;
use rustix::fs::{fstat, ftruncate};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The writing end of a container's log.
#[derive(Debug)]
pub struct Log {
    target: Target,
    format: Format,
    file: Option<File>,
    rotated: bool,
}

impl Log {
    /// Opens nothing yet.
    pub fn new(target: Target) -> Log {
        Log { format: Format::of(&target), target, file: None, rotated: false }
    }

    /// How its entries look.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Where it is when it has been rotated since the last time this was asked.
    pub fn take_rotated(&mut self) -> Option<&Target> {
        std::mem::take(&mut self.rotated).then_some(&self.target)
    }

    /// Bytes after which the file is rotated; 0 is never.
    pub fn max_size(&self) -> u64 {
        self.target.max_size
    }

    /// The bytes now in the file, which is rotated first when it is full.
    pub fn length(&mut self) -> io::Result<u64> {
        let length = self.size()?;
        if self.target.max_size == 0 || length < self.target.max_size {
            return Ok(length);
        }
        self.rotate()?;
        self.size()
    }

    /// Appends `entries`, which are there whole or not at all; `before` is what [`Log::length`] said.
    pub fn append(&mut self, entries: &[u8], before: u64) -> io::Result<()> {
        let mut file = self.file()?;
        file.write_all(entries).inspect_err(|_| {
            let _ = ftruncate(file, before);
        })
    }

    /// Takes back what was written behind the first `length` bytes.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.size()? > length {
            ftruncate(self.file()?, length)?;
        }
        Ok(())
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(u64::try_from(fstat(self.file()?)?.st_size).unwrap_or(0))
    }

    fn file(&mut self) -> io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.target.path)?;
                Ok(none.insert(file))
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        self.rotated = true;
        self.target.shift()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn log(folder: &Path, max_file: u32) -> Log {
        Log::new(Target { path: folder.join("log"), max_size: 4, max_file, ..Target::default() })
    }

    fn put(log: &mut Log, text: &str) {
        let before = log.length().unwrap();
        log.append(text.as_bytes(), before).unwrap();
    }

    fn read(folder: &Path, name: &str) -> Option<String> {
        fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 3);
        for text in ["aaaa", "bbbb", "cccc", "dddd", "e"] {
            put(&mut log, text);
        }
        let files = ["log", "log.1", "log.2", "log.3"].map(|name| read(folder.path(), name));
        assert_eq!(files, [Some("e".into()), Some("dddd".into()), Some("cccc".into()), None]);
    }

    #[test]
    fn with_one_file_a_full_log_starts_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 1);
        put(&mut log, "aaaa");
        put(&mut log, "b");
        assert_eq!(read(folder.path(), "log").unwrap(), "b");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_rotation_that_was_cut_short_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log"), "cccc").unwrap();
        fs::write(folder.path().join("log.2"), "bbbb").unwrap();
        let mut log = log(folder.path(), 3);
        put(&mut log, "d");
        let files = ["log", "log.1", "log.2"].map(|name| read(folder.path(), name).unwrap());
        assert_eq!(files, ["d", "cccc", "bbbb"]);
    }

    #[test]
    fn compressed_files_are_shifted_like_others() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("log", "dddd"), ("log.1", "cccc"), ("log.2.gz", "bbbb"), ("log.3.gz", "aaaa")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        put(&mut log(folder.path(), 4), "e");
        let files = ["log", "log.1", "log.2", "log.3.gz"].map(|name| read(folder.path(), name).unwrap());
        assert_eq!(files, ["e", "dddd", "cccc", "bbbb"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn cutting_back_never_makes_a_file_longer() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 1);
        put(&mut log, "abc");
        log.cut(10).unwrap();
        log.cut(2).unwrap();
        assert_eq!(read(folder.path(), "log").unwrap(), "ab");
    }
}

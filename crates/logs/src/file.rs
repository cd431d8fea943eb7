//! The log file of one container: opened at its first output, appended to, rotated, cut back.

use crate::Target;
use rustix::fs::{fstat, ftruncate};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The writing end of a container's log.
#[derive(Debug)]
pub struct Log {
    target: Target,
    file: Option<File>,
}

impl Log {
    /// Opens nothing yet.
    pub fn new(target: Target) -> Log {
        Log { target, file: None }
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

    /// Shifts `PATH` to `PATH.1`, `PATH.1` to `PATH.2` and so on; the last one is replaced. A gap ends the shift: it is
    /// where an earlier rotation was cut short, and what is older need not move again.
    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        let last = self.target.max_file.max(1) - 1;
        if last == 0 {
            return gone_is_fine(fs::remove_file(&self.target.path));
        }
        let gap = (1..last).find(|index| !self.target.rotated(*index).exists()).unwrap_or(last);
        for index in (0..gap).rev() {
            gone_is_fine(fs::rename(self.target.rotated(index), self.target.rotated(index + 1)))?;
        }
        Ok(())
    }
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Driver;
    use std::path::Path;

    fn log(folder: &Path, max_file: u32) -> Log {
        Log::new(Target { driver: Driver::JsonFile, path: folder.join("log"), max_size: 4, max_file })
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
    fn cutting_back_never_makes_a_file_longer() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), 1);
        put(&mut log, "abc");
        log.cut(10).unwrap();
        log.cut(2).unwrap();
        assert_eq!(read(folder.path(), "log").unwrap(), "ab");
    }
}

//! Where an archive goes: stdout, or a file that appears when it is whole.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use api::client::Answer;

use crate::failure::Failure;
use crate::show::write_all;

/// Where an archive goes.
#[derive(Debug)]
pub enum Sink {
    Stdout,
    /// A file under another name until it is whole.
    File {
        file: File,
        under: PathBuf,
        path: PathBuf,
        whole: bool,
    },
    /// A device or a FIFO, which is written as it is.
    Device(File),
}

impl Sink {
    /// The file of `-o`, or stdout unless that is a terminal. `doing` begins the sentence of what goes wrong.
    pub fn open(output: Option<&str>, doing: &str) -> Result<Sink, Failure> {
        let Some(path) = output.filter(|path| !path.is_empty()) else {
            if rustix::termios::isatty(rustix::stdio::stdout()) {
                return Err(Failure::said("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
            }
            return Ok(Sink::Stdout);
        };
        let wrong = |why: &str| Failure::said(format!("{doing}: {why}"));
        // A link is followed: what it points to is replaced, the link stays.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => return Err(wrong("cannot write to a directory")),
        };
        if !folder.is_dir() {
            return Err(wrong(&format!("invalid output path: stat {}: no such file or directory", folder.display())));
        }
        match std::fs::metadata(&path).map(|data| data.file_type()) {
            Ok(kind) if kind.is_dir() => Err(wrong("cannot write to a directory")),
            Ok(kind) if kind.is_char_device() || kind.is_fifo() || kind.is_block_device() => {
                let file = OpenOptions::new().write(true).open(&path);
                file.map(Sink::Device).map_err(|cause| wrong(&cause.to_string()))
            }
            _ => temporary(folder, path.clone()).map_err(|cause| wrong(&cause.to_string())),
        }
    }

    /// Writes an answer's body to its end.
    pub async fn take(mut self, mut answer: Answer<'_>) -> Result<(), Failure> {
        while let Some(bytes) = answer.chunk().await? {
            self.write(&bytes)?;
        }
        self.whole()
    }

    /// Writes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all(self.fd(), bytes)
    }

    /// All is written: the file gets its name.
    pub fn whole(mut self) -> Result<(), Failure> {
        if let Sink::File { under, path, whole, .. } = &mut self {
            std::fs::rename(under, path)?;
            *whole = true;
        }
        Ok(())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Sink::Stdout => rustix::stdio::stdout(),
            Sink::File { file, .. } | Sink::Device(file) => file.as_fd(),
        }
    }
}

/// A new file beside the one it will become.
fn temporary(folder: &Path, path: PathBuf) -> io::Result<Sink> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let under = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&under)?;
    Ok(Sink::File { file, under, path, whole: false })
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Sink::File { under, whole: false, .. } = self {
            let _ = std::fs::remove_file(under);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_never_got_whole_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.tar");
        let sink = Sink::open(path.to_str(), "failed to save image").expect("a sink");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        drop(sink);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_folder_is_no_place_for_an_archive() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for path in [folder.path().to_path_buf(), folder.path().join("no/x.tar")] {
            let failure = Sink::open(path.to_str(), "failed to save image").expect_err("no sink").to_string();
            assert!(failure.starts_with("failed to save image: "), "{failure}");
        }
    }
}

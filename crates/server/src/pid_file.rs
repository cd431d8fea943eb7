//! A file with this process's id, removed at the end.

use std::io;
use std::path::{Path, PathBuf};

/// Why the file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    #[error("cannot write the pid file {path}: process {pid} is still running")]
    StillRunning { path: PathBuf, pid: u32 },
    #[error("cannot write the pid file {path}")]
    Io { path: PathBuf, source: io::Error },
}

/// The file, for as long as this lives.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    pub fn write(path: &Path) -> Result<PidFile, PidFileError> {
        let failed = |source| PidFileError::Io { path: path.to_owned(), source };
        let own = std::process::id();
        let before = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(pid) = before.filter(|pid| *pid != own && lives(*pid)) {
            return Err(PidFileError::StillRunning { path: path.to_owned(), pid });
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(path, own.to_string()).map_err(failed)?;
        Ok(PidFile(path.to_owned()))
    }
}

/// One that was killed and that nobody has waited for is gone, too.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_of_a_living_process_is_respected() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/pid");
        drop(PidFile::write(&path).expect("written"));
        assert!(!path.exists());
        std::fs::write(&path, "1\n").expect("a file");
        assert!(matches!(PidFile::write(&path), Err(PidFileError::StillRunning { pid: 1, .. })));
        let mut ended = std::process::Command::new("true").spawn().expect("a process");
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", ended.id())).expect("its state");
        while !stat().contains(") Z ") {
            std::thread::yield_now();
        }
        std::fs::write(&path, ended.id().to_string()).expect("a file");
        drop(PidFile::write(&path).expect("written over that of a zombie"));
        ended.wait().expect("reaped");
        std::fs::write(&path, "4000000000").expect("a file");
        assert!(PidFile::write(&path).is_ok());
    }
}

//! Standard streams of a new process: the caller's own, or pipes.

use crate::error::{Error, Result};
use rustix::fs::{FileType, Uid};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The host's number of /dev/null, Documentation/admin-guide/devices.txt.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Three pipes: this process's ends and those of the new one, in the order stdin, stdout, stderr.
#[derive(Debug)]
pub struct Pipes {
    pub ours: [OwnedFd; 3],
    pub theirs: [OwnedFd; 3],
}

impl Pipes {
    pub fn open() -> Result<Pipes> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let open = || {
            let ((stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr)) = (pipe()?, pipe()?, pipe()?);
            Ok(Pipes { ours: [to_stdin, from_stdout, from_stderr], theirs: [stdin, stdout, stderr] })
        };
        open().map_err(|e: Errno| Error::new(format!("cannot make pipes: {}", io::Error::from(e))))
    }

    /// The ends of the new process.
    pub fn theirs(&self) -> [BorrowedFd<'_>; 3] {
        let [stdin, stdout, stderr] = &self.theirs;
        [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
    }
}

/// This process's own streams.
pub fn own() -> [BorrowedFd<'static>; 3] {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
}

/// Makes `owner` (as the host counts) the owner of the streams, so that the program can open /dev/stdout and its like.
///
/// The group stays: a terminal's is chosen by its devpts. /dev/null belongs to everybody and stays as it is. What may not be
/// changed is left alone.
pub fn give(streams: [BorrowedFd<'_>; 3], owner: u32) -> Result<()> {
    for stream in streams {
        give_one(stream, owner)
            .map_err(|e| Error::new(format!("cannot change the owner of a standard stream: {}", io::Error::from(e))))?;
    }
    Ok(())
}

fn give_one(stream: BorrowedFd<'_>, owner: u32) -> rustix::io::Result<()> {
    let stat = rustix::fs::fstat(stream)?;
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && device == NULL_DEVICE;
    if stat.st_uid == owner || owner == u32::MAX || is_null {
        return Ok(());
    }
    match rustix::fs::fchown(stream, Some(Uid::from_raw(owner)), None) {
        Err(Errno::PERM | Errno::ROFS | Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

/// What the streams are, in /proc's words; CRIU finds them again by these.
pub fn names(streams: [BorrowedFd<'_>; 3]) -> Vec<String> {
    use std::os::fd::AsRawFd;
    let name = |stream: BorrowedFd<'_>| std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd()));
    streams.map(|stream| name(stream).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_pipe_is_given_away_and_the_null_device_is_not() {
        let pipes = Pipes::open().unwrap();
        let null = File::open("/dev/null").unwrap();
        let [_, stdout, stderr] = pipes.theirs();
        let owner = if rustix::process::geteuid().is_root() { 12345 } else { rustix::process::geteuid().as_raw() };
        give([null.as_fd(), stdout, stderr], owner).unwrap();
        assert_eq!(rustix::fs::fstat(stdout).unwrap().st_uid, owner);
        assert_eq!(null.metadata().unwrap().uid(), 0);
    }

    #[test]
    fn streams_have_the_names_of_proc() {
        let pipes = Pipes::open().unwrap();
        assert!(names(pipes.theirs()).iter().all(|name| name.starts_with("pipe:[")));
    }
}

//! A connection through a program's stdin and stdout.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnix;
use std::process::{Command, Stdio};

use tokio::net::UnixStream;

/// Starts `words`; both its stdin and its stdout are one end of a pair of sockets, so that a half-closed connection ends its
/// stdin. What it says on stderr is for people. It ends when the connection does.
pub(super) fn connect(words: &[String]) -> io::Result<UnixStream> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (ours, theirs) = StdUnix::pair()?;
    let output = theirs.try_clone()?;
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(OwnedFd::from(output)))
        .spawn();
    spawned.map_err(|cause| io::Error::new(cause.kind(), format!("cannot run {program}: {cause}")))?;
    ours.set_nonblocking(true)?;
    UnixStream::from_std(ours)
}

//! How answers look: tables, templates, JSON, sizes and times as people say them.

pub mod human;
pub mod json;
pub mod listing;
pub mod progress;
pub mod template;

use std::io;
use std::os::fd::AsFd;

use crate::failure::Failure;

/// Writes all of `text` to stdout at once.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    Ok(write_all(rustix::stdio::stdout(), text.as_ref())?)
}

/// Writes all of `text` to stderr at once; a closed stderr is nobody's concern.
pub fn complain(text: &str) {
    let _ = write_all(rustix::stdio::stderr(), format!("{text}\n").as_bytes());
}

/// A remark beside the result, set apart as docker does it.
pub fn note(text: &str) -> String {
    const HEADER: &str = " Info -> ";
    let lines: Vec<String> = text.split('\n').map(|line| format!("{line}\n")).collect();
    format!("\n{HEADER}{}", lines.join(&" ".repeat(HEADER.len())))
}

/// write(2) until everything is written.
///
/// # Errors
/// What the kernel says, except for interruptions.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => writable(fd.as_fd())?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Waits until a non-blocking descriptor that somebody else made so takes more.
fn writable(fd: rustix::fd::BorrowedFd<'_>) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

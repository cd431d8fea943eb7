//! Sockets of the caller that get a descriptor: `--console-socket` and `--pidfd-socket`.

use crate::error::{Error, Result};
use crate::wording::io_text;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Connects before anything is made, so that a wrong path leaves nothing behind.
pub fn connect(path: Option<&Path>) -> Result<Option<OwnedFd>> {
    let Some(path) = path else { return Ok(None) };
    let connected = connect_to(path, SocketType::STREAM);
    connected.map(Some).map_err(|e| Error::new(format!("dial unix {}: connect: {}", path.display(), io_text(&e))))
}

/// Connects to the unix socket at `path`, however long that is: sun_path has 108 bytes (unix(7)), a path through a descriptor of
/// its folder needs few.
pub fn connect_to(path: &Path, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    let (_folder, address) = address(path)?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    Ok(socket)
}

/// The address of `path`, and what must stay open while it is used.
pub fn address(path: &Path) -> io::Result<(Option<OwnedFd>, SocketAddrUnix)> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok((None, address));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or(OsStr::new("."));
    let folder = rustix::fs::openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    let address = SocketAddrUnix::new(&short)?;
    Ok((Some(folder), address))
}

/// Hands over the master of a terminal, with the name that the terminal has in its own devpts.
pub fn send_terminal(socket: BorrowedFd<'_>, master: BorrowedFd<'_>) -> Result<()> {
    let send = || {
        let name = rustix::pty::ptsname(master, Vec::new())?;
        sys::send_with_fds(socket, name.as_bytes(), &[master])
    };
    send().map(drop).map_err(|e: io::Error| Error::new(format!("cannot send the terminal to the console socket: {e}")))
}

/// Hands over a pidfd, with the word for what the process is: `standard` (the first of a container) or `setns`.
pub fn send_pidfd(socket: Option<&OwnedFd>, word: &str, pidfd: BorrowedFd<'_>) -> Result<()> {
    let Some(socket) = socket else { return Ok(()) };
    let sent = sys::send_with_fds(socket.as_fd(), word.as_bytes(), &[pidfd]);
    sent.map(drop).map_err(|e| Error::new(format!("cannot send the pidfd to its socket: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::RecvFlags;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_is_reached_however_long_its_path_is() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let (_open, address) = address(&deep.join("tty.sock")).unwrap();
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        assert!(connect(Some(&deep.join("tty.sock"))).unwrap().is_some());
        let message = connect(Some(&deep.join("none.sock"))).unwrap_err().message;
        assert!(message.starts_with("dial unix /") && message.contains("none.sock: connect: "));
    }

    #[test]
    fn a_terminal_travels_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tty.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let socket = connect(Some(&path)).unwrap().unwrap();
        let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        send_terminal(socket.as_fd(), master.as_fd()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        let (mut bytes, mut fds) = ([0; 64], Vec::new());
        let read = sys::recv_with_fds(peer.as_fd(), &mut bytes, &mut fds, RecvFlags::empty()).unwrap();
        assert!(bytes[..read].starts_with(b"/dev/pts/"));
        assert_eq!(fds.len(), 1);
    }
}

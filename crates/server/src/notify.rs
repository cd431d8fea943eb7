//! Tells whoever started the engine that it listens: a service manager (sd_notify(3)), or a command with a pipe.

use crate::listen;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Sends `state` (`READY=1`, `STOPPING=1`) to NOTIFY_SOCKET, if that is set.
pub fn service_manager(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!(%error, "the service manager cannot be told {state}");
    }
}

fn send(name: &OsStr, state: &str) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(hidden) => SocketAddr::from_abstract_name(hidden)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

/// Tells that the settings are read again, and since when on the clock that the service manager looks at.
pub fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    service_manager(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// How often the service manager wants to hear that the engine lives (sd_watchdog_enabled(3)): half of its patience.
pub fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC")
        .filter(|patience| is_ours && *patience > 1)
        .map(|patience| Duration::from_micros(patience / 2))
}

/// Writes one byte to the descriptor `number`.
pub fn parent(number: i32) -> io::Result<()> {
    std::fs::File::from(listen::own_fd(number)?).write_all(&[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_service_manager_gets_one_datagram() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        send(path.as_os_str(), "READY=1").expect("sent");
        let mut buffer = [0; 32];
        let count = socket.recv(&mut buffer).expect("a datagram");
        assert_eq!(&buffer[..count], b"READY=1");
    }

    #[test]
    fn a_parent_gets_one_byte() {
        let (mut read, write) = io::pipe().expect("a pipe");
        parent(write.as_raw_fd()).expect("written");
        drop(write);
        let mut got = Vec::new();
        read.read_to_end(&mut got).expect("read");
        assert_eq!(got, [1]);
        assert!(parent(987_654).is_err());
    }
}

//! Where the engine listens: unix sockets, tcp when explicitly allowed, and sockets given by a service manager.

use crate::conn::Conn;
use rootless::{Doors, Protocol};
use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, UnixListener};

/// The group that may use the socket, as with Docker.
const GROUP: &str = "docker";
/// The first socket that a service manager gives (sd_listen_fds(3)).
const FIRST_GIVEN: u32 = 3;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
    /// Every socket of the service manager.
    Given,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("invalid bind address {0:?}: use unix:///path, tcp://address:port or fd://")]
    Address(String),
    #[error(
        "cannot listen on {0}: whoever reaches it is root on this machine; add --insecure-tcp if that is what you want"
    )]
    Insecure(SocketAddr),
    #[error("cannot listen on {path}: another engine answers there")]
    Taken { path: PathBuf },
    #[error("cannot listen on {address}")]
    Bind { address: Address, source: io::Error },
    #[error("cannot use fd://: the service manager gave no sockets")]
    NoneGiven,
    #[error("cannot listen on {0}: an engine without root listens on IPv4 addresses only")]
    NotOutside(SocketAddr),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(address) => write!(f, "tcp://{address}"),
            Address::Given => f.write_str("fd://"),
        }
    }
}

impl std::str::FromStr for Address {
    type Err = ListenError;

    /// `unix:///run/x.sock`, `/run/x.sock`, `tcp://127.0.0.1:2375` (port 2375 unless given) or `fd://`. No names are looked up.
    fn from_str(text: &str) -> Result<Address, ListenError> {
        let wrong = || ListenError::Address(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.starts_with('/').then_some(text)) {
            return if path.starts_with('/') { Ok(Address::Unix(path.into())) } else { Err(wrong()) };
        }
        if text.starts_with("fd://") {
            return Ok(Address::Given);
        }
        let rest = text.strip_prefix("tcp://").ok_or_else(wrong)?.trim_end_matches('/');
        let rest =
            if rest.starts_with(':') { format!("0.0.0.0{rest}") } else { rest.replace("localhost", "127.0.0.1") };
        let with_port =
            rest.parse().ok().or_else(|| Some(SocketAddr::new(rest.trim_matches(['[', ']']).parse().ok()?, 2375)));
        with_port.map(Address::Tcp).ok_or_else(wrong)
    }
}

/// A socket that takes connections.
#[derive(Debug)]
pub enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<Conn> {
        match self {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Conn::Unix(stream)),
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Keystrokes must not wait for company.
                stream.set_nodelay(true)?;
                Ok(Conn::Tcp(stream))
            }
        }
    }
}

/// Whether tcp without any authentication is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsecureTcp {
    Refused,
    Allowed,
}

/// Opens `address`; more than one listener for [`Address::Given`]. `host`: who opens the host's ports for an engine in a network
/// namespace of its own, where containers alone could reach it.
pub async fn open(address: &Address, tcp: InsecureTcp, host: Option<&Doors>) -> Result<Vec<Listener>, ListenError> {
    let failed = |source| ListenError::Bind { address: address.clone(), source };
    match address {
        Address::Unix(path) => Ok(vec![Listener::Unix(unix(path).await?)]),
        Address::Tcp(socket) if tcp == InsecureTcp::Refused => Err(ListenError::Insecure(*socket)),
        Address::Tcp(socket) => {
            tracing::warn!(%socket, "the API is open to whoever reaches this address: that is root access to this machine");
            let listener = match (host, socket) {
                (None, socket) => TcpListener::bind(socket).await,
                (Some(host), SocketAddr::V4(socket)) => outside(host, *socket),
                (Some(_), SocketAddr::V6(_)) => return Err(ListenError::NotOutside(*socket)),
            };
            Ok(vec![Listener::Tcp(listener.map_err(failed)?)])
        }
        Address::Given => given()
            .map_err(failed)
            .and_then(|found| if found.is_empty() { Err(ListenError::NoneGiven) } else { Ok(found) }),
    }
}

fn outside(host: &Doors, at: SocketAddrV4) -> io::Result<TcpListener> {
    TcpListener::from_std(host.bind(Protocol::Tcp, at)?.into())
}

/// A unix socket with mode 0660, a user's with 0600. A file that a dead engine left is replaced, one that somebody answers on is not.
async fn unix(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Bind { address: Address::Unix(path.to_owned()), source };
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::Taken { path: path.to_owned() });
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    remove_stale(path).map_err(failed)?;
    // The file must not be open to others for even a moment.
    let old = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(old);
    let listener = listener.map_err(failed)?;
    if !rootless::is_ordinary_user() {
        give_to_group(path).map_err(failed)?;
    }
    Ok(listener)
}

/// Opens the socket to the group `docker`. In a user namespace that id would be another group's.
fn give_to_group(path: &Path) -> io::Result<()> {
    let group = std::fs::read_to_string("/etc/group").ok().and_then(|text| group_id(&text, GROUP));
    if let Some(group) = group
        && let Err(error) = chown(path, None, Some(group))
    {
        tracing::warn!(%error, "the socket cannot be given to the group {GROUP}");
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(data) if data.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in the way")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The number of a group in a text like /etc/group (group(5)).
fn group_id(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// The sockets of sd_listen_fds(3): LISTEN_FDS of them from descriptor 3 on, when LISTEN_PID is this process, or
/// the one that became the host side of a user's engine.
fn given() -> io::Result<Vec<Listener>> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let told = number("LISTEN_PID");
    let is_parent = rootless::is_ordinary_user() && told == Some(std::os::unix::process::parent_id());
    if told != Some(std::process::id()) && !is_parent {
        return Ok(Vec::new());
    }
    (FIRST_GIVEN..FIRST_GIVEN + number("LISTEN_FDS").unwrap_or(0).min(64)).map(adopt).collect()
}

/// A listening socket by its number. Opened anew through pidfd_getfd(2), so that a wrong number is an error and not a stolen descriptor.
fn adopt(number: u32) -> io::Result<Listener> {
    let wrong = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let fd = own_fd(i32::try_from(number).map_err(wrong)?)?;
    let is_unix = rustix::net::sockopt::socket_domain(&fd)? == rustix::net::AddressFamily::UNIX;
    if is_unix {
        let listener = std::os::unix::net::UnixListener::from(fd);
        listener.set_nonblocking(true)?;
        return Ok(Listener::Unix(UnixListener::from_std(listener)?));
    }
    let listener = std::net::TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(Listener::Tcp(TcpListener::from_std(listener)?))
}

/// A second descriptor of what this process has open as `number`.
pub fn own_fd(number: i32) -> io::Result<OwnedFd> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let me = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(me, number, PidfdGetfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_without_looking_names_up() {
        let read = |text: &str| text.parse::<Address>().ok();
        assert_eq!(read("unix:///run/a.sock"), Some(Address::Unix("/run/a.sock".into())));
        assert_eq!(read("/run/a.sock"), Some(Address::Unix("/run/a.sock".into())));
        assert_eq!(read("tcp://127.0.0.1:99"), Some(Address::Tcp(([127, 0, 0, 1], 99).into())));
        assert_eq!(read("tcp://:99"), Some(Address::Tcp(([0, 0, 0, 0], 99).into())));
        assert_eq!(read("tcp://127.0.0.1"), Some(Address::Tcp(([127, 0, 0, 1], 2375).into())));
        assert_eq!(read("tcp://[::1]:99"), Some(Address::Tcp("[::1]:99".parse().expect("an address"))));
        assert_eq!(read("fd://"), Some(Address::Given));
        for text in ["", "unix://relative", "tcp://example.com:1", "http://x", "npipe://x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_group_is_found_in_its_file() {
        let text = "root:x:0:\ndocker:x:998:me,you\nbroken\ndocker2:x:1:\n";
        assert_eq!(group_id(text, "docker"), Some(998));
        assert_eq!(group_id(text, "wheel"), None);
        assert_eq!(group_id("docker:x:nope:", "docker"), None);
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/e.sock");
        drop(unix(&path).await.expect("a first listener"));
        let second = unix(&path).await.expect("the stale file is replaced");
        assert!(matches!(unix(&path).await, Err(ListenError::Taken { .. })));
        assert_eq!(std::fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o660);
        drop(second);
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "precious").expect("a file");
        assert!(unix(&path).await.is_err());
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    }

    #[tokio::test]
    async fn tcp_must_be_asked_for_twice() {
        let address = Address::Tcp(([127, 0, 0, 1], 0).into());
        let refused = open(&address, InsecureTcp::Refused, None).await.expect_err("refused");
        assert!(refused.to_string().contains("--insecure-tcp"), "{refused}");
        assert!(open(&address, InsecureTcp::Allowed, None).await.is_ok());
    }
}

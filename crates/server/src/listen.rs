//! Where the engine listens: unix sockets, tcp with TLS or when explicitly allowed, and sockets given by a service manager.

use crate::conn::Conn;
use rootless::{Doors, Protocol};
use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

/// The group that may use the socket unless another one is named, as with Docker.
const GROUP: &str = "docker";
/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection over tcp is quiet before its other end is asked for a sign, as Go's servers have it.
const STILL_THERE: Duration = Duration::from_secs(15);
/// The first socket that a service manager gives (sd_listen_fds(3)).
const FIRST_GIVEN: u32 = 3;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
    /// The sockets of the service manager: the one of this number, or every one.
    Given(Option<u32>),
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("invalid bind address {0:?}: use unix:///path, tcp://address:port or fd://")]
    Address(String),
    #[error(
        "cannot listen on {0} without --tlsverify: whoever reaches it is root on this machine; say --tls=false or --insecure-tcp if that is what you want"
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
    #[error("cannot give the socket to the group {0}: there is no such group")]
    Group(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(address) => write!(f, "tcp://{address}"),
            Address::Given(None) => f.write_str("fd://"),
            Address::Given(Some(number)) => write!(f, "fd://{number}"),
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
        if let Some(number) = text.strip_prefix("fd://") {
            return match number {
                "" | "*" => Ok(Address::Given(None)),
                number => number.parse().map(|number| Address::Given(Some(number))).map_err(|_| wrong()),
            };
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
pub enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// Somebody who knocked.
pub enum Arrival {
    Ready(Conn),
    /// Hands are to be shaken first, which takes as long as the client likes: not where others wait to be accepted.
    Shaking(TcpStream, TlsAcceptor),
}

impl Arrival {
    /// The connection that requests come over.
    pub async fn conn(self) -> io::Result<Conn> {
        match self {
            Arrival::Ready(conn) => Ok(conn),
            Arrival::Shaking(stream, acceptor) => {
                let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(Conn::from)
            }
        }
    }
}

impl Listener {
    /// The next one who knocks.
    pub async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Arrival::Ready(stream.into())),
            Listener::Tcp(listener, tls) => {
                let (stream, _) = listener.accept().await?;
                // Keystrokes must not wait for company.
                stream.set_nodelay(true)?;
                // One that went without a word, its machine with it, is not waited for for ever.
                rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
                rustix::net::sockopt::set_tcp_keepidle(&stream, STILL_THERE)?;
                rustix::net::sockopt::set_tcp_keepintvl(&stream, STILL_THERE)?;
                Ok(match tls {
                    Some(acceptor) => Arrival::Shaking(stream, acceptor.clone()),
                    None => Arrival::Ready(stream.into()),
                })
            }
        }
    }
}

/// Whether tcp is allowed where no client is asked who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsecureTcp {
    Refused,
    Allowed,
}

/// How addresses are opened.
#[derive(Clone)]
pub struct Manner<'a> {
    pub tcp: InsecureTcp,
    /// Speaks TLS on tcp.
    pub tls: Option<TlsAcceptor>,
    /// Whether that asks clients for a certificate.
    pub asks_clients: bool,
    /// Who may use unix sockets, if that was told.
    pub group: Option<&'a str>,
    /// Who opens the host's ports for an engine in a network namespace of its own, where containers alone could reach it.
    pub host: Option<&'a Doors>,
}

impl Manner<'_> {
    /// Refuses, or warns of, a port that lets in everybody.
    fn check(&self, socket: SocketAddr) -> Result<(), ListenError> {
        if self.asks_clients {
            return Ok(());
        }
        if self.tcp == InsecureTcp::Refused {
            return Err(ListenError::Insecure(socket));
        }
        tracing::warn!(%socket, "the API is open to whoever reaches this address: that is root access to this machine");
        if socket.ip().is_loopback() {
            tracing::warn!(%socket, "scripts in a browser on this machine reach it, too");
        }
        Ok(())
    }
}

/// Opens `address`; more than one listener for [`Address::Given`].
pub async fn open(address: &Address, manner: &Manner<'_>) -> Result<Vec<Listener>, ListenError> {
    let failed = |source| ListenError::Bind { address: address.clone(), source };
    match address {
        Address::Unix(path) => Ok(vec![Listener::Unix(unix(path, manner.group).await?)]),
        Address::Tcp(socket) => {
            manner.check(*socket)?;
            let listener = match (manner.host, socket) {
                (None, socket) => TcpListener::bind(socket).await,
                (Some(host), SocketAddr::V4(socket)) => outside(host, *socket),
                (Some(_), SocketAddr::V6(_)) => return Err(ListenError::NotOutside(*socket)),
            };
            Ok(vec![Listener::Tcp(listener.map_err(failed)?, manner.tls.clone())])
        }
        Address::Given(number) => given(*number, manner.tls.as_ref())
            .map_err(failed)
            .and_then(|found| if found.is_empty() { Err(ListenError::NoneGiven) } else { Ok(found) }),
    }
}

/// Where Prometheus asks. Nothing can be done there, so that nobody is asked who he is.
pub async fn metrics(socket: SocketAddr, host: Option<&Doors>) -> Result<Listener, ListenError> {
    let manner = Manner { tcp: InsecureTcp::Allowed, tls: None, asks_clients: true, group: None, host };
    let mut opened = open(&Address::Tcp(socket), &manner).await?;
    opened.pop().ok_or(ListenError::NoneGiven)
}

fn outside(host: &Doors, at: SocketAddrV4) -> io::Result<TcpListener> {
    TcpListener::from_std(host.bind(Protocol::Tcp, at)?.into())
}

/// A unix socket with mode 0660, a user's with 0600. A file that a dead engine left is replaced, one that somebody answers on is not.
async fn unix(path: &Path, group: Option<&str>) -> Result<UnixListener, ListenError> {
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
        let found = found_group(group)?;
        give_to_group(path, found).map_err(failed)?;
    }
    Ok(listener)
}

/// The number of a group that was named, which must be there, or of `docker`, which need not.
fn found_group(named: Option<&str>) -> Result<Option<u32>, ListenError> {
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    match named {
        None => Ok(group_id(&text, GROUP)),
        Some("") => Ok(None),
        Some(name) => {
            let found = name.parse().ok().or_else(|| group_id(&text, name));
            found.map(Some).ok_or_else(|| ListenError::Group(name.to_owned()))
        }
    }
}

/// Opens the socket to a group. In a user namespace its id would be another group's.
fn give_to_group(path: &Path, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group
        && let Err(error) = chown(path, None, Some(group))
    {
        tracing::warn!(%error, "the socket cannot be given to the group {group}");
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
fn given(asked: Option<u32>, tls: Option<&TlsAcceptor>) -> io::Result<Vec<Listener>> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let told = number("LISTEN_PID");
    let is_parent = rootless::is_ordinary_user() && told == Some(std::os::unix::process::parent_id());
    if told != Some(std::process::id()) && !is_parent {
        return Ok(Vec::new());
    }
    let all = FIRST_GIVEN..FIRST_GIVEN + number("LISTEN_FDS").unwrap_or(0).min(64);
    all.filter(|number| asked.is_none_or(|asked| asked == *number)).map(|number| adopt(number, tls)).collect()
}

/// A listening socket by its number. Opened anew through pidfd_getfd(2), so that a wrong number is an error and not a stolen descriptor.
fn adopt(number: u32, tls: Option<&TlsAcceptor>) -> io::Result<Listener> {
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
    if tls.is_none() {
        tracing::warn!(
            "the service manager's tcp socket is open to whoever reaches it: that is root access to this machine"
        );
    }
    Ok(Listener::Tcp(TcpListener::from_std(listener)?, tls.cloned()))
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
        assert_eq!(read("fd://"), Some(Address::Given(None)));
        assert_eq!(read("fd://4"), Some(Address::Given(Some(4))));
        for text in ["", "fd://x", "unix://relative", "tcp://example.com:1", "http://x", "npipe://x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_group_is_found_in_its_file() {
        let text = "root:x:0:\ndocker:x:998:me,you\nbroken\ndocker2:x:1:\n";
        assert_eq!(group_id(text, "docker"), Some(998));
        assert_eq!(group_id(text, "wheel"), None);
        assert_eq!(group_id("docker:x:nope:", "docker"), None);
        assert_eq!(found_group(Some("root")).ok(), Some(Some(0)));
        assert_eq!(found_group(Some("4711")).ok(), Some(Some(4711)));
        assert!(found_group(Some("no-such-group")).is_err_and(|error| error.to_string().contains("no-such-group")));
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/e.sock");
        drop(unix(&path, None).await.expect("a first listener"));
        let second = unix(&path, None).await.expect("the stale file is replaced");
        assert!(matches!(unix(&path, None).await, Err(ListenError::Taken { .. })));
        assert_eq!(std::fs::metadata(&path).expect("the socket").permissions().mode() & 0o777, 0o660);
        drop(second);
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, "precious").expect("a file");
        assert!(unix(&path, None).await.is_err());
        assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    }

    #[tokio::test]
    async fn tcp_must_be_asked_for_twice() {
        let address = Address::Tcp(([127, 0, 0, 1], 0).into());
        let manner = |tcp| Manner { tcp, tls: None, asks_clients: false, group: None, host: None };
        let refused = open(&address, &manner(InsecureTcp::Refused)).await.err().expect("refused");
        assert!(refused.to_string().contains("--insecure-tcp"), "{refused}");
        assert!(open(&address, &manner(InsecureTcp::Allowed)).await.is_ok());
    }
}

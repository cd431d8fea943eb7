//! Connections to where logs are sent: datagrams or streams, to a host or to a socket of this one, bare or with TLS.

use rustls_pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio_rustls::TlsConnector;

/// How long a connection and each send may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to.
#[derive(Clone)]
pub enum Place {
    Udp(String),
    Tcp(String),
    Tls { host: String, config: Arc<rustls::ClientConfig> },
    Datagrams(PathBuf),
    Stream(PathBuf),
}

/// An open connection.
pub enum Link {
    Udp(UdpSocket),
    Datagrams(UnixDatagram),
    Stream(Box<dyn AsyncWrite + Send + Unpin>),
}

impl fmt::Display for Place {
    /// As Go says it of a connection that fails.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Udp(host) => write!(f, "dial udp {host}"),
            Place::Tcp(host) | Place::Tls { host, .. } => write!(f, "dial tcp {host}"),
            Place::Datagrams(path) => write!(f, "dial unixgram {}", path.display()),
            Place::Stream(path) => write!(f, "dial unix {}", path.display()),
        }
    }
}

/// Why a connection fails, as Go says it.
pub fn refused(place: &Place, cause: &io::Error) -> String {
    match cause.raw_os_error() {
        None => format!("{place}: {cause}"),
        Some(code) => {
            let said = io::Error::from_raw_os_error(code).to_string().to_ascii_lowercase();
            let said = said.split(" (os error").next().unwrap_or_default();
            format!("{place}: connect: {said}")
        }
    }
}

impl Place {
    pub async fn connect(&self) -> io::Result<Link> {
        within(self.open()).await
    }

    async fn open(&self) -> io::Result<Link> {
        match self {
            Place::Udp(host) => {
                let to = resolve(host).await?;
                let own = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own).await?;
                socket.connect(to).await?;
                Ok(Link::Udp(socket))
            }
            Place::Tcp(host) => Ok(Link::Stream(Box::new(TcpStream::connect(resolve(host).await?).await?))),
            Place::Tls { host, config } => {
                let stream = TcpStream::connect(resolve(host).await?).await?;
                let name = ServerName::try_from(bare(host).to_owned()).map_err(io::Error::other)?;
                Ok(Link::Stream(Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?)))
            }
            Place::Datagrams(path) => datagrams(path),
            Place::Stream(path) => Ok(Link::Stream(Box::new(UnixStream::connect(path).await?))),
        }
    }
}

fn datagrams(path: &Path) -> io::Result<Link> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(Link::Datagrams(socket))
}

impl Link {
    /// Sends one message whole.
    pub async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Link::Udp(socket) => within(socket.send(message)).await.map(drop),
            Link::Datagrams(socket) => within(socket.send(message)).await.map(drop),
            Link::Stream(stream) => {
                within(async {
                    stream.write_all(message).await?;
                    stream.flush().await
                })
                .await
            }
        }
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// `host:port` without the port and without brackets.
fn bare(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.trim_start_matches('[').trim_end_matches(']')
}

async fn resolve(host: &str) -> io::Result<SocketAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::other(format!("no port in {host:?}")))?;
    let found = registry::lookup(bare(host)).await.map_err(io::Error::other)?;
    let first = found.into_iter().next();
    first.map(|ip| SocketAddr::new(ip, port)).ok_or_else(|| io::Error::other(format!("no address of {host:?}")))
}

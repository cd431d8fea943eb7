//! Carries what comes on IPv6 to published ports of containers that have IPv4 only, as docker's proxies do; by the engine's own tasks.

use network::Protocol;
use rootless::Forward;
use std::any::Any;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use tokio::runtime::Handle;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Tasks of the engine's runtime.
#[derive(Debug)]
pub(crate) struct Tasks(pub(crate) Handle);

impl network::Relay for Tasks {
    fn carry(&self, protocol: Protocol, socket: OwnedFd, to: SocketAddrV4) -> io::Result<Box<dyn Any + Send + Sync>> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let forward = match protocol {
            Protocol::Tcp => {
                rustix::net::listen(&socket, BACKLOG)?;
                Forward::tcp(&self.0, socket, to)?
            }
            Protocol::Udp => Forward::udp(&self.0, socket, to)?,
            Protocol::Sctp => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Box::new(forward))
    }
}

//! The sockets of the server inside a container's network namespace.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// Where the server's address is looked for, whatever else is on `lo`.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The port that is tried first: no program's by custom, and above those that the kernel gives out (32768 to 60999). When a new
/// engine has the same one, what the kernel's connection tracking remembers of clients that keep their socket stays true.
const PORT: u16 = 61_053;

/// What the server listens on for one container.
#[derive(Debug)]
pub struct Sockets {
    pub udp: UdpSocket,
    pub tcp: TcpListener,
    /// The container's network namespace: its own name servers are asked from there.
    pub namespace: Arc<OwnedFd>,
}

impl Sockets {
    /// Opens both in the namespace, at 127.0.0.11 and ports that are free: port 53 stays so for programs.
    pub fn open(namespace: OwnedFd) -> io::Result<Sockets> {
        let (udp, tcp) = netlink::netns::within(namespace.as_fd(), || {
            Ok::<_, io::Error>((bind(UdpSocket::bind)?, bind(TcpListener::bind)?))
        })??;
        Ok(Sockets { udp, tcp, namespace: Arc::new(namespace) })
    }

    /// The ports of UDP and of TCP, where port 53 is to lead.
    pub fn ports(&self) -> io::Result<(u16, u16)> {
        Ok((self.udp.local_addr()?.port(), self.tcp.local_addr()?.port()))
    }
}

fn bind<T>(open: impl Fn(SocketAddrV4) -> io::Result<T>) -> io::Result<T> {
    open(SocketAddrV4::new(ADDRESS, PORT)).or_else(|_| open(SocketAddrV4::new(ADDRESS, 0)))
}

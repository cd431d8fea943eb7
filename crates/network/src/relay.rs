//! What comes on IPv6 to a container that has IPv4 only: the kernel does not translate between the two, so somebody carries it.

use crate::Protocol;
use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

/// Carries connections and datagrams. Who the client is, is lost on the way.
pub trait Relay: Debug + Send + Sync {
    /// Takes what comes to `socket` (bound; one of TCP does not listen yet) to `to`, as long as the answer lives.
    fn carry(&self, protocol: Protocol, socket: OwnedFd, to: SocketAddrV4) -> io::Result<Box<dyn Any + Send + Sync>>;
}

//! Ports of a host that is not this network namespace: an engine without rights publishes them through somebody outside.

use crate::{Error, Protocol};
use std::any::Any;
use std::fmt::Debug;
use std::net::SocketAddrV4;

/// Opens ports of the host.
pub trait Outer: Debug + Send + Sync {
    /// Leads what comes to `at` on the host to `to` in this namespace; any free port for 0. `Ok(None)`: it is taken.
    fn open(&self, protocol: Protocol, at: SocketAddrV4, to: SocketAddrV4) -> Result<Option<OuterPort>, Error>;
}

/// A port of the host that is open as long as this lives.
#[derive(Debug)]
pub struct OuterPort {
    pub port: u16,
    pub holder: Box<dyn Any + Send + Sync>,
}

//! The sorts of networks that containers have ends on, behind one face.

use crate::{Bridge, Endpoint, Error, MacvlanNetwork, PortRequest, Wish};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A network that containers have ends on.
#[derive(Debug, Clone)]
pub enum Driver {
    Bridge(Arc<Bridge>),
    Macvlan(Arc<MacvlanNetwork>),
}

impl Driver {
    /// Puts a container on; nothing is left of an attempt that fails.
    pub fn attach(&self, netns: BorrowedFd<'_>, wish: &Wish) -> Result<Endpoint, Error> {
        match self {
            Driver::Bridge(bridge) => bridge.attach_as(netns, wish),
            Driver::Macvlan(network) => network.attach_as(netns, wish),
        }
    }

    /// Takes a living container off, with its ports.
    pub fn detach(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.detach(endpoint),
            Driver::Macvlan(network) => network.detach(netns, endpoint),
        }
    }

    /// For a container that has ended, or is about to: waits for nothing.
    pub fn leave(&self, endpoint: &Endpoint) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.leave(endpoint),
            Driver::Macvlan(network) => {
                network.leave(endpoint);
                Ok(())
            }
        }
    }

    /// Publishes all of `requests` or none. Containers of a macvlan network are hosts themselves: nothing is to be done.
    pub fn publish(&self, endpoint: &mut Endpoint, requests: &[PortRequest]) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.publish(endpoint, requests),
            Driver::Macvlan(_) => Ok(()),
        }
    }

    /// Takes back what `publish` did.
    pub fn unpublish(&self, endpoint: &Endpoint) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.unpublish(endpoint),
            Driver::Macvlan(_) => Ok(()),
        }
    }

    /// Mends what other programs took away.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.check(),
            Driver::Macvlan(_) => Ok(()),
        }
    }

    /// Removes the network from the host.
    pub fn down(&self) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.down(),
            Driver::Macvlan(network) => network.down(),
        }
    }
}

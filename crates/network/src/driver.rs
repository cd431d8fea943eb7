//! The sorts of networks that containers have ends on, behind one face.

use crate::{Bridge, Endpoint, Error, PluginNetwork, PortRequest, Spare, StackedNetwork, Wish};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A network that containers have ends on.
#[derive(Debug, Clone)]
pub enum Driver {
    Bridge(Arc<Bridge>),
    Stacked(Arc<StackedNetwork>),
    Plugins(Arc<PluginNetwork>),
}

impl Driver {
    /// Puts a container on; nothing is left of an attempt that fails.
    pub fn attach(&self, netns: BorrowedFd<'_>, wish: &Wish) -> Result<Endpoint, Error> {
        match self {
            Driver::Bridge(bridge) => bridge.attach_as(netns, wish),
            Driver::Stacked(network) => network.attach_as(netns, wish),
            Driver::Plugins(network) => network.attach(netns, wish),
        }
    }

    /// Puts a container on by a pair that is in its namespace already; nothing is left of an attempt that fails, nor of the pair.
    pub fn attach_spare(&self, netns: BorrowedFd<'_>, wish: &Wish, spare: Spare) -> Result<Endpoint, Error> {
        match self {
            Driver::Bridge(bridge) => bridge.attach_spare(netns, wish, spare),
            Driver::Stacked(network) => {
                network.ground().discard(&[&spare])?;
                network.attach_as(netns, wish)
            }
            Driver::Plugins(_) => Err(Error::Invalid("a network of plugins makes its links itself".into())),
        }
    }

    /// Whether a spare pair is of use.
    pub fn takes_spares(&self) -> bool {
        matches!(self, Driver::Bridge(_))
    }

    /// Takes a living container off, with its ports.
    pub fn detach(&self, netns: BorrowedFd<'_>, endpoint: &Endpoint) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.detach(endpoint),
            Driver::Stacked(network) => network.detach(netns, endpoint),
            Driver::Plugins(network) => network.detach(endpoint),
        }
    }

    /// For a container that has ended, or is about to: waits for nothing but plugins.
    pub fn leave(&self, endpoint: &Endpoint) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.leave(endpoint),
            Driver::Stacked(network) => {
                network.leave(endpoint);
                Ok(())
            }
            Driver::Plugins(network) => network.detach(endpoint),
        }
    }

    /// Takes the link of a container that has ended from those who still are in its network namespace: waits for the kernel.
    pub fn cut(&self, endpoint: &Endpoint) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.cut(endpoint),
            // No policy is kept on these.
            Driver::Stacked(_) | Driver::Plugins(_) => Ok(()),
        }
    }

    /// Publishes all of `requests` or none. Containers on top of a link are hosts themselves: nothing is to be done; plugins were
    /// told as they attached.
    pub fn publish(&self, endpoint: &mut Endpoint, requests: &[PortRequest]) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.publish(endpoint, requests),
            Driver::Stacked(_) | Driver::Plugins(_) => Ok(()),
        }
    }

    /// Takes back what `publish` did.
    pub fn unpublish(&self, endpoint: &Endpoint) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.unpublish(endpoint),
            Driver::Stacked(_) | Driver::Plugins(_) => Ok(()),
        }
    }

    /// Takes back some of what `publish` did, with the connections that came by it.
    pub fn unpublish_some(&self, endpoint: &mut Endpoint, ports: &[crate::Port]) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.unpublish_some(endpoint, ports),
            _ => Ok(()),
        }
    }

    /// Mends what other programs took away.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.check(),
            Driver::Stacked(_) | Driver::Plugins(_) => Ok(()),
        }
    }

    /// Removes the network from the host.
    pub fn down(&self) -> Result<(), Error> {
        match self {
            Driver::Bridge(bridge) => bridge.down(),
            Driver::Stacked(network) => network.down(),
            Driver::Plugins(network) => network.down(),
        }
    }
}

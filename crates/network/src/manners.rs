//! How a bridge network meets the world: Docker's gateway modes, and the links of the host that are trusted.

use std::net::IpAddr;

/// What stands between the containers of a network and everybody else, for one family of addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gateway {
    /// The host's address hides those of containers; in by published ports only.
    #[default]
    Nat,
    /// The same, but who has a route to a container reaches all its ports.
    Unprotected,
    /// Nothing is rewritten: a published port is one that is reached at the container's own address.
    Routed,
    /// The host has no address on the network. For internal networks only.
    Isolated,
}

/// How a bridge network meets the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manners {
    pub v4: Gateway,
    pub v6: Gateway,
    /// Links of the host: who comes by them reaches published ports at the containers' own addresses.
    pub trusted: Vec<String>,
    /// Somebody else gives the bridge its IPv4 address.
    pub inhibit_ipv4: bool,
}

impl Manners {
    /// The gateway of the family that `like` is of.
    pub(crate) fn gateway(&self, like: IpAddr) -> Gateway {
        if like.is_ipv4() { self.v4 } else { self.v6 }
    }

    /// Whether anybody reaches published ports of this family at the container's own address.
    pub(crate) fn opens(&self, like: IpAddr) -> bool {
        match self.gateway(like) {
            Gateway::Routed => true,
            Gateway::Nat => !self.trusted.is_empty(),
            Gateway::Unprotected | Gateway::Isolated => false,
        }
    }

    /// Whether the bridge is given no IPv4 address.
    pub(crate) fn is_bare(&self) -> bool {
        self.inhibit_ipv4 || self.v4 == Gateway::Isolated
    }
}

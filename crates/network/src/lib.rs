//! The default bridge network of an engine: addresses, veth pairs, masquerade and published ports.
//!
//! Everything is made by netlink, in an nft table of our own; nothing else on the host is touched but
//! `net.ipv4.ip_forward` and, for published loopback ports, the bridge's `route_localnet`.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;

/// What a bridge is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// At most 15 bytes, such as `dhow0`.
    pub bridge: String,
    /// The nft table (family ip), such as `dhow0`.
    pub table: String,
    /// The gateway and its subnet, as `--bip`; `None` picks the first /16 of 172.17-31.0.0 and then /20 of 192.168.0.0 that no route of the host covers.
    pub subnet: Option<ipnet::Ipv4Net>,
    /// Bytes; 0 is the default 1500.
    pub mtu: u32,
}

/// A container's end on the bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host's end of the veth pair.
    pub host_link: String,
    /// The container's end, `eth0`.
    pub link: String,
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub gateway: Ipv4Addr,
    pub mac: String,
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// A port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    pub container_port: u16,
    pub protocol: Protocol,
    /// `None` is all addresses.
    pub host_ip: Option<Ipv4Addr>,
    /// An inclusive range to pick one from; `(0, 0)` is any ephemeral port.
    pub host_ports: (u16, u16),
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub container_port: u16,
    pub protocol: Protocol,
    /// 0.0.0.0 is all addresses.
    pub host_ip: Ipv4Addr,
    pub host_port: u16,
}

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action}")]
    Netlink { action: String, source: std::io::Error },
    #[error("no address is left in {0}")]
    AddressesExhausted(ipnet::Ipv4Net),
    #[error("every subnet of the pool overlaps a route of this host: choose one with --bip")]
    SubnetsExhausted,
    /// `owner`: the program that has it, when it can be told ("nginx (pid 812)").
    #[error("port {ip}:{port}/{protocol:?} is taken{}", owner.as_deref().map(|o| format!(" by {o}")).unwrap_or_default())]
    PortTaken { ip: Ipv4Addr, port: u16, protocol: Protocol, owner: Option<String> },
    #[error("all ports of the range {0}-{1} are taken")]
    PortsExhausted(u16, u16),
    #[error("invalid network option: {0}")]
    Invalid(String),
}

/// The bridge of one engine. Callable from many threads at once.
#[derive(Debug)]
pub struct Bridge {
    // private
}

impl Bridge {
    /// Brings the bridge and the table up, or adopts what an earlier engine left: `endpoints` are those still in use;
    /// every other veth on the bridge, address and port element is removed.
    pub fn up(options: Options, endpoints: &[Endpoint]) -> Result<Bridge, Error> {
        let _ = (options, endpoints);
        todo!()
    }
    pub fn subnet(&self) -> ipnet::Ipv4Net {
        todo!()
    }
    pub fn gateway(&self) -> Ipv4Addr {
        todo!()
    }
    /// Puts a veth into `netns` as eth0, with an address, `lo` up, a default route and `net.ipv4.ip_unprivileged_port_start`=0.
    pub fn attach(&self, netns: BorrowedFd<'_>) -> Result<Endpoint, Error> {
        let _ = netns;
        todo!()
    }
    /// Publishes all of `requests` or none; records them in `endpoint.ports`.
    pub fn publish(&self, endpoint: &mut Endpoint, requests: &[PortRequest]) -> Result<(), Error> {
        let _ = (endpoint, requests);
        todo!()
    }
    /// Takes back what `attach` and `publish` did. The netns may be gone already.
    pub fn detach(&self, endpoint: &Endpoint) -> Result<(), Error> {
        let _ = endpoint;
        todo!()
    }
    /// Removes bridge and table.
    pub fn down(&self) -> Result<(), Error> {
        todo!()
    }
}

/// Brings `lo` up in a namespace without any other link and sets its sysctls as `attach` does.
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<(), Error> {
    let _ = netns;
    todo!()
}

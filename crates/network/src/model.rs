//! The plain values of a bridge network: what others say to it and hear from it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;

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

impl Protocol {
    /// The number of the protocol in an IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

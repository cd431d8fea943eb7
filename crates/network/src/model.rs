//! The plain values of a bridge network: what others say to it and hear from it.

use crate::Pools;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a bridge is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// At most 15 bytes, such as `dhow0`.
    pub bridge: String,
    /// The nft table (family ip), such as `dhow0`.
    pub table: String,
    /// The gateway and its subnet, as `--bip`; `None` picks the first of `pools` that no route of the host covers.
    pub subnet: Option<ipnet::Ipv4Net>,
    pub pools: Pools,
    /// Bytes; 0 is the default 1500.
    pub mtu: u32,
    /// As [`Design::together`].
    pub together: bool,
}

/// What a user-defined network's bridge is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Design {
    /// At most 15 bytes.
    pub bridge: String,
    pub plan: Plan,
    /// Bytes; 0 is the default 1500.
    pub mtu: u32,
    /// No way out of it and none in.
    pub internal: bool,
    /// Whether containers on it reach each other. Where not, a published port of one is still reached by the others through the
    /// host, unless br_netfilter is on: it would have such packets go from port to port of the bridge.
    pub together: bool,
    /// Whether what leaves it has the host's address.
    pub masquerade: bool,
    pub manners: crate::Manners,
}

/// Which addresses a network has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The gateway's address and the subnet.
    pub subnet: ipnet::Ipv4Net,
    /// Where addresses are given out from; `None` is the whole subnet.
    pub range: Option<ipnet::Ipv4Net>,
    pub subnet6: Option<ipnet::Ipv6Net>,
    pub range6: Option<ipnet::Ipv6Net>,
    /// Never given out by themselves.
    pub reserved: Vec<IpAddr>,
}

/// What is asked of an end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// The name of the container's end; empty is `eth0`.
    pub link: String,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    /// Further addresses, with their prefixes.
    pub link_local: Vec<IpNet>,
    /// `None` is `02:42` and the IPv4 address.
    pub mac: Option<[u8; 6]>,
    /// Whether everything without a better route leaves by it.
    pub default_route: bool,
    /// What is published as it is attached: plugins have to know at once, and others are told afterwards.
    pub ports: Vec<PortRequest>,
    /// What plugins are told of the container's own name servers and search domains.
    pub dns: (Vec<IpAddr>, Vec<String>),
    /// Options of the end itself, for plugins.
    pub options: BTreeMap<String, String>,
}

/// A container's end on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// 64 hex digits.
    #[serde(default)]
    pub id: String,
    /// The id of its network; empty on an engine's own bridge.
    #[serde(default)]
    pub network: String,
    /// The host's end of the veth pair; empty where there is none.
    pub host_link: String,
    /// The container's end, `eth0`.
    pub link: String,
    pub address: Ipv4Addr,
    pub prefix: u8,
    /// `None`: nothing leads out of this network.
    pub gateway: Option<Ipv4Addr>,
    /// The IPv6 address with its prefix.
    #[serde(default)]
    pub ipv6: Option<ipnet::Ipv6Net>,
    #[serde(default)]
    pub gateway6: Option<Ipv6Addr>,
    /// There is no gateway, and the link itself leads out.
    #[serde(default)]
    pub is_way: bool,
    /// Name servers that came with it; empty where it says none.
    #[serde(default)]
    pub name_servers: Vec<IpAddr>,
    /// Empty where it is the parent's.
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
    /// `None` is all addresses, of both families where the network has both.
    pub host_ip: Option<IpAddr>,
    /// An inclusive range to pick one from; `(0, 0)` is any ephemeral port.
    pub host_ports: (u16, u16),
}

impl Endpoint {
    /// The address that a port of the host's address `host_ip` leads to: where the container has none of that family, a relay takes
    /// what comes on IPv6 to its IPv4.
    pub(crate) fn led_to(&self, host_ip: IpAddr) -> IpAddr {
        self.address_like(host_ip).unwrap_or(IpAddr::V4(self.address))
    }

    /// Its address of the family that `like` is of.
    pub(crate) fn address_like(&self, like: IpAddr) -> Option<IpAddr> {
        match like {
            IpAddr::V4(_) => Some(self.address.into()),
            IpAddr::V6(_) => self.ipv6.map(|net| net.addr().into()),
        }
    }
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub container_port: u16,
    pub protocol: Protocol,
    /// 0.0.0.0 and :: are all addresses.
    pub host_ip: IpAddr,
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

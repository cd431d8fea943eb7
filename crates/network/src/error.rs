//! Why a network operation failed.

use crate::Protocol;
use base::{Kind, Kinded};
use std::io;
use std::net::IpAddr;

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {action}")]
    Netlink { action: String, source: std::io::Error },
    #[error("no address is left in {0}")]
    AddressesExhausted(ipnet::IpNet),
    #[error("the address {0} is in use")]
    AddressTaken(IpAddr),
    #[error("the address {0} is not in the subnet {1}")]
    AddressOutside(IpAddr, ipnet::IpNet),
    #[error("every subnet of the pool overlaps a route of this host: choose one with --bip")]
    SubnetsExhausted,
    /// `owner`: the program that has it, when it can be told ("nginx (pid 812)"), or the container ("container 172.17.0.2").
    #[error("port {}/{protocol} is taken{}", std::net::SocketAddr::new(*ip, *port), owner.as_deref().map(|o| format!(" by {o}")).unwrap_or_default())]
    PortTaken { ip: IpAddr, port: u16, protocol: Protocol, owner: Option<String> },
    #[error("all ports of the range {0}-{1} are taken")]
    PortsExhausted(u16, u16),
    #[error("this kernel has no ipvlan (CONFIG_IPVLAN): macvlan is the next best driver")]
    NoIpvlan,
    #[error("the bridge {0} and all that were joined to it have no port left")]
    PortsOfBridgesExhausted(String),
    #[error("invalid network option: {0}")]
    Invalid(String),
    /// A plugin's words.
    #[error(transparent)]
    Plugin(#[from] cni::Error),
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error::Netlink { action: action.into(), source: source.into() }
    }
}

impl From<netlink::Error> for Error {
    fn from(error: netlink::Error) -> Error {
        match error {
            netlink::Error::Refused { step, words: Some(words), source } => {
                Error::Netlink { action: format!("{step} ({words})"), source }
            }
            netlink::Error::Refused { step, words: None, source } => Error::io(step, source),
            netlink::Error::Socket { step, source } => Error::io(format!("{step} a netlink socket"), source),
            netlink::Error::TooLong { step } => Error::io(step, io::ErrorKind::InvalidInput),
            netlink::Error::Garbled { step } => Error::io(step, io::ErrorKind::InvalidData),
        }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Plugin(e) => e.kind(),
            Error::Netlink { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => Kind::Invalid,
            Error::Netlink { source, .. } => Kinded::kind(source),
            Error::AddressesExhausted(_) | Error::SubnetsExhausted | Error::PortsOfBridgesExhausted(_) => {
                Kind::Unavailable
            }
            Error::PortTaken { .. } | Error::PortsExhausted(..) | Error::AddressTaken(_) => Kind::Conflict,
            Error::Invalid(_) | Error::AddressOutside(..) => Kind::Invalid,
            Error::NoIpvlan => Kind::Unsupported,
        }
    }
}

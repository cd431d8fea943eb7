//! A packet that has not been sent: what is known of it, and what its rules would see.

use std::net::IpAddr;

/// Bytes of which some are not known.
pub(super) type Bytes = Vec<Option<u8>>;

/// NF_CT_STATE_BIT(IP_CT_NEW).
pub(super) const NEW: u32 = 1 << 3;
/// IPS_DST_NAT
pub(super) const DNAT: u32 = 1 << 5;

/// The first packet of a connection, at one place on its way.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    /// `None`: this machine's own.
    pub(super) from: Option<Link>,
    pub(super) to: Option<Link>,
    pub(super) source: Option<IpAddr>,
    /// Whether the source is one of this machine's addresses.
    pub(super) source_is_local: bool,
    /// `None`: any of this machine's addresses.
    pub(super) destination: Option<IpAddr>,
    pub(super) destination_is_local: bool,
    pub(super) is_v4: bool,
    pub(super) protocol: u8,
    pub(super) port: u16,
    /// IPS_* of its connection.
    pub(super) status: u32,
}

/// A link that a packet comes in or goes out by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    Named(String),
    Any,
}

const META_PROTOCOL: u32 = 1;
const META_MARK: u32 = 3;
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_FAMILY: u32 = 15;
const META_L4_PROTOCOL: u32 = 16;
const CT_STATE: u32 = 0;
const CT_DIRECTION: u32 = 1;
const CT_STATUS: u32 = 2;
const CT_MARK: u32 = 3;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_BY_SOURCE: u32 = 1;
const UNICAST: u32 = 1;
const LOCAL: u32 = 2;

impl Packet {
    pub(super) fn meta(&self, key: u32) -> Bytes {
        match key {
            META_IN_NAME => link(self.from.as_ref()),
            META_OUT_NAME => link(self.to.as_ref()),
            META_L4_PROTOCOL => known(&[self.protocol]),
            META_FAMILY => known(&[if self.is_v4 { 2 } else { 10 }]),
            META_PROTOCOL => known(&if self.is_v4 { [0x08, 0x00] } else { [0x86, 0xdd] }),
            META_MARK => known(&[0; 4]),
            _ => vec![None; 16],
        }
    }

    pub(super) fn payload(&self, base: u32, offset: u32, length: u32) -> Bytes {
        let header = match base {
            1 => self.network_header(),
            2 => {
                let [high, low] = self.port.to_be_bytes();
                vec![None, None, Some(high), Some(low)]
            }
            _ => Vec::new(),
        };
        let (offset, length) = (usize::try_from(offset).unwrap_or(0), usize::try_from(length).unwrap_or(0));
        let mut bytes: Bytes = header.into_iter().skip(offset).take(length).collect();
        bytes.resize(length, None);
        bytes
    }

    fn network_header(&self) -> Bytes {
        let (mut bytes, protocol, source, destination) =
            if self.is_v4 { (vec![None; 20], 9, 12, 16) } else { (vec![None; 40], 6, 8, 24) };
        bytes[protocol] = Some(self.protocol);
        for (place, address) in [(source, self.source), (destination, self.destination)] {
            let octets = match address {
                Some(IpAddr::V4(address)) => address.octets().to_vec(),
                Some(IpAddr::V6(address)) => address.octets().to_vec(),
                None => Vec::new(),
            };
            octets.into_iter().enumerate().for_each(|(at, octet)| {
                if let Some(byte) = bytes.get_mut(place + at) {
                    *byte = Some(octet);
                }
            });
        }
        bytes
    }

    pub(super) fn conntrack(&self, key: u32) -> Bytes {
        match key {
            CT_STATE => known(&NEW.to_ne_bytes()),
            CT_STATUS => known(&self.status.to_ne_bytes()),
            CT_DIRECTION => known(&[0]),
            CT_MARK => known(&[0; 4]),
            _ => vec![None; 16],
        }
    }

    pub(super) fn fib(&self, result: u32, flags: u32) -> Bytes {
        if result != FIB_ADDRESS_TYPE {
            return vec![None; 16];
        }
        let is_local = if flags & FIB_BY_SOURCE == 1 { self.source_is_local } else { self.destination_is_local };
        known(&(if is_local { LOCAL } else { UNICAST }).to_ne_bytes())
    }
}

fn known(bytes: &[u8]) -> Bytes {
    bytes.iter().copied().map(Some).collect()
}

fn link(link: Option<&Link>) -> Bytes {
    match link {
        Some(Link::Named(name)) => {
            let mut bytes = known(name.as_bytes());
            bytes.resize(16, Some(0));
            bytes
        }
        Some(Link::Any) => vec![None; 16],
        None => known(&[0; 16]),
    }
}

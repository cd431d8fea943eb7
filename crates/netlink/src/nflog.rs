//! Packets that rules of nftables log, told by the kernel as they come (linux/netfilter/nfnetlink_log.h).

use crate::batch::Batch;
use crate::{Error, Reader, Socket};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_*.
const PACKET: u16 = 4 << 8;
const CONFIG: u16 = (4 << 8) | 1;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const CONFIG_AT_ONCE: u16 = 5;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const PAYLOAD: u16 = 9;
/// Bytes of a packet that are told: headers.
const TOLD: u32 = 128;
const BUFFER: usize = 64 << 10;
/// `struct nlmsghdr`, and `struct nfgenmsg` behind it.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// Hears what is logged to a group, in the network namespace that it was opened in.
#[derive(Debug)]
pub struct Log {
    socket: Socket,
}

/// Who a packet is from and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Heading {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// 6 is TCP.
    pub protocol: u8,
    /// 0 where the protocol has none.
    pub port: u16,
}

impl Log {
    /// Refused when another program listens to the group.
    pub fn open(group: u16) -> Result<Log, Error> {
        let mut socket = Socket::netfilter()?;
        let [high, low] = group.to_be_bytes();
        let whose = [0, 0, high, low];
        let mut batch = Batch::new();
        batch.push("listen to logged packets", (CONFIG, 0), &whose, |a| a.u8(CONFIG_COMMAND, BIND));
        socket.run(&mut batch)?;
        let mut batch = Batch::new();
        batch.push("have logged packets told", (CONFIG, 0), &whose, |a| {
            let [a0, a1, a2, a3] = TOLD.to_be_bytes();
            a.bytes(CONFIG_MODE, &[a0, a1, a2, a3, COPY_PACKET, 0]);
            a.be32(CONFIG_AT_ONCE, 1);
        });
        socket.run(&mut batch)?;
        Ok(Log { socket })
    }

    /// Waits for packets; `None` when nothing can be heard any more. What came too fast is lost.
    pub fn wait(&self) -> Option<Vec<Heading>> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match rustix::net::recv(self.socket.as_fd(), &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => return Some(headings(buffer.get(..length).unwrap_or_default())),
                Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn headings(mut messages: &[u8]) -> Vec<Heading> {
    let mut all = Vec::new();
    while let (Some(length), Some(kind)) = (messages.first_chunk::<4>(), messages.get(4..6)) {
        let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(usize::MAX).max(HEADER);
        if u16::from_ne_bytes([kind[0], kind[1]]) == PACKET
            && let Some(body) = messages.get(HEADER..length)
        {
            all.extend(Reader::behind(body, FAMILY_HEADER).find(PAYLOAD).and_then(heading));
        }
        let Some(next) = length.checked_next_multiple_of(4) else { break };
        messages = messages.get(next..).unwrap_or_default();
    }
    all
}

/// Reads the headers of an IP packet.
fn heading(packet: &[u8]) -> Option<Heading> {
    let (source, destination, protocol, behind): (IpAddr, IpAddr, u8, usize) = match packet.first()? >> 4 {
        4 => {
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let length = usize::from(packet[0] & 0xf) * 4;
            (source.into(), destination.into(), *packet.get(9)?, length)
        }
        6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (source.into(), destination.into(), *packet.get(6)?, 40)
        }
        _ => return None,
    };
    let has_ports = matches!(protocol, TCP | UDP | SCTP);
    let port = packet.get(behind + 2..behind + 4).filter(|_| has_ports);
    let port = port.map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
    Some(Heading { source, destination, protocol, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_what_is_cut_off_is_none() {
        let mut v4 = vec![0x45; 1];
        v4.resize(24, 0);
        v4[9] = TCP;
        v4[12..20].copy_from_slice(&[10, 0, 0, 2, 192, 0, 2, 1]);
        v4[22..24].copy_from_slice(&443_u16.to_be_bytes());
        let told = heading(&v4).unwrap();
        assert_eq!((told.destination.to_string(), told.protocol, told.port), ("192.0.2.1".to_owned(), 6, 443));
        let mut v6 = vec![0x60; 1];
        v6.resize(44, 0);
        v6[6] = UDP;
        v6[43] = 53;
        assert_eq!(heading(&v6).map(|told| told.port), Some(53));
        for broken in [&[][..], &[0x45; 10], &[0x60; 39], &[0x15; 40]] {
            assert_eq!(heading(broken), None, "{broken:?}");
        }
        for broken in [&[][..], &[1], &[0; 5], &[0; 40], &[0xff; 40]] {
            assert_eq!(headings(broken), []);
        }
    }
}

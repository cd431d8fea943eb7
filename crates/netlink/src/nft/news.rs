//! What other programs do to the rules of this machine, told by the kernel as it happens.

use super::{DELETE_RULE, DELETE_TABLE, NEW_CHAIN, NEW_RULE, SUBSYSTEM};
use crate::Error;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::os::fd::OwnedFd;

/// NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h is the seventh group.
const GROUP: u32 = 1 << 6;
const DELETE_CHAIN: u16 = SUBSYSTEM | 5;
/// A message is one change; the kernel puts several into one datagram, up to a page.
const BUFFER: usize = 32 << 10;
/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// Hears of every change of the network namespace that it was opened in.
#[derive(Debug)]
pub struct News {
    fd: OwnedFd,
}

impl News {
    pub fn open() -> Result<News, Error> {
        let failed = |e: Errno| Error::Socket { step: "open", source: e.into() };
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(NETFILTER)).map_err(failed)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, GROUP)).map_err(failed)?;
        Ok(News { fd })
    }

    /// Waits until a table, chain or rule went, or a chain or rule came; `true` then, `false` when nothing can be heard any more.
    /// Elements of maps and sets are no news. What was lost because too much came at once counts as all of it.
    pub fn wait(&self) -> bool {
        let mut buffer = vec![0; BUFFER];
        loop {
            match rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) if tells(buffer.get(..length).unwrap_or_default()) => return true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return e == Errno::NOBUFS,
            }
        }
    }

    /// Passes over what has come already.
    pub fn skip(&self) {
        let mut buffer = vec![0; BUFFER];
        while let Ok(_) | Err(Errno::INTR | Errno::NOBUFS) =
            rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::DONTWAIT)
        {}
    }
}

/// Whether one of these messages is of interest.
fn tells(mut messages: &[u8]) -> bool {
    while let (Some(length), Some(kind)) = (messages.first_chunk::<4>(), messages.get(4..6)) {
        let kind = u16::from_ne_bytes([kind[0], kind[1]]);
        if matches!(kind, DELETE_TABLE | NEW_CHAIN | DELETE_CHAIN | NEW_RULE | DELETE_RULE) {
            return true;
        }
        let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(usize::MAX).max(HEADER);
        let Some(next) = length.checked_next_multiple_of(4) else { return false };
        messages = messages.get(next..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::{DELETE_ELEMENTS, NEW_ELEMENTS, NEW_TABLE};

    fn message(kind: u16, body: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + body).unwrap_or(0).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.resize((HEADER + body).next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn rules_that_come_or_go_are_told_and_elements_are_not() {
        assert!(tells(&message(DELETE_TABLE, 4)));
        assert!(!tells(&[message(NEW_TABLE, 5), message(NEW_ELEMENTS, 30), message(DELETE_ELEMENTS, 1)].concat()));
        assert!(tells(&[message(NEW_ELEMENTS, 30), message(DELETE_RULE, 0)].concat()));
    }

    #[test]
    fn broken_messages_end_the_reading() {
        for bytes in [&[][..], &[1], &[0; 5], &[0; 40], &[0xff; 40]] {
            assert!(!tells(bytes), "{bytes:?}");
        }
    }
}

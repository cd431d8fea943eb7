//! What other programs do to the rules of this machine, told by the kernel as it happens.

use super::{DELETE_ELEMENTS, DELETE_RULE, DELETE_TABLE, NEW_CHAIN, NEW_RULE, SUBSYSTEM};
use crate::{Error, Reader};
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h is the seventh group.
const GROUP: u32 = 1 << 6;
const DELETE_CHAIN: u16 = SUBSYSTEM | 5;
const DELETE_SET: u16 = SUBSYSTEM | 11;
/// A message is one change; the kernel puts several into one datagram, up to a page.
const BUFFER: usize = 32 << 10;
/// What waits to be read, at most: a table that is made anew is as many messages as it has elements.
const BACKLOG: usize = 32 << 20;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// NFTA_TABLE_NAME; chains, rules, sets and lists of elements have the name of their table under the same number.
const TABLE: u16 = 1;

/// Hears of every change of the network namespace that it was opened in.
#[derive(Debug)]
pub struct News {
    fd: OwnedFd,
}

/// What was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Too much came at once: anything may have changed.
    pub lost: bool,
    /// Rules came or went, or chains, or tables.
    pub rules: bool,
    /// Tables that something was taken out of, and the numbers of the sockets that did it ([`crate::Socket::number`]).
    pub thinned: BTreeSet<Thinned>,
}

/// A table that something was taken out of, whatever it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thinned {
    /// NFPROTO_*: 2 is IPv4, 10 is IPv6.
    pub family: u8,
    pub table: String,
    pub by: u32,
}

impl News {
    pub fn open() -> Result<News, Error> {
        let failed = |e: Errno| Error::Socket { step: "open", source: e.into() };
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(NETFILTER)).map_err(failed)?;
        // Without CAP_NET_ADMIN of the machine it stays as it is.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&fd, BACKLOG);
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, GROUP)).map_err(failed)?;
        Ok(News { fd })
    }

    /// Waits until something happened; `None` when nothing can be heard any more. Elements that came are no news.
    pub fn wait(&self) -> Option<Heard> {
        let mut heard = Heard::default();
        while heard == Heard::default() {
            self.hear(&mut heard, RecvFlags::empty())?;
        }
        Some(heard)
    }

    /// Adds what has come already.
    pub fn gather(&self, heard: &mut Heard) {
        while self.hear(heard, RecvFlags::DONTWAIT).is_some() {}
    }

    /// Takes one datagram in; `None` when there is none, and will not be.
    fn hear(&self, heard: &mut Heard, flags: RecvFlags) -> Option<()> {
        let mut buffer = vec![0; BUFFER];
        match rustix::net::recv(&self.fd, &mut buffer[..], flags) {
            Ok((length, _)) => heard.take_in(buffer.get(..length).unwrap_or_default()),
            Err(Errno::NOBUFS) => heard.lost = true,
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
        Some(())
    }
}

impl Heard {
    fn take_in(&mut self, mut messages: &[u8]) {
        while let (Some(length), Some(kind)) = (messages.first_chunk::<4>(), messages.get(4..6)) {
            let length = usize::try_from(u32::from_ne_bytes(*length)).unwrap_or(usize::MAX).max(HEADER);
            let kind = u16::from_ne_bytes([kind[0], kind[1]]);
            self.rules |= matches!(kind, DELETE_TABLE | NEW_CHAIN | DELETE_CHAIN | NEW_RULE | DELETE_RULE);
            if matches!(kind, DELETE_TABLE | DELETE_CHAIN | DELETE_RULE | DELETE_SET | DELETE_ELEMENTS) {
                self.thinned.extend(thinned(messages.get(..length).unwrap_or(messages)));
            }
            let Some(next) = length.checked_next_multiple_of(4) else { return };
            messages = messages.get(next..).unwrap_or_default();
        }
    }
}

/// Whose table a message is about.
fn thinned(message: &[u8]) -> Option<Thinned> {
    let by = u32::from_ne_bytes(message.get(12..HEADER)?.try_into().ok()?);
    let family = *message.get(HEADER)?;
    let table = Reader::new(message.get(HEADER + 4..)?).text(TABLE)?.to_owned();
    Some(Thinned { family, table, by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::{NEW_ELEMENTS, NEW_TABLE};

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + body.len()).unwrap_or(0).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.resize(12, 0);
        bytes.extend_from_slice(&77_u32.to_ne_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn heard(messages: &[u8]) -> Heard {
        let mut heard = Heard::default();
        heard.take_in(messages);
        heard
    }

    #[test]
    fn rules_that_come_or_go_are_told_and_elements_that_come_are_not() {
        assert!(heard(&message(DELETE_TABLE, &[0; 4])).rules);
        let quiet = [message(NEW_TABLE, &[0; 5]), message(NEW_ELEMENTS, &[0; 30])].concat();
        assert_eq!(heard(&quiet), Heard::default());
        assert!(heard(&[quiet, message(DELETE_RULE, &[])].concat()).rules);
    }

    #[test]
    fn what_is_taken_away_is_told_with_its_table_and_who_did_it() {
        // struct nfgenmsg of IPv4, and an attribute of 8 bytes.
        let body = [2, 0, 0, 0, 8, 0, 1, 0, b'o', b'u', b'r', 0];
        let told = heard(&message(DELETE_ELEMENTS, &body));
        let wanted = Thinned { family: 2, table: "our".to_owned(), by: 77 };
        assert_eq!(told, Heard { thinned: BTreeSet::from([wanted]), ..Heard::default() });
    }

    #[test]
    fn thousands_of_elements_at_once_are_not_too_much() {
        use crate::nft::{Field, KeyedSet, Member, Sort, Transaction};
        use std::os::fd::AsFd;
        let netns = sys::netns::create().unwrap();
        let heard = crate::netns::within(netns.as_fd(), || {
            let news = News::open().unwrap();
            let set = KeyedSet { name: "s", key: &[Field::Address], sort: Sort::Plain };
            let address = |n: u32| (Member::new().address(std::net::Ipv4Addr::from_bits(n).into()), None);
            let mut t = Transaction::new();
            t.add_table("t");
            t.add_keyed_set("t", &set);
            t.add_members("t", &set, &(1..=10_000).map(address).collect::<Vec<_>>());
            t.commit(&mut crate::Socket::netfilter().unwrap()).unwrap();
            let mut heard = Heard::default();
            news.gather(&mut heard);
            heard
        });
        assert_eq!(heard.unwrap(), Heard::default());
    }

    #[test]
    fn broken_messages_end_the_reading() {
        for bytes in [&[][..], &[1], &[0; 5], &[0; 40], &[0xff; 40]] {
            assert_eq!(heard(bytes), Heard::default(), "{bytes:?}");
        }
    }
}

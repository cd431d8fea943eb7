//! Sets with more to them: intervals within concatenations, members that end by themselves, members that rules add.

use super::{
    CHUNK, ELEMENT_KEY, Field, LIST_ELEMENTS, LIST_SET, LIST_TABLE, NAMES_AS_THEY_ARE, SET_FLAGS, SET_ID,
    SET_KEY_LENGTH, SET_KEY_TYPE, SET_NAME, SET_TABLE, SET_USERDATA, Transaction, concatenation, padded_port,
    push_address,
};
use crate::batch::{Attributes, Batch, CREATE};
use crate::nft::{
    BATCH, BATCH_BEGIN, CHAIN_NAME, CHAIN_TABLE, DATA_VALUE, DELETE_ELEMENTS, Family, LIST_ELEMENT, NEW_CHAIN,
    NEW_ELEMENTS, NEW_SET,
};
use std::net::IpAddr;
use std::time::Duration;

const SET_DESCRIPTION: u16 = 9;
const DESCRIPTION_SIZE: u16 = 1;
const DESCRIPTION_FIELDS: u16 = 2;
const FIELD_LENGTH: u16 = 1;

const INTERVALS: u32 = 0x4;
const TIMEOUTS: u32 = 0x10;
const BY_RULES: u32 = 0x20;
const FIELDS: u32 = 0x80;

const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_TIMEOUT: u16 = 4;
const ELEMENT_KEY_END: u16 = 10;
const INTERVAL_END: u32 = 1;

/// `struct nfgenmsg` of NFPROTO_BRIDGE.
pub(crate) const BRIDGES: [u8; 4] = [7, 0, 0, 0];

/// What the members of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Keys, each as it is.
    Plain,
    /// Ranges in every part of the key (Linux 5.6).
    Ranges,
    /// Keys that are gone after a time of their own.
    Timed,
    /// Keys that rules add, at most so many.
    ByRules { most: u32 },
}

/// A set.
#[derive(Debug, Clone, Copy)]
pub struct KeyedSet<'a> {
    pub name: &'a str,
    pub key: &'a [Field],
    pub sort: Sort,
}

/// A member of a set: a key, or two that a range lies between, both included.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Member {
    first: Vec<u8>,
    last: Vec<u8>,
    ends: bool,
}

impl Member {
    /// No parts yet.
    pub fn new() -> Member {
        Member::default()
    }

    /// An address.
    pub fn address(self, address: IpAddr) -> Member {
        self.addresses(address, address)
    }

    /// A range of addresses of one family.
    pub fn addresses(mut self, first: IpAddr, last: IpAddr) -> Member {
        push_address(&mut self.first, first);
        push_address(&mut self.last, last);
        self
    }

    /// A range of protocols.
    pub fn protocols(mut self, first: u8, last: u8) -> Member {
        self.first.extend([first, 0, 0, 0]);
        self.last.extend([last, 0, 0, 0]);
        self
    }

    /// A range of ports.
    pub fn ports(mut self, first: u16, last: u16) -> Member {
        self.first.extend(padded_port(first));
        self.last.extend(padded_port(last));
        self
    }

    /// The name of a link.
    pub fn link(mut self, name: &str) -> Member {
        for key in [&mut self.first, &mut self.last] {
            let end = key.len() + super::LINK_NAME;
            key.extend(name.bytes().take(super::LINK_NAME - 1));
            key.resize(end, 0);
        }
        self
    }

    /// A key as the kernel told it.
    pub fn told(key: &[u8]) -> Member {
        Member { first: key.to_vec(), last: key.to_vec(), ends: false }
    }

    /// Where a range of a set with one part ends: the first key behind it.
    pub fn end_of_range(address: IpAddr) -> Member {
        Member { ends: true, ..Member::new().address(address) }
    }
}

impl Transaction {
    /// No changes, of the family bridge.
    pub fn of_bridges() -> Transaction {
        let mut batch = Batch::new();
        batch.push("begin an nftables transaction", (BATCH_BEGIN, 0), &BATCH, |_| {});
        Transaction { batch, family: Family::Ip, header: BRIDGES, sets: 0 }
    }

    /// Makes a chain that packets come to from other chains only.
    pub fn add_inner_chain(&mut self, table: &str, name: &str) {
        self.batch.push("add the nftables chain", (NEW_CHAIN, CREATE), &self.header, |a| {
            a.text(CHAIN_TABLE, table);
            a.text(CHAIN_NAME, name);
        });
    }

    /// Makes a set.
    pub fn add_keyed_set(&mut self, table: &str, set: &KeyedSet<'_>) {
        self.sets += 1;
        let id = self.sets;
        let is_concatenation = set.key.len() > 1;
        self.batch.push("add the nftables set", (NEW_SET, CREATE), &self.header, |a| {
            a.text(SET_TABLE, table);
            a.text(SET_NAME, set.name);
            a.be32(SET_FLAGS, set.sort.flags(is_concatenation));
            concatenation(a, (SET_KEY_TYPE, SET_KEY_LENGTH), set.key);
            a.be32(SET_ID, id);
            describe(a, set, is_concatenation);
            if set.key.contains(&Field::Link) {
                a.bytes(SET_USERDATA, &NAMES_AS_THEY_ARE);
            }
        });
    }

    /// Adds members to a set; to one that is timed for so long.
    pub fn add_members(&mut self, table: &str, set: &KeyedSet<'_>, members: &[(Member, Option<Duration>)]) {
        for chunk in members.chunks(CHUNK) {
            self.batch.push("add elements to the nftables set", (NEW_ELEMENTS, CREATE), &self.header, |a| {
                list(a, table, set, chunk);
            });
        }
    }

    /// Removes members from a set. Refused as absent when one is not there.
    pub fn delete_members(&mut self, table: &str, set: &KeyedSet<'_>, members: &[Member]) {
        let members: Vec<_> = members.iter().map(|member| (member.clone(), None)).collect();
        for chunk in members.chunks(CHUNK) {
            self.batch.push("remove elements from the nftables set", (DELETE_ELEMENTS, 0), &self.header, |a| {
                list(a, table, set, chunk);
            });
        }
    }
}

impl Sort {
    fn flags(self, is_concatenation: bool) -> u32 {
        match self {
            Sort::Plain => 0,
            Sort::Ranges if is_concatenation => INTERVALS | FIELDS,
            Sort::Ranges => INTERVALS,
            Sort::Timed => TIMEOUTS,
            Sort::ByRules { .. } => TIMEOUTS | BY_RULES,
        }
    }
}

fn describe(a: &mut Attributes<'_>, set: &KeyedSet<'_>, is_concatenation: bool) {
    match set.sort {
        Sort::ByRules { most } => a.nest(SET_DESCRIPTION, |a| a.be32(DESCRIPTION_SIZE, most)),
        Sort::Ranges if is_concatenation => a.nest(SET_DESCRIPTION, |a| {
            a.nest(DESCRIPTION_FIELDS, |a| {
                for field in set.key {
                    a.nest(LIST_ELEMENT, |a| a.be32(FIELD_LENGTH, field.bare_length()));
                }
            });
        }),
        _ => {}
    }
}

fn list(a: &mut Attributes<'_>, table: &str, set: &KeyedSet<'_>, members: &[(Member, Option<Duration>)]) {
    let has_ends = set.sort == Sort::Ranges && set.key.len() > 1;
    a.text(LIST_TABLE, table);
    a.text(LIST_SET, set.name);
    a.nest(LIST_ELEMENTS, |a| {
        for (member, kept) in members {
            a.nest(LIST_ELEMENT, |a| {
                a.nest(ELEMENT_KEY, |a| a.bytes(DATA_VALUE, &member.first));
                if has_ends {
                    a.nest(ELEMENT_KEY_END, |a| a.bytes(DATA_VALUE, &member.last));
                }
                if member.ends {
                    a.be32(ELEMENT_FLAGS, INTERVAL_END);
                }
                if let Some(kept) = kept {
                    a.be64(ELEMENT_TIMEOUT, u64::try_from(kept.as_millis()).unwrap_or(u64::MAX).max(1));
                }
            });
        }
    });
}

impl Field {
    /// Bytes of the part without padding.
    pub(super) fn bare_length(self) -> u32 {
        match self {
            Field::Protocol => 1,
            Field::Port => 2,
            Field::Address | Field::Address6 | Field::Link => self.length(),
        }
    }
}

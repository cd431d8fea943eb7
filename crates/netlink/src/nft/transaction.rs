//! What can be changed in nftables, all at once or not at all.

mod keyed;

pub(super) use keyed::BRIDGES;
pub use keyed::{KeyedSet, Member, Sort};

use super::rule::Rule;
use super::{
    BATCH, BATCH_BEGIN, BATCH_END, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, COMMENT, DATA_VALUE,
    DELETE_ELEMENTS, DELETE_RULE, DELETE_TABLE, Family, HOOK_NUMBER, HOOK_PRIORITY, LIST_ELEMENT, NEW_CHAIN,
    NEW_ELEMENTS, NEW_RULE, NEW_SET, NEW_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_HANDLE, RULE_TABLE, RULE_USERDATA,
    TABLE_NAME,
};
use crate::batch::{APPEND, Attributes, Batch, CREATE};
use crate::{Error, Socket};
use std::net::IpAddr;

const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_DESCRIPTION: u16 = 9;
const SET_ID: u16 = 10;
const SET_USERDATA: u16 = 13;
/// libnftnl's NFTNL_UDATA_SET_KEYBYTEORDER, four bytes, nft's BYTEORDER_HOST_ENDIAN: without it `nft` shows names as empty.
const NAMES_AS_THEY_ARE: [u8; 6] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [0, 4, a, b, c, d]
};
const SET_IS_MAP: u32 = 0x8;
/// Keys are ranges in each part: NFT_SET_INTERVAL | NFT_SET_CONCAT, with the lengths of the parts in the description (Linux 5.6).
const SET_HAS_RANGES: u32 = 0x4 | 0x80;
const DESCRIPTION_PARTS: u16 = 2;
const PART_LENGTH: u16 = 1;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_KEY_END: u16 = 10;
/// Elements per request: an attribute holds 65,535 bytes, an element less than 100.
const CHUNK: usize = 500;

/// Types of nft(8) (libnftables, datatype.h); a concatenation has six bits for each.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_LINK: u32 = 41;
/// IFNAMSIZ
const LINK_NAME: usize = 16;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;
const TYPE_BITS: u32 = 6;

/// Where packets meet a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting,
    Input,
    Forward,
    Output,
    Postrouting,
}

/// What a chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    Filter,
    Nat,
}

/// A chain that packets meet at a hook; it lets pass what no rule decides on.
#[derive(Debug, Clone, Copy)]
pub struct BaseChain<'a> {
    pub name: &'a str,
    pub kind: ChainKind,
    pub hook: Hook,
    /// Lower comes first: raw is -300, dstnat -100, filter 0, srcnat 100.
    pub priority: i32,
}

/// A type of a part of a map's key or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Address,
    Address6,
    Protocol,
    Port,
    /// The name of a link.
    Link,
}

/// A set; the key is a concatenation.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    pub name: &'a str,
    pub key: &'a [Field],
}

/// A map; key and value are concatenations.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    pub name: &'a str,
    pub key: &'a [Field],
    pub value: &'a [Field],
}

/// A key, of a map with its value: parts padded to 32 bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    key: Vec<u8>,
    /// The other end, where keys are ranges; both are in.
    end: Vec<u8>,
    value: Vec<u8>,
}

impl Element {
    /// `address . protocol . port : address . port`, or without the first when `to` is `None`.
    pub fn port(to: Option<IpAddr>, protocol: u8, port: u16, target: (IpAddr, u16)) -> Element {
        let mut element = Element::default();
        if let Some(address) = to {
            push_address(&mut element.key, address);
        }
        element.key.extend([protocol, 0, 0, 0]);
        element.key.extend(padded_port(port));
        push_address(&mut element.value, target.0);
        element.value.extend(padded_port(target.1));
        element
    }

    /// `address . protocol . first-last`, or without the first when `at` is `None`; of a map with an address as value.
    pub fn ports(at: Option<IpAddr>, protocol: u8, (first, last): (u16, u16), target: Option<IpAddr>) -> Element {
        let mut element = Element::default();
        for (bytes, port) in [(&mut element.key, first), (&mut element.end, last)] {
            if let Some(address) = at {
                push_address(bytes, address);
            }
            bytes.extend([protocol, 0, 0, 0]);
            bytes.extend(padded_port(port));
        }
        if let Some(target) = target {
            push_address(&mut element.value, target);
        }
        element
    }

    /// Names of links, each a part. A name has at most 15 bytes.
    pub fn links(names: &[&str]) -> Element {
        let mut element = Element::default();
        for name in names {
            let end = element.key.len() + LINK_NAME;
            element.key.extend(name.bytes().take(LINK_NAME - 1));
            element.key.resize(end, 0);
        }
        element
    }
}

fn push_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(address) => bytes.extend(address.octets()),
    }
}

fn padded_port(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// Changes that the kernel makes all at once, or not at all.
#[derive(Debug)]
pub struct Transaction {
    batch: Batch,
    family: Family,
    header: [u8; 4],
    sets: u32,
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction::new()
    }
}

impl Transaction {
    /// No changes, of the family ip.
    pub fn new() -> Transaction {
        Transaction::of(Family::Ip)
    }

    /// No changes.
    pub fn of(family: Family) -> Transaction {
        let mut batch = Batch::new();
        batch.push("begin an nftables transaction", (BATCH_BEGIN, 0), &BATCH, |_| {});
        Transaction { batch, family, header: family.header(), sets: 0 }
    }

    /// Makes all changes.
    pub fn commit(mut self, socket: &mut Socket) -> Result<(), Error> {
        if self.batch.count() == 1 {
            return Ok(());
        }
        self.batch.push("end an nftables transaction", (BATCH_END, 0), &BATCH, |_| {});
        socket.run_framed(&mut self.batch)
    }

    /// Makes a table, unless it is there.
    pub fn add_table(&mut self, table: &str) {
        self.batch.push("add the nftables table", (NEW_TABLE, CREATE), &self.header, |a| a.text(TABLE_NAME, table));
    }

    /// Removes a table with all that is in it.
    pub fn delete_table(&mut self, table: &str) {
        self.batch.push("remove the nftables table", (DELETE_TABLE, 0), &self.header, |a| a.text(TABLE_NAME, table));
    }

    /// Makes a chain.
    pub fn add_chain(&mut self, table: &str, chain: &BaseChain<'_>) {
        self.batch.push("add the nftables chain", (NEW_CHAIN, CREATE), &self.header, |a| {
            a.text(CHAIN_TABLE, table);
            a.text(CHAIN_NAME, chain.name);
            a.text(CHAIN_TYPE, chain.kind.name());
            a.be32(CHAIN_POLICY, 1);
            a.nest(CHAIN_HOOK, |a| {
                a.be32(HOOK_NUMBER, chain.hook.number());
                a.be32(HOOK_PRIORITY, chain.priority.cast_unsigned());
            });
        });
    }

    /// Makes a map.
    pub fn add_map(&mut self, table: &str, map: &Map<'_>) {
        self.sets += 1;
        let id = self.sets;
        self.batch.push("add the nftables map", (NEW_SET, CREATE), &self.header, |a| {
            a.text(SET_TABLE, table);
            a.text(SET_NAME, map.name);
            a.be32(SET_FLAGS, SET_IS_MAP);
            concatenation(a, (SET_KEY_TYPE, SET_KEY_LENGTH), map.key);
            concatenation(a, (SET_DATA_TYPE, SET_DATA_LENGTH), map.value);
            a.be32(SET_ID, id);
        });
    }

    /// Makes a set.
    pub fn add_set(&mut self, table: &str, set: &Set<'_>) {
        self.sets += 1;
        let id = self.sets;
        self.batch.push("add the nftables set", (NEW_SET, CREATE), &self.header, |a| {
            a.text(SET_TABLE, table);
            a.text(SET_NAME, set.name);
            a.be32(SET_FLAGS, 0);
            concatenation(a, (SET_KEY_TYPE, SET_KEY_LENGTH), set.key);
            a.be32(SET_ID, id);
            a.bytes(SET_USERDATA, &NAMES_AS_THEY_ARE);
        });
    }

    /// Makes a map or (without a value) a set whose keys are ranges in each part. Elements that overlap are refused as present.
    pub fn add_ranges(&mut self, table: &str, map: &Map<'_>) {
        self.sets += 1;
        let id = self.sets;
        self.batch.push("add the nftables map of ranges", (NEW_SET, CREATE), &self.header, |a| {
            a.text(SET_TABLE, table);
            a.text(SET_NAME, map.name);
            concatenation(a, (SET_KEY_TYPE, SET_KEY_LENGTH), map.key);
            if map.value.is_empty() {
                a.be32(SET_FLAGS, SET_HAS_RANGES);
            } else {
                a.be32(SET_FLAGS, SET_HAS_RANGES | SET_IS_MAP);
                concatenation(a, (SET_DATA_TYPE, SET_DATA_LENGTH), map.value);
            }
            a.nest(SET_DESCRIPTION, |a| {
                a.nest(DESCRIPTION_PARTS, |a| {
                    for field in map.key {
                        a.nest(LIST_ELEMENT, |a| a.be32(PART_LENGTH, field.bare_length()));
                    }
                });
            });
            a.be32(SET_ID, id);
        });
    }

    /// Adds elements to a map or a set. Refused as present when a key has another value.
    pub fn add_elements(&mut self, table: &str, map: &str, elements: &[Element]) {
        for chunk in elements.chunks(CHUNK) {
            self.batch.push("add elements to the nftables map", (NEW_ELEMENTS, CREATE), &self.header, |a| {
                list(a, table, map, chunk);
            });
        }
    }

    /// Removes elements from a map or a set. Refused as absent when one is not there.
    pub fn delete_elements(&mut self, table: &str, map: &str, elements: &[Element]) {
        for chunk in elements.chunks(CHUNK) {
            self.batch.push("remove elements from the nftables map", (DELETE_ELEMENTS, 0), &self.header, |a| {
                list(a, table, map, chunk);
            });
        }
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(&mut self, table: &str, chain: &str, write: impl FnOnce(Rule<'_, '_>)) {
        self.rule((table, chain), APPEND, None, write);
    }

    /// Adds a rule with a comment at the beginning of a chain. A comment has at most 127 bytes.
    pub fn insert_rule(&mut self, table: &str, chain: &str, comment: &str, write: impl FnOnce(Rule<'_, '_>)) {
        self.rule((table, chain), 0, Some(comment), write);
    }

    /// Removes one rule.
    pub fn delete_rule(&mut self, table: &str, chain: &str, handle: u64) {
        self.batch.push("remove the nftables rule", (DELETE_RULE, 0), &self.header, |a| {
            a.text(RULE_TABLE, table);
            a.text(RULE_CHAIN, chain);
            a.be64(RULE_HANDLE, handle);
        });
    }

    fn rule(
        &mut self,
        (table, chain): (&str, &str),
        place: u16,
        comment: Option<&str>,
        write: impl FnOnce(Rule<'_, '_>),
    ) {
        let family = self.family;
        self.batch.push("add the nftables rule", (NEW_RULE, CREATE | place), &self.header, |a| {
            a.text(RULE_TABLE, table);
            a.text(RULE_CHAIN, chain);
            a.nest(RULE_EXPRESSIONS, |a| write(Rule::new(a, family)));
            if let Some(comment) = comment {
                a.bytes(RULE_USERDATA, &userdata(comment));
            }
        });
    }
}

/// libnftnl's form of a comment: type, length, text, zero.
fn userdata(comment: &str) -> Vec<u8> {
    let text: Vec<u8> = comment.bytes().take(127).chain([0]).collect();
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    [&[COMMENT, length], text.as_slice()].concat()
}

fn list(a: &mut Attributes<'_>, table: &str, map: &str, elements: &[Element]) {
    a.text(LIST_TABLE, table);
    a.text(LIST_SET, map);
    a.nest(LIST_ELEMENTS, |a| {
        for element in elements {
            a.nest(LIST_ELEMENT, |a| {
                a.nest(ELEMENT_KEY, |a| a.bytes(DATA_VALUE, &element.key));
                if !element.end.is_empty() {
                    a.nest(ELEMENT_KEY_END, |a| a.bytes(DATA_VALUE, &element.end));
                }
                if !element.value.is_empty() {
                    a.nest(ELEMENT_DATA, |a| a.bytes(DATA_VALUE, &element.value));
                }
            });
        }
    });
}

fn concatenation(a: &mut Attributes<'_>, (kind, length): (u16, u16), fields: &[Field]) {
    let (mut types, mut bytes) = (0, 0);
    for field in fields {
        types = (types << TYPE_BITS) | field.kind();
        bytes += field.length();
    }
    a.be32(kind, types);
    a.be32(length, bytes);
}

impl Field {
    fn kind(self) -> u32 {
        match self {
            Field::Address => TYPE_IPV4,
            Field::Address6 => TYPE_IPV6,
            Field::Protocol => TYPE_PROTOCOL,
            Field::Port => TYPE_PORT,
            Field::Link => TYPE_LINK,
        }
    }

    /// Bytes of the part, padded.
    fn length(self) -> u32 {
        match self {
            Field::Address | Field::Protocol | Field::Port => 4,
            Field::Address6 | Field::Link => 16,
        }
    }
}

impl ChainKind {
    fn name(self) -> &'static str {
        match self {
            ChainKind::Filter => "filter",
            ChainKind::Nat => "nat",
        }
    }
}

impl Hook {
    fn number(self) -> u32 {
        match self {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
        }
    }
}

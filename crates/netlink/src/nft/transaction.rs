//! What can be changed in nftables, all at once or not at all.

use super::rule::Rule;
use super::{
    BATCH, BATCH_BEGIN, BATCH_END, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, COMMENT, DATA_VALUE,
    DELETE_ELEMENTS, DELETE_RULE, DELETE_TABLE, HOOK_NUMBER, HOOK_PRIORITY, IP, LIST_ELEMENT, NEW_CHAIN, NEW_ELEMENTS,
    NEW_RULE, NEW_SET, NEW_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_HANDLE, RULE_TABLE, RULE_USERDATA, TABLE_NAME,
};
use crate::batch::{APPEND, Attributes, Batch, CREATE};
use crate::{Error, Socket};
use std::net::Ipv4Addr;

const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LENGTH: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LENGTH: u16 = 7;
const SET_ID: u16 = 10;
const SET_IS_MAP: u32 = 0x8;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
/// Elements per request: an attribute holds 65,535 bytes, an element less than 100.
const CHUNK: usize = 500;

/// Types of nft(8) (libnftables, datatype.h); a concatenation has six bits for each.
const TYPE_IPV4: u32 = 7;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;
const TYPE_BITS: u32 = 6;

/// Where packets meet a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Prerouting,
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
    Protocol,
    Port,
}

/// A map; key and value are concatenations.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    pub name: &'a str,
    pub key: &'a [Field],
    pub value: &'a [Field],
}

/// A key or a value: parts padded to 32 bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Element {
    /// `address . protocol . port : address . port`, or without the first when `to` is `None`.
    pub fn port(to: Option<Ipv4Addr>, protocol: u8, port: u16, target: (Ipv4Addr, u16)) -> Element {
        let mut element = Element::default();
        if let Some(address) = to {
            element.key.extend(address.octets());
        }
        element.key.extend([protocol, 0, 0, 0]);
        element.key.extend(padded_port(port));
        element.value.extend(target.0.octets());
        element.value.extend(padded_port(target.1));
        element
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
    sets: u32,
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction::new()
    }
}

impl Transaction {
    /// No changes.
    pub fn new() -> Transaction {
        let mut batch = Batch::new();
        batch.push("begin an nftables transaction", (BATCH_BEGIN, 0), &BATCH, |_| {});
        Transaction { batch, sets: 0 }
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
        self.batch.push("add the nftables table", (NEW_TABLE, CREATE), &IP, |a| a.text(TABLE_NAME, table));
    }

    /// Removes a table with all that is in it.
    pub fn delete_table(&mut self, table: &str) {
        self.batch.push("remove the nftables table", (DELETE_TABLE, 0), &IP, |a| a.text(TABLE_NAME, table));
    }

    /// Makes a chain.
    pub fn add_chain(&mut self, table: &str, chain: &BaseChain<'_>) {
        self.batch.push("add the nftables chain", (NEW_CHAIN, CREATE), &IP, |a| {
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
        self.batch.push("add the nftables map", (NEW_SET, CREATE), &IP, |a| {
            a.text(SET_TABLE, table);
            a.text(SET_NAME, map.name);
            a.be32(SET_FLAGS, SET_IS_MAP);
            concatenation(a, (SET_KEY_TYPE, SET_KEY_LENGTH), map.key);
            concatenation(a, (SET_DATA_TYPE, SET_DATA_LENGTH), map.value);
            a.be32(SET_ID, id);
        });
    }

    /// Adds elements to a map. Refused as present when a key has another value.
    pub fn add_elements(&mut self, table: &str, map: &str, elements: &[Element]) {
        for chunk in elements.chunks(CHUNK) {
            self.batch.push("add elements to the nftables map", (NEW_ELEMENTS, CREATE), &IP, |a| {
                list(a, table, map, chunk);
            });
        }
    }

    /// Removes elements from a map. Refused as absent when one is not there.
    pub fn delete_elements(&mut self, table: &str, map: &str, elements: &[Element]) {
        for chunk in elements.chunks(CHUNK) {
            self.batch.push("remove elements from the nftables map", (DELETE_ELEMENTS, 0), &IP, |a| {
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
        self.batch.push("remove the nftables rule", (DELETE_RULE, 0), &IP, |a| {
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
        self.batch.push("add the nftables rule", (NEW_RULE, CREATE | place), &IP, |a| {
            a.text(RULE_TABLE, table);
            a.text(RULE_CHAIN, chain);
            a.nest(RULE_EXPRESSIONS, |a| write(Rule::new(a)));
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
                a.nest(ELEMENT_DATA, |a| a.bytes(DATA_VALUE, &element.value));
            });
        }
    });
}

fn concatenation(a: &mut Attributes<'_>, (kind, length): (u16, u16), fields: &[Field]) {
    let (mut types, mut bytes) = (0, 0);
    for field in fields {
        types = (types << TYPE_BITS) | field.kind();
        bytes += 4;
    }
    a.be32(kind, types);
    a.be32(length, bytes);
}

impl Field {
    fn kind(self) -> u32 {
        match self {
            Field::Address => TYPE_IPV4,
            Field::Protocol => TYPE_PROTOCOL,
            Field::Port => TYPE_PORT,
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
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
        }
    }
}

//! The members of sets, with what the kernel counts of them; and whether a table is whole.

use super::{HEADER, present};
use crate::batch::Batch;
use crate::nft::transaction::BRIDGES;
use crate::nft::{
    DATA_VALUE, Family, GET_ELEMENTS, GET_RULE, GET_TABLE, LIST_ELEMENT, RULE_TABLE, TABLE_HANDLE, TABLE_NAME,
};
use crate::socket::DUMP_FLAGS;
use crate::{Error, Reader, Socket};
use std::time::Duration;

const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_TIMEOUT: u16 = 4;
const ELEMENT_EXPIRATION: u16 = 5;
const ELEMENT_EXPRESSION: u16 = 7;
const EXPRESSION_DATA: u16 = 2;
const COUNTER_PACKETS: u16 = 2;

/// A member of a set as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The key: parts padded to 32 bits.
    pub key: Vec<u8>,
    /// How long it is kept in all, and how long yet.
    pub kept: Option<Duration>,
    pub left: Option<Duration>,
    /// What its counter says.
    pub packets: u64,
}

/// Whose table: that of packets of a family, or of a bridge's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Realm {
    Packets(Family),
    Frames,
}

impl Realm {
    fn header(self) -> [u8; 4] {
        match self {
            Realm::Packets(family) => family.header(),
            Realm::Frames => BRIDGES,
        }
    }
}

impl Socket {
    /// All members of a set; none if there is no such set.
    pub fn members(&mut self, family: Family, table: &str, set: &str) -> Result<Vec<Told>, Error> {
        let mut batch = Batch::new();
        batch.push("list the elements of the nftables set", (GET_ELEMENTS, DUMP_FLAGS), &family.header(), |a| {
            a.text(LIST_TABLE, table);
            a.text(LIST_SET, set);
        });
        let mut found = Vec::new();
        let asked = self.ask(&mut batch, |body| {
            let list = Reader::behind(body, HEADER).nested(LIST_ELEMENTS);
            found.extend(list.filter(|(kind, _)| *kind == LIST_ELEMENT).filter_map(|(_, element)| told(element)));
        });
        present(asked).map(|_| found)
    }

    /// The number of a table and of its rules: others when somebody took some away. `None` if there is no such table.
    pub fn standing(&mut self, realm: Realm, table: &str) -> Result<Option<(u64, usize)>, Error> {
        let header = realm.header();
        let mut batch = Batch::new();
        batch.push("find the nftables table", (GET_TABLE, 0), &header, |a| a.text(TABLE_NAME, table));
        let mut handle = None;
        let asked = self.ask(&mut batch, |body| handle = Reader::behind(body, HEADER).be64(TABLE_HANDLE));
        let Some(handle) = handle.filter(|_| asked.is_ok()) else { return present(asked).map(|_| None) };
        let mut batch = Batch::new();
        batch.push("list the nftables rules", (GET_RULE, DUMP_FLAGS), &header, |a| a.text(RULE_TABLE, table));
        let mut rules = 0;
        let asked = self.ask(&mut batch, |body| {
            rules += usize::from(Reader::behind(body, HEADER).text(RULE_TABLE) == Some(table));
        });
        present(asked).map(|there| there.then_some((handle, rules)))
    }
}

fn told(element: &[u8]) -> Option<Told> {
    let element = Reader::new(element);
    let milliseconds = |kind| element.be64(kind).map(Duration::from_millis);
    Some(Told {
        key: element.nested(ELEMENT_KEY).find(DATA_VALUE)?.to_vec(),
        kept: milliseconds(ELEMENT_TIMEOUT),
        left: milliseconds(ELEMENT_EXPIRATION),
        packets: element.nested(ELEMENT_EXPRESSION).nested(EXPRESSION_DATA).be64(COUNTER_PACKETS).unwrap_or(0),
    })
}

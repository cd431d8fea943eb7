//! nftables over nfnetlink (linux/netfilter/nf_tables.h): transactions of tables, chains, maps, elements and rules.
//!
//! A table is of one [`Family`]. A [`Transaction`] is about tables of one family, and atomic: the kernel takes all of it or nothing, and no
//! packet sees half of it.
//!
//! - [`transaction`]: what can be changed.
//! - [`rule`]: the expressions a rule is made of.
//! - [`query`]: what is there.
//! - [`news`]: what others change.
//! - [`ruleset`]: all of it, of whatever program.

mod news;
mod query;
mod rule;
pub mod ruleset;
mod transaction;

pub use news::{Heard, News, Thinned};
pub use query::{Chain, Realm, RuleInfo, Told};
pub use rule::{CT_DNAT, CT_ESTABLISHED, CT_NEW, CT_RELATED, Carried, Part, Rule, Whose};
pub use transaction::{BaseChain, ChainKind, Element, Field, Hook, KeyedSet, Map, Member, Set, Sort, Transaction};

/// Whose packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Ip,
    Ip6,
}

impl Family {
    /// `struct nfgenmsg`.
    fn header(self) -> [u8; 4] {
        [self.number(), 0, 0, 0]
    }

    /// NFPROTO_IPV4, NFPROTO_IPV6.
    fn number(self) -> u8 {
        match self {
            Family::Ip => 2,
            Family::Ip6 => 10,
        }
    }
}

/// NFNL_SUBSYS_NFTABLES << 8.
const SUBSYSTEM: u16 = 10 << 8;

const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENTS: u16 = SUBSYSTEM | 12;
const GET_ELEMENTS: u16 = SUBSYSTEM | 13;
const DELETE_ELEMENTS: u16 = SUBSYSTEM | 14;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// The tables of iptables are of this family.
const IP: [u8; 4] = [2, 0, 0, 0];
/// `struct nfgenmsg` of a batch: the resource is the subsystem.
const BATCH: [u8; 4] = [0, 0, 0, 10];

const TABLE_NAME: u16 = 1;
const TABLE_HANDLE: u16 = 4;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;

const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USERDATA: u16 = 7;

const LIST_ELEMENT: u16 = 1;
const DATA_VALUE: u16 = 1;

/// NFTNL_UDATA_RULE_COMMENT of libnftnl: what `nft` and `iptables` show as the rule's comment.
const COMMENT: u8 = 0;

//! All chains and rules of this machine, of whatever program, as far as they can be read.

use super::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, COMMENT, DATA_VALUE, GET_CHAIN, GET_ELEMENTS,
    GET_RULE, HOOK_NUMBER, HOOK_PRIORITY, LIST_ELEMENT, RULE_CHAIN, RULE_EXPRESSIONS, RULE_HANDLE, RULE_TABLE,
    RULE_USERDATA,
};
use crate::batch::Batch;
use crate::socket::DUMP_FLAGS;
use crate::{Error, Reader, Socket};

const HEADER: usize = 4;
/// `struct nfgenmsg` of NFPROTO_UNSPEC: all families.
const ALL: [u8; 4] = [0; 4];
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_KEY_END: u16 = 10;
const NAME: u16 = 1;
const DATA: u16 = 2;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

/// A chain, with the number of its family (NFPROTO_*: 1 is inet, 2 IPv4, 10 IPv6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainTold {
    pub family: u8,
    pub table: String,
    pub name: String,
    /// Hook (0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting) and priority; `None`: others lead there.
    pub hook: Option<(u32, i32)>,
    /// `filter`, `nat`, `route`; empty for one that others lead to.
    pub kind: String,
    /// Whether it drops what no rule decides on.
    pub drops: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTold {
    pub family: u8,
    pub table: String,
    pub chain: String,
    pub handle: u64,
    pub comment: Option<String>,
    pub expressions: Vec<Expression>,
}

/// Where a value lies: the 32-bit register it begins in.
pub type Register = u32;

/// A part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    Meta {
        key: u32,
        to: Register,
    },
    Payload {
        base: u32,
        offset: u32,
        length: u32,
        to: Register,
    },
    Conntrack {
        key: u32,
        to: Register,
    },
    Fib {
        result: u32,
        flags: u32,
        to: Register,
    },
    Value {
        bytes: Vec<u8>,
        to: Register,
    },
    Mask {
        from: Register,
        to: Register,
        mask: Vec<u8>,
        xor: Vec<u8>,
    },
    /// NFT_CMP_*: 0 equal, 1 not, 2 less, 3 or equal, 4 greater, 5 or equal.
    Compare {
        from: Register,
        how: u32,
        with: Vec<u8>,
    },
    Range {
        from: Register,
        inverted: bool,
        first: Vec<u8>,
        last: Vec<u8>,
    },
    Lookup {
        set: String,
        from: Register,
        inverted: bool,
        to: Option<Into>,
    },
    Verdict(Told),
    /// A match of iptables.
    Match {
        name: String,
        revision: u32,
        info: Vec<u8>,
    },
    /// A target of iptables.
    Target(String),
    Reject,
    /// Rewrites addresses: nothing more is asked in this chain.
    Nat,
    /// Decides nothing: counters, logs, marks.
    Aside,
    /// What is not known here.
    Other(String),
}

/// Where a lookup's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    Register(Register),
    Verdict,
}

/// What comes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Accept,
    Drop,
    Return,
    Jump(String),
    GoTo(String),
    /// To a program, or what is not known.
    Other,
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementTold {
    pub key: Vec<u8>,
    pub end: Option<Vec<u8>>,
    /// It is the first key behind a range.
    pub ends: bool,
    pub value: Option<Vec<u8>>,
    pub verdict: Option<Told>,
}

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub chains: Vec<ChainTold>,
    /// Those of a chain in order.
    pub rules: Vec<RuleTold>,
}

impl Socket {
    /// All chains and rules of this network namespace.
    pub fn ruleset(&mut self) -> Result<Ruleset, Error> {
        let mut all = Ruleset::default();
        let mut batch = Batch::new();
        batch.push("list the nftables chains", (GET_CHAIN, DUMP_FLAGS), &ALL, |_| {});
        self.ask(&mut batch, |body| all.chains.extend(chain(body)))?;
        let mut batch = Batch::new();
        batch.push("list the nftables rules", (GET_RULE, DUMP_FLAGS), &ALL, |_| {});
        self.ask(&mut batch, |body| all.rules.extend(rule(body)))?;
        Ok(all)
    }

    /// Whether a rule of a chain of IPv4 leads to another chain.
    pub fn leads(&mut self, table: &str, from: &str, to: &str) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch.push("list the nftables rules", (GET_RULE, DUMP_FLAGS), &super::IP, |a| {
            a.text(RULE_TABLE, table);
            a.text(RULE_CHAIN, from);
        });
        let leads = |verdict: &Told| matches!(verdict, Told::Jump(name) | Told::GoTo(name) if name == to);
        let is_way = |expression: &Expression| matches!(expression, Expression::Verdict(verdict) if leads(verdict));
        let mut found = false;
        let asked = self.ask(&mut batch, |body| {
            let rule = rule(body).filter(|rule| rule.table == table && rule.chain == from);
            found |= rule.is_some_and(|rule| rule.expressions.iter().any(is_way));
        });
        match asked {
            Err(e) if !e.is_absent() => Err(e),
            _ => Ok(found),
        }
    }

    /// The elements of a set or map of a family by its number; none if there is no such set.
    pub fn elements_told(&mut self, family: u8, table: &str, set: &str) -> Result<Vec<ElementTold>, Error> {
        let mut batch = Batch::new();
        batch.push("list the elements of the nftables set", (GET_ELEMENTS, DUMP_FLAGS), &[family, 0, 0, 0], |a| {
            a.text(LIST_TABLE, table);
            a.text(LIST_SET, set);
        });
        let mut all = Vec::new();
        let asked = self.ask(&mut batch, |body| {
            let list = Reader::behind(body, HEADER).nested(LIST_ELEMENTS);
            all.extend(list.filter(|(kind, _)| *kind == LIST_ELEMENT).filter_map(|(_, bytes)| element(bytes)));
        });
        match asked {
            Err(e) if !e.is_absent() => Err(e),
            _ => Ok(all),
        }
    }
}

fn chain(body: &[u8]) -> Option<ChainTold> {
    let attributes = Reader::behind(body, HEADER);
    let hook = attributes.nested(CHAIN_HOOK);
    Some(ChainTold {
        family: *body.first()?,
        table: attributes.text(CHAIN_TABLE)?.to_owned(),
        name: attributes.text(CHAIN_NAME)?.to_owned(),
        hook: hook.be32(HOOK_NUMBER).zip(hook.be32(HOOK_PRIORITY).map(u32::cast_signed)),
        kind: attributes.text(CHAIN_TYPE).unwrap_or_default().to_owned(),
        drops: attributes.be32(CHAIN_POLICY) == Some(0),
    })
}

fn rule(body: &[u8]) -> Option<RuleTold> {
    let attributes = Reader::behind(body, HEADER);
    let list = attributes.nested(RULE_EXPRESSIONS).filter(|(kind, _)| *kind == LIST_ELEMENT);
    let expressions: Vec<Expression> = list.map(|(_, bytes)| expression(Reader::new(bytes))).collect();
    let comment = attributes.find(RULE_USERDATA).and_then(comment).or_else(|| iptables_comment(&expressions));
    Some(RuleTold {
        family: *body.first()?,
        table: attributes.text(RULE_TABLE)?.to_owned(),
        chain: attributes.text(RULE_CHAIN)?.to_owned(),
        handle: attributes.be64(RULE_HANDLE)?,
        comment,
        expressions,
    })
}

/// libnftnl's list of type, length, value.
fn comment(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length))?;
        if *kind == COMMENT {
            return Some(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned());
        }
        rest = tail.get(usize::from(*length)..)?;
    }
    None
}

fn iptables_comment(expressions: &[Expression]) -> Option<String> {
    expressions.iter().find_map(|expression| match expression {
        Expression::Match { name, info, .. } if name == "comment" => {
            let end = info.iter().position(|byte| *byte == 0).unwrap_or(info.len());
            Some(String::from_utf8_lossy(&info[..end]).into_owned())
        }
        _ => None,
    })
}

fn expression(attributes: Reader<'_>) -> Expression {
    let name = attributes.text(NAME).unwrap_or_default();
    let data = attributes.nested(DATA);
    read(name, data).unwrap_or_else(|| Expression::Other(name.to_owned()))
}

fn read(name: &str, data: Reader<'_>) -> Option<Expression> {
    let number = |kind| data.be32(kind);
    let value = |kind| data.nested(kind).find(DATA_VALUE).map(<[u8]>::to_vec);
    Some(match name {
        "meta" if number(3).is_some() => Expression::Aside,
        "meta" => Expression::Meta { to: register(number(1)?), key: number(2)? },
        "payload" if number(5).is_some() => Expression::Aside,
        "payload" => {
            Expression::Payload { to: register(number(1)?), base: number(2)?, offset: number(3)?, length: number(4)? }
        }
        "ct" if number(4).is_some() => Expression::Aside,
        "ct" => Expression::Conntrack { to: register(number(1)?), key: number(2)? },
        "fib" => Expression::Fib { to: register(number(1)?), result: number(2)?, flags: number(3)? },
        "immediate" if number(1)? == 0 => Expression::Verdict(verdict(data.nested(2))),
        "immediate" => Expression::Value { to: register(number(1)?), bytes: value(2)? },
        "bitwise" if number(6).unwrap_or(0) == 0 => {
            Expression::Mask { from: register(number(1)?), to: register(number(2)?), mask: value(4)?, xor: value(5)? }
        }
        "cmp" => Expression::Compare { from: register(number(1)?), how: number(2)?, with: value(3)? },
        "range" => Expression::Range {
            from: register(number(1)?),
            inverted: number(2)? == 1,
            first: value(3)?,
            last: value(4)?,
        },
        "lookup" => Expression::Lookup {
            set: data.text(1)?.to_owned(),
            from: register(number(2)?),
            inverted: number(5).unwrap_or(0) & 1 == 1,
            to: number(3).map(|to| if to == 0 { Into::Verdict } else { Into::Register(register(to)) }),
        },
        "match" => Expression::Match {
            name: data.text(1)?.to_owned(),
            revision: number(2)?,
            info: data.find(3).unwrap_or_default().to_vec(),
        },
        "target" => Expression::Target(data.text(1)?.to_owned()),
        "reject" => Expression::Reject,
        "nat" | "masq" | "redir" => Expression::Nat,
        "counter" | "log" | "limit" | "quota" | "notrack" | "dup" | "last" | "dynset" | "ct_helper"
        | "flow_offload" => Expression::Aside,
        _ => return None,
    })
}

/// Registers of 128 bits (1 to 4) lie over those of 32 (from 8 on).
fn register(number: u32) -> Register {
    match number {
        1..=4 => (number - 1) * 4,
        number => number.saturating_sub(8),
    }
}

/// The attributes around a NFTA_DATA_VERDICT.
fn verdict(data: Reader<'_>) -> Told {
    let verdict = data.nested(DATA_VERDICT);
    let chain = || verdict.text(VERDICT_CHAIN).unwrap_or_default().to_owned();
    match verdict.be32(VERDICT_CODE).map(u32::cast_signed) {
        Some(0) => Told::Drop,
        Some(1) => Told::Accept,
        Some(-3) => Told::Jump(chain()),
        Some(-4) => Told::GoTo(chain()),
        Some(-5) => Told::Return,
        _ => Told::Other,
    }
}

fn element(bytes: &[u8]) -> Option<ElementTold> {
    let element = Reader::new(bytes);
    let value = |kind| element.nested(kind).find(DATA_VALUE).map(<[u8]>::to_vec);
    let data = element.nested(ELEMENT_DATA);
    Some(ElementTold {
        key: value(ELEMENT_KEY)?,
        end: value(ELEMENT_KEY_END),
        ends: element.be32(ELEMENT_FLAGS).unwrap_or(0) & 1 == 1,
        value: value(ELEMENT_DATA),
        verdict: data.find(DATA_VERDICT).map(|_| verdict(data)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_of_both_widths_are_the_same_place() {
        assert_eq!([1, 2, 4, 8, 12].map(register), [0, 4, 12, 0, 4]);
    }

    #[test]
    fn what_makes_no_sense_is_not_known() {
        assert_eq!(chain(&[]), None);
        assert_eq!(rule(&[0xff; 9]), None);
        assert_eq!(expression(Reader::new(&[3, 0, 1])), Expression::Other(String::new()));
        assert_eq!(verdict(Reader::new(&[0xff; 3])), Told::Other);
    }
}

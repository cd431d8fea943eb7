//! What the rules of a machine make of a packet: followed as the kernel would, where a rule cannot be told it is said so.

use super::packet::{Bytes, Packet};
use netlink::nft::ruleset::{ChainTold, ElementTold, Expression, Into, RuleTold, Ruleset, Told};
use std::cell::RefCell;
use std::collections::HashMap;

/// Chains that lead into each other are followed so far: the kernel's NFT_JUMP_STACK_SIZE.
const DEEPEST: usize = 16;
/// Registers of 32 bits, in bytes.
const REGISTERS: usize = 64;

/// Where packets meet chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
}

/// What stops a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// `ip`, `ip6`, `inet`.
    pub family: &'static str,
    pub table: String,
    pub chain: String,
    /// The rule's number; `None`: the chain's policy.
    pub handle: Option<u64>,
    pub comment: Option<String>,
    pub how: How,
}

/// How a packet is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Drop,
    Reject,
    Policy,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Passes,
    /// It depends on what is not known of the packet, or of a rule.
    MayStop(Stop),
    Stops(Stop),
}

/// Fetches the elements of a set: family, table, name.
pub(super) type Sets<'a> = dyn Fn(u8, &str, &str) -> Vec<ElementTold> + 'a;

pub(super) struct Judge<'a> {
    ruleset: &'a Ruleset,
    fetch: &'a Sets<'a>,
    sets: RefCell<HashMap<(u8, String, String), Vec<ElementTold>>>,
}

/// Whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    Maybe,
}

impl Truth {
    fn not(self) -> Truth {
        match self {
            Truth::Yes => Truth::No,
            Truth::No => Truth::Yes,
            Truth::Maybe => Truth::Maybe,
        }
    }

    fn of(is: bool) -> Truth {
        if is { Truth::Yes } else { Truth::No }
    }

    /// `None`: it cannot be told.
    pub(super) fn told(is: Option<bool>) -> Truth {
        is.map_or(Truth::Maybe, Truth::of)
    }
}

/// What a chain comes to.
enum End {
    Accepted,
    Stopped(Stop),
    /// Back to who led here.
    Back,
}

/// What was found on the way and decided nothing for certain.
#[derive(Default)]
struct Doubts {
    /// The first rule that may have stopped it.
    stop: Option<Stop>,
    /// A rule may have let it pass.
    passed: bool,
}

impl<'a> Judge<'a> {
    pub(super) fn new(ruleset: &'a Ruleset, fetch: &'a Sets<'a>) -> Judge<'a> {
        Judge { ruleset, fetch, sets: RefCell::default() }
    }

    /// What the filtering chains at a hook make of a packet, of all tables but `without`.
    pub(super) fn at(&self, hook: Hook, packet: &Packet, without: Option<&str>) -> Fate {
        let mut chains: Vec<(&ChainTold, i32)> = Vec::new();
        for chain in &self.ruleset.chains {
            let sees = matches!((chain.family, packet.is_v4), (1, _) | (2, true) | (10, false));
            if let Some((number, priority)) = chain.hook
                && number == hook as u32
                && sees
                && chain.kind == "filter"
                && without != Some(chain.table.as_str())
            {
                chains.push((chain, priority));
            }
        }
        chains.sort_by_key(|(_, priority)| *priority);
        let mut may = None;
        for (chain, _) in chains {
            match self.base(chain, packet) {
                Fate::Stops(stop) => return Fate::Stops(stop),
                Fate::MayStop(stop) => may = may.or(Some(stop)),
                Fate::Passes => {}
            }
        }
        may.map_or(Fate::Passes, Fate::MayStop)
    }

    fn base(&self, chain: &ChainTold, packet: &Packet) -> Fate {
        let mut doubts = Doubts::default();
        let end = match self.follow(chain, packet, &mut doubts, 0) {
            End::Back if chain.drops => End::Stopped(stop(chain, None, How::Policy)),
            other => other,
        };
        match (end, doubts) {
            (End::Stopped(stop), Doubts { passed: true, .. }) => Fate::MayStop(stop),
            (End::Stopped(stop), _) => Fate::Stops(stop),
            (_, Doubts { stop: Some(stop), .. }) => Fate::MayStop(stop),
            _ => Fate::Passes,
        }
    }

    fn follow(&self, chain: &ChainTold, packet: &Packet, doubts: &mut Doubts, depth: usize) -> End {
        let own =
            |rule: &&RuleTold| rule.family == chain.family && rule.table == chain.table && rule.chain == chain.name;
        for rule in self.ruleset.rules.iter().filter(own) {
            let (truth, verdict) = self.matches(rule, packet);
            if truth == Truth::No {
                continue;
            }
            let end = match verdict {
                Ended::Nothing => continue,
                Ended::Accept => End::Accepted,
                Ended::Stop(how) => End::Stopped(stop(chain, Some(rule), how)),
                Ended::Return => End::Back,
                Ended::Lead(name, and_back) => match self.lead(chain, &name, packet, doubts, depth) {
                    End::Back if and_back => continue,
                    end => end,
                },
            };
            match (truth, end) {
                (Truth::Yes, end) => return end,
                (_, End::Accepted) => doubts.passed = true,
                (_, End::Stopped(found)) => doubts.stop = doubts.stop.take().or(Some(found)),
                (_, End::Back) => {}
            }
        }
        End::Back
    }

    fn lead(&self, from: &ChainTold, name: &str, packet: &Packet, doubts: &mut Doubts, depth: usize) -> End {
        let is_it = |chain: &&ChainTold| chain.family == from.family && chain.table == from.table && chain.name == name;
        match self.ruleset.chains.iter().find(is_it) {
            Some(chain) if depth < DEEPEST => self.follow(chain, packet, doubts, depth + 1),
            _ => End::Back,
        }
    }

    fn matches(&self, rule: &RuleTold, packet: &Packet) -> (Truth, Ended) {
        let mut registers: Bytes = vec![None; REGISTERS];
        let mut truth = Truth::Yes;
        for expression in &rule.expressions {
            let found = match expression {
                Expression::Meta { key, to } => put(&mut registers, *to, &packet.meta(*key)),
                Expression::Payload { base, offset, length, to } => {
                    put(&mut registers, *to, &packet.payload(*base, *offset, *length))
                }
                Expression::Conntrack { key, to } => put(&mut registers, *to, &packet.conntrack(*key)),
                Expression::Fib { result, flags, to } => put(&mut registers, *to, &packet.fib(*result, *flags)),
                Expression::Value { bytes, to } => {
                    put(&mut registers, *to, &bytes.iter().copied().map(Some).collect::<Vec<_>>())
                }
                Expression::Mask { from, to, mask, xor } => {
                    let masked = mask_of(take(&registers, *from, mask.len()), mask, xor);
                    put(&mut registers, *to, &masked)
                }
                Expression::Compare { from, how, with } => compare(take(&registers, *from, with.len()), *how, with),
                Expression::Range { from, inverted, first, last } => {
                    let is = between(take(&registers, *from, first.len()), first, last);
                    if *inverted { is.not() } else { is }
                }
                Expression::Lookup { set, from, inverted, to } => {
                    let (is, element) = self.look_up(rule, set, &registers[at(*from)..]);
                    let is = if *inverted { is.not() } else { is };
                    match (to, element) {
                        (Some(Into::Verdict), Some(ElementTold { verdict: Some(verdict), .. })) => {
                            return (and(truth, is), Ended::of(&verdict));
                        }
                        (Some(Into::Verdict), _) if is == Truth::Maybe => return (Truth::Maybe, Ended::Nothing),
                        (Some(Into::Register(to)), Some(ElementTold { value: Some(value), .. })) => {
                            put(&mut registers, *to, &value.iter().copied().map(Some).collect::<Vec<_>>());
                            is
                        }
                        _ => is,
                    }
                }
                Expression::Match { name, revision, info } => super::iptables::matches(name, *revision, info, packet),
                Expression::Verdict(verdict) => return (truth, Ended::of(verdict)),
                Expression::Reject => return (truth, Ended::Stop(How::Reject)),
                Expression::Nat => return (truth, Ended::Accept),
                Expression::Target(name) => match super::iptables::target(name) {
                    Some(ended) => return (truth, ended),
                    None => Truth::Yes,
                },
                Expression::Aside => Truth::Yes,
                Expression::Other(_) => Truth::Maybe,
            };
            truth = and(truth, found);
            if truth == Truth::No {
                return (Truth::No, Ended::Nothing);
            }
        }
        (truth, Ended::Nothing)
    }

    fn look_up(&self, rule: &RuleTold, set: &str, registers: &[Option<u8>]) -> (Truth, Option<ElementTold>) {
        let key = (rule.family, rule.table.clone(), set.to_owned());
        let mut sets = self.sets.borrow_mut();
        let elements = sets.entry(key).or_insert_with(|| (self.fetch)(rule.family, &rule.table, set));
        let in_rows = elements.iter().any(|element| element.ends);
        let mut sorted: Vec<&ElementTold> = elements.iter().collect();
        if in_rows {
            // Of two at one place the end comes first.
            sorted.sort_by(|a, b| (&a.key, !a.ends).cmp(&(&b.key, !b.ends)));
        }
        let mut maybe = false;
        for (place, element) in sorted.iter().enumerate().filter(|(_, element)| !element.ends) {
            let asked = registers.get(..element.key.len()).unwrap_or_default().to_vec();
            let is = match (&element.end, in_rows) {
                (Some(end), _) => within_parts(&asked, &element.key, end),
                (None, true) => {
                    let behind = sorted.get(place + 1).map(|next| next.key.as_slice());
                    let below = behind.map_or(Truth::Yes, |end| compare(asked.clone(), LESS, end));
                    and(compare(asked, NOT_LESS, &element.key), below)
                }
                (None, false) => compare(asked, EQUAL, &element.key),
            };
            match is {
                Truth::Yes => return (Truth::Yes, Some((*element).clone())),
                Truth::Maybe => maybe = true,
                Truth::No => {}
            }
        }
        (if maybe { Truth::Maybe } else { Truth::No }, None)
    }
}

const EQUAL: u32 = 0;
const LESS: u32 = 2;
const NOT_LESS: u32 = 5;

/// What a rule that matches does.
pub(super) enum Ended {
    Nothing,
    Accept,
    Stop(How),
    Return,
    /// To this chain, and from there back here or not.
    Lead(String, bool),
}

impl Ended {
    fn of(verdict: &Told) -> Ended {
        match verdict {
            Told::Accept => Ended::Accept,
            Told::Drop => Ended::Stop(How::Drop),
            Told::Return => Ended::Return,
            Told::Jump(chain) => Ended::Lead(chain.clone(), true),
            Told::GoTo(chain) => Ended::Lead(chain.clone(), false),
            Told::Other => Ended::Nothing,
        }
    }
}

fn and(a: Truth, b: Truth) -> Truth {
    match (a, b) {
        (Truth::No, _) | (_, Truth::No) => Truth::No,
        (Truth::Yes, Truth::Yes) => Truth::Yes,
        _ => Truth::Maybe,
    }
}

fn at(register: u32) -> usize {
    usize::try_from(register).unwrap_or(usize::MAX).saturating_mul(4).min(REGISTERS)
}

/// Loading is no question.
fn put(registers: &mut Bytes, register: u32, bytes: &[Option<u8>]) -> Truth {
    let start = at(register);
    for (place, byte) in registers.iter_mut().skip(start).zip(bytes) {
        *place = *byte;
    }
    // The rest of the last register is zero.
    let end = start + bytes.len();
    registers.iter_mut().take(end.next_multiple_of(4)).skip(end).for_each(|byte| *byte = Some(0));
    Truth::Yes
}

fn take(registers: &Bytes, register: u32, length: usize) -> Bytes {
    registers.iter().skip(at(register)).take(length).copied().collect()
}

fn mask_of(bytes: Bytes, mask: &[u8], xor: &[u8]) -> Bytes {
    let one = |((byte, mask), xor): ((Option<u8>, &u8), &u8)| match (byte, mask) {
        (_, 0) => Some(*xor),
        (byte, mask) => byte.map(|byte| (byte & mask) ^ xor),
    };
    bytes.into_iter().zip(mask).zip(xor).map(one).collect()
}

fn compare(bytes: Bytes, how: u32, with: &[u8]) -> Truth {
    let known: Option<Vec<u8>> = bytes.iter().copied().collect();
    let differs = bytes.iter().zip(with).any(|(byte, with)| byte.is_some_and(|byte| byte != *with));
    match (how, known) {
        (EQUAL, Some(_)) => Truth::of(!differs),
        (EQUAL, None) => {
            if differs {
                Truth::No
            } else {
                Truth::Maybe
            }
        }
        (1, Some(_)) => Truth::of(differs),
        (1, None) => {
            if differs {
                Truth::Yes
            } else {
                Truth::Maybe
            }
        }
        (_, None) => Truth::Maybe,
        (LESS, Some(bytes)) => Truth::of(bytes.as_slice() < with),
        (3, Some(bytes)) => Truth::of(bytes.as_slice() <= with),
        (4, Some(bytes)) => Truth::of(bytes.as_slice() > with),
        (NOT_LESS, Some(bytes)) => Truth::of(bytes.as_slice() >= with),
        _ => Truth::Maybe,
    }
}

fn between(bytes: Bytes, first: &[u8], last: &[u8]) -> Truth {
    and(compare(bytes.clone(), NOT_LESS, first), compare(bytes, 3, last))
}

/// Ranges of a concatenation are ranges in each of its parts, which begin at multiples of four bytes: where first and last are the same,
/// the part is.
fn within_parts(bytes: &[Option<u8>], first: &[u8], last: &[u8]) -> Truth {
    let parts = bytes.chunks(4).zip(first.chunks(4)).zip(last.chunks(4));
    parts.fold(Truth::Yes, |truth, ((bytes, first), last)| and(truth, between(bytes.to_vec(), first, last)))
}

fn stop(chain: &ChainTold, rule: Option<&RuleTold>, how: How) -> Stop {
    let family = match chain.family {
        1 => "inet",
        2 => "ip",
        _ => "ip6",
    };
    Stop {
        family,
        table: chain.table.clone(),
        chain: chain.name.clone(),
        handle: rule.map(|rule| rule.handle),
        comment: rule.and_then(|rule| rule.comment.clone()),
        how,
    }
}

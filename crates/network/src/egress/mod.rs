//! Egress policies: what containers may reach outside of their networks, kept by the kernel.
//!
//! ```text
//! Policy::read ──> Egress::enter ──> pin (an answer of the name server, before it is sent) ──> leave
//!                  before the container's first process
//! ```
//!
//! - *policy*: lists of names, addresses and ports ([`Policy`]); a container without one costs nothing here.
//! - *pin*: an address that an allowed name leads to, open for one container as long as the answer holds.
//! - *guard*: who has a policy sends with its own addresses only, whatever it may do with its own links (CAP_NET_ADMIN,
//!   CAP_NET_RAW): by them the rules know whose packet it is.
//!
//! The tables are the host's: nothing inside of a container reaches them. They outlive the engine; the next one reads the pins
//! back. Start reading at `rules`, which has the order in which packets are judged.

mod areas;
mod change;
mod member;
mod places;
mod policy;
mod rules;
mod usage;

pub use policy::{Fault, Policy, Stance};
pub use usage::{Pinned, Tried, Usage, shown};

use crate::stock::Stock;
use crate::{Endpoint, Error};
use member::Member;
use netlink::Socket;
use netlink::nft::{Family, Heard};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

/// The egress policies of an engine's containers.
#[derive(Debug)]
pub struct Egress {
    table: String,
    /// Of NFLOG, to which the first packet to each refused place is told.
    group: u16,
    filters: Stock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<String, Member>,
    /// `None` until the containers of an earlier engine are all here: what stands in the kernel is theirs.
    standing: Option<Standing>,
    /// Another program took something out of a table.
    thinned: bool,
}

/// The number of each table and of its rules, as we made them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    v4: Option<(u64, usize)>,
    v6: Option<(u64, usize)>,
    frames: Option<(u64, usize)>,
}

impl Egress {
    /// Nothing is touched before the first container with a policy.
    pub fn new(table: &str) -> Egress {
        let table = format!("{table}-egress");
        let hash = table.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        // Above those that people use by hand.
        let group = 0x4000 | u16::try_from(hash & 0x3fff).unwrap_or_default();
        Egress { table, group, filters: Stock::numbered(Socket::netfilter), state: Mutex::default() }
    }

    /// The group of NFLOG that refused packets are told to.
    pub fn log_group(&self) -> u16 {
        self.group
    }

    /// Whether a container has a policy.
    pub fn has(&self, container: &str) -> bool {
        self.lock().members.contains_key(container)
    }

    /// A container with these ends has this policy from now on: in place of another one that it had, all at once. What was connected
    /// goes on only as far as the new one lets it.
    pub fn enter(&self, container: &str, ends: &[Endpoint], policy: Policy) -> Result<(), Error> {
        let mut state = self.lock();
        let before = state.members.remove(container);
        let is_new = before.is_none();
        let member = Member::new(ends, Arc::new(policy), before.as_ref());
        let addresses = member.addresses.clone();
        state.members.insert(container.to_owned(), member);
        let done = if is_new { self.add(&mut state, container) } else { self.rebuild(&mut state) };
        if let Err(e) = done {
            match before {
                Some(before) => drop(state.members.insert(container.to_owned(), before)),
                None => drop(state.members.remove(container)),
            }
            if let Err(e) = self.rebuild(&mut state) {
                tracing::error!("cannot set the egress rules as they were: {}", base::chain(&e));
            }
            return Err(e);
        }
        // What is connected may be older than the first policy: this container's from before, or that of another one which had its
        // address. Before all are settled the rules are those of the earlier engine, and so are the flows.
        if state.standing.is_some() {
            self.filters.with(|socket| socket.forget_from(&addresses))?;
        }
        Ok(())
    }

    /// A container has no policy any more: it has ended, or is to have none. What it tried and used, one last time.
    pub fn leave(&self, container: &str) -> Result<Option<Usage>, Error> {
        let mut state = self.lock();
        if !state.members.contains_key(container) {
            return Ok(None);
        }
        let usage = self.usage_of(&state, container);
        let Some(member) = state.members.remove(container) else { return Ok(None) };
        self.take(&mut state, &member)?;
        usage.map(Some)
    }

    /// All containers of an earlier engine have entered: from here on the tables are as these want them. Pins that still hold stay.
    pub fn settle(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.standing.is_some() {
            return Ok(());
        }
        let found = self.look()?;
        if state.members.is_empty() && found == Standing::default() {
            state.standing = Some(found);
            return Ok(());
        }
        for family in FAMILIES {
            self.inherit(&mut state, family)?;
        }
        state.standing = Some(found);
        self.rebuild(&mut state)
    }

    /// Whether this name may be asked for; of a container without a policy every one may. A refusal is counted.
    pub fn admits(&self, container: &str, name: &str) -> Result<(), FirstTime> {
        let mut state = self.lock();
        match state.members.get_mut(container) {
            Some(member) if !member.policy.admits(name) => {
                let is_first = member.refuse_name(&shown(name));
                Err(FirstTime(is_first && member.may_tell(Instant::now())))
            }
            _ => Ok(()),
        }
    }

    /// Whether one more refusal of this container's may be told of: it makes as many as it likes.
    pub fn may_tell(&self, container: &str) -> bool {
        self.lock().members.get_mut(container).is_some_and(|member| member.may_tell(Instant::now()))
    }

    /// Whether it may be asked whose an address is: of one that it may speak with.
    pub fn knows(&self, container: &str, address: IpAddr) -> bool {
        let state = self.lock();
        state.members.get(container).is_none_or(|member| member.policy.opens(address) || member.has_pin(address))
    }

    /// A name leads to these addresses, each as long as told: those that the container may speak with are open to it when this
    /// returns, and are given back. Of a container without a policy all are.
    pub fn pin(&self, container: &str, name: &str, found: &[(IpAddr, Duration)]) -> Result<Vec<IpAddr>, Error> {
        let mut state = self.lock();
        let now = Instant::now();
        let Some(member) = state.members.get_mut(container) else {
            return Ok(found.iter().map(|(address, _)| *address).collect());
        };
        let (kept, fresh) = member.answer(name, found, now);
        if !fresh.is_empty() && state.standing.is_some() {
            self.add_pins(&mut state, &fresh)?;
        }
        Ok(kept)
    }

    /// News of this machine's rules: what others took out of our tables is looked at by the next `check`.
    pub fn hear(&self, heard: &Heard) {
        let is_foreign = |by| !self.filters.had(by);
        if heard.lost || heard.thinned.iter().any(|one| one.table == self.table && is_foreign(one.by)) {
            self.lock().thinned = true;
        }
    }

    /// Mends what other programs took away. Three or six questions to the kernel when all is well, none without policies.
    pub fn check(&self) -> Result<(), Error> {
        let mut state = self.lock();
        let Some(standing) = state.standing else { return Ok(()) };
        let thinned = std::mem::take(&mut state.thinned);
        if state.members.is_empty() || (!thinned && self.look()? == standing) {
            return Ok(());
        }
        tracing::warn!("the nft tables {} were changed by another program: they are made anew", self.table);
        self.rebuild(&mut state)
    }

    /// What a container tried and used; `None` for one without a policy.
    pub fn usage(&self, container: &str) -> Result<Option<Usage>, Error> {
        let state = self.lock();
        if !state.members.contains_key(container) {
            return Ok(None);
        }
        self.usage_of(&state, container).map(Some)
    }

    /// The container with a policy that has one of these ends.
    pub fn owner(&self, ends: &[Endpoint]) -> Option<String> {
        let state = self.lock();
        let has = |member: &Member| ends.iter().any(|end| member.addresses.contains(&end.address.into()));
        state.members.iter().find(|(_, member)| has(member)).map(|(container, _)| container.clone())
    }

    /// The container that has this address, and the name that led it to the other one.
    pub fn whose(&self, source: IpAddr, destination: IpAddr) -> Option<(String, Option<String>)> {
        let state = self.lock();
        let (container, member) = state.members.iter().find(|(_, member)| member.addresses.contains(&source))?;
        Some((container.clone(), member.name_of(destination)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refusal, and whether it is to be told of: the first of its sort, and not one of very many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstTime(pub bool);

/// Answers to a container with a policy are told to hold this long at most.
pub const LONGEST_ANSWER: Duration = member::LONGEST;

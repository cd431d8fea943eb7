//! What all networks of an engine stand on: its nft tables, its published ports, its sockets to the kernel.

use crate::ports::Ports;
use crate::rules::{Member, Rules};
use crate::stock::Stock;
use crate::{Error, Outer, Pools};
use ipnet::Ipv4Net;
use netlink::nft::{Family, Transaction};
use netlink::{Socket, link::Index};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// What all networks of an engine stand on. Callable from many threads at once, all of them in one network namespace.
#[derive(Debug)]
pub struct Ground {
    table: String,
    pub(crate) ports: Ports,
    pub(crate) routes: Stock,
    pub(crate) filters: Stock,
    members: Mutex<Vec<Member>>,
    /// Held while a table is made anew; those who add to it or take from it hold it shared.
    rebuilding: RwLock<()>,
    standing: Mutex<Standing>,
}

/// The numbers of the tables as we made them: others where somebody removed them.
#[derive(Debug, Default)]
struct Standing {
    v4: Option<u64>,
    v6: Option<u64>,
}

impl Standing {
    fn of(&mut self, family: Family) -> &mut Option<u64> {
        match family {
            Family::Ip => &mut self.v4,
            Family::Ip6 => &mut self.v6,
        }
    }
}

impl Ground {
    /// Nothing is touched before the first network comes.
    pub fn new(table: &str, outer: Option<Arc<dyn Outer>>) -> Result<Ground, Error> {
        crate::bridge::check_name("table", table, 64)?;
        Ok(Ground {
            table: table.to_owned(),
            ports: Ports::of(outer),
            routes: Stock::new(Socket::route),
            filters: Stock::new(Socket::netfilter),
            members: Mutex::default(),
            rebuilding: RwLock::default(),
            standing: Mutex::default(),
        })
    }

    /// Mends what other programs took away of the tables. One question to the kernel for each when all is well.
    pub fn check(&self) -> Result<(), Error> {
        self.check_standing(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Somebody who is checking already is enough.
    pub(crate) fn check_in_passing(&self) -> Result<(), Error> {
        self.standing.try_lock().map_or(Ok(()), |mut standing| self.check_standing(&mut standing))
    }

    /// A subnet that neither the host's addresses and routes nor `taken` overlap, with its gateway.
    pub fn free_subnet(&self, pools: &Pools, taken: &[Ipv4Net]) -> Result<Ipv4Net, Error> {
        let mut all = taken.to_vec();
        all.extend(self.routes.with(Socket::addresses)?.into_iter().map(|(_, address)| address));
        all.extend(self.routes.with(Socket::routes)?.into_iter().map(|route| route.destination));
        pools.choose(&all).ok_or(Error::SubnetsExhausted)
    }

    fn check_standing(&self, standing: &mut Standing) -> Result<(), Error> {
        for family in self.families() {
            let known = standing.of(family);
            let rules = self.rules(family);
            self.filters.with(|socket| {
                let found = socket.table_handle(family, &self.table)?;
                if found.is_some() && found == *known {
                    return Ok(());
                }
                if known.is_some() {
                    tracing::warn!("the nft table {} was removed by another program: it is made anew", self.table);
                }
                let _alone = self.rebuilding.write().unwrap_or_else(PoisonError::into_inner);
                rules.build(&self.members_of(family), &self.ports.all()).commit(socket)?;
                *known = socket.table_handle(family, &self.table)?;
                Ok(())
            })?;
        }
        Ok(())
    }

    pub(crate) fn rules(&self, family: Family) -> Rules<'_> {
        Rules { table: &self.table, family }
    }

    /// The families that any network has.
    pub(crate) fn families(&self) -> Vec<Family> {
        let members = self.lock();
        let mut all = if members.is_empty() { Vec::new() } else { vec![Family::Ip] };
        if members.iter().any(|member| member.ipv6) {
            all.push(Family::Ip6);
        }
        all
    }

    fn members_of(&self, family: Family) -> Vec<Member> {
        let members = self.lock();
        members.iter().filter(|member| family == Family::Ip || member.ipv6).cloned().collect()
    }

    /// The tables are not made anew as long as this is held.
    pub(crate) fn whole(&self) -> RwLockReadGuard<'_, ()> {
        self.rebuilding.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a network to the tables that stand; tables to come have it anyway.
    pub(crate) fn join(&self, member: Member) -> Result<(), Error> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock().push(member.clone());
        for family in self.families() {
            if standing.of(family).is_none() || (family == Family::Ip6 && !member.ipv6) {
                continue;
            }
            let added = self.change(family, |rules, t| rules.join(t, &member));
            if added.is_err() {
                // Somebody removed the table: made anew it has this network.
                self.check_standing(&mut standing)?;
            }
        }
        Ok(())
    }

    /// Takes a network out of the tables; with the last one they go.
    pub(crate) fn leave(&self, bridge: &str) -> Result<(), Error> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let families = self.families();
        let left = {
            let mut members = self.lock();
            let place = members.iter().position(|member| member.bridge == bridge);
            place.map(|place| (members.remove(place), members.is_empty()))
        };
        let Some((member, was_last)) = left else { return Ok(()) };
        let mut done = Ok(());
        for family in families {
            if was_last {
                let removed = self.filters.with(|socket| self.rules(family).remove().commit(socket));
                *standing.of(family) = None;
                done = done.and(removed);
            } else if family == Family::Ip || member.ipv6 {
                let taken = self.change(family, |rules, t| rules.leave(t, &member));
                done = done.and(taken.or_else(|e| if crate::publish::is_absent(&e) { Ok(()) } else { Err(e) }));
            }
        }
        done
    }

    /// Changes a table.
    pub(crate) fn change(&self, family: Family, write: impl FnOnce(&Rules<'_>, &mut Transaction)) -> Result<(), Error> {
        let mut t = Transaction::of(family);
        write(&self.rules(family), &mut t);
        self.filters.with(|socket| t.commit(socket))
    }

    /// What links of ours say of themselves: no other one is ever taken away.
    pub(crate) fn mark(&self) -> String {
        format!("dhow {}", self.table)
    }

    /// The number of a link of the host.
    pub(crate) fn link_index(&self, name: &str) -> Result<Option<Index>, Error> {
        self.routes.with(|socket| socket.link_index(name))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

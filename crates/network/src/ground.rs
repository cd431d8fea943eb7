//! What all networks of an engine stand on: its nft tables, its published ports, its sockets to the kernel.

use crate::gate::{Firewall, Gate};
use crate::neighbours::Neighbours;
use crate::ports::Ports;
use crate::rules::{Member, Rules};
use crate::stacked::Parents;
use crate::stock::Stock;
use crate::{Error, Outer, PluginFolders, Pools, Relay};
use ipnet::{Ipv4Net, Ipv6Net};
use netlink::nft::{Family, Heard, Transaction};
use netlink::{Socket, link::Index};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// What all networks of an engine stand on. Callable from many threads at once, all of them in one network namespace.
#[derive(Debug)]
pub struct Ground {
    table: String,
    pub(crate) ports: Ports,
    pub(crate) routes: Stock,
    pub(crate) filters: Stock,
    pub(crate) neighbours: Neighbours,
    pub(crate) parents: Parents,
    members: Mutex<Vec<Member>>,
    /// Held while a table is made anew; those who add to it or take from it hold it shared.
    rebuilding: RwLock<()>,
    standing: Mutex<Standing>,
    firewall: Firewall,
    plugins: Option<PluginFolders>,
}

/// The numbers of the tables as we made them: others where somebody removed them.
#[derive(Debug, Default)]
struct Standing {
    v4: Option<u64>,
    v6: Option<u64>,
    gate: Option<Gate>,
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
            filters: Stock::numbered(Socket::netfilter),
            neighbours: Neighbours::default(),
            parents: Parents::default(),
            members: Mutex::default(),
            rebuilding: RwLock::default(),
            standing: Mutex::default(),
            firewall: Firewall::Open,
            plugins: None,
        })
    }

    /// With somebody who carries what comes on IPv6 to containers that have IPv4 only.
    #[must_use]
    pub fn relaying(self, relay: Arc<dyn Relay>) -> Ground {
        Ground { ports: self.ports.relaying(relay), ..self }
    }

    /// With folders for what networks of plugins have to remember.
    #[must_use]
    pub fn remembering(self, plugins: PluginFolders) -> Ground {
        Ground { plugins: Some(plugins), ..self }
    }

    /// Those of one network of plugins.
    pub fn plugin_folders(&self, network: &str) -> Option<PluginFolders> {
        let PluginFolders { kept, run } = self.plugins.as_ref()?;
        Some(PluginFolders { kept: kept.join(network), run: run.clone() })
    }

    /// With this who decides about published ports.
    #[must_use]
    pub fn obeying(self, firewall: Firewall) -> Ground {
        Ground { firewall, ..self }
    }

    /// Who decides about published ports.
    pub fn firewall(&self) -> Firewall {
        self.firewall
    }

    /// The link by which packets come back that the host's own rules let in.
    pub(crate) fn gate_out(&self) -> Option<String> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.gate.as_ref().map(|gate| gate.out.clone())
    }

    /// The name of the nft tables.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// What was heard of changes of this machine's rules: where others took something out of a table of ours it is made anew with the
    /// next check.
    pub fn hear(&self, heard: &Heard) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        for (family, number) in [(Family::Ip, 2), (Family::Ip6, 10)] {
            let mut theirs = heard.thinned.iter().filter(|t| t.family == number && !self.filters.had(t.by));
            let known = standing.of(family);
            if known.is_some() && (heard.lost || theirs.any(|thinned| thinned.table == self.table)) {
                // The number of no table.
                *known = Some(0);
            }
        }
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

    /// Where the host's routes of IPv6 lead, but for those that lead everywhere.
    pub fn routed6(&self) -> Result<Vec<Ipv6Net>, Error> {
        let mut all = self.routes.with(Socket::destinations6)?;
        all.retain(|net| net.prefix_len() >= crate::pools::WIDEST);
        Ok(all)
    }

    fn check_standing(&self, standing: &mut Standing) -> Result<(), Error> {
        let families = self.families();
        if !families.is_empty() {
            self.check_gate(standing)?;
        }
        let gate = standing.gate.clone();
        for family in families {
            let known = standing.of(family);
            let rules = self.rules(family);
            self.filters.with(|socket| {
                let found = socket.table_handle(family, &self.table)?;
                if found.is_some() && found == *known {
                    return Ok(());
                }
                if known.is_some() {
                    tracing::warn!("the nft table {} was changed by another program: it is made anew", self.table);
                }
                let _alone = self.rebuilding.write().unwrap_or_else(PoisonError::into_inner);
                let entries: Vec<_> = self.ports.entries().into_iter().collect();
                rules.build(&self.members_of(family), &entries, gate.as_ref()).commit(socket)?;
                *known = socket.table_handle(family, &self.table)?;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The links by which packets come back that the host's own rules let in; other ones want other rules.
    fn check_gate(&self, standing: &mut Standing) -> Result<(), Error> {
        match (self.firewall, &standing.gate) {
            (Firewall::Open, None) if standing.v4.is_some() => Ok(()),
            (Firewall::Open, _) => Gate::down(&self.routes, &self.table),
            (Firewall::Host, Some(gate)) if gate.stands(&self.routes, &self.table)? => Ok(()),
            (Firewall::Host, was) => {
                if was.is_some() {
                    (standing.v4, standing.v6) = (standing.v4.and(Some(0)), standing.v6.and(Some(0)));
                }
                standing.gate = Some(Gate::up(&self.routes, &self.table)?);
                Ok(())
            }
        }
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
                if standing.gate.take().is_some() {
                    done = done.and(Gate::down(&self.routes, &self.table));
                }
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

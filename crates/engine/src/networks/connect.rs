//! Puts a container on a further network, and takes it off one, while it runs or not.

use super::ends::{Wanted, check_addresses, for_plugins, wish};
use super::{Entry, HOST, NONE};
use crate::shelf::{Cell, Live};
use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::{Container, EndpointRequest, NetworkMode, Status};
use network::Endpoint;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

const NONE_IS_ALONE: &str =
    "container cannot be connected to multiple networks with one of the networks in private (none) mode";
const SHARED: &str =
    "container sharing network namespace with another container or host cannot be connected to any other network";

impl Engine {
    /// Connects a container to a network.
    pub fn connect(&self, network: &str, container: &str, request: EndpointRequest) -> Result<()> {
        let cell = self.house.shelf.find(container)?;
        let _turn = lock(&cell.turn);
        check_life(&cell)?;
        let record = cell.record();
        let runs = lock(&cell.live).is_some();
        let entry = match self.house.networks.find(network) {
            // As Docker: it may be there when the container starts.
            Err(Error::NoNetwork(name)) if !runs => {
                let mut changed = Container::clone(&record);
                changed.config.endpoints.insert(name, request);
                return self.keep_record(&cell, changed);
            }
            other => other?,
        };
        check_connect(&record, &entry)?;
        check_addresses(&entry, &request)?;
        let is_on = record.config.endpoints.contains_key(&entry.record.name);
        if is_on && runs {
            return Err(Error::Denied(format!(
                "endpoint with name {} already exists in network {}",
                record.name, entry.record.name
            )));
        }
        let wanted = Wanted { entry, request };
        let mut changed = Container::clone(&record);
        changed.config.endpoints.insert(wanted.entry.record.name.clone(), wanted.request.clone());
        if !runs {
            return self.keep_record(&cell, changed);
        }
        let plugged = self.plug(&cell, &changed, &wanted).and_then(|()| self.keep_record(&cell, changed));
        self.rewiring(&cell, None);
        plugged?;
        self.tell_network(&wanted.entry, "connect", Some(&cell.id));
        Ok(())
    }

    /// Takes a container off a network; `force` when it may be gone, or the container.
    pub fn disconnect(&self, network: &str, container: &str, force: bool) -> Result<()> {
        let found = self.house.networks.find(network);
        let cell = self.house.shelf.find(container)?;
        let _turn = lock(&cell.turn);
        check_life(&cell)?;
        let runs = lock(&cell.live).is_some();
        let entry = match found {
            Ok(entry) => Some(entry),
            Err(_) if force || !runs => None,
            Err(e) => return Err(e),
        };
        let name = entry.as_ref().map_or_else(|| network.to_owned(), |entry| entry.record.name.clone());
        let record = cell.record();
        if name == HOST && record.config.network == NetworkMode::Host {
            return Err(Error::Invalid(
                "cannot disconnect container from host network - container was created in host network mode".into(),
            ));
        }
        let mut changed = Container::clone(&record);
        if changed.config.endpoints.remove(&name).is_none() {
            let the = if runs { "" } else { "the " };
            return Err(Error::Denied(format!("container {} is not connected to {the}network {name}", cell.id)));
        }
        if let Some(entry) = entry.as_ref().filter(|_| runs) {
            let ends = live_ends(&cell);
            let end = ends.iter().find(|end| end.network == entry.record.id);
            self.rewiring(&cell, Some(end.map_or("", |end| &end.link)));
        }
        // First the record: an engine that comes after a crash takes away what the record does not speak of.
        self.house.change_record(&cell, |record| record.config.endpoints.clone_from(&changed.config.endpoints))?;
        if let Some(entry) = entry.filter(|_| runs) {
            let unplugged = self.unplug(&cell, &changed, &entry);
            self.rewiring(&cell, None);
            unplugged?;
            self.tell_network(&entry, "disconnect", Some(&cell.id));
        }
        Ok(())
    }

    /// Notes which link of a container that runs comes or goes; none, when all is done. For an engine that comes after a crash.
    fn rewiring(&self, cell: &Cell, link: Option<&str>) {
        cell.change_silently(|state| state.rewiring = link.map(str::to_owned));
        self.house.save(cell);
    }

    /// After a crash in the middle of such a change: the link goes unless it is an end's, and the default route, the ports and the name
    /// server are where the ends say.
    pub(crate) fn rewire(&self, cell: &Arc<Cell>) {
        let Some(link) = cell.state().rewiring.clone() else { return };
        let settled = self.network_of(cell).and_then(|netns| {
            let ends = live_ends(cell);
            if !link.is_empty() && ends.iter().all(|end| end.link != link) {
                network::remove_link(netns.as_fd(), &link)?;
            }
            self.settle_ways(cell, &cell.record(), &netns, ends)
        });
        if let Err(e) = settled {
            tracing::error!("cannot set the networks of {} right: {}", cell.id, base::chain(&e));
        }
        self.rewiring(cell, None);
    }

    /// Keeps the networks of a container, the record last: it speaks of no end that is not kept.
    fn keep_record(&self, cell: &Cell, changed: Container) -> Result<()> {
        self.house.save(cell);
        self.house.change_record(cell, |record| record.config.endpoints = changed.config.endpoints)
    }

    /// A further link in a container that runs.
    fn plug(&self, cell: &Arc<Cell>, record: &Container, wanted: &Wanted) -> Result<()> {
        let netns = self.network_of(cell)?;
        let names = network::link_names(netns.as_fd())?;
        let mut number = 0;
        let wish = loop {
            let wish = for_plugins(wish(wanted, number, false)?, record, wanted);
            if !names.contains(&wish.link) {
                break wish;
            }
            number += 1;
        };
        self.rewiring(cell, Some(&wish.link));
        let _still = self.hold_still(cell, record, &wanted.entry)?;
        let Some(end) = self.join_one(record.id, wanted, (netns.as_fd(), None), &wish)? else { return Ok(()) };
        let end = self.settle_end(record, wanted, end);
        let mut ends = live_ends(cell);
        ends.push(end.clone());
        if let Err(e) = self.settle_ways(cell, record, &netns, ends) {
            self.pull_out(&wanted.entry, cell, &netns, &end);
            self.settle_back(cell, &netns);
            return Err(e);
        }
        Ok(())
    }

    /// After a change that failed: the ends from before have their way and their ports back, which may have moved.
    fn settle_back(&self, cell: &Arc<Cell>, netns: &OwnedFd) {
        let mut ends = live_ends(cell);
        self.unpublish_ports(&ends);
        ends.iter_mut().for_each(|end| end.ports.clear());
        if let Err(e) = self.settle_ways(cell, &cell.record(), netns, ends) {
            tracing::warn!("cannot set the networks of {} as they were: {}", cell.id, base::chain(&e));
        }
    }

    fn unplug(&self, cell: &Arc<Cell>, record: &Container, entry: &Arc<Entry>) -> Result<()> {
        let netns = self.network_of(cell)?;
        let (gone, stays): (Vec<_>, Vec<_>) =
            live_ends(cell).into_iter().partition(|end| end.network == entry.record.id);
        self.unpublish_ports(&gone);
        match gone.first() {
            Some(end) => self.pull_out(entry, cell, &netns, end),
            None => entry.exit(&cell.id),
        }
        // Whatever comes of the rest: its address may be another's from here on.
        keep_ends(cell, stays.clone());
        self.settle_ways(cell, record, &netns, stays)
    }

    fn pull_out(&self, entry: &Entry, cell: &Cell, netns: &OwnedFd, end: &Endpoint) {
        if let Some(driver) = &entry.driver
            && let Err(e) = driver.detach(netns.as_fd(), end)
        {
            tracing::warn!("cannot take {} off {}: {}", end.address, entry.record.name, base::chain(&e));
        }
        self.unname_end(entry, &cell.id);
        entry.exit(&cell.id);
    }

    /// With other ends: the default route, the ports and the name server are where they belong; the ends are kept.
    fn settle_ways(
        &self,
        cell: &Arc<Cell>,
        record: &Container,
        netns: &OwnedFd,
        mut ends: Vec<Endpoint>,
    ) -> Result<()> {
        self.police(record, &ends)?;
        let lead = self.leading_end(&record.config, &ends);
        let way = lead.and_then(|lead| Some((ends[lead].link.as_str(), ends[lead].way()?)));
        network::set_way(netns.as_fd(), way)?;
        let elsewhere = |(at, end): &(usize, &Endpoint)| Some(*at) != lead && !end.ports.is_empty();
        let misplaced = ends.iter().enumerate().any(|(at, end)| elsewhere(&(at, end)));
        let moves = misplaced || lead.is_some_and(|lead| ends[lead].ports.is_empty());
        if moves {
            self.unpublish_ports(&ends);
            ends.iter_mut().for_each(|end| end.ports.clear());
            self.publish_ports(&record.config, &mut ends)?;
        }
        if let Err(e) = self.settle_names(cell, record, netns, &ends) {
            if moves {
                // Nobody else knows these.
                self.unpublish_ports(&ends);
            }
            return Err(e);
        }
        keep_ends(cell, ends);
        Ok(())
    }

    /// With other names to be told, or from now on the engine's at all.
    pub(super) fn settle_names_of(&self, cell: &Arc<Cell>, record: &Container, ends: &[Endpoint]) -> Result<()> {
        let netns = self.network_of(cell)?;
        self.settle_names(cell, record, &netns, ends)
    }

    fn settle_names(&self, cell: &Arc<Cell>, record: &Container, netns: &OwnedFd, ends: &[Endpoint]) -> Result<()> {
        let view = self.view_of_names(&record.config, ends);
        let asks = self.asks_names(ends);
        {
            let live = lock(&cell.live);
            if let Some(guard) = live.as_ref().and_then(|live| live.names.as_ref()) {
                // A container that has asked once goes on asking here, even if no network has names any more.
                guard.look(view);
                return Ok(());
            }
        }
        if !asks {
            return Ok(());
        }
        let guard = self.serve_names(&record.config, (netns.as_fd(), None), ends)?;
        self.write_resolver(record)?;
        if let Some(live) = lock(&cell.live).as_mut() {
            live.names = guard;
        }
        Ok(())
    }

    /// The network namespace of a container that runs.
    fn network_of(&self, cell: &Cell) -> Result<OwnedFd> {
        let live = lock(&cell.live);
        let live = live.as_ref().ok_or_else(|| Error::NotRunning(cell.id.to_string()))?;
        network_namespace(live)
    }
}

/// Opened by the number, and only then it is asked whether the number is still the container's.
pub(crate) fn network_namespace(live: &Live) -> Result<OwnedFd> {
    let path = format!("/proc/{}/ns/net", live.pid);
    let failed = |source| Error::Io { action: format!("open {path}"), source };
    let file = std::fs::File::open(&path).map_err(failed)?;
    sys::pidfd::send_signal(&live.pidfd, 0).map_err(failed)?;
    Ok(file.into())
}

pub(super) fn keep_ends(cell: &Cell, ends: Vec<Endpoint>) {
    let kept = ends.iter().filter_map(|end| serde_json::to_value(end).ok()).collect();
    if let Some(live) = lock(&cell.live).as_mut() {
        live.endpoints = ends;
    }
    cell.change_silently(|state| state.endpoints = kept);
}

pub(super) fn live_ends(cell: &Cell) -> Vec<Endpoint> {
    lock(&cell.live).as_ref().map(|live| live.endpoints.clone()).unwrap_or_default()
}

fn check_life(cell: &Cell) -> Result<()> {
    match cell.status() {
        Status::Removing | Status::Dead => Err(Error::Conflict(format!(
            "Container {} is marked for removal and cannot be connected or disconnected to the network",
            cell.id
        ))),
        _ => Ok(()),
    }
}

fn check_connect(record: &Container, entry: &Entry) -> Result<()> {
    let config = &record.config;
    let name = entry.record.name.as_str();
    if name == HOST && config.network != NetworkMode::Host {
        return Err(Error::Invalid(
            "cannot connect container to host network - container must be created in host network mode".into(),
        ));
    }
    if matches!(config.network, NetworkMode::Container(_) | NetworkMode::Host) {
        return Err(Error::Invalid(SHARED.into()));
    }
    let others = config.endpoints.keys().filter(|other| *other != name).count();
    let is_alone = name == NONE && others > 0;
    if is_alone || (name != NONE && config.endpoints.contains_key(NONE)) {
        return Err(Error::Invalid(NONE_IS_ALONE.into()));
    }
    Ok(())
}

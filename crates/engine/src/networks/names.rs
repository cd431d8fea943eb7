//! What the name server of containers is told: who is on which network, and what each container may see.

use super::Entry;
use super::ends::has_names;
use crate::sandbox::ready_names;
use crate::{Engine, Error, Result};
use base::Id;
use container::{Config, Container, EndpointRequest};
use dns::{Dotless, Guard, Outside, Sockets, View};
use network::Endpoint;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// The names of a container on a network, the one that its addresses lead back to first.
pub(super) fn dns_names(record: &Container, request: &EndpointRequest) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut all = vec![record.name.clone()];
    all.extend(request.aliases.iter().cloned());
    all.push(record.id.short());
    all.push(record.config.hostname.clone());
    for name in all.into_iter().filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// `container:alias`, or a name that stays.
pub(crate) fn link_of(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((text, text))
}

impl Engine {
    pub(super) fn name_end(&self, record: &Container, entry: &Entry, request: &EndpointRequest, end: &Endpoint) {
        if !has_names(entry) {
            return;
        }
        let mut addresses: Vec<std::net::IpAddr> = vec![end.address.into()];
        addresses.extend(end.ipv6.map(|net| std::net::IpAddr::from(net.addr())));
        let endpoint = dns::Endpoint { container: record.id.to_string(), names: dns_names(record, request), addresses };
        self.house.names.names().join(&entry.record.id, &entry.record.name, endpoint);
    }

    pub(super) fn unname_end(&self, entry: &Entry, container: &Id) {
        if has_names(entry) {
            self.house.names.names().leave(&entry.record.id, &container.to_string());
        }
    }

    /// After a rename: the same ends under the new name.
    pub(crate) fn rename_ends(&self, record: &Container, ends: &[Endpoint]) {
        for end in ends {
            let Some(entry) = self.house.networks.of(end) else { continue };
            let request = record.config.endpoints.get(&entry.record.name).cloned().unwrap_or_default();
            self.name_end(record, &entry, &request, end);
        }
    }

    /// Whether a container with these ends asks the engine for names.
    pub(crate) fn asks_names(&self, ends: &[Endpoint]) -> bool {
        ends.iter().filter_map(|end| self.house.networks.of(end)).any(|entry| has_names(&entry))
            || self.is_policed(ends)
    }

    /// Opens the name server in a container's network namespace, if it is on a network that has one; where it waits made ready,
    /// by those sockets.
    pub(crate) fn serve_names(
        &self,
        config: &Config,
        (netns, ready): (BorrowedFd<'_>, Option<Sockets>),
        ends: &[Endpoint],
    ) -> Result<Option<Guard>> {
        if !self.asks_names(ends) {
            return Ok(None);
        }
        let failed = |source| Error::Io { action: "open the container's name server".into(), source };
        let sockets = ready.map_or_else(|| ready_names(netns), Ok)?;
        Ok(Some(self.house.names.serve(sockets, self.view_of_names(config, ends)).map_err(failed)?))
    }

    /// What a container with these ends may see.
    pub(crate) fn view_of_names(&self, config: &Config, ends: &[Endpoint]) -> View {
        let mut ranked = Vec::new();
        let mut links = BTreeMap::new();
        for end in ends {
            let Some(entry) = self.house.networks.of(end).filter(|entry| has_names(entry)) else { continue };
            let request = config.endpoints.get(&entry.record.name).cloned().unwrap_or_default();
            for text in &request.links {
                let (container, alias) = link_of(text);
                links.insert(alias.to_owned(), container.to_owned());
            }
            ranked.push((
                std::cmp::Reverse(request.gateway_priority),
                entry.record.name.clone(),
                entry.record.id.clone(),
            ));
        }
        ranked.sort();
        let gate = self.gate(ends);
        let told: Vec<IpAddr> = ends.iter().flat_map(|end| end.name_servers.iter().copied()).collect();
        let outside = match () {
            () if ends.iter().all(|end| end.way().is_none()) => Outside::Closed,
            () if !config.dns.is_empty() && gate.is_some() => {
                // What a container says to itself opens nothing.
                Outside::OwnFromHost(config.dns.iter().copied().filter(|server| !server.is_loopback()).collect())
            }
            () if !config.dns.is_empty() => Outside::Own(config.dns.clone()),
            () if !told.is_empty() => Outside::Own(told),
            () => Outside::Host,
        };
        let dots =
            config.dns_options.iter().rev().find_map(|option| option.strip_prefix("ndots:")?.parse::<u32>().ok());
        let dotless = if dots.is_some_and(|dots| dots > 0) { Dotless::Kept } else { Dotless::Asked };
        View { networks: ranked.into_iter().map(|(_, _, id)| id).collect(), links, outside, dotless, gate }
    }
}

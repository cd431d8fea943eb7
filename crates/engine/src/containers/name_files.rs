//! /etc/hosts, /etc/hostname and /etc/resolv.conf of a container: its own, or those of the one whose network it joins.

use super::start::{HOSTNAME, HOSTS, RESOLV};
use crate::{Engine, Error, Result};
use container::{Container, NetworkMode};
use network::Endpoint;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Joined networks in a row; each start checked that the next one exists.
const LONGEST_CHAIN: usize = 32;

impl Engine {
    /// The folder with a container's files. Who joins a network has the very files of its owner: the same names lead to the
    /// same addresses in both.
    pub(crate) fn name_folder(&self, record: &Container) -> PathBuf {
        let owner = self.network_owner(record);
        self.house.roots.container(owner.as_ref().map_or(&record.id, |owner| &owner.id))
    }

    /// The container that has the network which this one joins.
    fn network_owner(&self, record: &Container) -> Option<Container> {
        let mut owner: Option<Container> = None;
        for _ in 0..LONGEST_CHAIN {
            let NetworkMode::Container(text) = &owner.as_ref().unwrap_or(record).config.network else { break };
            owner = Some(Container::clone(&self.house.shelf.find(text).ok()?.record()));
        }
        owner
    }

    /// Writes the files; for one that joins a network takes the owner's, and its name. Where they are.
    pub(super) fn name_files(&self, record: &mut Container, ends: &[Endpoint]) -> Result<PathBuf> {
        let folder = self.name_folder(record);
        match self.network_owner(record) {
            None => self.write_files(record, &folder, ends)?,
            Some(owner) => {
                record.config.hostname = container::spec::hostname(&owner);
                record.config.domainname.clone_from(&owner.config.domainname);
            }
        }
        Ok(folder)
    }

    fn write_files(&self, record: &Container, folder: &Path, ends: &[Endpoint]) -> Result<()> {
        let config = &record.config;
        let addresses: Vec<IpAddr> = ends
            .iter()
            .flat_map(|end| [Some(end.address.into()), end.ipv6.map(|net| net.addr().into())])
            .flatten()
            .collect();
        let hosts = match config.network {
            NetworkMode::Host if config.extra_hosts.is_empty() => {
                std::fs::read_to_string("/etc/hosts").unwrap_or_default()
            }
            _ => container::spec::hosts_text(record, &addresses, self.host_gateway()),
        };
        let hostname = container::spec::hostname(record) + "\n";
        for (name, text) in [(HOSTS, hosts), (RESOLV, self.resolver_text(record, ends)), (HOSTNAME, hostname)] {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .map_err(|source| Error::Io { action: format!("write {}", path.display()), source })?;
        }
        Ok(())
    }

    fn resolver_text(&self, record: &Container, ends: &[Endpoint]) -> String {
        let config = &record.config;
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let is_plain = config.dns.is_empty() && config.dns_search.is_empty() && config.dns_options.is_empty();
        match config.network {
            NetworkMode::Host if is_plain => host,
            _ if self.asks_names(ends) => container::spec::own_resolv_text(config, &host, network::NAME_SERVER),
            _ => container::spec::resolv_text(config, &host),
        }
    }

    /// A container that runs has come to a network with names: from now on it asks the engine.
    pub(crate) fn write_resolver(&self, record: &Container) -> Result<()> {
        let path = self.house.roots.container(&record.id).join(RESOLV);
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let text = container::spec::own_resolv_text(&record.config, &host, network::NAME_SERVER);
        // Written in place: the container has this very file.
        std::fs::write(&path, text).map_err(|source| Error::Io { action: format!("write {}", path.display()), source })
    }
}

//! Links on the engine's own bridge: a container knows another one by a name, and by variables in its environment.
//!
//! On networks that people made, links are further names, and the name server's business.

use super::start::HOSTS;
use crate::networks::BRIDGE;
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Error, Result};
use base::Id;
use container::{Container, Link, PortProtocol, Protocol, Status};
use std::fmt::Write;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a container's hosts file that are read, at the most.
const MOST_HOSTS: u64 = 1 << 20;

/// A link whose other end runs.
#[derive(Debug)]
pub(super) struct Standing {
    link: Link,
    address: Ipv4Addr,
    child: Arc<Container>,
}

impl Engine {
    /// The links of a container that is to start or runs: every other end must run, on the engine's own bridge.
    pub(super) fn links(&self, record: &Container) -> Result<Vec<Standing>> {
        record.config.links.iter().map(|link| self.link(record, link)).collect()
    }

    fn link(&self, record: &Container, link: &Link) -> Result<Standing> {
        let cell = self.house.shelf.find(&link.container)?;
        let child = cell.record();
        let address = self.bridge_address(&cell).ok_or_else(|| match cell.status() {
            Status::Running | Status::Paused => {
                Error::Conflict(format!("container {} not attached to default bridge network", cell.id))
            }
            _ => Error::Conflict(format!(
                "Cannot link to a non running container: /{} AS /{}/{}",
                child.name, record.name, link.alias
            )),
        })?;
        Ok(Standing { link: link.clone(), address, child })
    }

    fn bridge_address(&self, cell: &Cell) -> Option<Ipv4Addr> {
        let bridge = self.house.networks.find(BRIDGE).ok()?;
        let is_own = |end: &&network::Endpoint| end.network.is_empty() || end.network == bridge.record.id;
        lock(&cell.live).as_ref()?.endpoints.iter().find(is_own).map(|end| end.address)
    }

    /// A container as an exec in it sees it: with the variables of its links.
    pub(crate) fn linked(&self, record: &Arc<Container>) -> Result<Arc<Container>> {
        let mut linked = record.clone();
        if !record.config.links.is_empty() {
            with_environment(Arc::make_mut(&mut linked), &self.links(record)?);
        }
        Ok(linked)
    }

    /// A container has started, at another address than before perhaps: those that link to it are told.
    pub(super) fn tell_linked(&self, id: Id) {
        if !self.house.has_links.load(Ordering::Acquire) {
            return;
        }
        let wanted = id.to_string();
        for cell in self.house.shelf.all() {
            let record = cell.record();
            let links = record.config.links.iter().any(|link| link.container == wanted);
            if links
                && lock(&cell.live).is_some()
                && let Err(e) = self.renew_hosts(&cell, &record)
            {
                tracing::warn!("cannot tell {} where {id} is now: {}", cell.id, base::chain(&e));
            }
        }
    }

    fn renew_hosts(&self, cell: &Cell, record: &Container) -> Result<()> {
        let path = self.house.roots.container(&cell.id).join(HOSTS);
        let io = |source| Error::Io { action: format!("write {}", path.display()), source };
        let text = text_of(&path).map_err(io)?;
        let names: Vec<&str> = record.config.links.iter().map(|link| link.alias.as_str()).collect();
        let is_link = |line: &str| line.split_whitespace().nth(1).is_some_and(|name| names.contains(&name));
        let mut kept: String =
            text.lines().filter(|line| !is_link(line)).fold(String::new(), |text, line| text + line + "\n");
        let standing = record.config.links.iter().filter_map(|link| self.link(record, link).ok());
        kept.push_str(&hosts_lines(&standing.collect::<Vec<_>>()));
        // Written in place: the container has this very file.
        std::fs::write(&path, kept).map_err(io)
    }

    /// Takes the link of a container called `alias` away.
    pub fn remove_link(&self, name: &str, alias: &str) -> Result<()> {
        let full = format!("{name}/{alias}");
        let cell = self.house.shelf.find(name).map_err(|_| Error::NoContainer(full.clone()))?;
        let _turn = lock(&cell.turn);
        let mut record = Container::clone(&cell.record());
        let before = record.config.links.len();
        record.config.links.retain(|link| link.alias != alias);
        if record.config.links.len() == before {
            return Err(Error::NoContainer(full));
        }
        self.house.change_record(&cell, |kept| kept.config.links.clone_from(&record.config.links))?;
        if lock(&cell.live).is_some() {
            self.renew_hosts(&cell, &record)?;
        }
        Ok(())
    }
}

/// The container writes to this file as it likes: what is too long, or no text, is not read.
fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MOST_HOSTS + 1).read_to_string(&mut text)?;
    match read as u64 > MOST_HOSTS {
        true => Err(std::io::ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

/// Puts the names into the file `hosts` in `files`.
pub(super) fn add_hosts(files: &Path, links: &[Standing]) -> Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let path = files.join(HOSTS);
    let added = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, hosts_lines(links).as_bytes()));
    added.map_err(|source| Error::Io { action: format!("write {}", path.display()), source })
}

/// Lines of /etc/hosts: the alias, the other's host name, and its name.
fn hosts_lines(links: &[Standing]) -> String {
    let mut text = String::new();
    for standing in links {
        let (alias, child) = (&standing.link.alias, &standing.child);
        let _ = write!(text, "{}\t{alias} {}", standing.address, container::spec::hostname(child));
        let _ = if *alias == child.name { writeln!(text) } else { writeln!(text, " {}", child.name) };
    }
    text
}

/// The variables of all links, below those that the container sets itself (moby, daemon/links).
pub(super) fn with_environment(record: &mut Container, links: &[Standing]) {
    let mut env: Vec<String> = links.iter().flat_map(|standing| environment(&record.name, standing)).collect();
    env.append(&mut record.config.env);
    record.config.env = env;
}

fn environment(parent: &str, standing: &Standing) -> Vec<String> {
    let (address, config) = (standing.address, &standing.child.config);
    let alias = standing.link.alias.to_uppercase().replace('-', "_");
    let mut ports: Vec<PortProtocol> = config.exposed_ports.iter().copied().collect();
    ports.sort_by_key(|port| (port.protocol, port.port));
    let url = |port: &PortProtocol| format!("{}://{address}:{}", word(port.protocol), port.port);
    let prefix = |port: &PortProtocol| format!("{alias}_PORT_{}_{}", port.port, word(port.protocol).to_uppercase());
    let mut env: Vec<String> = ports.first().map(|port| format!("{alias}_PORT={}", url(port))).into_iter().collect();
    for port in &ports {
        let name = prefix(port);
        env.push(format!("{name}={}", url(port)));
        env.push(format!("{name}_ADDR={address}"));
        env.push(format!("{name}_PORT={}", port.port));
        env.push(format!("{name}_PROTO={}", word(port.protocol)));
    }
    for range in ports.chunk_by(|one, next| one.protocol == next.protocol && one.port.checked_add(1) == Some(next.port))
    {
        if let [first, .., last] = range {
            let name = prefix(first);
            env.push(format!("{name}_START={}", url(first)));
            env.push(format!("{name}_PORT_START={}", first.port));
            env.push(format!("{name}_END={}", url(last)));
            env.push(format!("{name}_PORT_END={}", last.port));
        }
    }
    env.push(format!("{alias}_NAME=/{parent}/{}", standing.link.alias));
    let theirs = config.env.iter().filter_map(|entry| entry.split_once('='));
    let theirs = theirs.filter(|(name, _)| !matches!(*name, "HOME" | "PATH"));
    env.extend(theirs.map(|(name, value)| format!("{alias}_ENV_{name}={value}")));
    env
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

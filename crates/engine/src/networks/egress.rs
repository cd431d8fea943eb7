//! Egress policies of containers: what was asked for becomes rules before the first process, is changed while it runs, and is told.

use crate::shelf::Cell;
use crate::streams::lock;
use crate::system::House;
use crate::{Engine, Error, Result};
use base::Id;
use container::{Container, EgressDefault, EgressRequest, NetworkMode, Status};
use dns::{Gate, Gatekeeper};
use network::egress::{FirstTime, LONGEST_ANSWER, Usage, shown};
use network::{Egress, Endpoint, Heading, Log, Network, Policy, Stance};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Labels of a container and options of a network that say the same as the flags.
const DEFAULT: &str = "dhow.egress";
const ALLOW: &str = "dhow.egress.allow";
const DENY: &str = "dhow.egress.deny";
const LEARN: &str = "dhow.egress.learn";

/// The event of a place that a container was not let to, the first time in a day.
const DENIED: &str = "egress_denied";
/// In the container's folder: what its last run tried and used.
const RECORD: &str = "egress.json";

/// A container's policy, and what it did under it.
#[derive(Debug, Clone, Default)]
pub struct EgressView {
    /// `None`: it has none.
    pub policy: Option<EgressRequest>,
    /// Of this run; while it does not run, of the last one.
    pub usage: Usage,
}

/// What labels or options ask for, if anything.
pub fn egress_of(words: &BTreeMap<String, String>) -> Result<Option<EgressRequest>> {
    let default = match words.get(DEFAULT).map(String::as_str) {
        None | Some("") => None,
        Some("deny") => Some(EgressDefault::Deny),
        Some("allow") => Some(EgressDefault::Allow),
        Some(other) => return Err(Error::Invalid(format!("invalid {DEFAULT} {other:?}: deny or allow"))),
    };
    let learn = match words.get(LEARN).map(String::as_str) {
        None | Some("" | "false" | "0") => false,
        Some("true" | "1") => true,
        Some(other) => return Err(Error::Invalid(format!("invalid {LEARN} {other:?}: true or false"))),
    };
    let list = |key| words.get(key).filter(|text| !text.is_empty()).cloned().into_iter().collect();
    let request = EgressRequest { default, allow: list(ALLOW), deny: list(DENY), learn };
    check_egress(&request)?;
    Ok(Some(request).filter(|request| *request != EgressRequest::default()))
}

/// Refuses lists that are none.
pub fn check_egress(request: &EgressRequest) -> Result<()> {
    read(request).map(drop)
}

fn read(request: &EgressRequest) -> Result<Policy> {
    let stance = match request.default {
        Some(EgressDefault::Deny) => Stance::Deny,
        Some(EgressDefault::Allow) => Stance::Allow,
        None if request.allow.is_empty() => Stance::Allow,
        None => Stance::Deny,
    };
    Policy::read(stance, &request.allow, &request.deny, request.learn).map_err(|e| Error::Invalid(e.to_string()))
}

impl Engine {
    /// What a container with these ends is asked to keep to: its own policy, or that of its networks together.
    fn policy(&self, record: &Container, ends: &[Endpoint]) -> Result<Option<Policy>> {
        if let Some(own) = &record.config.egress {
            return read(own).map(Some);
        }
        let mut all: Option<Policy> = None;
        for end in ends {
            let Some(entry) = self.house.networks.of(end) else { continue };
            let Some(request) = egress_of(&entry.record.options)? else { continue };
            let policy = read(&request)?;
            all = Some(match all {
                None => policy,
                Some(other) => other.and(&policy),
            });
        }
        Ok(all)
    }

    /// The policy of a container with these ends stands when this returns.
    pub(crate) fn police(&self, record: &Container, ends: &[Endpoint]) -> Result<()> {
        let egress = &self.house.networks.egress;
        let id = record.id.to_string();
        let policy = self.policy(record, ends)?.filter(|policy| !policy.is_plain());
        // Where there is no end there is nothing to be reached.
        let Some(policy) = policy.filter(|_| !ends.is_empty()) else {
            return egress.leave(&id).map(drop).map_err(Into::into);
        };
        let free = ends.iter().find(|end| end.host_link.is_empty());
        if let Some(entry) = free.and_then(|end| self.house.networks.of(end)) {
            return Err(Error::Invalid(format!(
                "an egress policy cannot be kept on the network {}: its driver {} leads past this machine's rules (use a bridge network)",
                entry.record.name, entry.record.driver
            )));
        }
        egress.enter(&id, ends, policy)?;
        self.hear_refusals();
        Ok(())
    }

    /// Others may be in the network namespace of a container that has ended (`--network container:`): they lose the link before
    /// the policy that they had with it.
    pub(super) fn cut_policed(&self, container: &Id, ends: &[Endpoint]) {
        if !self.house.networks.egress.has(&container.to_string()) {
            return;
        }
        for end in ends {
            let driver = self.house.networks.of(end).and_then(|entry| entry.driver.clone());
            if let Some(driver) = driver
                && let Err(e) = driver.cut(end)
            {
                tracing::warn!("cannot remove the link of {container}: {}", base::chain(&e));
            }
        }
    }

    /// The container has left its networks: what it did is kept with it.
    pub(super) fn unpolice(&self, container: &Id) {
        let left = self.house.networks.egress.leave(&container.to_string());
        match left {
            Ok(Some(usage)) => self.keep_usage(container, &usage),
            Ok(None) => {}
            Err(e) => tracing::warn!("cannot remove the egress rules of {container}: {}", base::chain(&e)),
        }
    }

    fn keep_usage(&self, container: &Id, usage: &Usage) {
        let path = self.house.roots.container(container).join(RECORD);
        let written = serde_json::to_vec(usage)
            .map_err(std::io::Error::from)
            .and_then(|bytes| base::atomic::write(&path, &bytes, 0o600, base::atomic::Durability::Process));
        if let Err(e) = written {
            tracing::warn!("cannot write {}: {e}", path.display());
        }
    }

    /// Whether a container with these ends has a policy.
    pub(super) fn is_policed(&self, ends: &[Endpoint]) -> bool {
        self.house.networks.egress.owner(ends).is_some()
    }

    /// Who judges the questions of a container with these ends.
    pub(super) fn gate(&self, ends: &[Endpoint]) -> Option<Gatekeeper> {
        let container = self.house.networks.egress.owner(ends)?;
        let (egress, house) = (self.house.networks.egress.clone(), Arc::downgrade(&self.house));
        Some(Gatekeeper(Arc::new(Judge { container, egress, house })))
    }

    /// All containers of the earlier engine are known: the rules are theirs from here on.
    pub(crate) fn settle_egress(&self) {
        if let Err(e) = self.house.networks.egress.settle() {
            tracing::error!("cannot set the egress rules: {}", base::chain(&e));
        }
    }

    /// Other lists for a container, at once when it runs. What it is connected to goes on as far as they let it.
    pub fn change_egress(&self, name: &str, change: impl FnOnce(EgressRequest) -> EgressRequest) -> Result<()> {
        let cell = self.house.shelf.find(name)?;
        let _turn = lock(&cell.turn);
        if matches!(cell.status(), Status::Removing | Status::Dead) {
            return Err(Error::Removing(cell.name()));
        }
        let mut record = Container::clone(&cell.record());
        let request = change(record.config.egress.take().unwrap_or_default());
        check_egress(&request)?;
        check_mode(&record.config.network)?;
        record.config.egress = Some(request);
        if lock(&cell.live).is_some() {
            self.police_anew(&cell, &record)?;
        }
        self.house.change_record(&cell, |kept| kept.config.egress.clone_from(&record.config.egress))?;
        self.house.tell(&cell, "update", &[]);
        Ok(())
    }

    /// What a container may reach, and what it tried.
    pub fn egress(&self, name: &str) -> Result<EgressView> {
        let cell = self.house.shelf.find(name)?;
        let record = cell.record();
        let ends = lock(&cell.live).as_ref().map(|live| live.endpoints.clone());
        let usage = match &ends {
            Some(_) => self.house.networks.egress.usage(&cell.id.to_string())?.unwrap_or_default(),
            None => self.kept_usage(&cell),
        };
        let of_networks = || {
            let entry = |end: &Endpoint| egress_of(&self.house.networks.of(end)?.record.options).ok()?;
            ends.iter().flatten().find_map(entry)
        };
        Ok(EgressView { policy: record.config.egress.clone().or_else(of_networks), usage })
    }

    fn police_anew(&self, cell: &Arc<Cell>, record: &Container) -> Result<()> {
        let ends = lock(&cell.live).as_ref().map(|live| live.endpoints.clone()).unwrap_or_default();
        self.police(record, &ends)?;
        self.settle_names_of(cell, record, &ends)
    }

    fn kept_usage(&self, cell: &Cell) -> Usage {
        let path = self.house.roots.container(&cell.id).join(RECORD);
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// How often each container with a policy was refused something.
    pub fn egress_refusals(&self) -> Vec<(Arc<Container>, u64)> {
        let count = |cell: &Arc<Cell>| {
            let id = cell.id.to_string();
            let egress = &self.house.networks.egress;
            let usage = if egress.has(&id) { egress.usage(&id).ok()?? } else { return None };
            Some((cell.record(), usage.refusals()))
        };
        self.house.shelf.all().iter().filter_map(count).collect()
    }

    /// From the first policy on a thread listens for what is refused; it sleeps while nothing is.
    fn hear_refusals(&self) {
        let networks = &self.house.networks;
        if networks.hears_refusals.swap(true, Ordering::AcqRel) {
            return;
        }
        let log = match Log::open(networks.egress.log_group()) {
            Ok(log) => log,
            Err(e) => {
                tracing::warn!("refused packets are counted, but no events are told of them: {}", base::chain(&e));
                return;
            }
        };
        let house = Arc::downgrade(&self.house);
        let follow = move || {
            while let Some(packets) = log.wait() {
                let Some(house) = house.upgrade() else { return };
                packets.iter().for_each(|packet| tell_refusal(&house, packet));
            }
        };
        let thread = std::thread::Builder::new().name("egress".into()).stack_size(512 << 10);
        if let Err(e) = thread.spawn(follow) {
            tracing::warn!("cannot start the thread that tells of refused packets: {e}");
        }
    }
}

/// A policy belongs to who has the network.
pub fn check_mode(mode: &NetworkMode) -> Result<()> {
    let why = match mode {
        NetworkMode::Host => "the host's network cannot be given an egress policy: use a bridge network",
        NetworkMode::Container(_) => {
            "the network of another container has that one's egress policy: give it to that container"
        }
        NetworkMode::Bridge | NetworkMode::None | NetworkMode::User(_) => return Ok(()),
    };
    Err(Error::Invalid(why.into()))
}

/// Refuses options of a network that are none.
pub(super) fn check_network(record: &Network) -> Result<()> {
    match egress_of(&record.options)? {
        Some(_) if record.driver != "bridge" => Err(Error::Invalid(format!(
            "an egress policy cannot be kept on a network of the driver {}: use a bridge network",
            record.driver
        ))),
        _ => Ok(()),
    }
}

fn tell_refusal(house: &House, packet: &Heading) {
    let Some((container, name)) = house.networks.egress.whose(packet.source, packet.destination) else { return };
    let protocol = match packet.protocol {
        1 | 58 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    };
    let mut words = vec![("destination", packet.destination.to_string()), ("protocol", protocol)];
    words.extend((packet.port > 0).then(|| ("port", packet.port.to_string())));
    words.extend(name.map(|name| ("destinationName", name)));
    tell(house, &container, &words);
}

fn tell(house: &House, container: &str, words: &[(&str, String)]) {
    let shown: Vec<String> = words.iter().map(|(key, value)| format!("{key}={value}")).collect();
    tracing::info!("egress of {container} denied: {}", shown.join(" "));
    if let Some(cell) = container.parse::<Id>().ok().and_then(|id| house.shelf.get(&id)) {
        house.tell(&cell, DENIED, words);
    }
}

/// The gate of one container's questions.
#[derive(Debug)]
struct Judge {
    container: String,
    egress: Arc<Egress>,
    house: Weak<House>,
}

impl Gate for Judge {
    fn admits(&self, name: &str) -> bool {
        let judged = self.egress.admits(&self.container, name);
        if judged == Err(FirstTime(true))
            && let Some(house) = self.house.upgrade()
        {
            tell(&house, &self.container, &[("destinationName", shown(name))]);
        }
        judged.is_ok()
    }

    fn admits_address(&self, address: IpAddr) -> bool {
        self.egress.knows(&self.container, address)
    }

    fn opens(&self, name: &str, found: &[(IpAddr, Duration)]) -> Vec<IpAddr> {
        let opened = self.egress.pin(&self.container, name, found).unwrap_or_else(|e| {
            tracing::error!("cannot open what {name} leads to for {}: {}", self.container, base::chain(&e));
            Vec::new()
        });
        let closed = found.iter().map(|(address, _)| address).filter(|address| !opened.contains(address));
        for address in closed {
            if let Some(house) = self.house.upgrade()
                && self.egress.may_tell(&self.container)
            {
                let words = [("destination", address.to_string()), ("destinationName", shown(name))];
                tell(&house, &self.container, &words);
            }
        }
        opened
    }

    fn longest(&self) -> Duration {
        LONGEST_ANSWER
    }
}

/// A container that does not run for a moment, while its networks are changed.
#[derive(Debug)]
pub(super) struct Still(crate::groups::Group);

impl Drop for Still {
    fn drop(&mut self) {
        if let Err(e) = self.0.thaw() {
            tracing::error!("cannot let a container go on: {}", base::chain(&e));
        }
    }
}

impl Engine {
    /// A further end is there before its rules are: until then nobody in the container sends by it.
    pub(super) fn hold_still(&self, cell: &Cell, record: &Container, entry: &super::Entry) -> Result<Option<Still>> {
        let has = self.house.networks.egress.has(&cell.id.to_string());
        let is_meant = has || record.config.egress.is_some() || egress_of(&entry.record.options)?.is_some();
        if !is_meant || cell.status() != Status::Running {
            return Ok(None);
        }
        let Some(group) = lock(&cell.live).as_ref().map(|live| live.group.clone()) else { return Ok(None) };
        if let Err(e) = group.freeze() {
            // Without a group of its own nothing can be held.
            let why = base::chain(&e);
            tracing::warn!(
                "{} is not held still while its network is connected, before its policy is there: {why}",
                cell.id
            );
            return Ok(None);
        }
        Ok(Some(Still(group)))
    }
}

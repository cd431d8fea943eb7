//! `GET /containers/json`: rows, and which containers are shown.

use super::{Typed, inspect, network, state};
use crate::filters::Filters;
use crate::status::Refusal;
use crate::{times, translate};
use api::types::{ContainerSummary, MountPoint, SummaryHostConfig, SummaryNetworks};
use base::Digest;
use container::{PortProtocol, Status};
use engine::{Sizes, Snapshot};
use std::collections::BTreeSet;

/// Filters that can be asked (moby, daemon/list.go).
pub const FILTERS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// What can be asked of `health`.
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// `SizeRw` and `SizeRootFs`.
pub fn sizes(sizes: Sizes) -> (Option<i64>, Option<i64>) {
    (i64::try_from(sizes.own).ok(), i64::try_from(sizes.root).ok())
}

/// One row.
pub fn of(snapshot: &Snapshot, now: i64) -> ContainerSummary {
    let record = &snapshot.container;
    let typed = Typed::for_row(&record.config);
    let network_mode = match typed.host.network_mode.as_str() {
        "" | "default" => "bridge".to_owned(),
        other => other.to_owned(),
    };
    ContainerSummary {
        id: record.id.to_string(),
        names: vec![format!("/{}", snapshot.name)],
        image: snapshot.image.clone(),
        image_id: record.image_id.to_string(),
        command: command_line(&inspect::command(&record.config)),
        created: record.created_at / 1_000_000_000,
        ports: network::port_list(snapshot),
        labels: record.config.labels.clone(),
        state: state::word(snapshot.state.status).to_owned(),
        status: state::sentence(&snapshot.state, now),
        host_config: SummaryHostConfig { network_mode, annotations: typed.host.annotations.clone() },
        network_settings: SummaryNetworks { networks: network::endpoints(snapshot) },
        mounts: inspect::mounts(record, &typed),
        ..ContainerSummary::default()
    }
}

/// The command as one text; arguments with a space in quotes.
fn command_line(words: &[String]) -> String {
    let mut words = words.iter();
    let Some(program) = words.next() else { return String::new() };
    let quoted = words.map(|word| if word.contains(' ') { format!("'{word}'") } else { word.clone() });
    std::iter::once(program.clone()).chain(quoted).collect::<Vec<_>>().join(" ")
}

/// Which containers are asked for.
#[derive(Debug)]
pub struct Wanted {
    pub all: bool,
    /// 0 is no limit.
    pub limit: usize,
    pub filters: Filters,
    /// Those that the filter `ancestor` names, and those that were made from them.
    pub images: BTreeSet<Digest>,
}

impl Wanted {
    /// The containers that are asked for, of `all` (the newest first).
    pub fn choose(&self, all: Vec<Snapshot>) -> Result<Vec<Snapshot>, Refusal> {
        self.check()?;
        let before = self.position("before", &all)?;
        let since = self.position("since", &all)?;
        let every = self.all || self.limit > 0 || self.filters.has("status") || self.filters.has("exited");
        let mut chosen = Vec::new();
        for (at, snapshot) in all.into_iter().enumerate() {
            let between = before.is_none_or(|b| at > b) && since.is_none_or(|s| at < s);
            let shown = every || before.is_some() || since.is_some() || is_up(snapshot.state.status);
            if between && shown && self.matches(&snapshot)? {
                chosen.push(snapshot);
            }
            if self.limit > 0 && chosen.len() == self.limit {
                break;
            }
        }
        Ok(chosen)
    }

    fn check(&self) -> Result<(), Refusal> {
        self.filters.flag("is-task")?;
        self.asked_ports("publish")?;
        self.asked_ports("expose")?;
        for status in self.filters.get("status") {
            if !STATUSES.contains(&status.as_str()) {
                return Err(Refusal::invalid(format!(
                    "invalid filter 'status={status}': invalid value for state ({status}): must be one of {}",
                    STATUSES.join(", ")
                )));
            }
        }
        for health in self.filters.get("health") {
            if !HEALTHS.contains(&health.as_str()) {
                return Err(Refusal::invalid(format!(
                    "invalid filter 'health={health}': invalid value for health ({health}): must be one of {}",
                    HEALTHS.join(", ")
                )));
            }
        }
        for code in self.filters.get("exited") {
            if code.parse::<i32>().is_err() {
                return Err(Refusal::invalid(format!(
                    "invalid filter 'exited={code}': strconv.Atoi: parsing {code:?}: invalid syntax"
                )));
            }
        }
        Ok(())
    }

    /// Where the container of a `before` or `since` filter stands.
    fn position(&self, key: &str, all: &[Snapshot]) -> Result<Option<usize>, Refusal> {
        let Some(name) = self.filters.get(key).first() else { return Ok(None) };
        let found = all.iter().position(|c| is_named(c, name));
        found.map(Some).ok_or_else(|| Refusal::not_found(format!("No such container: {name}")))
    }

    fn matches(&self, snapshot: &Snapshot) -> Result<bool, Refusal> {
        let filters = &self.filters;
        let record = &snapshot.container;
        let status = state::word(snapshot.state.status);
        let exited = filters.get("exited");
        let has_exited = exited.is_empty()
            || (snapshot.state.status == Status::Exited
                && exited.iter().any(|code| code.parse() == Ok(snapshot.state.exit_code)));
        let slashed = format!("/{}", snapshot.name);
        Ok(filters.prefix("id", &record.id.to_string())
            && (filters.pattern("name", &slashed) || filters.pattern("name", &snapshot.name))
            && filters.labels("label", &record.config.labels)
            && filters.exact("status", status)
            && has_exited
            && filters.exact("health", state::health_word(&snapshot.state))
            && !filters.flag("is-task")?.unwrap_or(false)
            && self.stands_on(snapshot)
            && self.has_network(snapshot)
            && self.has_volume(snapshot)
            && self.has_ports(snapshot)?)
    }

    fn stands_on(&self, snapshot: &Snapshot) -> bool {
        !self.filters.has("ancestor") || self.images.contains(&snapshot.container.image_id)
    }

    /// By its id a network is found only in those that were ever on it.
    fn has_network(&self, snapshot: &Snapshot) -> bool {
        let asked = self.filters.get("network");
        let ends = network::endpoints(snapshot);
        asked.is_empty() || ends.iter().any(|(name, end)| asked.iter().any(|a| a == name || *a == end.network_id))
    }

    fn has_volume(&self, snapshot: &Snapshot) -> bool {
        let asked = self.filters.get("volume");
        let mounts = inspect::mounts(&snapshot.container, &Typed::default());
        let is = |mount: &MountPoint, text: &String| {
            mount.name == *text || mount.source == *text || mount.destination == *text
        };
        asked.is_empty() || mounts.iter().any(|mount| asked.iter().any(|text| is(mount, text)))
    }

    /// `publish=` and `expose=`: one port of either is enough, as in Docker.
    fn has_ports(&self, snapshot: &Snapshot) -> Result<bool, Refusal> {
        let (published, exposed) = (self.asked_ports("publish")?, self.asked_ports("expose")?);
        if !self.filters.has("publish") && !self.filters.has("expose") {
            return Ok(true);
        }
        let is_asked = |asked: &[PortProtocol], number: u16, kind: &str| {
            asked.iter().any(|port| port.port == number && network::port_text(*port).ends_with(&format!("/{kind}")))
        };
        Ok(network::port_list(snapshot).iter().any(|port| {
            port.public_port.is_some_and(|public| is_asked(&published, public, &port.kind))
                || is_asked(&exposed, port.private_port, &port.kind)
        }))
    }

    /// Ports and ranges of ports.
    fn asked_ports(&self, key: &str) -> Result<Vec<PortProtocol>, Refusal> {
        let mut ports = Vec::new();
        for text in self.filters.get(key) {
            if text.contains(':') {
                return Err(Refusal::invalid(format!("filter for '{key}' should not contain ':': {text}")));
            }
            ports.extend(translate::port_range(text).map_err(|_| {
                let number = text.split('/').next().unwrap_or(text);
                Refusal::invalid(format!(
                    "error while looking up for {key} {text}: strconv.ParseUint: parsing {number:?}: invalid syntax"
                ))
            })?);
        }
        Ok(ports)
    }
}

const STATUSES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/// Whether it is shown to those who ask for what runs.
pub fn is_up(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused | Status::Restarting)
}

fn is_named(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.name == name.trim_start_matches('/') || snapshot.container.id.to_string().starts_with(name)
}

/// The time that rows are told against.
pub fn now() -> i64 {
    times::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_as_docker_ps_does() {
        let line = |words: &[&str]| command_line(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["sh", "-c", "echo hello"]), "sh -c 'echo hello'");
        assert_eq!(line(&["true"]), "true");
        assert_eq!(line(&[]), "");
    }
}

//! `GET /containers/json`: rows, and which containers are shown.

use super::{Typed, inspect, network, state};
use crate::filters::Filters;
use crate::status::Refusal;
use crate::words;
use crate::{times, translate};
use api::types::{ContainerSummary, MountPoint, SummaryHostConfig, SummaryNetworks};
use container::Status;
use engine::{Sizes, Snapshot};

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

/// `SizeRw` and `SizeRootFs`.
pub fn sizes(sizes: Sizes) -> (Option<i64>, Option<i64>) {
    (i64::try_from(sizes.own).ok(), i64::try_from(sizes.root).ok())
}

/// One row.
pub fn of(snapshot: &Snapshot, identity: &str, now: i64) -> ContainerSummary {
    let record = &snapshot.container;
    let typed = Typed::of(&record.config);
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
        network_settings: SummaryNetworks { networks: network::endpoints(snapshot, identity) },
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
        for status in self.filters.get("status") {
            if !STATUSES.contains(&status.as_str()) {
                return Err(Refusal::invalid(format!(
                    "invalid filter 'status={status}': invalid value for state ({status}): must be one of {}",
                    STATUSES.join(", ")
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
            && (!filters.has("health") || filters.exact("health", "none"))
            && !filters.flag("is-task")?.unwrap_or(false)
            && self.stands_on(snapshot)
            && self.has_network(snapshot)
            && self.has_volume(snapshot)
            && self.has_ports(snapshot)?)
    }

    /// `ancestor=`: the image by name or id. Images are kept whole here: none stands on another.
    fn stands_on(&self, snapshot: &Snapshot) -> bool {
        let asked = self.filters.get("ancestor");
        let id = snapshot.container.image_id.to_string();
        let short = words::short(&id);
        let image = words::familiar(&snapshot.image);
        asked.is_empty()
            || asked.iter().any(|name| {
                words::familiar(name) == image
                    || *name == id
                    || (name.len() >= 4 && short.starts_with(words::short(name)))
            })
    }

    fn has_network(&self, snapshot: &Snapshot) -> bool {
        let name = network::name(&snapshot.container.config.network);
        self.filters.exact("network", name)
    }

    fn has_volume(&self, snapshot: &Snapshot) -> bool {
        let asked = self.filters.get("volume");
        let mounts = inspect::mounts(&snapshot.container, &Typed::default());
        let is = |mount: &MountPoint, text: &String| {
            mount.name == *text || mount.source == *text || mount.destination == *text
        };
        asked.is_empty() || mounts.iter().any(|mount| asked.iter().any(|text| is(mount, text)))
    }

    fn has_ports(&self, snapshot: &Snapshot) -> Result<bool, Refusal> {
        let exposed = &snapshot.container.config.exposed_ports;
        let ports = network::port_list(snapshot);
        let published: Vec<String> =
            ports.iter().filter_map(|p| p.public_port.map(|port| format!("{port}/{}", p.kind))).collect();
        let mut fits = true;
        for (key, is_publish) in [("expose", false), ("publish", true)] {
            let mut found = !self.filters.has(key);
            for text in self.filters.get(key) {
                let port = translate::port_protocol(text)?;
                found |=
                    if is_publish { published.contains(&network::port_text(port)) } else { exposed.contains(&port) };
            }
            fits &= found;
        }
        Ok(fits)
    }
}

const STATUSES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

fn is_up(status: Status) -> bool {
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

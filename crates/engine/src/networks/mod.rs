//! Networks: the three that are always there and those that people make; who is on them.
//!
//! - `create`, `remove`, `prune`: a network's life; `plan`: what is asked for becomes a record, and a record a driver.
//! - `egress`: what containers may reach outside.
//! - `ends`: a container's ends while it starts, runs and ends; `connect`: changing them meanwhile.
//! - `republish`: other published ports for a container.
//! - `relay`: IPv6 to published ports of containers that have IPv4 only.
//! - `watch`: rules that other programs took away are put back.
//! - `names`: what the name server of containers is told.

mod connect;
mod create;
mod egress;
mod ends;
mod explain;
mod manners;
mod names;
mod plan;
mod prune;
pub(crate) mod relay;
mod remove;
mod republish;
mod show;
mod watch;

pub(crate) use connect::network_namespace;
pub use create::{NetworkRequest, SubnetRequest};
pub use egress::{EgressView, check_egress, check_mode as check_egress_mode, egress_of};
pub(crate) use ends::is_plain_bridge;
pub use explain::PortView;
pub use republish::{Republishing, Unpublish};
pub use show::{Attached, Member, NetworkView};

use crate::events::{Event, EventKind, now};
use crate::streams::lock;
use crate::{Engine, Error, Result};
use base::Id;
use network::{Driver, Endpoint, Ground, Network, Store};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Names of the networks that are always there, and their drivers.
pub(crate) const BRIDGE: &str = "bridge";
pub(crate) const HOST: &str = "host";
pub(crate) const NONE: &str = "none";
const BUILT_IN: [(&str, &str); 3] = [(BRIDGE, "bridge"), (HOST, "host"), (NONE, "null")];

/// All networks of the engine.
#[derive(Debug)]
pub(crate) struct Networks {
    store: Store,
    ground: Arc<Ground>,
    all: RwLock<BTreeMap<String, Arc<Entry>>>,
    /// How often `all` has changed.
    changes: AtomicU64,
    /// Held while a network is made: names and subnets are chosen one at a time.
    making: Mutex<()>,
    pub(crate) egress: Arc<network::Egress>,
    /// Whether a thread listens to what egress policies refuse.
    pub(crate) hears_refusals: AtomicBool,
}

/// One network.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Network,
    /// `None`: `host` and `none`, and what could not be brought up again.
    pub(crate) driver: Option<Driver>,
    presence: Mutex<Presence>,
}

/// Who is on a network.
#[derive(Debug, Default)]
struct Presence {
    gone: bool,
    /// By container; without an endpoint while it is being put on, and on networks that have none.
    ends: BTreeMap<Id, Option<Endpoint>>,
}

impl Entry {
    fn new(record: Network, driver: Option<Driver>) -> Arc<Entry> {
        Arc::new(Entry { record, driver, presence: Mutex::default() })
    }

    pub(crate) fn is_built_in(&self) -> bool {
        is_built_in(&self.record.name)
    }

    /// A container comes: from here on the network cannot be removed.
    fn enter(&self, container: Id) -> Result<()> {
        let mut presence = lock(&self.presence);
        if presence.gone {
            return Err(Error::NoNetwork(self.record.name.clone()));
        }
        presence.ends.entry(container).or_insert(None);
        Ok(())
    }

    fn settle(&self, container: Id, endpoint: &Endpoint) {
        lock(&self.presence).ends.insert(container, Some(endpoint.clone()));
    }

    fn exit(&self, container: &Id) {
        lock(&self.presence).ends.remove(container);
    }

    fn ends(&self) -> BTreeMap<Id, Option<Endpoint>> {
        lock(&self.presence).ends.clone()
    }
}

pub(crate) fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(built_in, _)| *built_in == name)
}

impl Networks {
    /// Reads the records and brings the networks up again; `ends` are those still in use.
    pub(crate) fn open(store: Store, ground: Arc<Ground>, own: Driver, ends: &[Endpoint]) -> Result<Networks> {
        let mut all = BTreeMap::new();
        let mut records = store.all()?;
        for (name, driver) in BUILT_IN {
            if !records.iter().any(|record| record.name == name) {
                let record = plan::built_in(name, driver);
                store.save(&record)?;
                records.push(record);
            }
        }
        for record in records {
            let driver = match record.name.as_str() {
                BRIDGE => Some(own.clone()),
                HOST | NONE => None,
                _ => plan::raise_again(&ground, &record, ends),
            };
            all.insert(record.id.clone(), Entry::new(record, driver));
        }
        let egress = Arc::new(network::Egress::new(ground.table()));
        Ok(Networks {
            store,
            ground,
            all: RwLock::new(all),
            changes: AtomicU64::new(0),
            making: Mutex::new(()),
            egress,
            hears_refusals: AtomicBool::new(false),
        })
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.those(|_| true)
    }

    /// Those that a container is on, the oldest first.
    fn of_container(&self, container: &Id) -> Vec<Arc<Entry>> {
        self.those(|entry| lock(&entry.presence).ends.contains_key(container))
    }

    fn those(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Arc<Entry>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Entry>> = all.values().filter(|entry| wanted(entry)).cloned().collect();
        all.sort_by(|a, b| (a.record.created_at, &a.record.name).cmp(&(b.record.created_at, &b.record.name)));
        all
    }

    /// How often networks have come and gone: told after each time.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// By id, name, or unique id prefix: in this order, as Docker does.
    pub(crate) fn find(&self, text: &str) -> Result<Arc<Entry>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get(text).or_else(|| all.values().find(|entry| entry.record.name == text)) {
            return Ok(entry.clone());
        }
        if text.is_empty() {
            return Err(Error::NoNetwork(text.to_owned()));
        }
        let matching: Vec<_> = all.values().filter(|entry| entry.record.id.starts_with(text)).collect();
        match matching.as_slice() {
            [entry] => Ok((*entry).clone()),
            [] => Err(Error::NoNetwork(text.to_owned())),
            many => Err(Error::Invalid(format!(
                "network {text} is ambiguous ({} matches found based on ID prefix)",
                many.len()
            ))),
        }
    }

    /// The network of an endpoint; an empty id is the engine's own bridge.
    pub(crate) fn of(&self, endpoint: &Endpoint) -> Option<Arc<Entry>> {
        let id = if endpoint.network.is_empty() { BRIDGE } else { &endpoint.network };
        self.find(id).ok()
    }

    /// Takes all of them off the host; their records stay.
    pub(crate) fn down(&self) {
        for entry in self.all() {
            if let Some(driver) = &entry.driver
                && let Err(e) = driver.down()
            {
                tracing::warn!("cannot take the network {} down: {}", entry.record.name, base::chain(&e));
            }
        }
    }
}

impl Engine {
    /// Tells an event about a network; `container` for those who come and go.
    pub(crate) fn tell_network(&self, entry: &Entry, action: &str, container: Option<&Id>) {
        let record = &entry.record;
        let mut attributes =
            BTreeMap::from([("name".to_owned(), record.name.clone()), ("type".to_owned(), record.driver.clone())]);
        attributes.extend(container.map(|id| ("container".to_owned(), id.to_string())));
        let (kind, actor) = (EventKind::Network, record.id.clone());
        self.house.events.tell(Event { kind, action: action.into(), actor, attributes, at: now() });
    }
}

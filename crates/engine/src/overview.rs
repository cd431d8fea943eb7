//! All containers at once, for who watches the engine; and what is told of the engine itself.

use crate::events::{Event, EventKind, now};
use crate::sampler::{Look, Machine, look};
use crate::streams::lock;
use crate::{Engine, StopRequest};
use container::{Container, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A container as it is seen among many.
#[derive(Debug, Clone)]
pub struct Seen {
    pub container: Arc<Container>,
    pub status: Status,
    /// Nanoseconds since the epoch; 0: never.
    pub started_at: i64,
    /// By its restart policy.
    pub restarts: u32,
    /// `healthy` and so on; empty without a health check.
    pub health: String,
    /// While it runs.
    pub look: Option<Arc<Look>>,
    pub pressures: cgroup::Pressures,
}

/// After its own time a container that does not end is killed; this is how long that may take.
const GRACE: Duration = Duration::from_secs(5);
/// Seconds until SIGKILL, unless a container has its own.
const DEFAULT_TIMEOUT_S: i64 = 10;

fn pressures(cell: &crate::shelf::Cell) -> cgroup::Pressures {
    let group = lock(&cell.live).as_ref().map(|live| live.group.clone());
    group.and_then(|group| group.pressures().ok()).unwrap_or_default()
}

impl Engine {
    /// Every container, with a look at those that run. It reads some files for each of them.
    pub fn overview(&self) -> Vec<Seen> {
        let machine = Machine::now();
        let seen = |cell: &Arc<crate::shelf::Cell>| {
            let state = cell.state();
            Seen {
                container: cell.record(),
                status: state.status,
                started_at: state.started_at,
                restarts: state.restart_count,
                health: state.health.as_ref().map(|health| health.status.word().to_owned()).unwrap_or_default(),
                look: look(cell, machine),
                pressures: pressures(cell),
            }
        };
        self.house.shelf.all().iter().map(seen).collect()
    }

    /// Tells that the settings were read again.
    pub fn tell_reload(&self, mut attributes: BTreeMap<String, String>) {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        attributes.insert("name".into(), name);
        let (kind, actor) = (EventKind::Daemon, self.house.id.clone());
        self.house.events.tell(Event { kind, action: "reload".into(), actor, attributes, at: now() });
    }

    /// Those who watch events.
    pub fn event_watchers(&self) -> usize {
        self.house.events.watchers()
    }

    /// Stops every container, each in its own time, all in `seconds` (or what the slowest needs; negative: as long as it takes).
    /// What nobody but the engine stopped is started again by its restart policy, as after a crash of the machine.
    pub async fn stop_all(&self, seconds: i64) {
        let running = |cell: &Arc<crate::shelf::Cell>| lock(&cell.live).is_some();
        let cells: Vec<_> = self.house.shelf.all().into_iter().filter(running).collect();
        let slowest = cells.iter().map(|cell| cell.record().config.stop_timeout.unwrap_or(DEFAULT_TIMEOUT_S)).max();
        let mut all = tokio::task::JoinSet::new();
        for cell in cells {
            let engine = self.clone();
            all.spawn(async move {
                let by_user = cell.state().stopped_by_user;
                if let Err(e) = engine.stop(&cell.id.to_string(), StopRequest::default()).await {
                    tracing::warn!("cannot stop {}: {}", cell.id, base::chain(&e));
                }
                cell.change_silently(|state| state.stopped_by_user = by_user);
                engine.house.save(&cell);
            });
        }
        let limit = u64::try_from(seconds).ok().map(|seconds| {
            Duration::from_secs(seconds.max(slowest.and_then(|s| u64::try_from(s).ok()).unwrap_or(0))) + GRACE
        });
        let joined = async { while all.join_next().await.is_some() {} };
        let in_time = match limit {
            None => {
                joined.await;
                Ok(())
            }
            Some(limit) => tokio::time::timeout(limit, joined).await,
        };
        if in_time.is_err() {
            tracing::warn!("containers that do not stop in time go on");
        }
    }
}

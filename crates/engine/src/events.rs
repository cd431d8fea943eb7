//! What happened, for those who watch.

use crate::streams::lock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use tokio::sync::broadcast;

/// Events that are kept for those who ask later; Docker keeps as many.
const KEPT: usize = 256;

/// Events that a subscriber may be behind before it loses some.
const AHEAD: usize = 1024;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Container,
    Image,
    Network,
    Volume,
    Daemon,
    Builder,
}

/// One thing that happened: Docker's action names (`create`, `start`, `die`, `exec_create: sh`, ...).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub action: String,
    /// The id (of an image: its name) it is about.
    pub actor: String,
    /// `image`, `name`, the labels; `exitCode` of `die`; `signal` of `kill`.
    pub attributes: BTreeMap<String, String>,
    /// Nanoseconds since the epoch.
    pub at: i64,
}

/// Past events (the latest 256 are kept) and those to come. A subscriber that lags loses the oldest.
#[derive(Debug)]
pub struct Subscription {
    pub past: Vec<Event>,
    pub live: broadcast::Receiver<Event>,
}

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Events {
    past: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Events {
    pub(crate) fn new() -> Events {
        Events { past: Mutex::new(VecDeque::new()), live: broadcast::Sender::new(AHEAD) }
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut past = lock(&self.past);
        if past.len() == KEPT {
            past.pop_front();
        }
        past.push_back(event.clone());
        let _ = self.live.send(event);
    }

    pub(crate) fn watchers(&self) -> usize {
        self.live.receiver_count()
    }

    pub(crate) fn listeners(&self) -> usize {
        self.live.receiver_count()
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        let past = lock(&self.past);
        Subscription { past: past.iter().cloned().collect(), live: self.live.subscribe() }
    }
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

//! What happened, for those who watch.

use std::collections::BTreeMap;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Container,
    Image,
    Network,
    Volume,
    Daemon,
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
    pub live: tokio::sync::broadcast::Receiver<Event>,
}

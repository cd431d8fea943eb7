//! The engine itself: opened, asked about, closed.

use crate::events::Subscription;
use crate::{Result, Settings};
use std::sync::Arc;

/// A running engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) house: Arc<House>,
}

/// What an engine consists of.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) settings: Settings,
}

/// Numbers of containers by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
}

/// What `info` tells.
#[derive(Debug, Clone)]
pub struct Info {
    /// Lasts as long as the data root.
    pub id: String,
    pub counts: Counts,
    pub images: usize,
    pub kernel: String,
    pub operating_system: String,
    pub architecture: String,
    pub processors: usize,
    /// Bytes
    pub memory: u64,
    pub hostname: String,
    pub data_root: String,
    pub cgroup_version: cgroup::Version,
    pub keeper_pid: i32,
    pub bridge: String,
    pub gateway: std::net::Ipv4Addr,
}

impl Engine {
    /// Opens the roots, connects to the keeper and adopts what it holds. One engine a root: a second one is refused.
    pub fn open(settings: Settings) -> Result<Engine> {
        Ok(Engine { house: Arc::new(House { settings }) })
    }
    pub fn settings(&self) -> &Settings {
        &self.house.settings
    }
    pub fn info(&self) -> Info {
        todo!()
    }
    pub fn events(&self) -> Subscription {
        todo!()
    }
    /// Before the process ends: containers go on (their keeper stays); without any, bridge, table and keeper go.
    pub fn close(&self) {}
}

//! A container at one instant.

use super::start::{HOSTNAME, HOSTS, RESOLV};
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Result};
use base::{Digest, Id};
use container::{Container, State, Status};
use network::Endpoint;
use std::sync::Arc;

/// A container at one instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub container: Arc<Container>,
    pub name: String,
    pub state: State,
    /// Its places on networks, by the networks' names.
    pub networks: Vec<crate::networks::Attached>,
    /// What its image was asked as, or its id when that name points at another image by now.
    pub image: String,
    /// Its `json-file` log; empty with other drivers.
    pub log_path: String,
    pub execs: Vec<Id>,
    /// Files of the engine for it: hostname, hosts, resolv.conf.
    pub hostname_path: String,
    pub hosts_path: String,
    pub resolv_path: String,
    /// The writable folder of its root.
    pub upper_path: String,
}

impl Engine {
    /// By name (with or without the leading slash), id, or unique id prefix.
    pub fn inspect(&self, name: &str) -> Result<Snapshot> {
        Ok(self.find(name)?.snapshot())
    }

    /// The full id and the name.
    pub fn identity(&self, name: &str) -> Result<(Id, String)> {
        let cell = self.house.shelf.find(name)?;
        Ok((cell.id, cell.name()))
    }

    /// What it does. In memory.
    pub fn status(&self, name: &str) -> Result<Status> {
        Ok(self.house.shelf.find(name)?.status())
    }

    /// What the container used; `None` while it does not run.
    pub fn usage(&self, name: &str) -> Result<Option<cgroup::Usage>> {
        let cell = self.house.shelf.find(name)?;
        let live = lock(&cell.live);
        Ok(live.as_ref().map(|live| live.group.usage()).transpose()?)
    }

    pub(super) fn image_named(&self, name: &str) -> Option<Digest> {
        self.house.images.find_id(name)
    }

    /// `is_named`: the name that its image was asked for by is still that of its image.
    pub(super) fn snapshot(&self, cell: &Cell, ends: Vec<Endpoint>, is_named: bool) -> Snapshot {
        let record = cell.record();
        let folder = self.house.roots.container(&cell.id);
        let files = self.name_folder(&record);
        let path = |name: &str| files.join(name).display().to_string();
        Snapshot {
            name: record.name.clone(),
            state: cell.state(),
            networks: self.attached(cell, &ends),
            image: if is_named { record.config.image.clone() } else { record.image_id.to_string() },
            log_path: self.log_path(&record),
            execs: self.running_execs(cell),
            hostname_path: path(HOSTNAME),
            hosts_path: path(HOSTS),
            resolv_path: path(RESOLV),
            upper_path: folder.join("upper").display().to_string(),
            container: record,
        }
    }
}

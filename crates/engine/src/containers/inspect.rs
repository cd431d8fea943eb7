//! A container at one instant.

use super::start::{HOSTNAME, HOSTS, RESOLV, kept_ends};
use crate::shelf::Cell;
use crate::streams::lock;
use crate::{Engine, Result};
use base::{Digest, Id};
use container::{Container, State};
use std::collections::BTreeMap;
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
        Ok(self.snapshot(&*self.house.shelf.find(name)?, |name, id| self.image_named(name) == Some(id)))
    }

    /// The full id and the name.
    pub fn identity(&self, name: &str) -> Result<(Id, String)> {
        let cell = self.house.shelf.find(name)?;
        Ok((cell.id, cell.name()))
    }

    /// All containers, the newest first.
    pub fn list(&self) -> Vec<Snapshot> {
        // Many containers are of few images.
        let mut known: BTreeMap<String, Option<Digest>> = BTreeMap::new();
        let mut is_of = |name: &str, id: Digest| match known.get(name) {
            Some(found) => *found == Some(id),
            None => *known.entry(name.to_owned()).or_insert(self.image_named(name)) == Some(id),
        };
        let mut all: Vec<Snapshot> =
            self.house.shelf.all().iter().map(|cell| self.snapshot(cell, &mut is_of)).collect();
        all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.container.created_at));
        all
    }

    /// What the container used; `None` while it does not run.
    pub fn usage(&self, name: &str) -> Result<Option<cgroup::Usage>> {
        let cell = self.house.shelf.find(name)?;
        let live = lock(&cell.live);
        Ok(live.as_ref().map(|live| live.group.usage()).transpose()?)
    }

    fn image_named(&self, name: &str) -> Option<Digest> {
        self.house.images.get(name).ok().map(|image| image.id)
    }

    /// `is_of` says whether a name is that of an image.
    fn snapshot(&self, cell: &Cell, is_of: impl FnOnce(&str, Digest) -> bool) -> Snapshot {
        let record = cell.record();
        let folder = self.house.roots.container(&cell.id);
        let files = self.name_folder(&record);
        let path = |name: &str| files.join(name).display().to_string();
        let asked = &record.config.image;
        let same = is_of(asked, record.image_id);
        Snapshot {
            name: record.name.clone(),
            state: cell.state(),
            networks: self.attached(cell, &kept_ends(cell)),
            image: if same { asked.clone() } else { record.image_id.to_string() },
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

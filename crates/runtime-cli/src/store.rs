//! The state folder: the only file that knows what lies in `<root>/<id>/`.
//!
//! ```text
//!  <root>/<id>/state.json    what the container is (written whole, renamed into place)
//!              start.sock    the gate: the created process listens here until `start` (gone when started)
//!              lock          taken (flock) by every call that changes something
//! ```
//!
//! The names inside state.json are runc's where it has the same thing (`id`, `init_process_pid`, `init_process_start`,
//! `created`, `cgroup_paths`, `namespace_paths`), because tools look there.

use crate::error::Result;
use cgroup::{Placed, Record};
use oci::runtime::Spec;
use oci::state::{State, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// state.json
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// The version of this file's layout.
    pub version: u32,
    pub id: String,
    pub init_process_pid: i32,
    /// Clock ticks since boot (proc_pid_stat(5), field 22): tells whether the number is still the same process.
    pub init_process_start: u64,
    /// RFC 3339, UTC.
    pub created: String,
    pub bundle: PathBuf,
    pub rootless: bool,
    /// By controller, `""` for v2.
    pub cgroup_paths: BTreeMap<String, PathBuf>,
    pub cgroup: Record,
    /// By runc's names: NEWNS, NEWNET, ...
    pub namespace_paths: BTreeMap<String, PathBuf>,
    /// What the standard streams of the process are, for CRIU.
    #[serde(default)]
    pub external_descriptors: Vec<String>,
    /// The configuration as it was when the container was created.
    pub config: Spec,
}

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    pub folder: PathBuf,
    pub saved: Saved,
}

/// All containers below a root.
#[derive(Debug, Clone)]
pub struct Store {
    pub root: PathBuf,
}

/// A folder just made for a new container; dropped without [`Fresh::keep`] it is removed again.
#[derive(Debug)]
pub struct Fresh {
    pub path: PathBuf,
    kept: bool,
}

impl Store {
    /// Checks the id (letters, digits, `_+-.`; not `.` or `..`) and makes its folder. "container with given ID already exists".
    pub fn make(&self, id: &str) -> Result<Fresh> {
        let _ = (id, &self.root);
        todo!()
    }

    /// "container does not exist" when there is none.
    pub fn open(&self, id: &str) -> Result<Container> {
        let _ = id;
        todo!()
    }

    /// Ids of all containers, in alphabetical order.
    pub fn ids(&self) -> Result<Vec<String>> {
        todo!()
    }
}

impl Fresh {
    /// Opens the gate: a listening SOCK_SEQPACKET socket at `start.sock`, however long the path is.
    pub fn gate(&self) -> Result<OwnedFd> {
        todo!()
    }

    pub fn save(&self, saved: &Saved) -> Result<()> {
        let _ = saved;
        todo!()
    }

    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Container {
    /// From the process (by number and start time), the gate, the freezer.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// As hooks and `state` tell it.
    pub fn state(&self) -> State {
        todo!()
    }

    pub fn cgroup(&self) -> Result<Placed> {
        todo!()
    }

    /// A pidfd of its first process, `None` when that is gone.
    pub fn init(&self) -> Result<Option<OwnedFd>> {
        todo!()
    }

    pub fn save(&self) -> Result<()> {
        todo!()
    }

    /// Nobody waits at the gate any more.
    pub fn close_gate(&self) -> Result<()> {
        todo!()
    }

    /// Removes the folder.
    pub fn remove(self) -> Result<()> {
        todo!()
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

//! A container as `state` and `list` show it.

use crate::error::{Error, Result};
use crate::store::Container;
use oci::state::Status;
use serde::Serialize;
use std::collections::BTreeMap;

/// The state of the specification, with what runc adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    pub id: String,
    /// 0 when it has stopped.
    pub pid: i32,
    pub status: Status,
    pub bundle: String,
    pub rootfs: String,
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Of the state folder, in lists.
    pub owner: String,
}

impl Shown {
    pub fn of(container: &Container, owner: String) -> Shown {
        let state = container.state();
        Shown {
            oci_version: state.oci_version,
            id: state.id,
            pid: state.pid,
            status: state.status,
            bundle: state.bundle,
            rootfs: container.saved.rootfs.to_string_lossy().into_owned(),
            created: container.saved.created.clone(),
            annotations: state.annotations,
            owner,
        }
    }
}

/// JSON behind two spaces for each level.
pub fn pretty(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|e| Error::of(&e))
}

/// JSON in one line.
pub fn line(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|e| Error::of(&e))?;
    Ok(json + "\n")
}

//! Intel Resource Director Technology: what `update` and `delete` do with the group of a container.

use crate::error::{Error, Result};
use crate::store::Saved;
use oci::runtime::IntelRdt;
use runtime::rdt::Group;
use std::path::Path;

const INFO: &str = "/sys/fs/resctrl/info";

/// Writes the schemata that were given, and puts them into `asked`, what the container was made with.
pub fn update(id: &str, asked: Option<&mut IntelRdt>, cache: Option<&str>, bandwidth: Option<&str>) -> Result<()> {
    if cache.is_some() && !Path::new(INFO).join("L3").exists() {
        return Err(Error::new("Intel RDT/CAT: l3 cache schema is not enabled"));
    }
    if bandwidth.is_some() && !Path::new(INFO).join("MB").exists() {
        return Err(Error::new("Intel RDT/MBA: memory bandwidth schema is not enabled"));
    }
    if cache.is_none() && bandwidth.is_none() {
        return Ok(());
    }
    let Some(asked) = asked else {
        return Err(Error::new("updating a non-existent Intel RDT configuration is not supported"));
    };
    if let Some(cache) = cache {
        cache.clone_into(&mut asked.l3_cache_schema);
    }
    if let Some(bandwidth) = bandwidth {
        bandwidth.clone_into(&mut asked.mem_bw_schema);
    }
    Group::make(id, asked).map(|_| ()).map_err(|e| Error::of(&e))
}

/// Removes the group that was made for the container.
pub fn remove(saved: &Saved) -> Result<()> {
    let Some(asked) = &saved.intel_rdt else { return Ok(()) };
    let removed = Group::of(&saved.id, asked).remove();
    removed.map_err(|e| Error::because("unable to remove container's IntelRDT group", &e))
}

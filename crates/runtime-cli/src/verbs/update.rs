//! `update`: what a container may use of the machine is changed.

mod flags;
mod merge;

use crate::error::{Error, Result};
use crate::words::Global;
use crate::words::options::Update;
use crate::{log, rdt};
use oci::runtime::Resources;
use oci::state::Status;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than any description of resources, in bytes.
const MOST: u64 = 4 << 20;

pub fn run(global: &Global, options: &Update) -> Result<()> {
    let container = global.store().lock(&options.id)?;
    let change = asked(options)?;
    if change.memory.as_ref().is_some_and(|memory| memory.kernel.is_some() || memory.kernel_tcp.is_some()) {
        log::warn("Kernel memory settings are ignored and will be removed");
    }
    if container.status() == Status::Stopped {
        return Err(Error::new("container not running"));
    }
    let mut config = container.config()?;
    let before = config.linux.get_or_insert_default().resources.clone().unwrap_or_default();
    let change = merge::complete(change, &before);
    let mut group = container.cgroup()?;
    if let Err(error) = group.update(&change) {
        // Some of it may be done already.
        if let Err(again) = group.update(&merge::again(&before)) {
            let again = crate::error::words(&again);
            log::warn(&format!("cannot set the resources back that were changed before the error: {again}"));
        }
        return Err(Error::of(&error));
    }
    let linux = config.linux.get_or_insert_default();
    linux.resources = Some(merge::merged(before, change));
    let (cache, bandwidth) = (options.l3_cache_schema.as_deref(), options.mem_bw_schema.as_deref());
    rdt::update(&options.id, linux.intel_rdt.as_mut(), cache, bandwidth)?;
    container.save_config(&config)
}

fn asked(options: &Update) -> Result<Resources> {
    match &options.resources {
        None => flags::read(options),
        Some(path) => {
            let cannot = |e: &dyn std::error::Error| {
                Error::because(format_args!("cannot read the resources in {}", path.display()), e)
            };
            let json = read(path).map_err(|e| cannot(&e))?;
            crate::bundle::parse(&json).map_err(|e| cannot(&e))
        }
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match path.to_str() {
        Some("-") => std::io::stdin().lock().take(MOST).read_to_end(&mut bytes)?,
        _ => File::open(path)?.take(MOST).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

#[cfg(test)]
mod tests;

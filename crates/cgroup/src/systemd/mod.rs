//! Groups that systemd makes: a transient unit for each container, asked for by D-Bus (org.freedesktop.systemd1).
//!
//! ```text
//!  cgroupsPath ──Unit::read──► Unit ──start_unit──► the unit runs with the process in it, its group's path
//!                                      set_properties · attach · stop_unit
//! ```
//!
//! `place` calls [`start_unit`] when the container's first process is known, then makes what systemd does not (the groups of
//! the other v1 hierarchies) and writes all limits itself; the unit's properties say the same, so that systemd keeps them.
//!
//! Nothing here runs, and no connection is made, before somebody asked for the systemd driver. Files: `bus` talks, `message`
//! and `value` are its language, `text` reads values from annotations, `properties` and `devices` turn limits into properties,
//! `unit` knows names.

mod bus;
mod devices;
mod failure;
mod message;
mod properties;
mod text;
mod unit;
mod value;

pub(crate) use failure::{Failure, kind};
pub(crate) use properties::rounded;
pub(crate) use unit::Unit;

use crate::{Error, Version};
use bus::{Bus, Owner, PATIENCE};
use message::Sort;
use oci::runtime::Resources;
use properties::{Property, Systemd};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;
use value::Value;

/// Starts the unit with process `pid` in it and waits until it runs. Gives the path of its group below the root of the
/// hierarchy (`/system.slice/runc-ID.scope`, `/user.slice/user-1.slice/user@1.service/...`).
///
/// `annotations`: those of `org.systemd.property.*` set further properties.
pub(crate) fn start_unit(
    unit: &Unit,
    pid: i32,
    resources: &Resources,
    annotations: &BTreeMap<String, String>,
    version: Version,
) -> Result<PathBuf, Error> {
    let asked = properties::of_annotations(annotations)?;
    let owner = owner();
    if owner == Owner::User && version == Version::V1 {
        return Err(Failure::RootlessV1.into());
    }
    let mut bus = open(owner)?;
    let systemd = Systemd { release: release(&mut bus), version };
    let mut properties = unit.properties(owner, pid, version);
    properties.extend(asked);
    properties.extend(properties::of_memory_policy(resources, systemd)?);
    properties.extend(properties::of_resources(resources, systemd)?);
    if let Err(failure) = start(&mut bus, &unit.name, &properties) {
        let properties = properties.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let start = Failure::Start { unit: unit.name.clone(), properties, source: Box::new(failure) };
        return Err(start.into());
    }
    group(&mut bus, &unit.name).map_err(|failure| {
        let _ = stop(&mut bus, &unit.name);
        failure.into()
    })
}

/// Where the unit's group will be, below the root of the hierarchy.
pub(crate) fn group_to_be(unit: &Unit) -> Result<PathBuf, Error> {
    let owner = owner();
    let own = open(owner)?.property("/org/freedesktop/systemd1", "Manager", "ControlGroup");
    match own.map_err(|silence| Failure::Call("Get ControlGroup", silence))? {
        // That of the machine's own systemd is empty.
        Value::Text(own) => Ok(Path::new("/").join(own).join(unit.group(owner))),
        _ => Ok(Path::new("/").join(unit.group(owner))),
    }
}

/// Sets the properties that belong to `resources`; those that are not asked for stay.
pub(crate) fn set_properties(unit: &str, resources: &Resources, version: Version) -> Result<(), Error> {
    let mut bus = open(owner())?;
    let systemd = Systemd { release: release(&mut bus), version };
    let properties = properties::of_resources(resources, systemd)?;
    if properties.is_empty() {
        return Ok(());
    }
    // `true`: until the machine goes down; there is no file to write.
    let arguments = [Value::text(unit), Value::Bool(true), properties::array(&properties)];
    bus.manager("SetUnitProperties", &arguments).map(drop).map_err(|silence| Failure::Set(silence).into())
}

/// Moves a process into the unit's group, or one below it. systemd may do so where the user must not: from a session into a
/// unit of the user's own, whose common parent is root's.
pub(crate) fn attach(unit: &str, below: &str, pid: i32) -> Result<(), Error> {
    let below = if below.starts_with('/') { below.to_owned() } else { format!("/{below}") };
    let pids = Value::Array("u".to_owned(), vec![Value::U32(pid.unsigned_abs())]);
    let arguments = [Value::text(unit), Value::text(below), pids];
    let mut bus = open(owner())?;
    bus.manager("AttachProcessesToUnit", &arguments)
        .map(drop)
        .map_err(|silence| Failure::Call("AttachProcessesToUnit", silence).into())
}

/// Stops the unit and forgets its failures. One that is gone already is fine.
pub(crate) fn stop_unit(unit: &str) -> Result<(), Error> {
    Ok(stop(&mut open(owner())?, unit)?)
}

/// Whose systemd makes our groups: root's own systemd serves root of the machine only.
fn owner() -> Owner {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let first = unit::is_initial(&map);
    if rustix::process::geteuid().is_root() && first { Owner::System } else { Owner::User }
}

/// Whether there is a systemd to ask (sd_booted(3)); an error says that there is none.
pub(crate) fn check() -> Result<(), Error> {
    Ok(is_booted()?)
}

fn is_booted() -> Result<(), Failure> {
    match Path::new("/run/systemd/system").is_dir() {
        true => Ok(()),
        false => Err(Failure::NotBooted),
    }
}

fn open(owner: Owner) -> Result<Bus, Failure> {
    is_booted()?;
    Bus::open(owner).map_err(Failure::Connect)
}

/// systemd's release, such as 252; 0 when it does not tell.
fn release(bus: &mut Bus) -> u32 {
    match bus.property("/org/freedesktop/systemd1", "Manager", "Version") {
        Ok(Value::Text(text)) => unit::release(&text),
        _ => 0,
    }
}

/// StartTransientUnit, and once more when a failed unit of that name was in the way.
fn start(bus: &mut Bus, unit: &str, properties: &[Property]) -> Result<(), Failure> {
    let refused = |silence| Failure::Call("StartTransientUnit", silence);
    let auxiliary = Value::Array("(sa(sv))".to_owned(), Vec::new());
    let arguments = [Value::text(unit), Value::text("replace"), properties::array(properties), auxiliary];
    bus.subscribe().map_err(refused)?;
    let job = bus.manager("StartTransientUnit", &arguments).or_else(|silence| {
        if !silence.is_named("UnitExists") {
            return Err(silence);
        }
        let _ = bus.manager("ResetFailedUnit", &[Value::text(unit)]);
        bus.manager("StartTransientUnit", &arguments)
    });
    let result = done(bus, &job.map_err(refused)?).map_err(refused)?;
    if result.as_deref() == Some("done") {
        return Ok(());
    }
    let _ = bus.manager("ResetFailedUnit", &[Value::text(unit)]);
    Err(match result {
        Some(result) => Failure::Job { unit: unit.to_owned(), result },
        None => Failure::CreateTimeout(unit.to_owned()),
    })
}

/// StopUnit, then ResetFailedUnit: a failed unit stays otherwise.
fn stop(bus: &mut Bus, unit: &str) -> Result<(), Failure> {
    let refused = |silence| Failure::Call("StopUnit", silence);
    bus.subscribe().map_err(refused)?;
    let outcome = match bus.manager("StopUnit", &[Value::text(unit), Value::text("replace")]) {
        Err(silence) if silence.is_named("NoSuchUnit") => Ok(()),
        Err(silence) => Err(refused(silence)),
        Ok(job) => match done(bus, &job).map_err(refused)?.as_deref() {
            None => Err(Failure::RemoveTimeout(unit.to_owned())),
            Some("done") => Ok(()),
            Some(result) => {
                tracing::warn!("error removing unit `{unit}`: got `{result}`. Continuing...");
                Ok(())
            }
        },
    };
    let _ = bus.manager("ResetFailedUnit", &[Value::text(unit)]);
    outcome
}

/// How a job ended (`done`, `failed`, `canceled`, ...); `None` when it did not in time.
fn done(bus: &mut Bus, job: &[Value]) -> Result<Option<String>, bus::Silence> {
    let until = Instant::now() + PATIENCE;
    loop {
        let signal = match bus.signal(until) {
            Err(silence) if silence.is_timeout() => return Ok(None),
            signal => signal?,
        };
        debug_assert!(signal.is(Sort::Signal));
        // JobRemoved: number, path, unit, result.
        match signal.body.as_slice() {
            [_, path, _, Value::Text(result)] if signal.member == "JobRemoved" && job.first() == Some(path) => {
                return Ok(Some(result.clone()));
            }
            _ => {}
        }
    }
}

/// Where systemd made the unit's group.
fn group(bus: &mut Bus, unit: &str) -> Result<PathBuf, Failure> {
    let interface = if unit.ends_with(".slice") { "Slice" } else { "Scope" };
    let group = bus.property(&unit::object_path(unit), interface, "ControlGroup");
    match group.map_err(|silence| Failure::Call("Get ControlGroup", silence))? {
        Value::Text(path) if path.starts_with('/') && !path.contains("/../") => Ok(PathBuf::from(path)),
        _ => Err(Failure::Job { unit: unit.to_owned(), result: "no control group".to_owned() }),
    }
}

//! What can be refused before anything is made, in the words that runc uses.

use super::{PrepareError, Result, binds, capabilities, devices, machine, mounts, options, process, sysctls};
use super::{propagation, time_namespace};
use crate::{ProcessPlan, Unshare, rdt};
use oci::runtime::{Linux, NamespaceKind, Process, Spec};
use std::collections::BTreeMap;

/// See [`crate::validate`].
pub(crate) fn validate(spec: &Spec) -> Result<()> {
    let none = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    if spec.root.is_none() {
        return refuse("root must be specified");
    }
    check_namespaces(linux)?;
    check_names(spec, linux)?;
    sysctls::check(linux)?;
    check_network_devices(linux)?;
    if let Some(asked) = &linux.intel_rdt {
        rdt::check(asked).map_err(|e| PrepareError::Refused(e.to_string()))?;
    }
    propagation(linux)?;
    check_mounts(spec)?;
    check_devices(linux)?;
    let mut plan = ProcessPlan::default();
    if let Some(process) = &spec.process {
        check_process(process)?;
        plan = process::compile(process, None)?;
    }
    machine::of_container(linux, &mut plan)
}

/// What is passed over, and would be a surprise.
pub(crate) fn warnings(spec: &Spec) -> Vec<String> {
    let mut all = Vec::new();
    for mount in spec.mounts.iter().filter(|mount| !mount.destination.starts_with('/')) {
        let what = "Support for non-absolute mount destinations will be removed in a future release.";
        all.push(format!("mount destination {} is not absolute. {what}", mount.destination));
    }
    let named = spec.process.as_ref().and_then(|process| process.capabilities.as_ref());
    let unknown = named.map(capabilities::unknown).unwrap_or_default();
    if !unknown.is_empty() {
        all.push(format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" ")));
    }
    let ambient = named.map(capabilities::unraisable).unwrap_or_default();
    all.extend(ambient.iter().map(|name| format!("can't raise ambient capability {name}: operation not permitted")));
    all
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(PrepareError::Refused(text.into()))
}

fn check_namespaces(linux: &Linux) -> Result<()> {
    let mut paths = BTreeMap::new();
    for namespace in &linux.namespaces {
        if paths.insert(namespace.kind, namespace.existing()).is_some() {
            let kind = format!("{:?}", namespace.kind).to_lowercase();
            return refuse(format!("malformed spec file: duplicated ns {kind:?}"));
        }
    }
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    match (paths.get(&NamespaceKind::User), mapped) {
        (None, true) => {
            return refuse("user namespace mappings specified, but user namespace isn't enabled in the config");
        }
        (Some(None), false) => {
            let what = "user namespaces enabled, but no namespace path to join nor mappings to apply specified";
            return refuse(what);
        }
        (Some(Some(_)), true) => {
            let what =
                "user namespaces enabled, but both namespace path and mapping specified -- you may only provide one";
            return refuse(what);
        }
        _ => {}
    }
    let offsets = !linux.time_offsets.is_empty();
    match paths.get(&NamespaceKind::Time) {
        None if offsets => {
            return refuse("time namespace offsets specified, but time namespace isn't enabled in the config");
        }
        Some(_) if !std::path::Path::new("/proc/self/timens_offsets").exists() => {
            return refuse("time namespaces aren't enabled in the kernel");
        }
        Some(Some(_)) if offsets => {
            let what = "time namespace enabled, but both namespace path and time offsets specified";
            return refuse(format!("{what} -- you may only provide one"));
        }
        Some(None) => time_namespace(Unshare::New, linux).map(drop)?,
        _ => {}
    }
    let restricted = !linux.masked_paths.is_empty() || !linux.readonly_paths.is_empty();
    if restricted && !paths.contains_key(&NamespaceKind::Mount) {
        return refuse("unable to restrict sys entries without a private MNT namespace");
    }
    Ok(())
}

fn check_names(spec: &Spec, linux: &Linux) -> Result<()> {
    for (name, what) in [(&spec.hostname, "hostname"), (&spec.domainname, "domainname")] {
        if name.as_ref().is_some_and(|name| !name.is_empty()) && linux.namespace(NamespaceKind::Uts).is_none() {
            return refuse(format!("unable to set {what} without a private UTS namespace"));
        }
    }
    Ok(())
}

fn check_network_devices(linux: &Linux) -> Result<()> {
    if linux.net_devices.is_empty() {
        return Ok(());
    }
    if linux.namespace(NamespaceKind::Network).is_none() {
        return refuse("unable to move network devices without a NET namespace");
    }
    let names = linux.net_devices.iter().flat_map(|(name, device)| {
        let renamed = Some(&device.name).filter(|name| !name.is_empty());
        std::iter::once(name).chain(renamed)
    });
    match names.into_iter().find(|name| !is_link_name(name)) {
        Some(name) => refuse(format!("invalid network device name {name:?}")),
        None => Ok(()),
    }
}

/// dev_valid_name in net/core/dev.c; IFNAMSIZ counts the NUL behind.
fn is_link_name(name: &str) -> bool {
    let bad = |byte: u8| matches!(byte, b'/' | b':' | 0) || byte.is_ascii_whitespace();
    !matches!(name, "" | "." | "..") && name.len() < 16 && !name.bytes().any(bad)
}

fn check_mounts(spec: &Spec) -> Result<()> {
    for mount in &spec.mounts {
        let fields = [Some(&mount.destination), mount.source.as_ref(), mount.kind.as_ref()];
        if fields.into_iter().flatten().any(|field| field.contains('\0')) {
            return refuse("mount field contains null byte");
        }
        let parsed = options::parse(mount);
        binds::check_options(mount, &parsed)?;
        let invalid = |why: &str| refuse(format!("invalid mount at {:?}: {why}", mount.destination));
        if binds::wants_map(mount, &parsed).is_some() {
            let own = !mount.uid_mappings.is_empty() && !mount.gid_mappings.is_empty();
            let none = mount.uid_mappings.is_empty() && mount.gid_mappings.is_empty();
            let users = spec.namespace(NamespaceKind::User).is_some();
            if parsed.bind.is_none() {
                return invalid("id-mapped mounts are only supported for bind-mounts");
            }
            if !(own || none && users) {
                return invalid("id-mapped mounts must have both uid and gid mappings specified");
            }
        }
    }
    Ok(())
}

fn check_devices(linux: &Linux) -> Result<()> {
    for device in linux.devices.iter().filter(|device| !device.path.is_empty()) {
        if !matches!(device.kind.as_str(), "b" | "c" | "u" | "p") {
            return refuse(format!("invalid device type {:?}", device.kind));
        }
        if devices::identity(device).is_none() {
            return refuse(format!("device {}: impossible number {}:{}", device.path, device.major, device.minor));
        }
        mounts::check_destination(&device.path)?;
    }
    Ok(())
}

fn check_process(process: &Process) -> Result<()> {
    if process.args.is_empty() {
        return refuse("args must not be empty");
    }
    if process.cwd.is_empty() {
        return refuse("Cwd property must not be empty");
    }
    if !process.cwd.starts_with('/') {
        return refuse("Cwd must be an absolute path");
    }
    for variable in &process.env {
        match variable.split_once('=') {
            None => return refuse("invalid environment variable: missing '='"),
            Some(("", _)) => return refuse("invalid environment variable: name cannot be empty"),
            Some((name, _)) if variable.contains('\0') => {
                return refuse(format!("invalid environment variable {name:?}: contains nul byte (\\x00)"));
            }
            _ => {}
        }
    }
    process::check_labels(process)
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;

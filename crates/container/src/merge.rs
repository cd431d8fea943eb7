//! Fills what the user left open with the image's defaults.

use crate::{Config, MountRequest, MountSource, PortProtocol, Protocol, target};
use base::{Kind, Kinded};
use std::collections::{BTreeMap, HashSet};

/// `config` with the defaults of `image`, by Docker's rules: an entrypoint of the user's resets the image's command; env of
/// the user's wins by key; exposed ports, volumes and labels are joined.
///
/// A `KEY` without `=` in the user's env stays in the list: it hides the image's value here, and the engine's default of
/// that name when the process is described ([`crate::spec`]).
pub fn merge(mut config: Config, image: &oci::image::Config) -> Result<Config, MergeError> {
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    if config.stop_signal.as_deref().unwrap_or_default().is_empty() {
        config.stop_signal = (!image.stop_signal.is_empty()).then(|| image.stop_signal.clone());
    }
    merge_working_dir(&mut config, image)?;
    merge_env(&mut config.env, &image.env);
    // Labels of ours tell the engine what to do: that is for who makes a container to say, not for an image (CVE-2026-53488).
    for (key, value) in image.labels.iter().filter(|(key, _)| !key.starts_with(OWN_LABELS)) {
        config.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    config.exposed_ports.extend(image.exposed_ports.keys().flat_map(|text| exposed_ports(text)));
    merge_command(&mut config, image)?;
    merge_healthcheck(&mut config.healthcheck, image.healthcheck.as_ref());
    config.shell = config.shell.or_else(|| image.shell.clone());
    merge_volumes(&mut config.mounts, image);
    Ok(config)
}

/// What labels that this engine heeds begin with.
const OWN_LABELS: &str = "dhow.";

/// Why a configuration cannot be run. Texts as Docker's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    #[error("no command specified")]
    NoCommand,
    #[error("the working directory '{0}' is invalid, it needs to be an absolute path")]
    WorkingDir(String),
}

impl Kinded for MergeError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

fn merge_working_dir(config: &mut Config, image: &oci::image::Config) -> Result<(), MergeError> {
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    if !config.working_dir.is_empty() {
        let asked = std::mem::take(&mut config.working_dir);
        config.working_dir = target::clean(&asked).ok_or(MergeError::WorkingDir(asked))?;
    }
    Ok(())
}

fn merge_env(env: &mut Vec<String>, image: &[String]) {
    let known: HashSet<String> = env.iter().map(|entry| key(entry).to_owned()).collect();
    env.extend(image.iter().filter(|entry| !known.contains(key(entry))).cloned());
}

fn key(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(key, _)| key)
}

/// An empty entrypoint (`[]`) hides the image's and keeps its command; `[""]`, what the docker CLI sends for
/// `--entrypoint ""`, hides both.
fn merge_command(config: &mut Config, image: &oci::image::Config) -> Result<(), MergeError> {
    if is_empty(config.entrypoint.as_ref()) {
        if is_empty(config.cmd.as_ref()) {
            config.cmd.clone_from(&image.cmd);
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if config.entrypoint.as_deref().is_some_and(|words| words.len() == 1 && words[0].is_empty()) {
        config.entrypoint = None;
    }
    if is_empty(config.entrypoint.as_ref()) && is_empty(config.cmd.as_ref()) {
        return Err(MergeError::NoCommand);
    }
    Ok(())
}

fn is_empty(words: Option<&Vec<String>>) -> bool {
    words.is_none_or(Vec::is_empty)
}

/// Fields that the user left out, or at Go's zero value, come from the image one by one.
fn merge_healthcheck(ours: &mut Option<serde_json::Value>, image: Option<&serde_json::Value>) {
    let Some(image) = image.filter(|value| !value.is_null()) else { return };
    let Some(fields) = ours.as_mut().and_then(serde_json::Value::as_object_mut) else {
        *ours = Some(image.clone());
        return;
    };
    for name in ["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"] {
        let is_set = fields.get(name).is_some_and(|value| !is_zero(value));
        if let (false, Some(value)) = (is_set, image.get(name)) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
}

fn is_zero(value: &serde_json::Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_i64() == Some(0)
}

/// Every `VOLUME` of the image becomes an anonymous volume, unless something is mounted at that very path already.
fn merge_volumes(mounts: &mut Vec<MountRequest>, image: &oci::image::Config) {
    for path in image.volumes.keys() {
        let Some(path) = target::clean(&format!("/{path}")).filter(|path| path != "/") else { continue };
        if mounts.iter().any(|mount| target::clean(&mount.target).is_some_and(|target| target == path)) {
            continue;
        }
        let source = MountSource::Volume {
            name: None,
            copy_up: true,
            subpath: None,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        };
        mounts.push(MountRequest { target: path, readonly: false, source });
    }
}

/// `80`, `80/udp` or `8000-8010/tcp` as an image writes it; what is none of them is no port.
fn exposed_ports(text: &str) -> Vec<PortProtocol> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Vec::new(),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => (first..=last).map(|port| PortProtocol { port, protocol }).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;

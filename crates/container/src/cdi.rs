//! The Container Device Interface (CNCF, `SPEC.md` 0.8): devices of vendors, and what a container needs to use one.
//!
//! A vendor's specification (JSON or YAML) lies in a folder of the machine. It names devices (`vendor.com/class=name`) and what
//! each changes of a container: variables, device nodes, mounts, groups, and hooks: programs of the vendor's that are called
//! while the container is made.
//!
//! A later folder wins over an earlier one; a device that two specifications of one folder have is nobody's.

use crate::{Config, Container, DeviceRequest, DriverDevices, MountPoint, MountRequest, MountSource};
use oci::runtime::Hooks;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where specifications lie unless told, the one that wins last.
pub const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Bytes of a specification at most.
const MOST_BYTES: u64 = 16 << 20;

/// Seconds after which a hook is killed that sets no limit itself: a start that never ends would hold its container for ever.
const HOOK_SECONDS: i64 = 120;

/// Kinds that `--gpus` means, the first that this machine has.
const GPUS: [(&str, &str); 3] = [("nvidia", "nvidia.com/gpu"), ("amd", "amd.com/gpu"), ("intel", "intel.com/gpu")];

/// Why a container does not get its devices; texts as Docker's where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CdiError {
    #[error("could not select device driver {driver:?} with capabilities: {capabilities}")]
    NoDriver { driver: String, capabilities: String },
    #[error("CDI device injection failed: unresolvable CDI devices {0}")]
    Unresolvable(String),
    #[error("unexpected {0} in CDI device request")]
    Unexpected(&'static str),
    #[error("CDI device injection failed: {device}: {why}")]
    Edit { device: String, why: String },
}

/// What the specifications of this machine say.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    devices: BTreeMap<String, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    /// The folder that it is of, and whether two specifications there have it.
    folder: usize,
    contradicted: bool,
    edits: Vec<Edits>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Specification {
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    #[serde(rename = "additionalGids")]
    groups: Vec<u32>,
    intel_rdt: Option<serde_json::Value>,
    net_devices: Vec<serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: String,
    #[serde(default)]
    host_path: String,
    #[serde(default)]
    permissions: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: String,
    container_path: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hook {
    hook_name: String,
    path: String,
    args: Vec<String>,
    env: Vec<String>,
    /// Seconds
    timeout: Option<i64>,
}

impl Registry {
    /// Reads every specification in `folders` (none: the usual ones). One that cannot be read is left out and said in the log.
    #[must_use]
    pub fn read(folders: &[PathBuf]) -> Registry {
        let usual = FOLDERS.map(PathBuf::from);
        let folders = if folders.is_empty() { &usual[..] } else { folders };
        let mut registry = Registry::default();
        for (number, folder) in folders.iter().enumerate() {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> =
                entries.map(|entry| entry.path()).filter(|path| is_specification(path)).collect();
            paths.sort();
            for path in paths {
                match specification(&path) {
                    Ok(specification) => registry.add(number, specification),
                    Err(why) => tracing::warn!("the device specification {} is left out: {why}", path.display()),
                }
            }
        }
        registry
    }

    fn add(&mut self, folder: usize, specification: Specification) {
        for device in specification.devices {
            let name = format!("{}={}", specification.kind, device.name);
            let edits = vec![specification.container_edits.clone(), device.container_edits];
            let before = self.devices.get_mut(&name);
            match before.filter(|known| known.folder == folder) {
                Some(known) => known.contradicted = true,
                None => drop(self.devices.insert(name, Known { folder, contradicted: false, edits })),
            }
        }
    }

    fn find(&self, name: &str) -> Option<&Known> {
        self.devices.get(name).filter(|known| !known.contradicted)
    }

    /// Gives `container` the devices that its configuration asks drivers for.
    pub fn inject(&self, container: &mut Container) -> Result<(), CdiError> {
        let asked = std::mem::take(&mut container.config.driver_devices);
        let mut names = Vec::new();
        for devices in &asked {
            names.extend(self.names(devices)?);
        }
        let unknown: Vec<&str> = names.iter().map(String::as_str).filter(|name| self.find(name).is_none()).collect();
        if !unknown.is_empty() {
            return Err(CdiError::Unresolvable(unknown.join(", ")));
        }
        let mut common = BTreeSet::new();
        for name in names.iter().collect::<BTreeSet<_>>() {
            let Some(known) = self.find(name) else { continue };
            let kind = name.split_once('=').map_or(name.as_str(), |(kind, _)| kind);
            // What a specification changes for all its devices is changed once.
            let edits = if common.insert(kind) { &known.edits[..] } else { &known.edits[1..] };
            for edits in edits {
                edits.apply(container, name)?;
            }
        }
        container.config.driver_devices = asked;
        Ok(())
    }

    /// The devices that are meant, by their full names.
    fn names(&self, asked: &DriverDevices) -> Result<Vec<String>, CdiError> {
        if asked.driver == "cdi" {
            return match () {
                () if asked.count != 0 => Err(CdiError::Unexpected("count")),
                () if !asked.options.is_empty() => Err(CdiError::Unexpected("options")),
                () => Ok(asked.ids.clone()),
            };
        }
        let is_gpu = asked.capabilities.iter().any(|set| set.iter().any(|capability| capability == "gpu"));
        let fits = |driver: &str| asked.driver.is_empty() || asked.driver == driver;
        let has =
            |kind: &str| self.devices.keys().any(|name| name.starts_with(kind) && name[kind.len()..].starts_with('='));
        let kind = GPUS.iter().find(|(driver, kind)| is_gpu && fits(driver) && has(kind)).map(|(_, kind)| *kind);
        let Some(kind) = kind else { return Err(no_driver(asked)) };
        Ok(match (asked.ids.is_empty(), asked.count) {
            (false, _) => asked.ids.iter().map(|id| format!("{kind}={id}")).collect(),
            (true, count) if count < 0 => vec![format!("{kind}=all")],
            (true, count) => (0..count).map(|number| format!("{kind}={number}")).collect(),
        })
    }
}

fn no_driver(asked: &DriverDevices) -> CdiError {
    let sets: Vec<String> = asked.capabilities.iter().map(|set| format!("[{}]", set.join(" "))).collect();
    CdiError::NoDriver { driver: asked.driver.clone(), capabilities: format!("[{}]", sets.join(" ")) }
}

fn is_specification(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "json" || end == "yaml" || end == "yml")
}

fn specification(path: &Path) -> Result<Specification, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > MOST_BYTES {
        return Err(format!("it has {size} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let read: Specification = match path.extension().is_some_and(|end| end == "json") {
        true => serde_json::from_str(&text).map_err(|e| e.to_string())?,
        false => serde_saphyr::from_str(&text).map_err(|e| e.to_string())?,
    };
    let (vendor, class) = read.kind.split_once('/').unwrap_or_default();
    if vendor.is_empty() || class.is_empty() {
        return Err(format!("{:?} is no kind of device, as vendor.com/class is", read.kind));
    }
    Ok(read)
}

impl Edits {
    fn apply(&self, container: &mut Container, device: &str) -> Result<(), CdiError> {
        let refused = |why: String| CdiError::Edit { device: device.to_owned(), why };
        if self.intel_rdt.is_some() {
            return Err(refused("it asks for Intel RDT, which containers of this engine do not have".to_owned()));
        }
        if !self.net_devices.is_empty() {
            return Err(refused("it asks for network devices, which this engine does not move".to_owned()));
        }
        let config = &mut container.config;
        config.env.extend(self.env.iter().cloned());
        config.group_add.extend(self.groups.iter().map(u32::to_string));
        self.device_nodes.iter().for_each(|node| node.add(config));
        for mount in &self.mounts {
            container.mounts.push(mount.point().map_err(refused)?);
        }
        self.hooks.iter().try_for_each(|hook| hook.add(&mut container.config.hooks)).map_err(refused)
    }
}

impl Node {
    fn add(&self, config: &mut Config) {
        let or = |text: &String, other: &str| if text.is_empty() { other.to_owned() } else { text.clone() };
        config.devices.push(DeviceRequest {
            host_path: or(&self.host_path, &self.path),
            container_path: self.path.clone(),
            access: or(&self.permissions, "rwm"),
        });
    }
}

impl Hook {
    fn add(&self, hooks: &mut Hooks) -> Result<(), String> {
        let list = match self.hook_name.as_str() {
            "prestart" => &mut hooks.prestart,
            "createRuntime" => &mut hooks.create_runtime,
            "createContainer" => &mut hooks.create_container,
            "startContainer" => &mut hooks.start_container,
            "poststart" => &mut hooks.poststart,
            "poststop" => &mut hooks.poststop,
            other => return Err(format!("invalid hook name {other:?}")),
        };
        if !self.path.starts_with('/') {
            return Err(format!("the path {:?} of a hook is not absolute", self.path));
        }
        if let Some(wrong) = self.env.iter().find(|variable| !variable.contains('=')) {
            return Err(format!("invalid environment variable {wrong:?} of a hook"));
        }
        let seconds = self.timeout.unwrap_or(HOOK_SECONDS);
        if seconds <= 0 {
            return Err(format!("the timeout {seconds} of a hook is not above 0"));
        }
        let (args, env) = (self.args.clone(), self.env.clone());
        list.push(oci::runtime::Hook { path: self.path.clone(), args, env, timeout: Some(seconds) });
        Ok(())
    }
}

/// Options of a mount that take something away.
const RESTRICTIONS: [&str; 3] = ["nosuid", "nodev", "noexec"];

impl Mount {
    fn point(&self) -> Result<MountPoint, String> {
        if !matches!(self.kind.as_str(), "" | "bind" | "none") {
            return Err(format!("a mount of the type {:?} at {} is not supported", self.kind, self.container_path));
        }
        let has = |option: &str| self.options.iter().any(|one| one == option);
        let propagations = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
        let propagation = propagations.iter().find(|one| has(one)).copied().unwrap_or_default();
        let source = MountSource::Bind {
            path: self.host_path.clone(),
            create: false,
            recursive: !has("bind") || has("rbind"),
            propagation: propagation.to_owned(),
            recursive_readonly: false,
        };
        let request = MountRequest { target: self.container_path.clone(), readonly: has("ro"), source };
        let restrictions = RESTRICTIONS.into_iter().filter(|option| has(option)).map(str::to_owned).collect();
        Ok(MountPoint { restrictions, ..MountPoint::plain(request, self.host_path.clone()) })
    }
}

#[cfg(test)]
#[path = "cdi_tests.rs"]
mod tests;

//! From a specification to a plan: everything is checked and opened here, in the engine, before a process is touched.

mod capabilities;
mod cgroups;
mod devices;
mod mounts;
mod options;
mod process;

use crate::{Inputs, MountStep, Plan, Prepared, ProcessPlan, Unshare};
use oci::runtime::{Linux, NamespaceKind, Spec};
use rustix::fs::{CWD, Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Why a specification cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("invalid specification: {0}")]
    Invalid(String),
    #[error("cannot open the source {path} of the mount at {destination}")]
    Source { path: String, destination: String, source: std::io::Error },
    #[error("cannot use device {path}")]
    Device { path: String, source: std::io::Error },
    #[error("this engine does not support {0}")]
    Unsupported(String),
}

impl base::Kinded for PrepareError {
    fn kind(&self) -> base::Kind {
        match self {
            PrepareError::Invalid(_) => base::Kind::Invalid,
            PrepareError::Source { source, .. } | PrepareError::Device { source, .. } => base::Kinded::kind(source),
            PrepareError::Unsupported(_) => base::Kind::Unsupported,
        }
    }
}

type Result<T> = std::result::Result<T, PrepareError>;

pub(crate) use process::compile as compile_process;

/// The list of descriptors that grows while a plan is made.
#[derive(Debug, Default)]
struct Fds(Vec<OwnedFd>);

impl Fds {
    fn add(&mut self, fd: OwnedFd) -> Result<u32> {
        let index = u32::try_from(self.0.len()).map_err(|_| PrepareError::Invalid("too many mounts".into()))?;
        self.0.push(fd);
        Ok(index)
    }
}

/// See [`crate::prepare`].
pub(crate) fn compile(spec: &Spec, inputs: Inputs) -> Result<Prepared> {
    let none = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    let process = spec.process.as_ref().ok_or_else(|| PrepareError::Invalid("no process".into()))?;
    if let Some(label) = linux.mount_label.as_deref().filter(|label| !label.is_empty()) {
        return Err(PrepareError::Unsupported(format!("the mount label {label}")));
    }
    let process = compile_process(process, inputs.seccomp)?;
    let mut fds = Fds::default();
    let root = fds.add(inputs.root)?;
    let user = inputs.user_namespace.as_ref().map(AsFd::as_fd);
    let steps = mount_steps(spec, linux, &process, user, &mut fds)?;
    let mut plan = Plan {
        cgroup_dir: inputs.cgroup_dir.map(|directory| fds.add(directory)).transpose()?,
        root,
        root_readonly: spec.root.as_ref().is_some_and(|root| root.readonly),
        mounts: steps,
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
        sysctls: sysctls(linux)?,
        masked_paths: absolute(&linux.masked_paths)?,
        readonly_paths: absolute(&linux.readonly_paths)?,
        process,
        ..Plan::default()
    };
    if !plan.masked_paths.is_empty() {
        plan.null = Some(fds.add(devices::null()?)?);
    }
    namespaces(linux, &mut plan, &mut fds)?;
    Ok(Prepared { plan, fds: fds.0 })
}

fn mount_steps(
    spec: &Spec,
    linux: &Linux,
    process: &ProcessPlan,
    user: Option<BorrowedFd<'_>>,
    fds: &mut Fds,
) -> Result<Vec<MountStep>> {
    let mut steps = Vec::with_capacity(spec.mounts.len());
    let mut dev_is_ours = false;
    for mount in cgroups::expand(&spec.mounts)?.iter() {
        let kind = mount.kind.as_deref().unwrap_or_default();
        if kind == "tmpfs" && mount.destination.trim_end_matches('/') == "/dev" && !options::is_bind(mount) {
            steps.append(&mut devices::folder(mount, linux, process.terminal, user, fds)?);
            dev_is_ours = true;
        } else {
            steps.push(mounts::step(mount, user, fds)?);
        }
    }
    devices::bind_others(linux, dev_is_ours, &mut steps, fds)?;
    Ok(steps)
}

/// The namespaces of the init. User, mount and network ones are made or joined elsewhere.
fn namespaces(linux: &Linux, plan: &mut Plan, fds: &mut Fds) -> Result<()> {
    (plan.pid, plan.ipc, plan.uts, plan.cgroup) = (Unshare::Host, Unshare::Host, Unshare::Host, Unshare::Host);
    for namespace in &linux.namespaces {
        let way = match (&namespace.path, namespace.kind) {
            (_, NamespaceKind::User | NamespaceKind::Mount | NamespaceKind::Network) => continue,
            (_, NamespaceKind::Time) => return Err(PrepareError::Unsupported("time namespaces".into())),
            (None, _) => Unshare::New,
            (Some(path), kind) => Unshare::Join(fds.add(open_namespace(path, kind)?)?),
        };
        match namespace.kind {
            NamespaceKind::Pid => plan.pid = way,
            NamespaceKind::Ipc => plan.ipc = way,
            NamespaceKind::Uts => plan.uts = way,
            _ => plan.cgroup = way,
        }
    }
    let named = plan.hostname.is_some() || plan.domainname.is_some();
    if named && plan.uts == Unshare::Host {
        return Err(PrepareError::Invalid("a host name needs a uts namespace".into()));
    }
    Ok(())
}

fn open_namespace(path: &str, kind: NamespaceKind) -> Result<OwnedFd> {
    let opened = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    opened.map_err(|e| PrepareError::Invalid(format!("cannot open the {kind:?} namespace {path}: {e}").to_lowercase()))
}

/// Checks and spells keys: `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are both in use (sysctl(8)).
fn sysctls(linux: &Linux) -> Result<Vec<(String, String)>> {
    linux.sysctl.iter().map(|(key, value)| Ok((sysctl_path(key)?, value.clone()))).collect()
}

/// Whichever of `.` and `/` comes first separates; the other stands for the first inside a name (`net.ipv4.conf.eth0/1.forwarding`).
fn sysctl_path(key: &str) -> Result<String> {
    let dots_separate = key.find(['.', '/']).is_none_or(|at| key.as_bytes()[at] == b'.');
    let path: String = match dots_separate {
        true => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        false => key.to_owned(),
    };
    let plain = !path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if plain { Ok(path) } else { Err(PrepareError::Invalid(format!("sysctl {key}"))) }
}

fn absolute(paths: &[String]) -> Result<Vec<String>> {
    match paths.iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(PrepareError::Invalid(format!("the path {path} is not absolute"))),
        None => Ok(paths.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_keys_are_read_in_both_spellings() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward").unwrap(), "net/ipv4/ip_forward");
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/forwarding").unwrap(), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/1.forwarding").unwrap(), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(sysctl_path("kernel").unwrap(), "kernel");
    }

    #[test]
    fn sysctl_keys_that_climb_are_refused() {
        for key in ["", "/kernel/x", "net/../../x", "net..x", "./x", "net/./x", "net/ipv4/"] {
            assert!(sysctl_path(key).is_err(), "{key}");
        }
    }
}

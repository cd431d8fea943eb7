//! From a specification to a plan: everything is checked and opened here, in the engine, before a process is touched.

mod binds;
mod capabilities;
mod cgroups;
mod devices;
mod flags;
mod machine;
mod mounts;
mod nodes;
mod options;
mod owners;
mod process;
mod sysctls;
mod validate;

pub use capabilities::known_capabilities;

use crate::{Extent, Inputs, MountStep, Plan, Prepared, ProcessPlan, Rules, Spread, TimeNamespace, Unshare};
use oci::runtime::{Linux, NamespaceKind, Spec};
use rustix::fs::{CWD, Mode, OFlags};
use std::borrow::Cow;
use std::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use sys::mount::{Change, Propagation, Reach};

/// Why a specification cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("invalid specification: {0}")]
    Invalid(String),
    #[error("cannot open the source {path} of the mount at {destination}")]
    Source { path: String, destination: String, source: std::io::Error },
    #[error("cannot use device {path}")]
    Device { path: String, source: std::io::Error },
    /// Not a mistake of the document alone, in runc's words.
    #[error("{0}")]
    Refused(String),
    #[error("error mounting {path:?} to rootfs at {destination:?}: {what}")]
    Mount { path: String, destination: String, what: String, source: std::io::Error },
    #[error("cannot make a user namespace for the maps of a mount")]
    IdMap { source: std::io::Error },
    #[error("cannot set the propagation of the root")]
    Root { source: std::io::Error },
    #[error("this engine does not support {0}")]
    Unsupported(String),
}

impl base::Kinded for PrepareError {
    fn kind(&self) -> base::Kind {
        match self {
            PrepareError::Invalid(_) | PrepareError::Refused(_) => base::Kind::Invalid,
            PrepareError::Source { source, .. }
            | PrepareError::Device { source, .. }
            | PrepareError::Mount { source, .. }
            | PrepareError::IdMap { source }
            | PrepareError::Root { source } => base::Kinded::kind(source),
            PrepareError::Unsupported(_) => base::Kind::Unsupported,
        }
    }
}

type Result<T> = std::result::Result<T, PrepareError>;

pub(crate) use process::{compile as compile_process, compile_joining};
pub(crate) use validate::{validate, warnings};

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

/// What the mounts and devices of a specification are made with.
struct Making<'a> {
    linux: &'a Linux,
    rules: &'a Rules,
    /// Where the root of the container lies in the caller's tree; `None` with the engine's rules.
    root: Option<PathBuf>,
    /// The user namespace of the container.
    user: Option<BorrowedFd<'a>>,
    owners: owners::Owners,
    fds: Fds,
}

impl Making<'_> {
    fn is_bundle(&self) -> bool {
        matches!(self.rules, Rules::Bundle(_))
    }
}

/// See [`crate::prepare`].
pub(crate) fn compile(spec: &Spec, inputs: Inputs) -> Result<Prepared> {
    let none = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&none);
    let process = spec.process.as_ref().ok_or_else(|| PrepareError::Invalid("no process".into()))?;
    check_mount_label(linux)?;
    let mut process = compile_process(process, inputs.seccomp)?;
    machine::of_container(linux, &mut process)?;
    let mut fds = Fds::default();
    let root_path = match &inputs.rules {
        Rules::Engine => None,
        Rules::Bundle(folder) => {
            spread_root(inputs.root.as_fd(), linux)?;
            Some(folder.join(spec.root.as_ref().map_or("", |root| root.path.as_str())))
        }
    };
    let root = fds.add(inputs.root)?;
    let user = inputs.user_namespace.as_ref().map(AsFd::as_fd);
    let mut making = Making { linux, rules: &inputs.rules, root: root_path, user, owners: Default::default(), fds };
    let mounts = mount_steps(spec, &process, &mut making)?;
    let mut fds = making.fds;
    let mut plan = Plan {
        cgroup_dir: inputs.cgroup_dir.map(|directory| fds.add(directory)).transpose()?,
        root,
        root_readonly: spec.root.as_ref().is_some_and(|root| root.readonly),
        root_propagation: propagation(linux)?.filter(|(spread, _)| !matches!(spread, Spread::Private | Spread::Slave)),
        mounts,
        hostname: spec.hostname.clone().filter(|name| !name.is_empty()),
        domainname: spec.domainname.clone().filter(|name| !name.is_empty()),
        sysctls: sysctls::compile(linux)?,
        masked_paths: absolute(&linux.masked_paths)?,
        readonly_paths: absolute(&linux.readonly_paths)?,
        process,
        // Without one of its own the engine's containers have one nevertheless.
        mount: if matches!(inputs.rules, Rules::Engine) { Unshare::New } else { Unshare::Host },
        ..Plan::default()
    };
    if !plan.masked_paths.is_empty() {
        plan.null = Some(fds.add(devices::null()?)?);
    }
    namespaces(linux, &mut plan, &mut fds)?;
    Ok(Prepared { plan, fds: fds.0 })
}

/// Without SELinux such a label means nothing, and runc passes over it.
fn check_mount_label(linux: &Linux) -> Result<()> {
    match linux.mount_label.as_deref().filter(|label| !label.is_empty()) {
        Some(label) if rustix::fs::access("/sys/fs/selinux/enforce", rustix::fs::Access::EXISTS).is_ok() => {
            Err(PrepareError::Unsupported(format!("the mount label {label}")))
        }
        _ => Ok(()),
    }
}

/// `linux.rootfsPropagation`
fn propagation(linux: &Linux) -> Result<Option<(Spread, Extent)>> {
    let Some(word) = linux.rootfs_propagation.as_deref().filter(|word| !word.is_empty()) else { return Ok(None) };
    let known = options::propagation(word);
    known.map(Some).ok_or_else(|| PrepareError::Refused(format!("rootfsPropagation={word} is not supported")))
}

/// While the container is furnished nothing spreads from its root to the host. From the host to what lies below the root
/// mounts go on spreading, to the root itself only if that is asked for; it becomes shared when it is `/`.
fn spread_root(root: BorrowedFd<'_>, linux: &Linux) -> Result<()> {
    let asked = propagation(linux)?;
    let set = |propagation, reach| {
        let change = Change { propagation: Some(propagation), ..Change::default() };
        sys::mount::set_attributes(root, change, reach).map_err(|source| PrepareError::Root { source })
    };
    if let Some((Spread::Private, _)) = asked {
        return set(Propagation::Private, Reach::Recursive);
    }
    set(Propagation::Slave, Reach::Recursive)?;
    match asked {
        Some((Spread::Slave, _)) => Ok(()),
        _ => set(Propagation::Private, Reach::One),
    }
}

fn mount_steps(spec: &Spec, process: &ProcessPlan, making: &mut Making<'_>) -> Result<Vec<MountStep>> {
    let mut steps = Vec::with_capacity(spec.mounts.len());
    let mut dev_is_ours = false;
    let own_cgroups = making.is_bundle() && !cgroups::has_namespace(making.linux) && !cgroups::unified();
    let mounts = if own_cgroups { Cow::Borrowed(spec.mounts.as_slice()) } else { cgroups::expand(&spec.mounts)? };
    for mount in mounts.iter() {
        let kind = mount.kind.as_deref().unwrap_or_default();
        if kind == "tmpfs" && mount.destination.trim_end_matches('/') == "/dev" && !options::is_bind(mount) {
            steps.append(&mut devices::folder(mount, process.terminal, making)?);
            dev_is_ours = true;
        } else if own_cgroups && cgroups::is_general(mount) {
            steps.push(cgroups::own(mount));
        } else {
            steps.push(mounts::step(mount, making)?);
        }
    }
    match making.rules {
        Rules::Engine => devices::bind_others(dev_is_ours, &mut steps, making)?,
        Rules::Bundle(_) => nodes::add(&spec.mounts, dev_is_ours, &mut steps, making)?,
    }
    Ok(steps)
}

/// The namespaces of the init. User and network ones are made or joined elsewhere, a new mount one always.
fn namespaces(linux: &Linux, plan: &mut Plan, fds: &mut Fds) -> Result<()> {
    (plan.pid, plan.ipc, plan.uts, plan.cgroup) = (Unshare::Host, Unshare::Host, Unshare::Host, Unshare::Host);
    for namespace in &linux.namespaces {
        if matches!(namespace.kind, NamespaceKind::User | NamespaceKind::Network) {
            continue;
        }
        let way = match namespace.existing() {
            None => Unshare::New,
            Some(path) => Unshare::Join(fds.add(open_namespace(path, namespace.kind)?)?),
        };
        match namespace.kind {
            NamespaceKind::Pid => plan.pid = way,
            NamespaceKind::Ipc => plan.ipc = way,
            NamespaceKind::Uts => plan.uts = way,
            NamespaceKind::Cgroup => plan.cgroup = way,
            NamespaceKind::Mount => plan.mount = way,
            NamespaceKind::Time => plan.time = time_namespace(way, linux)?,
            NamespaceKind::User | NamespaceKind::Network => {}
        }
    }
    let named = plan.hostname.is_some() || plan.domainname.is_some();
    if named && plan.uts == Unshare::Host {
        return Err(PrepareError::Invalid("a host name needs a uts namespace".into()));
    }
    Ok(())
}

/// Clocks of the kernel that have an offset, by name and number (time_namespaces(7)).
const CLOCKS: [(&str, u32); 2] = [("monotonic", 1), ("boottime", 7)];

fn time_namespace(way: Unshare, linux: &Linux) -> Result<TimeNamespace> {
    let Unshare::Join(index) = way else {
        let mut offsets = String::new();
        for (clock, offset) in &linux.time_offsets {
            let known = CLOCKS.iter().find(|(name, _)| name == clock);
            let (_, number) = known.ok_or_else(|| PrepareError::Invalid(format!("time offset of clock {clock}")))?;
            let _ = writeln!(offsets, "{number} {} {}", offset.secs, offset.nanosecs);
        }
        return Ok(TimeNamespace::New { offsets });
    };
    Ok(TimeNamespace::Join(index))
}

fn open_namespace(path: &str, kind: NamespaceKind) -> Result<OwnedFd> {
    let opened = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    opened.map_err(|e| PrepareError::Invalid(format!("cannot open the {kind:?} namespace {path}: {e}").to_lowercase()))
}

/// Each path once, in order.
fn absolute(paths: &[String]) -> Result<Vec<String>> {
    let mut all: Vec<String> = Vec::with_capacity(paths.len());
    for path in paths {
        if !path.starts_with('/') {
            return Err(PrepareError::Invalid(format!("the path {path} is not absolute")));
        }
        if !all.contains(path) {
            all.push(path.clone());
        }
    }
    Ok(all)
}

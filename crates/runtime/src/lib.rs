//! Makes a container out of a process: what the OCI runtime specification describes, as a library.
//!
//! Two processes use it. The engine (many threads, large) *prepares*: it checks the [`oci::runtime::Spec`], opens every
//! mount source as a detached, id-mapped mount and compiles the rest into a [`Plan`]. The keeper (one thread, small)
//! *parks*, *launches* and *execs*: it forks, and the children walk the plan. Only plain data and file descriptors cross.
//!
//! ```text
//!   prepare(spec, root) -> Prepared{plan, fds}            (engine)
//!   park(namespaces)    -> Parked  : a process already in its user and network namespaces and v1 cgroups, waiting
//!   launch(parked, plan, fds)      : it clones the init (CLONE_PARENT), which mounts, drops, execs; the parked one exits
//!   exec(target, plan, fds)        : joins a running container and execs
//! ```
//!
//! A launch or an exec is answered on its sync socket: [`Outcome::Started`] when execve happened (the socket closed), or
//! [`Outcome::Failed`] with the step that failed. Nothing blocks the caller: the socket goes into its epoll.

mod plan;

pub use plan::*;

use std::os::fd::OwnedFd;

/// What goes with a specification that it cannot say.
#[derive(Debug)]
pub struct Inputs {
    /// The root file system as a detached mount; `spec.root.path` is then ignored.
    pub root: OwnedFd,
    /// A compiled filter (the engine caches them); `spec.linux.seccomp` is then ignored.
    pub seccomp: Option<Vec<u8>>,
    /// A user namespace whose maps bind mounts are id-mapped with, so that files keep the owner they have on disk.
    /// `None`: no id-mapping (host user namespace).
    pub user_namespace: Option<OwnedFd>,
    /// The cgroup v2 directory, or `None` on v1.
    pub cgroup_dir: Option<OwnedFd>,
}

/// A plan and the file descriptors it names by index.
#[derive(Debug)]
pub struct Prepared {
    pub plan: Plan,
    pub fds: Vec<OwnedFd>,
}

/// Checks `spec`, opens every mount source and compiles the rest.
///
/// Bind sources are opened with open_tree(2) from the caller's mount namespace and id-mapped by `inputs.user_namespace`
/// (where the file system cannot: as it is). Devices are bound from the host's nodes, checked by type and number.
pub fn prepare(spec: &oci::runtime::Spec, inputs: Inputs) -> Result<Prepared, PrepareError> {
    let _ = (spec, inputs);
    todo!()
}

/// Compiles the process part alone, for an exec.
pub fn prepare_process(process: &oci::runtime::Process, seccomp: Option<Vec<u8>>) -> Result<ProcessPlan, PrepareError> {
    let _ = (process, seccomp);
    todo!()
}

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

//! Makes a container out of a process: what the OCI runtime specification describes, as a library.
//!
//! Two processes use it. The engine (many threads, large) *prepares*: it checks the [`oci::runtime::Spec`], opens every
//! mount source as a detached, id-mapped mount and compiles the rest into a [`Plan`]. The keeper (one thread, small)
//! *parks*, *launches* and *execs*: it forks, and the children walk the plan. Only plain data and file descriptors cross.
//!
//! ```text
//!   prepare(spec, inputs)    -> Prepared { plan, fds }                                         (engine)
//!
//!   park(namespaces, cgroups) -> Parking ──ready──► parked: a process in its user and network   (keeper)
//!                                                   namespaces and v1 cgroups, the first of a
//!                                                   new pid namespace, waiting for a plan
//!   launch(parked, plan, fds) -> Starting ─┬─► Started: it mounted, dropped, executed the program
//!   exec(target, plan)        -> Starting ─┘─► Failed { step, errno, subject }
//! ```
//!
//! The parked process *becomes* the container's program: nothing is forked between launch and execve. (Only a container
//! in another pid namespace, or one that has to be born in a v2 cgroup, is forked anew from the keeper.)
//!
//! A launch or an exec is answered on its socket: [`Outcome::Started`] when execve happened (the socket closed), or
//! [`Outcome::Failed`] with the step that failed. Nothing blocks the caller: the socket goes into its epoll.
//!
//! Where to start: [`plan`](crate::Plan) says what is done, `stage/init.rs` is the order in which it is done.
#![forbid(unsafe_code)]

mod affinity;
pub mod create;
mod exec;
mod failure;
mod hooks;
mod ids;
mod launch;
mod limits;
mod links;
mod listener;
mod octets;
mod outside;
mod park;
mod plan;
mod prepare;
pub mod rdt;
mod seal;
mod stage;
mod tiny_init;
mod wire;
mod zygote;

pub use exec::{Target, exec};
pub use hooks::{Calls, HookError, Interruption, run_hooks};
pub use launch::{Outcome, Starting, Stdio, launch};
pub use links::{MoveError, move_devices};
pub use outside::Outside;
pub use park::{ParkedNamespaces, Parking, park};
pub use plan::*;
pub use prepare::{PrepareError, known_capabilities};
pub use seal::seal_self;
pub use tiny_init::init_main;
pub use zygote::{ZYGOTE, Zygote, zygote_main};

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
    pub rules: Rules,
}

/// By whose rules the mounts and devices of a specification are read, where it leaves a choice.
#[derive(Debug, Clone, Default)]
pub enum Rules {
    /// The engine's: sources are absolute, binds are id-mapped by `user_namespace` and private.
    #[default]
    Engine,
    /// The OCI runtime's, which are runc's: sources are relative to the bundle's folder and may lie in the container's root, only
    /// those binds are id-mapped that say so, and mounts spread as `linux.rootfsPropagation` says. An absolute path.
    Bundle(std::path::PathBuf),
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
/// (where the file system cannot: as it is). A tmpfs at /dev is made here with its nodes, by their numbers; other devices are
/// bound from the host's nodes, checked by type and number. A mount of type `cgroup` that names no controller becomes what
/// this machine has: the v2 hierarchy, or a tmpfs with every v1 hierarchy. User, network and mount namespaces, the id maps
/// and the resources of the specification are the business of others.
pub fn prepare(spec: &oci::runtime::Spec, inputs: Inputs) -> Result<Prepared, PrepareError> {
    prepare::compile(spec, inputs)
}

/// Refuses what can be refused before anything is made, in runc's words.
pub fn validate(spec: &oci::runtime::Spec) -> Result<(), PrepareError> {
    prepare::validate(spec)
}

/// What a specification asks for and does not get, and runc warns of.
#[must_use]
pub fn warnings(spec: &oci::runtime::Spec) -> Vec<String> {
    prepare::warnings(spec)
}

/// Compiles a process that joins the container of `spec`: personality, memory policy, scheduling, I/O priority and limits are
/// the container's where the process says nothing of its own.
pub fn prepare_joining(
    process: &oci::runtime::Process,
    spec: &oci::runtime::Spec,
    seccomp: Option<Vec<u8>>,
) -> Result<ProcessPlan, PrepareError> {
    prepare::compile_joining(process, spec, seccomp)
}

/// Compiles the process part alone, for an exec.
pub fn prepare_process(process: &oci::runtime::Process, seccomp: Option<Vec<u8>>) -> Result<ProcessPlan, PrepareError> {
    prepare::compile_process(process, seccomp)
}

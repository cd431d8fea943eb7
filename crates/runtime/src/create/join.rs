//! An exec by a process that is not the container's keeper.

use super::{Beginning, CreateError, Way, add_filter};
use crate::exec::fork_joining;
use crate::stage::joining::{self, Joining as Order};
use crate::stage::{Errand, Sort};
use crate::{Stdio, Target, affinity, listener};
use oci::runtime::{Process, Spec};
use oci::state::State;
use std::os::fd::BorrowedFd;
use std::path::Path;
use sys::CgroupEntry;
use sys::process::SingleThread;

/// An exec into a container by a process that is not its keeper.
#[derive(Debug)]
pub struct Joining<'a> {
    pub target: Target<'a>,
    pub process: &'a Process,
    /// The container's `linux` part: seccomp profile, maps, personality.
    pub spec: &'a Spec,
    pub cgroup: CgroupEntry,
    pub streams: [BorrowedFd<'a>; 3],
    pub passed: Vec<BorrowedFd<'a>>,
    pub way: Way,
    pub state: &'a State,
}

/// Forks a process that joins the container. It says [`Milestone::Started`].
pub fn join(thread: &SingleThread, joining: &Joining<'_>) -> Result<Beginning, CreateError> {
    let mut plan = crate::prepare_joining(joining.process, joining.spec, None)?;
    add_filter(joining.spec, &mut plan)?;
    let errand = Errand {
        sort: Sort::Exec,
        spec: joining.spec,
        bundle: Path::new(&joining.state.bundle),
        gate: None,
        streams: joining.streams,
        passed: &joining.passed,
        way: joining.way,
        state: joining.state,
    };
    let (procs, born) = joining.cgroup.ways();
    let stdio = if plan.terminal { Stdio::Terminal } else { Stdio::Files(joining.streams) };
    let order = Order { target: joining.target, plan: &plan, procs, stdio, errand: Some(&errand) };
    // Bound before the fork: once in the cgroup, it could not be bound to what is outside of that one's CPUs.
    let (pid, pidfd, socket) = affinity::bound(&plan.cpu_affinity.initial, || match joining.way.rootless {
        true => joining::fork_inside(thread, born, &order),
        false => fork_joining(thread, born, &order),
    })?;
    let mut begun = Beginning::new(pid, pidfd, socket, plan.terminal);
    begun.listener = listener::Agent::of(joining.spec, joining.state, pid);
    Ok(begun)
}

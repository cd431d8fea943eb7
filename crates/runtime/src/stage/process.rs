//! The last steps of every process: streams, folder, user, limits, capabilities, filter, execve.

use super::course::Course;
use super::{Groups, OwnFiles, home, program, resolve, tuning};
use crate::failure::at;
use crate::{Capabilities, Failure, ProcessPlan, Step, limits};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The umask of a process that asks for none: what login gives, and every other runtime.
const DEFAULT_UMASK: u32 = 0o022;

/// What is done about a working directory that is not there: only a container's start makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Make,
    Refuse,
}

/// What becomes standard input, output and error.
#[derive(Debug)]
pub(super) enum Streams<'a> {
    Files([BorrowedFd<'a>; 3]),
    Terminal(OwnedFd),
}

/// Executes the program of `plan`, from within the container's namespaces and root. Returns only a failure.
pub(super) fn execute(
    own: &OwnFiles,
    plan: &ProcessPlan,
    streams: &Streams<'_>,
    course: &Course<'_>,
    absent: Absent,
) -> Result<Infallible, Failure> {
    take_streams(streams).map_err(at(Step::Console, "standard streams"))?;
    let at_home = home::environment(&plan.env, plan.uid).map(|env| ProcessPlan { env, ..plan.clone() });
    let plan = at_home.as_ref().unwrap_or(plan);
    sys::umask(0);
    let arrived = change_folder(&plan.cwd, absent)?;
    sys::umask(plan.umask.unwrap_or(DEFAULT_UMASK));
    own.set_label(plan.apparmor_profile.as_deref())?;
    tuning::tune(plan)?;
    drop_bounding(plan.capabilities.bounding)?;
    become_user(plan, course.groups())?;
    course.watch_caller()?;
    if !arrived && !change_folder(&plan.cwd, absent)? {
        return Err(Failure::new(Step::WorkingDirectory, Errno::ACCESS, &plan.cwd));
    }
    raise_effective(plan)?;
    let program = program::find(plan)?;
    limits::set(&plan.rlimits)?;
    // Everything is close-on-exec already; this is for a descriptor that should not be there (CVE-2024-21626).
    sys::process::cloexec_from(3).map_err(at(Step::Execve, "file descriptors"))?;
    let Err(failure) = go(plan, &program, course);
    Err(course.fail(failure))
}

/// From the last step that can fail by the specification's fault to the program.
fn go(plan: &ProcessPlan, program: &program::Program, course: &Course<'_>) -> Result<Infallible, Failure> {
    // A filter with a listener is told to the caller, who is there only until the gate.
    let early = plan.seccomp_listener;
    if early {
        confine(plan, course)?;
    }
    course.wait_at_gate()?;
    if !early {
        confine(plan, course)?;
    }
    course.run_start_hooks(plan)?;
    course.place_passed()?;
    Err(program.run())
}

/// The last two: what is asked for after this, the container may forbid.
fn confine(plan: &ProcessPlan, course: &Course<'_>) -> Result<(), Failure> {
    set_capabilities(plan)?;
    install_filter(plan, course)
}

fn take_streams(streams: &Streams<'_>) -> Result<(), Errno> {
    rustix::process::setsid()?;
    let [stdin, stdout, stderr] = match streams {
        Streams::Files(files) => *files,
        Streams::Terminal(peer) => {
            rustix::process::ioctl_tiocsctty(peer)?;
            [peer.as_fd(); 3]
        }
    };
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    rustix::stdio::dup2_stderr(stderr)
}

/// Goes to the working directory; false when only its user may (a later try decides).
///
/// No magic link is followed: /proc/self/fd would lead to whatever is open (CVE-2024-21626).
fn change_folder(path: &str, absent: Absent) -> Result<bool, Failure> {
    let go = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, "/", flags, Mode::empty())?;
        let folder = match absent {
            Absent::Make => resolve::folder(root.as_fd(), path)?,
            Absent::Refuse => resolve::in_root(root.as_fd(), path, flags)?,
        };
        rustix::process::fchdir(folder)?;
        let here = rustix::process::getcwd(Vec::new())?;
        if here.as_bytes().starts_with(b"/") { Ok(()) } else { Err(Errno::XDEV) }
    };
    match go() {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::PERM) => Ok(false),
        Err(e) => Err(at(Step::WorkingDirectory, path)(e)),
    }
}

fn drop_bounding(keep: u64) -> Result<(), Failure> {
    for capability in each(!keep) {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // Above the last one this kernel knows.
            Err(Errno::INVAL) => break,
            other => other.map_err(at(Step::Capabilities, "bounding set"))?,
        }
    }
    Ok(())
}

/// Takes the ids of the plan. All ones means "no change" to the kernel and is no user (CVE-2016-3697 and its kin).
fn become_user(plan: &ProcessPlan, own_groups: Groups) -> Result<(), Failure> {
    let ids = [plan.uid, plan.gid];
    let subject = format!("{}:{}", plan.uid, plan.gid);
    if ids.iter().chain(&plan.groups).any(|id| *id == u32::MAX) {
        return Err(Failure::new(Step::User, Errno::INVAL, subject));
    }
    let change = || {
        let groups: Vec<Gid> = plan.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        own_groups.set(&groups)?;
        let (uid, gid) = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        if plan.uid != 0 {
            rustix::thread::set_keep_capabilities(true)?;
        }
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
    };
    change().map_err(at(Step::User, &subject))
}

/// A user other than root may have the right to a program by a capability alone: the kernel took those away with root's ids.
fn raise_effective(plan: &ProcessPlan) -> Result<(), Failure> {
    if plan.uid == 0 || plan.capabilities.effective == 0 {
        return Ok(());
    }
    let raise = || {
        let effective = CapabilitySet::from_bits_retain(plan.capabilities.effective);
        let now = rustix::thread::capabilities(None)?;
        rustix::thread::set_capabilities(None, CapabilitySets { effective, ..now })
    };
    raise().map_err(at(Step::Capabilities, "sets"))
}

/// Sets the capability sets, and keeps CAP_SYS_ADMIN as long as the filter needs it.
///
/// execve takes that away again: it computes the permitted set anew, for root from the bounding set and for others from the
/// ambient one (capabilities(7)). So the filter can come last and need not allow capset(2).
fn set_capabilities(plan: &ProcessPlan) -> Result<(), Failure> {
    let Capabilities { effective, inheritable, permitted, ambient, .. } = plan.capabilities;
    let needed = if plan.seccomp.is_some() && !plan.no_new_privileges { CapabilitySet::SYS_ADMIN.bits() } else { 0 };
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective | needed),
        permitted: CapabilitySet::from_bits_retain(permitted | effective | needed),
        inheritable: CapabilitySet::from_bits_retain(inheritable),
    };
    let set = || {
        rustix::thread::set_capabilities(None, sets)?;
        for capability in each(ambient) {
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
        Ok::<_, Errno>(())
    };
    set().map_err(at(Step::Capabilities, "sets"))
}

fn each(mask: u64) -> impl Iterator<Item = CapabilitySet> {
    (0..64).map(|number| 1_u64 << number).filter(move |bit| mask & bit != 0).map(CapabilitySet::from_bits_retain)
}

fn install_filter(plan: &ProcessPlan, course: &Course<'_>) -> Result<(), Failure> {
    if plan.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(at(Step::Seccomp, "no_new_privs"))?;
    }
    let Some(filter) = &plan.seccomp else { return Ok(()) };
    if plan.seccomp_listener {
        let listener = sys::filter::install_with_listener(filter, plan.seccomp_flags);
        return course.tell_listener(&listener.map_err(at(Step::Seccomp, "filter"))?);
    }
    sys::filter::install(filter, plan.seccomp_flags).map_err(at(Step::Seccomp, "filter"))
}

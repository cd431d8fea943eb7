//! The course of a process without a keeper: it stops for hooks, waits at its gate, and then speaks to who knocked.
//!
//! A keeper's processes have a course too, an empty one: they stop nowhere.

use super::{Groups, halts};
use crate::affinity;
use crate::create::Way;
use crate::failure::at;
use crate::prepare;
use crate::{Extent, Failure, Inputs, Plan, ProcessPlan, Rules, Step, hooks, wire};
use oci::runtime::{Hook, Namespace, NamespaceKind, Spec};
use oci::state::{State, Status};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use std::cell::{Cell, OnceCell};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use sys::process::{Child, Namespaces};
use sys::signalfd::Signals;

/// Where passed descriptors begin: after the standard streams.
const FIRST_PASSED: RawFd = 3;

/// Signals that end nobody by default (signal(7)).
const PASSED_OVER: [Signal; 7] =
    [Signal::CHILD, Signal::CONT, Signal::TSTP, Signal::TTIN, Signal::TTOU, Signal::URG, Signal::WINCH];

/// What a process without a keeper knows from the fork.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errand<'a> {
    pub(crate) sort: Sort,
    pub(crate) spec: &'a Spec,
    /// An absolute path.
    pub(crate) bundle: &'a Path,
    pub(crate) gate: Option<BorrowedFd<'a>>,
    pub(crate) streams: [BorrowedFd<'a>; 3],
    pub(crate) passed: &'a [BorrowedFd<'a>],
    pub(crate) way: Way,
    pub(crate) state: &'a State,
}

/// What an errand is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Init,
    Exec,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Course<'a> {
    child: &'a Child,
    control: OwnedFd,
    errand: Option<&'a Errand<'a>>,
    /// Copies whose numbers are above those that the passed ones will have.
    gate: Option<OwnedFd>,
    passed: Vec<OwnedFd>,
    /// Who knocked at the gate.
    knocker: OnceCell<OwnedFd>,
    /// Of a keeper's process whose plan has hooks.
    last: OnceCell<halts::Last>,
    /// Descriptors that others hold were closed: nothing may be dropped any more.
    committed: Cell<bool>,
}

impl<'a> Course<'a> {
    /// What a forked child does first. Ends the process when even that fails.
    pub(super) fn begin(child: &'a Child, control: OwnedFd, errand: Option<&'a Errand<'a>>) -> Self {
        // While /proc is the caller's.
        Groups::here();
        let (knocker, last, committed) = (OnceCell::new(), OnceCell::new(), Cell::new(false));
        let Some(errand) = errand.filter(|errand| errand.gate.is_some() || !errand.passed.is_empty()) else {
            return Self { child, control, errand, gate: None, passed: Vec::new(), knocker, last, committed };
        };
        let lifted = lift(control.as_fd(), errand);
        match lifted {
            Ok((control, gate, passed)) => {
                Self { child, control, errand: Some(errand), gate, passed, knocker, last, committed }
            }
            Err(e) => {
                wire::report(control.as_fd(), &at(Step::Park, "file descriptors")(e));
                sys::process::exit(1)
            }
        }
    }

    pub(super) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// The streams that the caller has for the process; a keeper's come with the plan.
    pub(super) fn streams(&self) -> Option<[BorrowedFd<'a>; 3]> {
        self.errand.map(|errand| errand.streams)
    }

    /// Without a keeper.
    pub(super) fn is_alone(&self) -> bool {
        self.errand.is_some()
    }

    pub(super) fn is_rootless(&self) -> bool {
        self.errand.is_some_and(|errand| errand.way.rootless)
    }

    /// Who has no rights writes the maps of a process only while that can be traced (/proc/PID/uid_map is root's else).
    pub(super) fn awaits_maps(&self) -> bool {
        self.is_rootless() && self.errand.is_some_and(|errand| errand.sort == Sort::Init)
    }

    pub(super) fn has_no_pivot(&self) -> bool {
        self.errand.is_some_and(|errand| errand.way.no_pivot)
    }

    pub(super) fn has_plain_lines(&self) -> bool {
        self.errand.is_some_and(|errand| errand.way.plain_lines)
    }

    pub(super) fn groups(&self) -> Groups {
        if self.is_rootless() { Groups::PerhapsDenied } else { Groups::here() }
    }

    pub(super) fn wants_keyring(&self) -> bool {
        self.errand.is_none_or(|errand| !errand.way.same_keyring)
    }

    /// A new time namespace, whose offsets are to be written.
    pub(super) fn wants_time(&self) -> bool {
        let init = self.errand.filter(|errand| errand.sort == Sort::Init);
        init.and_then(|errand| errand.spec.namespace(NamespaceKind::Time)).is_some_and(Namespace::is_new)
    }

    pub(super) fn name(&self) -> &'static CStr {
        if self.errand.is_some() { c"dhow:init" } else { c"dhow:parked" }
    }

    /// Closes every descriptor but these and what the course still needs.
    pub(super) fn close_all_but(&self, mut keep: Vec<RawFd>) -> Result<(), Failure> {
        keep.push(self.control.as_raw_fd());
        keep.extend(self.gate.iter().chain(&self.passed).map(AsRawFd::as_raw_fd));
        // Later they are where the program will have them.
        if !self.committed.get() {
            keep.extend(self.streams().iter().flatten().map(AsRawFd::as_raw_fd));
        }
        self.child.close_all_but(&mut keep).map_err(at(Step::Park, "file descriptors"))
    }

    pub(super) fn say_ready(&self) -> Result<(), Failure> {
        match self.errand {
            Some(errand) if errand.spec.namespace(NamespaceKind::User).is_none_or(Namespace::is_new) => Ok(()),
            _ => wire::say(self.control(), wire::READY, &[]).map_err(at(Step::Park, "socket")),
        }
    }

    /// The death of a caller that is no keeper is this process's too, until it is done. A change of ids makes the kernel
    /// forget that (PR_SET_PDEATHSIG(2const)).
    pub(super) fn watch_caller(&self) -> Result<(), Failure> {
        match self.errand {
            Some(_) => death_signal(Some(Signal::KILL)),
            None => Ok(()),
        }
    }

    /// A keeper's container outlives it from the order on.
    pub(super) fn stop_watching_keeper(&self) -> Result<(), Failure> {
        if self.errand.is_none() { death_signal(None) } else { Ok(()) }
    }

    /// A container may use all CPUs that its cgroup allows, whatever its caller was bound to.
    pub(super) fn unbind(&self) -> Result<(), Failure> {
        if self.is_alone() { affinity::set(&affinity::all()) } else { Ok(()) }
    }

    /// Compiles the plan here, with the rights of this process in its user namespace: mounts are opened by who may use them.
    pub(super) fn compile(&self) -> Result<(Box<Plan>, Vec<OwnedFd>), Failure> {
        let failed = |text: String| Failure::new(Step::Prepare, Errno::INVAL, text);
        let errand = self.errand.ok_or_else(|| failed("an order for somebody else".to_owned()))?;
        if crate::create::has_mount_namespace(errand.spec) {
            sys::namespace::unshare(Namespaces::NEWNS).map_err(at(Step::Clone, "mount namespace"))?;
        }
        let prepared = crate::create::open_root(errand.spec, errand.bundle).and_then(|root| {
            let rules = Rules::Bundle(errand.bundle.to_owned());
            // Nothing of the host's can be id-mapped without rights on the host.
            let inputs = Inputs { root, seccomp: None, user_namespace: None, cgroup_dir: None, rules };
            let mut prepared = prepare::compile(errand.spec, inputs)?;
            crate::create::add_filter(errand.spec, &mut prepared.plan.process)?;
            Ok(prepared)
        });
        let prepared = prepared.map_err(|e| failed(base::chain(&e)))?;
        Ok((Box::new(prepared.plan), prepared.fds))
    }

    /// Whether the mount namespace is new already.
    pub(super) fn has_unshared_mounts(&self) -> bool {
        self.is_rootless()
    }

    fn has_hooks_outside(&self) -> bool {
        self.hooks().is_some_and(|hooks| {
            [&hooks.prestart, &hooks.create_runtime, &hooks.create_container].iter().any(|list| !list.is_empty())
        })
    }

    fn hooks(&self) -> Option<&'a oci::runtime::Hooks> {
        self.errand.filter(|errand| errand.sort == Sort::Init).and_then(|errand| errand.spec.hooks.as_ref())
    }

    /// Where others look for the container's root: hooks before it is `/`, or the host. `None`: there is nobody who could.
    pub(super) fn root_path(&self) -> Option<std::path::PathBuf> {
        let errand = self.errand?;
        let seen = self.has_hooks_outside() || !crate::create::has_mount_namespace(errand.spec);
        seen.then(|| crate::create::root_path(errand.spec, errand.bundle))
    }

    /// Namespaces and mounts are there, and the host's files still visible: the caller runs its hooks, then this process those
    /// of createContainer, from within `root`.
    pub(super) fn stop_for_hooks(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let Some(errand) = self.errand.filter(|errand| errand.sort == Sort::Init) else { return Ok(()) };
        if crate::create::stops_for_hooks(errand.spec) {
            self.await_caller()?;
        }
        let Some(hooks) = self.hooks().filter(|hooks| !hooks.create_container.is_empty()) else { return Ok(()) };
        rustix::process::fchdir(root).map_err(at(Step::Root, "/"))?;
        run_hooks("createContainer", &hooks.create_container, errand.state, Status::Creating)
    }

    /// The caller moves this process into a group that it cannot enter itself.
    pub(super) fn stop_for_group(&self) -> Result<(), Failure> {
        if self.errand.is_some_and(|errand| errand.way.awaits_group) { self.await_caller() } else { Ok(()) }
    }

    fn await_caller(&self) -> Result<(), Failure> {
        wire::say(self.control(), wire::HOOKS, &[]).map_err(at(Step::Park, "socket"))?;
        match wire::await_word(self.control()).map_err(at(Step::Park, "socket"))? {
            Some(wire::PROCEED) => Ok(()),
            _ => sys::process::exit(1),
        }
    }

    /// All that can fail without the container's help is done.
    pub(super) fn wait_at_gate(&self) -> Result<(), Failure> {
        if self.errand.is_none() {
            return Ok(());
        }
        death_signal(None)?;
        let Some(gate) = &self.gate else { return Ok(()) };
        // While it waits it holds nothing of the host but its gate.
        self.committed.set(true);
        self.close_all_but(Vec::new())?;
        wire::say(self.control(), wire::CREATED, &[]).map_err(at(Step::Park, "socket"))?;
        let knocker = await_knock(gate.as_fd())
            .and_then(|knocker| Ok(rustix::io::fcntl_dupfd_cloexec(&knocker, self.above_passed())?))
            .map_err(at(Step::Park, "gate"))?;
        // Who knocked may have gone again: the program runs all the same.
        let _ = wire::say(knocker.as_fd(), wire::GOING, &[]);
        let _ = self.knocker.set(knocker);
        Ok(())
    }

    fn above_passed(&self) -> RawFd {
        above(self.passed.len())
    }

    /// As [`stop_for_hooks`](Self::stop_for_hooks), with hooks that came with the plan.
    pub(super) fn stop_for_plan(&self, plan: &Plan, fds: &[OwnedFd]) -> Result<(), Failure> {
        if let Some(last) = halts::stop(plan, fds)? {
            let _ = self.last.set(last);
        }
        Ok(())
    }

    /// Hooks of startContainer get the environment of the program unless they have their own, as with runc.
    pub(super) fn run_start_hooks(&self, plan: &ProcessPlan) -> Result<(), Failure> {
        if let Some(last) = self.last.get() {
            return last.run();
        }
        let Some((hooks, errand)) = self.hooks().filter(|hooks| !hooks.start_container.is_empty()).zip(self.errand)
        else {
            return Ok(());
        };
        let environment = || plan.env.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let with_environment = |hook: &Hook| match hook.env.is_empty() {
            true => Hook { env: environment(), ..hook.clone() },
            false => hook.clone(),
        };
        let hooks: Vec<Hook> = hooks.start_container.iter().map(with_environment).collect();
        run_hooks("startContainer", &hooks, errand.state, Status::Created)
    }

    /// Last of all: a hook must not get them.
    pub(super) fn place_passed(&self) -> Result<(), Failure> {
        if self.passed.is_empty() {
            return Ok(());
        }
        self.committed.set(true);
        let passed: Vec<_> = self.passed.iter().map(AsFd::as_fd).collect();
        self.child.place(&passed, FIRST_PASSED).map_err(at(Step::Execve, "passed file descriptors"))
    }

    /// Lets the caller fetch the listener of the filter that is in force by now.
    ///
    /// The number alone is told, by write(2): whatever else the filter asks about, the listener answers once it was fetched.
    pub(super) fn tell_listener(&self, listener: &OwnedFd) -> Result<(), Failure> {
        let tell = || {
            if self.is_rootless() {
                // Else only who may trace everything could fetch it (pidfd_getfd(2)).
                set_dumpable_behavior(DumpableBehavior::Dumpable)?;
            }
            wire::say_listener(self.control(), listener.as_raw_fd())?;
            let word = wire::await_word(self.control());
            // The filter may forbid it; then it lasts until execve.
            let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
            word
        };
        match tell().map_err(at(Step::Seccomp, "listener"))? {
            Some(wire::PROCEED) => Ok(()),
            _ => sys::process::exit(1),
        }
    }

    /// Has the caller id-map a detached mount of this process, who must not.
    pub(super) fn ask_for_map(&self, mount: BorrowedFd<'_>, user: BorrowedFd<'_>, extent: Extent) -> Result<(), Errno> {
        if self.is_rootless() || !self.is_alone() {
            return Err(Errno::PERM);
        }
        let asked = wire::ask_for_map(self.control(), [mount, user], extent);
        match asked.and_then(|()| wire::await_word(self.control())) {
            Ok(Some(wire::PROCEED)) => Ok(()),
            _ => sys::process::exit(1),
        }
    }

    /// Tells of a failure whoever waits.
    pub(super) fn report(&self, failure: &Failure) {
        wire::report(self.knocker.get().unwrap_or(&self.control).as_fd(), failure);
    }

    /// Ends the process if descriptors must not be dropped on the way back.
    pub(super) fn fail(&self, failure: Failure) -> Failure {
        if self.committed.get() {
            self.report(&failure);
            sys::process::exit(1);
        }
        failure
    }
}

type Lifted = (OwnedFd, Option<OwnedFd>, Vec<OwnedFd>);

/// Waits until somebody knocks. A signal that ends other processes ends this one: the first process of a pid namespace is spared
/// those it does not handle (pid_namespaces(7)), and `kill` of a container that was created but not started would do nothing.
fn await_knock(gate: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let signals = Signals::take()?;
    loop {
        let mut ready = [PollFd::from_borrowed_fd(gate, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut ready, None))?;
        let [knocked, _] = ready.map(|fd| !fd.revents().is_empty());
        while let Some(received) = signals.next()? {
            if !PASSED_OVER.iter().any(|signal| signal.as_raw() == received.signal) {
                sys::process::exit(128 + received.signal);
            }
        }
        if knocked {
            sys::signal::reset_all()?;
            return Ok(rustix::io::retry_on_intr(|| rustix::net::accept_with(gate, SocketFlags::CLOEXEC))?);
        }
    }
}

/// Copies with numbers above those that the passed descriptors will have.
fn lift(control: BorrowedFd<'_>, errand: &Errand<'_>) -> Result<Lifted, Errno> {
    let free = above(errand.passed.len());
    let lift = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, free);
    let passed = errand.passed.iter().map(|fd| lift(*fd)).collect::<Result<_, _>>()?;
    Ok((lift(control)?, errand.gate.map(lift).transpose()?, passed))
}

fn above(passed: usize) -> RawFd {
    FIRST_PASSED.saturating_add(RawFd::try_from(passed).unwrap_or(RawFd::MAX))
}

fn death_signal(signal: Option<Signal>) -> Result<(), Failure> {
    set_parent_process_death_signal(signal).map_err(at(Step::Park, "death signal"))
}

/// Runs hooks in this process's namespaces, in which its number is another.
pub(super) fn run_hooks(point: &str, list: &[Hook], state: &State, status: Status) -> Result<(), Failure> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let state = State { status, pid, ..state.clone() };
    let mask = sys::umask(0o022);
    let ran = hooks::run_hooks(point, list, &state, None);
    sys::umask(mask);
    ran.map_err(|e| Failure::new(Step::Hook, Errno::CANCELED, e.to_string()))
}

//! A container made by a process that will not keep it: `create`, `run` and `exec` of an OCI runtime's command line.
//!
//! ```text
//!  Creation::fork ──► Newborn (a process in its user, network and pid namespaces, waiting)
//!                       │  the caller puts it into its cgroups (systemd needs its number), moves network devices
//!                       ▼
//!  Newborn::furnish ──► Beginning ──wait()──► Milestone::Hooks    namespaces and mounts are there: createRuntime hooks run
//!                                  proceed()                      in the caller, createContainer hooks in the process
//!                                 ──wait()──► Milestone::Created  all is done but execve; the process waits at the gate
//!                                                                 (without a gate: Milestone::Started, execve happened)
//!  knock(gate)          ────────────────────► the process runs its startContainer hooks and executes; or a Failure
//! ```

mod join;
mod spaces;

pub use join::{Joining, join};

use crate::failure::at;
use crate::stage::{Errand, Sort};
use crate::wire::{self, Word};
use crate::{Extent, Failure, Inputs, PrepareError, ProcessPlan, Rules, Step, Zygote};
use crate::{ids, launch, limits, listener};
use oci::runtime::{Linux, NamespaceKind, Spec};
use oci::state::State;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use spaces::Spaces;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::CgroupEntry;
use sys::mount::Change;
use sys::process::Birth;

/// Why a container could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error(transparent)]
    Prepare(#[from] crate::PrepareError),
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// What a container is made from.
#[derive(Debug)]
pub struct Creation<'a> {
    pub spec: &'a Spec,
    /// `root.path` is relative to it.
    pub bundle: &'a Path,
    /// A listening SOCK_SEQPACKET socket at which the process waits for [`knock`]; `None` (`run`): it goes on at once.
    pub gate: Option<BorrowedFd<'a>>,
    /// What becomes its standard streams; ignored with a terminal, whose master comes with [`Milestone`].
    pub streams: [BorrowedFd<'a>; 3],
    /// Descriptors that the program gets as 3, 4, ... (`--preserve-fds`, socket activation).
    pub passed: Vec<BorrowedFd<'a>>,
    pub way: Way,
    /// What hooks in the container and a seccomp listener are told; `pid` and `status` are filled in.
    pub state: &'a State,
}

/// How a container is brought up, where there is a choice.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Way {
    /// Without rights on the host: id maps by newuidmap(1) and newgidmap(1) (or one line each, written directly), mount sources opened
    /// by the process itself inside its user namespace, devices bound instead of made.
    pub rootless: bool,
    /// chroot(2) onto a moved mount instead of pivot_root(2), for a root on a ramdisk.
    pub no_pivot: bool,
    /// The process keeps the caller's session keyring.
    pub same_keyring: bool,
    /// The terminal is shown on another one, which adds the carriage returns: this one adds none, from the first line on.
    pub plain_lines: bool,
    /// An exec waits once, before it enters anything, for its caller to move it: [`Milestone::Hooks`].
    pub awaits_group: bool,
}

/// A process that was born, and waits.
#[derive(Debug)]
pub struct Newborn<'a> {
    creation: Creation<'a>,
    begun: Beginning,
    /// On its way out; waited for when nothing else is to be done.
    zygote: Zygote,
}

/// A process on its way to its program. Dropped before it is done, it ends: its end of the socket tells it.
#[derive(Debug)]
pub struct Beginning {
    pid: i32,
    pidfd: OwnedFd,
    socket: OwnedFd,
    terminal: bool,
    gated: bool,
    master: Option<OwnedFd>,
    listener: Option<listener::Agent>,
}

/// How far a [`Beginning`] came.
#[derive(Debug)]
pub enum Milestone {
    /// Its namespaces and mounts are there. It waits for [`Beginning::proceed`]. Only when the specification has prestart or
    /// createRuntime hooks or network devices; of an exec, with [`Way::awaits_group`].
    Hooks,
    /// It waits at its gate.
    Created { master: Option<OwnedFd> },
    /// execve happened.
    Started { master: Option<OwnedFd> },
}

impl<'a> Creation<'a> {
    /// Has the process forked. `cgroup`: where it is born (v2), or what it enters (v1); [`CgroupEntry::Inherit`] when the
    /// caller will put it somewhere.
    pub fn fork(self, mut zygote: Zygote, cgroup: &CgroupEntry) -> Result<Newborn<'a>, CreateError> {
        let spaces = Spaces::open(self.spec)?;
        let (procs, born) = cgroup.ways();
        let birth = Birth {
            namespaces: spaces.new,
            pid_namespace: spaces.pid.as_ref().map(AsFd::as_fd),
            cgroup: born,
            ..Birth::default()
        };
        let place = spaces.place(procs.iter().map(AsFd::as_fd).collect());
        let errand = Errand {
            sort: Sort::Init,
            spec: self.spec,
            bundle: self.bundle,
            gate: self.gate,
            streams: self.streams,
            passed: &self.passed,
            way: self.way,
            state: self.state,
        };
        let (pid, pidfd, socket) = zygote.bear(&birth, &place, &errand)?;
        let process = self.spec.process.as_ref();
        let mut begun = Beginning::new(pid, pidfd, socket, process.is_some_and(|process| process.terminal));
        begun.gated = self.gate.is_some();
        begun.listener = listener::Agent::of(self.spec, self.state, pid);
        let newborn = Newborn { creation: self, begun, zygote };
        let arrived = match newborn.creation.spec.namespace(NamespaceKind::User) {
            Some(user) if user.is_new() => newborn.map_ids(),
            // Before it is there, its user namespace and ids are still ours.
            Some(_) => newborn.await_ready(),
            None => Ok(()),
        };
        arrived.map_err(|failure| newborn.begun.end(failure))?;
        Ok(newborn)
    }
}

impl Newborn<'_> {
    /// Process id as the caller sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.begun.pid
    }

    /// Readable when the process has ended (pidfd_open(2)).
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.begun.pidfd()
    }

    fn map_ids(&self) -> Result<(), Failure> {
        let none = Linux::default();
        let linux = self.creation.spec.linux.as_ref().unwrap_or(&none);
        let (uid, gid) = (&linux.uid_mappings, &linux.gid_mappings);
        match self.creation.way.rootless {
            true => ids::write_rootless(self.begun.pid, uid, gid)?,
            false => ids::write(self.begun.pid, uid, gid).map_err(at(Step::Park, "id maps"))?,
        }
        wire::say(self.begun.socket.as_fd(), wire::MAPPED, &[]).map_err(at(Step::Park, "socket"))
    }

    /// Lets it go on with everything. Does not wait for it. On failure the process is dead and reaped.
    pub fn furnish(self) -> Result<Beginning, CreateError> {
        let ordered = self.order();
        drop(self.zygote);
        match ordered {
            Ok(()) => Ok(self.begun),
            Err(e) => {
                self.begun.kill();
                Err(e)
            }
        }
    }

    fn order(&self) -> Result<(), CreateError> {
        let socket = self.begun.socket.as_fd();
        if self.creation.way.rootless {
            return Ok(wire::order_own(socket).map_err(at(Step::Park, "socket"))?);
        }
        let Creation { spec, bundle, .. } = self.creation;
        let rules = Rules::Bundle(bundle.to_owned());
        let root = open_root(spec, bundle)?;
        let inputs = Inputs { root, seccomp: None, user_namespace: self.user_namespace()?, cgroup_dir: None, rules };
        let mut prepared = crate::prepare(spec, inputs)?;
        add_filter(spec, &mut prepared.plan.process)?;
        limits::raise(Some(self.begun.pid), &prepared.plan.process.rlimits)?;
        self.own_streams(&prepared.plan.process)?;
        let fds: Vec<_> = prepared.fds.iter().map(AsFd::as_fd).collect();
        wire::order(socket, &prepared.plan, &fds).map_err(at(Step::Park, "socket"))?;
        Ok(())
    }

    fn await_ready(&self) -> Result<(), Failure> {
        match hear(self.begun.socket.as_fd())? {
            Word::Said(wire::READY, _) => Ok(()),
            Word::Failed(failure) => Err(failure),
            _ => Err(Failure::new(Step::Park, Errno::PIPE, "a process that ended")),
        }
    }

    /// `None`: the container is in the caller's.
    fn user_namespace(&self) -> Result<Option<OwnedFd>, Failure> {
        if self.creation.spec.namespace(NamespaceKind::User).is_none() {
            return Ok(None);
        }
        let path = format!("/proc/{}/ns/user", self.begun.pid);
        let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        opened.map(Some).map_err(at(Step::Park, "user namespace"))
    }

    /// Gives pipes to the user of the container, who could not open /dev/stdout and its like otherwise.
    fn own_streams(&self, process: &ProcessPlan) -> Result<(), Failure> {
        if process.terminal {
            return Ok(());
        }
        launch::host_owner(self.begun.pid, process.uid, process.gid)
            .and_then(|owner| launch::give(self.creation.streams, owner))
            .map_err(at(Step::User, "standard streams"))
    }
}

/// The root of a specification as a path of the host.
pub(crate) fn root_path(spec: &Spec, bundle: &Path) -> PathBuf {
    bundle.join(spec.root.as_ref().map_or("", |root| root.path.as_str()))
}

/// The root as a detached mount.
pub(crate) fn open_root(spec: &Spec, bundle: &Path) -> Result<OwnedFd, PrepareError> {
    let path = root_path(spec, bundle);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, &path, flags).map_err(|e| PrepareError::Source {
        path: path.to_string_lossy().into_owned(),
        destination: "/".to_owned(),
        source: e.into(),
    })
}

pub(crate) fn has_mount_namespace(spec: &Spec) -> bool {
    spec.namespace(NamespaceKind::Mount).is_some()
}

/// The number on the host of user `uid` of a container whose process is `pid`. `None`: the user is not mapped.
#[must_use]
pub fn host_uid(spec: &Spec, pid: i32, uid: u32) -> Option<u32> {
    match spec.linux.as_ref()?.namespace(NamespaceKind::User) {
        None => Some(uid),
        Some(_) => ids::host_id(&ids::read(pid, "uid_map").ok()?, uid),
    }
}

/// Whether the caller has something to do when the namespaces and mounts are there.
pub(crate) fn stops_for_hooks(spec: &Spec) -> bool {
    let hooks = spec.hooks.as_ref();
    hooks.is_some_and(|hooks| !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty())
        || spec.linux.as_ref().is_some_and(|linux| !linux.net_devices.is_empty())
}

/// Compiles the filter of a specification into the plan of its process.
pub(crate) fn add_filter(spec: &Spec, process: &mut ProcessPlan) -> Result<(), PrepareError> {
    let Some(profile) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else { return Ok(()) };
    let invalid = |e: seccomp::Error| PrepareError::Invalid(base::chain(&e));
    process.seccomp_flags = seccomp::install_flags(profile).map_err(invalid)?;
    process.seccomp_listener = seccomp::uses_notify(profile);
    if process.seccomp_listener && profile.listener_path.is_empty() {
        return Err(PrepareError::Invalid("seccomp listenerPath is not set".to_owned()));
    }
    process.seccomp = Some(seccomp::compile(profile).map_err(invalid)?);
    Ok(())
}

impl Beginning {
    fn new(pid: i32, pidfd: OwnedFd, socket: OwnedFd, terminal: bool) -> Self {
        Self { pid, pidfd, socket, terminal, gated: false, master: None, listener: None }
    }

    /// Process id as the caller sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Readable when [`wait`](Self::wait) has something to hear.
    #[must_use]
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Waits for the next milestone. On failure the process is dead and reaped.
    pub fn wait(&mut self) -> Result<Milestone, Failure> {
        self.next().map_err(|failure| self.end(failure))
    }

    fn next(&mut self) -> Result<Milestone, Failure> {
        loop {
            match hear(self.socket.as_fd())? {
                Word::Said(wire::HOOKS, _) => return Ok(Milestone::Hooks),
                Word::Said(wire::CREATED, _) => return Ok(Milestone::Created { master: self.master.take() }),
                Word::Said(wire::TERMINAL, master) => self.master = master,
                Word::Said(..) => {}
                Word::Listener(number) => self.pass_listener(number)?,
                Word::Map([mount, user], extent) => self.map_mount(mount.as_fd(), user.as_fd(), extent)?,
                Word::Failed(failure) => return Err(failure),
                Word::End if self.gated || (self.terminal && self.master.is_none()) => {
                    return Err(Failure::new(Step::Park, Errno::PIPE, "a process that ended"));
                }
                Word::End => return Ok(Milestone::Started { master: self.master.take() }),
            }
        }
    }

    /// With the rights of the caller, for a process in its own user namespace.
    fn map_mount(&self, mount: BorrowedFd<'_>, user: BorrowedFd<'_>, extent: Extent) -> Result<(), Failure> {
        let change = Change { id_map: Some(user), ..Change::default() };
        sys::mount::set_attributes(mount, change, extent.into()).map_err(at(Step::Mount, "id map"))?;
        self.proceed()
    }

    fn pass_listener(&self, number: i32) -> Result<(), Failure> {
        let copied = sys::pidfd::copy_descriptor(&self.pidfd, number).map_err(at(Step::Seccomp, "listener"))?;
        // We have a copy: it may go on, for the agent can answer it from now on.
        self.proceed()?;
        match &self.listener {
            Some(agent) => agent.send(copied.as_fd()),
            None => Err(Failure::new(Step::Seccomp, Errno::PROTO, "listener")),
        }
    }

    /// Answers [`Milestone::Hooks`].
    pub fn proceed(&self) -> Result<(), Failure> {
        wire::say(self.socket.as_fd(), wire::PROCEED, &[]).map_err(at(Step::Park, "socket"))
    }

    /// The pidfd, for the time after.
    #[must_use]
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }

    /// Kills and reaps it; gives back why.
    fn end(&self, failure: Failure) -> Failure {
        self.kill();
        failure
    }

    /// Kills and reaps the process, whatever it is at.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        let ended = WaitId::PidFd(self.pidfd.as_fd());
        let _ = rustix::io::retry_on_intr(|| rustix::process::waitid(ended.clone(), WaitIdOptions::EXITED));
    }
}

/// Waits for the next word.
pub(crate) fn hear(socket: BorrowedFd<'_>) -> Result<Word, Failure> {
    loop {
        if let Some(word) = wire::listen(socket) {
            return Ok(word);
        }
        let mut ready = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut ready, None)).map_err(at(Step::Park, "socket"))?;
    }
}

/// `start`: knocks at the gate named `name` in `folder` and waits until the program runs.
///
/// NotFound / ConnectionRefused of the connection come as `Err` of the outer kind: nobody waits there (any more).
pub fn knock(folder: BorrowedFd<'_>, name: &str) -> io::Result<Result<(), Failure>> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // By the folder's descriptor: the whole path may be longer than an address can be (unix(7): 108 bytes).
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    let mut going = false;
    loop {
        match hear(socket.as_fd()) {
            Ok(Word::Said(..)) => going = true,
            // It ended, or execve closed its gate, before it heard us.
            Ok(Word::End) | Err(_) if !going => return Err(io::ErrorKind::ConnectionRefused.into()),
            Ok(Word::Failed(failure)) if going => return Ok(Err(failure)),
            Ok(Word::Failed(_)) => return Err(io::ErrorKind::ConnectionRefused.into()),
            Ok(Word::End) => return Ok(Ok(())),
            Ok(Word::Listener(_) | Word::Map(..)) => {}
            Err(failure) => return Ok(Err(failure)),
        }
    }
}

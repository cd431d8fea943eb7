//! A container that is half made: dropped, it takes everything back.

mod restoring;

use super::Request;
use crate::ends::Mode;
use crate::error::{Error, Result};
use crate::store::{Container, Fresh, Saved};
use crate::wording::{self, Who};
use crate::{ahead, birth, hooks, log, notify, process, streams};
use base::Undo;
use cgroup::{Placed, Record};
use oci::runtime::NamespaceKind;
use oci::state::{State, Status};
use runtime::Zygote;
use runtime::create::{Beginning, Creation, Milestone, Newborn};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use sys::signalfd::Signals;

/// Fields are dropped in this order, which is that of unwinding.
pub struct Draft {
    process: Undo<'static>,
    groups: Undo<'static>,
    folder: Fresh,
    /// The poststop hooks.
    afterwards: Undo<'static>,
    placed: Placed,
    saved: Saved,
}

impl Draft {
    /// Makes the state folder and the cgroups.
    pub fn begin(request: &mut Request<'_>) -> Result<Draft> {
        let folder = request.global.store().make(&request.options.id)?;
        let mut afterwards = Undo::new();
        let stopped = request.state(Status::Stopped, 0);
        if let Some(hooks) = request.spec().hooks.clone().filter(|hooks| !hooks.poststop.is_empty()) {
            afterwards.push(move || warn_of(hooks::run("poststop", &hooks.poststop, &stopped, None)));
        }
        if notify::host().is_some() {
            notify::announce(&mut request.bundle.spec, &folder.path)?;
        }
        if !request.global.systemd_cgroup {
            folder.note_groups(request.cgroups_path())?;
        }
        let placed = request.place.make(&request.resources(), &request.spec().annotations, request.lenience);
        let placed = placed.map_err(|e| Error::because("unable to apply cgroup configuration", &e))?;
        let mut groups = Undo::new();
        groups.push(removal(placed.record()));
        let process = Undo::new();
        Ok(Draft { process, groups, folder, afterwards, placed, saved: Saved::default() })
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Forks the process and goes with it until it waits at its gate, or its program runs.
    pub fn bear(
        &mut self,
        zygote: Zygote,
        request: &Request<'_>,
        streams: [BorrowedFd<'_>; 3],
        signals: &Signals,
    ) -> Result<(i32, OwnedFd, Option<OwnedFd>)> {
        let gate = if request.mode == Mode::Create { Some(self.folder.gate()?) } else { None };
        let state = request.state(Status::Creating, 0);
        let creation = Creation {
            spec: request.spec(),
            bundle: &request.bundle.path,
            gate: gate.as_ref().map(AsFd::as_fd),
            streams,
            passed: request.passed.fds(),
            way: request.way(),
            state: &state,
        };
        let entry = self.placed.entry().map_err(|e| Error::of(&e))?;
        let newborn = creation.fork(zygote, &entry).map_err(|e| wording::create(&e, Who::Init))?;
        let pid = newborn.pid();
        let pidfd = birth::watch(&mut self.process, newborn.pidfd())?;
        log::debug(&format!("process {pid} was forked, in groups {:?}", self.placed.record().paths));
        self.settle(request, &newborn, streams)?;
        self.save(request, pid, streams)?;
        let mut beginning = newborn.furnish().map_err(|e| wording::create(&e, Who::Init))?;
        if let Some(process) = request.process() {
            ahead::read(&request.bundle.path, request.spec(), process);
        }
        let master = milestones(request, &mut beginning, signals)?;
        tell_filter(request);
        log::debug(&format!("process {pid} is ready"));
        Ok((pid, pidfd, master))
    }

    /// What the caller does for a process that has its namespaces and nothing else.
    fn settle(&mut self, request: &Request<'_>, newborn: &Newborn<'_>, streams: [BorrowedFd<'_>; 3]) -> Result<()> {
        let pid = newborn.pid();
        if request.global.systemd_cgroup {
            self.placed
                .attach(pid, &request.resources())
                .map_err(|e| Error::because("unable to apply cgroup configuration", &e))?;
            self.groups.push(removal(self.placed.record()));
        }
        self.limit_cache(request, pid)?;
        let uid = request.process().map_or(0, |process| process.user.uid);
        let owner = runtime::create::host_uid(request.spec(), pid, uid);
        if let (Some(owner), false) = (owner, request.has_terminal()) {
            streams::give(streams, owner)?;
        }
        if let (Some(owner), true) = (owner, delegates(request)) {
            self.placed.delegate(owner).map_err(|e| Error::of(&e))?;
        }
        Ok(())
    }

    /// Intel RDT.
    fn limit_cache(&mut self, request: &Request<'_>, pid: i32) -> Result<()> {
        let Some(asked) = request.spec().linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref()) else {
            return Ok(());
        };
        let cannot = |e: runtime::rdt::Error| Error::because("unable to apply Intel RDT configuration", &e);
        let group = runtime::rdt::Group::make(&request.options.id, asked).map_err(cannot)?;
        let made = group.clone();
        self.groups.push(move || warn_of(made.remove().map_err(|e| Error::of(&e))));
        group.add(pid).map_err(cannot)
    }

    /// Writes down what there is. A later call finds it even if this one is killed in the next moment.
    fn save(&mut self, request: &Request<'_>, pid: i32, streams: [BorrowedFd<'_>; 3]) -> Result<()> {
        let start = process::start_time(pid).ok().flatten();
        let start = start.ok_or_else(|| Error::new("cannot read the start time of the new process"))?;
        let record = self.placed.record().clone();
        let hooks = request.spec().hooks.clone().unwrap_or_default();
        let root = request.spec().root.as_ref().map(|root| root.path.as_str()).unwrap_or_default();
        self.saved = Saved {
            version: Saved::VERSION,
            id: request.options.id.clone(),
            init_process_pid: pid,
            init_process_start: start,
            created: jiff::Timestamp::now().to_string(),
            bundle: request.bundle.path.clone(),
            rootfs: request.bundle.path.join(root),
            oci_version: request.spec().oci_version.clone(),
            annotations: request.spec().annotations.clone(),
            rootless: request.lenience == cgroup::Lenience::Lenient,
            own_pid_namespace: request.has_own(NamespaceKind::Pid),
            hooks,
            cgroup_paths: record.paths.clone(),
            cgroup: record,
            namespace_paths: namespace_paths(pid),
            intel_rdt: request.spec().linux.as_ref().and_then(|linux| linux.intel_rdt.clone()),
            external_descriptors: if request.has_terminal() { Vec::new() } else { streams::names(streams) },
        };
        self.folder.save_config(request.spec())?;
        self.folder.save(&self.saved)
    }

    /// It is up, and stays.
    pub fn keep(self) -> Result<Container> {
        self.process.keep();
        self.groups.keep();
        self.afterwards.keep();
        self.folder.into_container(self.saved)
    }
}

/// How the filter was installed, in runc's words: SECCOMP_FILTER_FLAG_ bits as the kernel got them.
fn tell_filter(request: &Request<'_>) {
    let Some(profile) = request.spec().linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else { return };
    let listener = if seccomp::uses_notify(profile) { sys::filter::NEW_LISTENER } else { 0 };
    if let Ok(flags) = seccomp::install_flags(profile) {
        log::debug(&format!("seccomp filter flags: {}", flags | listener));
    }
}

/// Goes with the process through what it waits for.
fn milestones(request: &Request<'_>, beginning: &mut Beginning, signals: &Signals) -> Result<Option<OwnedFd>> {
    loop {
        birth::await_word(beginning, signals)?;
        match beginning.wait().map_err(|e| wording::failed(&e, Who::Init))? {
            Milestone::Hooks => {
                move_devices(request, beginning.pid())?;
                run_hooks(request, &request.state(Status::Creating, beginning.pid()), Some(signals))?;
                beginning.proceed().map_err(|e| wording::failed(&e, Who::Init))?;
            }
            Milestone::Created { master } | Milestone::Started { master } => return Ok(master),
        }
    }
}

/// Network devices of the host that become the container's. Without a network namespace of its own it has them already.
fn move_devices(request: &Request<'_>, pid: i32) -> Result<()> {
    let Some(linux) = request.spec().linux.as_ref().filter(|linux| !linux.net_devices.is_empty()) else {
        return Ok(());
    };
    if linux.namespace(NamespaceKind::Network).is_none() {
        return Ok(());
    }
    let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net"));
    let namespace = namespace.map_err(|e| Error::because("cannot open the network namespace of the container", &e))?;
    runtime::move_devices(namespace.as_fd(), &linux.net_devices).map_err(|e| Error::of(&e))
}

fn run_hooks(request: &Request<'_>, state: &State, signals: Option<&Signals>) -> Result<()> {
    let Some(hooks) = &request.spec().hooks else { return Ok(()) };
    hooks::run("prestart", &hooks.prestart, state, signals)
        .and_then(|()| hooks::run("createRuntime", &hooks.create_runtime, state, signals))
        .map_err(|e| e.within(wording::INIT))
}

fn removal(record: &Record) -> impl FnOnce() + Send + 'static {
    let record = record.clone();
    move || warn_of(Placed::open(&record).and_then(|placed| placed.remove()).map_err(|e| Error::of(&e)))
}

fn warn_of(done: Result<()>) {
    if let Err(e) = done {
        log::warn(&e.message);
    }
}

/// The kernel's namespaces, by runc's names.
const NAMESPACES: [(&str, &str); 8] = [
    ("NEWCGROUP", "cgroup"),
    ("NEWIPC", "ipc"),
    ("NEWNET", "net"),
    ("NEWNS", "mnt"),
    ("NEWPID", "pid"),
    ("NEWTIME", "time"),
    ("NEWUSER", "user"),
    ("NEWUTS", "uts"),
];

fn namespace_paths(pid: i32) -> BTreeMap<String, PathBuf> {
    NAMESPACES.map(|(name, file)| (name.to_owned(), PathBuf::from(format!("/proc/{pid}/ns/{file}")))).into()
}

/// Whether the container manages its cgroup itself: it has a cgroup namespace and sees the hierarchy writable.
fn delegates(request: &Request<'_>) -> bool {
    let writable = |mount: &oci::runtime::Mount| {
        mount.source.as_deref() == Some("cgroup")
            && mount.destination.trim_end_matches('/') == "/sys/fs/cgroup"
            && !mount.options.iter().any(|option| option == "ro")
    };
    request.has_own(NamespaceKind::Cgroup) && request.spec().mounts.iter().any(writable)
}

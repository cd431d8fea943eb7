//! From files to processes: a start that CRIU does.
//!
//! ```text
//!   engine                         keeper                 CRIU
//!     │ root, mounts, group, files    │                      │
//!     │ ── Restore, a socket ───────► │ ── starts ─────────► │
//!     │ ── what is to be restored ─────────────────────────► │ makes the namespaces
//!     │ ◄──────────────────────────────── setup-namespaces ─ │ waits: networks, ports, names
//!     │ ◄─────────────────────────────────── post-restore ── │ waits: the processes stand still
//!     │ ── Restored ────────────────► │ it is its child      │
//!     │ ────────────────────────────────────── go on ──────► │ the processes go on, CRIU ends
//! ```
//!
//! Before it says `go on` the keeper has the process: no exit is lost. When the engine dies CRIU takes back what it made.

use super::shown::{self, Shown};
use super::{Startable, restart};
use crate::containers::checkpoint::{self, Checkpoint, Kept};
use crate::containers::links::{self, Standing};
use crate::containers::neighbour::Joined;
use crate::containers::stop::{Change, KILL};
use crate::groups::Group;
use crate::sandbox::Sandbox;
use crate::shelf::{Cell, HeldExit};
use crate::streams::lock;
use crate::{Engine, Error, Result};
use base::Undo;
use container::{Container, NetworkMode};
use criu::Session;
use criu::wire::{CgroupRoot, ExternalMount, InheritFd, Kind, Notify, Options};
use keeper::client::Started;
use keeper::message::Stdio;
use network::Endpoint;
use oci::runtime::IdMapping;
use runtime::{MountSource, Prepared};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use sys::mount::attribute;

const LOG: &str = "restore.log";
/// How long CRIU, or a process that was killed, may take to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where groups are, as CRIU sees them.
const CGROUPS: &str = "/sys/fs/cgroup";

impl Engine {
    /// Starts a container with the processes of a checkpoint; returns when they go on.
    pub fn restore(&self, name: &str, which: &Checkpoint) -> Result<Change> {
        checkpoint::check_name(&which.name)?;
        let cell = self.house.shelf.find(name)?;
        let _turn = lock(&cell.turn);
        if super::startable(&cell)? == Startable::Runs {
            return Ok(Change::Already);
        }
        let kept = self.open_checkpoint(&cell, name, which)?;
        check_fits(&cell.record(), &kept, which)?;
        let program = self.ready_for_checkpoints(&cell.record())?;
        restart::begin_anew(&cell);
        match self.bring_back(&cell, &kept, program) {
            Ok(()) => {
                self.house.tell(&cell, "start", &[]);
                Ok(Change::Done)
            }
            Err(e) => {
                self.start_failed(&cell, &e);
                Err(e)
            }
        }
    }

    fn bring_back(&self, cell: &Arc<Cell>, kept: &Kept, program: PathBuf) -> Result<()> {
        let house = &self.house;
        self.check_same_mounts()?;
        kept.let_read(self.owner(&cell.record()))?;
        let mut record = Container::clone(&cell.record());
        let mut pinned = self.pin_mounts(&mut record)?;
        let linked = self.links(&record)?;
        let mut undo = Undo::new();
        self.tell_mounts(&record);
        undo.push(move || self.leave_volumes(cell));
        let name = record.id.to_string();
        undo.push(move || drop(house.groups.get(&name).remove()));
        let group = self.group_ahead(&record)?;
        let own = group.clone();
        undo.push(move || {
            // A CRIU that was killed leaves what it had made so far.
            let _ = own.kill();
            drop(own.remove());
        });
        self.keep_group(cell, &group);
        let root = self.mount_root(&record)?;
        let files = self.name_files(&mut record, &[])?;
        let user = container::user::lookup(root.as_fd(), &record.config.user, &record.config.group_add)?;
        let spec = container::spec::build(&record, &self.surroundings(&record, user, &files, &Joined::default()))?;
        let cgroup_dir = self.limit(&group, &spec)?;
        if record.config.writable_cgroups && record.own_user_namespace {
            group.delegate(house.settings.id_base)?;
        }
        let inputs = self.inputs(&record, root, cgroup_dir)?;
        let mut prepared = runtime::prepare(&spec, inputs)?;
        pinned.place(&mut prepared)?;
        let stdio = Stdio { stdin: record.config.open_stdin, terminal: record.config.tty };
        let target = self.log_target(&record)?;
        self.reach_log(&record, &target)?;
        let mut shown = Shown::make(&house.roots.exec, &record.id, self.owner(&record))?;
        let mounts = show(&mut shown, &prepared, kept, &group)?;
        let root = shown.place(fd_of(&prepared, prepared.plan.root)?)?;
        let work = shown.work()?;
        let asked = Options {
            root: Some(root),
            restore_sibling: Some(true),
            evasive_devices: Some(true),
            external_mounts: mounts,
            inherit: kept.description.descriptors().map(|(key, fd)| InheritFd { key, fd }).collect(),
            cgroup_roots: vec![CgroupRoot { controller: Some(String::new()), path: below_mount(&group)? }],
            ..checkpoint::common(&record, kept.images.as_fd(), Some(work.as_fd()), LOG)
        };
        let (ours, theirs) = criu::pair().map_err(checkpoint::spoken)?;
        let mut session = Session::over(ours);
        let pid = house.keeper.restore(record.id, program, theirs, stdio, target.clone())?;
        session.limit(pid, criu::SILENCE);
        let watched = Watched::of(pid);
        let (sysctls, oom_score_adj) = (prepared.plan.sysctls, prepared.plan.process.oom_score_adj);
        let (group, done) = (&group, Done::default());
        let mut way = Way { engine: self, cell, record, linked, stdio, sysctls, oom_score_adj, group, undo, done };
        let asked = session.ask(Kind::Restore, asked, |notify, fds| way.at(notify, fds));
        drop(session);
        watched.wait();
        asked.map_err(|failed| match failed {
            Failed::Criu(e) => checkpoint::why(e, shown.log(LOG)),
            Failed::Own(e) => e,
        })?;
        drop(shown);
        let Way { undo, done, .. } = way;
        let started = done.started.ok_or_else(|| Error::Checkpoint("criu restored no process".into()))?;
        undo.keep();
        self.running(cell, started, group.clone(), (done.ends, done.names), &target);
        if let HeldExit::Came(exit, at) = std::mem::take(&mut *lock(&cell.held_exit)) {
            self.spawn_exited(cell.clone(), exit, at);
        }
        Ok(())
    }

    /// CRIU is the keeper's child: what is mounted here it must see.
    fn check_same_mounts(&self) -> Result<()> {
        let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt"));
        let (own, theirs) = (of("self"), of(&self.house.keeper.pid().to_string()));
        match own.ok() == theirs.ok() {
            true => Ok(()),
            false => Err(Error::Unsupported(
                "the keeper is in another mount namespace than this engine, and criu would not see the container's mounts: \
                 stop all containers, then start the engine again"
                    .into(),
            )),
        }
    }

    /// The container's group, without a process in it.
    fn group_ahead(&self, record: &Container) -> Result<Group> {
        let (groups, parent, name) = (&self.house.groups, &record.config.cgroup_parent, record.id.to_string());
        if groups.is_placed(parent) {
            return Ok(groups.place(parent, &name, &container::spec::resources(record)?)?);
        }
        Ok(groups.create(&name, &container::spec::ordinary_resources())?)
    }
}

/// That the container is one that these processes can be in.
fn check_fits(record: &Container, kept: &Kept, which: &Checkpoint) -> Result<()> {
    let description = &kept.description;
    let differs = match () {
        () if description.image != record.image_id.to_string() => "it is of another image",
        () if description.terminal != record.config.tty => "one has a terminal (-t), the other has not",
        () if description.open_stdin != record.config.open_stdin => "one has an open stdin (-i), the other has not",
        () => return Ok(()),
    };
    let (name, owner) = (&which.name, &description.container);
    Err(Error::Conflict(format!("checkpoint {name} of container {owner} does not fit this container: {differs}")))
}

fn fd_of(prepared: &Prepared, index: u32) -> Result<std::os::fd::BorrowedFd<'_>> {
    let fd = usize::try_from(index).ok().and_then(|index| prepared.fds.get(index)).map(AsFd::as_fd);
    fd.ok_or_else(|| Error::Conflict("the plan names a mount that is not there".into()))
}

/// Shows each mount that the images leave to the engine: where CRIU finds what belongs at which place.
fn show(shown: &mut Shown, prepared: &Prepared, kept: &Kept, group: &Group) -> Result<Vec<ExternalMount>> {
    let plan = &prepared.plan;
    let own_group = plan.mounts.iter().find_map(|step| match &step.source {
        MountSource::New { kind, attributes, .. } if kind.starts_with("cgroup") => Some((step, *attributes)),
        _ => None,
    });
    let own_group =
        own_group.map(|(step, attributes)| Ok::<_, Error>((step, show_group(group, attributes)?))).transpose()?;
    let mut places = Vec::new();
    for step in &plan.mounts {
        match &step.source {
            MountSource::Detached { fd, .. } => places.push((step.destination.as_str(), fd_of(prepared, *fd)?)),
            _ => places.extend(
                own_group
                    .iter()
                    .filter(|(own, _)| *own == step)
                    .map(|(own, fd)| (own.destination.as_str(), fd.as_fd())),
            ),
        }
    }
    let names: Vec<&str> = places.iter().map(|(name, _)| *name).collect();
    let mut paths: Vec<Option<String>> = vec![None; places.len()];
    let mut mounts = Vec::new();
    for (point, place) in &kept.description.mounts {
        let value = if plan.masked_paths.contains(place) {
            "/dev/null".to_owned()
        } else {
            let found = checkpoint::split_place(place, &names);
            let (index, rest) =
                found.ok_or_else(|| Error::Conflict(format!("nothing is mounted at {place} any more")))?;
            let path = match &paths[index] {
                Some(path) => path.clone(),
                None => shown.place_alone(places[index].1)?,
            };
            paths[index] = Some(path.clone());
            if rest.is_empty() { path } else { shown.place_below(places[index].1, rest)? }
        };
        mounts.push(ExternalMount { key: point.clone(), value });
    }
    Ok(mounts)
}

/// The folder of a container's group, with the attributes that its mount in the container has.
fn show_group(group: &Group, attributes: u64) -> Result<OwnedFd> {
    let made = || {
        let folder = std::fs::File::open(group_folder(group).map_err(std::io::Error::other)?)?;
        let copy = shown::clone(folder.as_fd())?;
        let change = sys::mount::Change { set: attributes & !attribute::ATIME_FIELD, ..Default::default() };
        sys::mount::set_attributes(copy.as_fd(), change, sys::mount::Reach::One)?;
        Ok(copy)
    };
    made().map_err(|source| Error::Io { action: "show the container's cgroup to criu".into(), source })
}

/// Where a group of v2 is.
pub(in crate::containers) fn group_folder(group: &Group) -> Result<PathBuf> {
    let failed = |source| Error::Io { action: "find the container's cgroup".into(), source };
    match group.entry()? {
        sys::CgroupEntry::V2(folder) => {
            std::fs::read_link(crate::containers::neighbour::path_of(&folder)).map_err(failed)
        }
        _ => Err(failed(std::io::ErrorKind::NotFound.into())),
    }
}

/// A group's path below the mount.
fn below_mount(group: &Group) -> Result<String> {
    let folder = group_folder(group)?;
    let below = folder.strip_prefix(CGROUPS).ok().and_then(Path::to_str).map(|path| format!("/{path}"));
    below.ok_or_else(|| Error::Unsupported(format!("checkpoints need cgroup v2 at {CGROUPS}")))
}

/// Why a restoration failed.
#[derive(Debug)]
enum Failed {
    Criu(criu::Error),
    Own(Error),
}

impl From<criu::Error> for Failed {
    fn from(error: criu::Error) -> Failed {
        Failed::Criu(error)
    }
}

/// What came of the way so far.
#[derive(Debug, Default)]
struct Done {
    ends: Vec<Endpoint>,
    names: Option<dns::Guard>,
    master: Option<OwnedFd>,
    started: Option<Started>,
}

/// The engine's part of CRIU's work.
struct Way<'a> {
    engine: &'a Engine,
    cell: &'a Arc<Cell>,
    record: Container,
    linked: Vec<Standing>,
    stdio: Stdio,
    sysctls: Vec<(String, String)>,
    oom_score_adj: Option<i32>,
    group: &'a Group,
    undo: Undo<'a>,
    done: Done,
}

impl Way<'_> {
    /// CRIU waits until this returns.
    fn at(&mut self, notify: &Notify, fds: Vec<OwnedFd>) -> std::result::Result<(), Failed> {
        match notify.script() {
            "setup-namespaces" => self.join_networks(notify.pid()).map_err(Failed::Own),
            "orphan-pts-master" => {
                self.done.master = fds.into_iter().next();
                Ok(())
            }
            "post-restore" => self.take(notify.pid()).map_err(Failed::Own),
            _ => Ok(()),
        }
    }

    /// The network namespace is made, and empty.
    fn join_networks(&mut self, pid: i32) -> Result<()> {
        let (engine, path) = (self.engine, format!("/proc/{pid}/ns/net"));
        let network =
            std::fs::File::open(&path).map_err(|source| Error::Io { action: format!("open {path}"), source })?;
        if self.record.config.network != NetworkMode::Host {
            network::loopback_up(network.as_fd())?;
        }
        let mut sandbox =
            Sandbox { pid, group: None, endpoint: None, spare: None, names: None, network: network.into() };
        let mut ends = engine.join_networks(&self.record, &mut sandbox)?;
        let (id, joined) = (self.record.id, ends.clone());
        self.undo.push(move || engine.leave_networks(&id, &joined));
        engine.police(&self.record, &ends)?;
        if self.record.config.network != NetworkMode::Host {
            network::set_parameters(sandbox.network.as_fd(), &self.sysctls)?;
        }
        self.done.names = engine.serve_names(&self.record.config, (sandbox.network.as_fd(), None), &ends)?;
        engine.publish_ports(&self.record.config, &mut ends)?;
        let published = ends.clone();
        self.undo.push(move || engine.unpublish_ports(&published));
        // Written in place: what is mounted are these very files.
        let files = engine.name_files(&mut self.record, &ends)?;
        links::add_hosts(&files, &self.linked)?;
        engine.keep_ends(self.cell, &ends);
        self.done.ends = ends;
        Ok(())
    }

    /// The processes are made, and stand still.
    fn take(&mut self, pid: i32) -> Result<()> {
        let (engine, id) = (self.engine, self.record.id);
        check_confined(pid, &self.record, &engine.house.pool.workshop.ids.uids)?;
        if let Some(adjustment) = self.oom_score_adj {
            // Not among what CRIU 3.17 restores. One that has ended needs none.
            for pid in self.group.pids()?.unwrap_or_default() {
                let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), adjustment.to_string());
            }
        }
        *lock(&self.cell.held_exit) = HeldExit::Awaited;
        let cell = self.cell;
        self.undo.push(move || *lock(&cell.held_exit) = HeldExit::No);
        let started = engine.house.keeper.restored(id, pid, self.done.master.take(), self.stdio)?;
        // Without one CRIU kills it all the same, when its question stays without an answer.
        let pidfd = started.pidfd.try_clone().ok();
        self.undo.push(move || engine.give_up(cell, pidfd));
        self.done.started = Some(started);
        Ok(())
    }
}

impl Engine {
    /// Ends a restored process that does not become the container's.
    fn give_up(&self, cell: &Cell, pidfd: Option<OwnedFd>) {
        if let Some(pidfd) = pidfd {
            let _ = sys::pidfd::send_signal(&pidfd, KILL);
            Watched(Some(pidfd)).wait();
        }
        let deadline = Instant::now() + PATIENCE;
        // Refused until the keeper has taken its exit, which it is about to: the question itself takes the time.
        let keeper = &self.house.keeper;
        let refused = || matches!(keeper.release(cell.id), Err(keeper::client::Error::Refused(_)));
        while refused() && Instant::now() < deadline {
            std::thread::yield_now();
        }
        // It was told before it could be released; the next run must not be taken for what ended.
        while *lock(&cell.held_exit) == HeldExit::Awaited && keeper.ping().is_ok() && Instant::now() < deadline {
            std::thread::yield_now();
        }
    }
}

/// Images say which namespaces and rights a process has. Those that it got must be the container's.
fn check_confined(pid: i32, record: &Container, ids: &[IdMapping]) -> Result<()> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).map_err(|source| Error::Io { action: format!("read {path}"), source })
    };
    let refuse = |what: &str| Err(Error::Denied(format!("the checkpoint is not restored: its processes have {what}")));
    if record.own_user_namespace && !maps_are(&read("uid_map")?, ids) {
        return refuse("other ids than the container's");
    }
    Ok(())
}

fn maps_are(text: &str, ids: &[IdMapping]) -> bool {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().map(str::parse::<u32>).collect::<std::result::Result<Vec<_>, _>>());
    let wanted = ids.iter().map(|map| Ok(vec![map.container_id, map.host_id, map.size]));
    lines.eq(wanted)
}

/// CRIU as another's child: its end is seen, not taken.
struct Watched(Option<OwnedFd>);

impl Watched {
    fn of(pid: i32) -> Watched {
        Watched(Pid::from_raw(pid).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()))
    }

    /// Until it has ended: from then on nothing uses what was made for it.
    fn wait(&self) {
        let Some(pidfd) = &self.0 else { return };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()));
            match rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], left.ok().as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_compared_line_by_line() {
        let ids = [IdMapping { container_id: 0, host_id: 0x7000_0000, size: 65_536 }];
        assert!(maps_are("         0 1879048192      65536\n", &ids));
        assert!(!maps_are("         0          0 4294967295\n", &ids));
        assert!(!maps_are("", &ids));
        assert!(!maps_are("0 1879048192 65536\n65536 0 1\n", &ids));
    }
}

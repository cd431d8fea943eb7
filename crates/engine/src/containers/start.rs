//! From a record to a process.
//!
//! Every step that leaves something behind pushes its step back; a start that fails leaves nothing but the failure in the
//! container's state. Where the time goes: the sandbox waits in the pool, the root is one overlay mount of cached lowers, the
//! filter is compiled; what remains is the keeper's clone and the init's mounts.

mod restoring;
mod shown;

pub(super) use restoring::group_folder;
pub(crate) use shown::sweep as sweep_shown;

use super::create::joined;
use super::neighbour::{Joined, path_of};
use super::restart;
use super::stop::Change;
use super::{health, hooks, links};
use crate::events::now;
use crate::groups::Group;
use crate::networks::is_plain_bridge;
use crate::sandbox::{Ahead, Sandbox, Sort, Wanted};
use crate::shelf::{Cell, Live};
use crate::streams::lock;
use crate::{Engine, Error, Result, adopt};
use base::Undo;
use container::spec::{CgroupVersion, Surroundings};
use container::{Container, NetworkMode, PortProtocol, Protocol, Status};
use keeper::message::Stdio;
use network::{Endpoint, PortRequest};
use oci::runtime::Spec;
use runtime::{NetworkNamespace, UserNamespace};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// Names in a container's folder.
pub(super) const HOSTNAME: &str = "hostname";
pub(super) const HOSTS: &str = "hosts";
pub(super) const RESOLV: &str = "resolv.conf";

impl Engine {
    /// Starts a container; returns when its program has been executed.
    pub fn start(&self, name: &str) -> Result<Change> {
        let cell = self.house.shelf.find(name)?;
        let _turn = lock(&cell.turn);
        if startable(&cell)? == Startable::Runs {
            return Ok(Change::Already);
        }
        restart::begin_anew(&cell);
        self.start_in_turn(&cell)?;
        Ok(Change::Done)
    }

    /// The caller holds the container's turn.
    pub(crate) fn start_in_turn(&self, cell: &Arc<Cell>) -> Result<()> {
        match self.bring_up(cell) {
            Ok(()) => {
                self.house.tell(cell, "start", &[]);
                Ok(())
            }
            Err(e) => {
                let e = self.explained(&cell.record().image_id, e);
                self.start_failed(cell, &e);
                Err(e)
            }
        }
    }

    fn bring_up(&self, cell: &Arc<Cell>) -> Result<()> {
        let house = &self.house;
        let mut record = Container::clone(&cell.record());
        if !record.config.driver_devices.is_empty() {
            container::cdi::Registry::read(&house.settings.cdi_folders).inject(&mut record)?;
        }
        let mut pinned = self.pin_mounts(&mut record)?;
        let joined = self.join(&record)?;
        let linked = self.links(&record)?;
        links::with_environment(&mut record, &linked);
        let mut undo = Undo::new();
        self.tell_mounts(&record);
        undo.push(move || self.leave_volumes(cell));
        let name = record.id.to_string();
        undo.push(move || drop(house.groups.get(&name).remove()));
        let mut sandbox = step("sandbox", || self.sandbox(&record))?;
        if let Some(group) = &sandbox.group {
            // Until it has its own name; removed once the process in it was let go.
            let group = group.clone();
            undo.push(move || drop(group.remove()));
        }
        let (pid, ready) = (sandbox.pid, sandbox.endpoint.clone());
        undo.push(move || self.let_go(pid));
        let mut ends = step("networks", || self.join_ends(&record, &mut sandbox, ready))?;
        let (id, joined_ends) = (record.id, ends.clone());
        undo.push(move || self.leave_networks(&id, &joined_ends));
        self.police(&record, &ends)?;
        let ready = sandbox.names.take();
        let names = self.serve_names(&record.config, (sandbox.network.as_fd(), ready), &ends)?;
        let group = self.group(&record, &mut sandbox)?;
        self.keep_group(cell, &group);
        let root = step("mount", || self.mount_root(&record))?;
        let user = container::user::lookup(root.as_fd(), &record.config.user, &record.config.group_add)?;
        let id_base = if record.own_user_namespace { house.settings.id_base } else { 0 };
        step("volumes", || self.fill_volumes(&record.mounts, root.as_fd(), id_base))?;
        step("ports", || self.publish_ports(&record.config, &mut ends))?;
        let published = ends.clone();
        undo.push(move || self.unpublish_ports(&published));
        let folder = house.roots.container(&record.id);
        let files = self.name_files(&mut record, &ends)?;
        links::add_hosts(&files, &linked)?;
        let mut spec = container::spec::build(&record, &self.surroundings(&record, user, &files, &joined))?;
        spec.process.iter_mut().try_for_each(|process| house.fit(process))?;
        let cgroup_dir = step("limits", || self.limit(&group, &spec))?;
        if record.config.writable_cgroups && record.own_user_namespace {
            group.delegate(house.settings.id_base)?;
        }
        let inputs = self.inputs(&record, root, cgroup_dir)?;
        let mut prepared = step("prepare", || runtime::prepare(&spec, inputs))?;
        pinned.place(&mut prepared)?;
        share_shm(&mut prepared, &spec, &folder, joined)?;
        let bundle = hooks::Bundle::make(&house.roots, &record, &spec, id_base)?;
        if bundle.is_some() {
            undo.push(|| hooks::end(&house.roots, &cell.id));
        }
        let outside = bundle.as_ref().map(|bundle| bundle.halt(&mut prepared)).transpose()?;
        let stdio = Stdio { stdin: record.config.open_stdin, terminal: record.config.tty };
        let target = self.log_target(&record)?;
        self.reach_log(&record, &target)?;
        self.keep_ends(cell, &ends);
        let (plan, fds) = (prepared.plan, prepared.fds);
        let launch = |fds: &[OwnedFd]| house.keeper.launch(record.id, pid, plan, fds, stdio, target.clone());
        let started = step("launch", || hooks::attended(bundle.as_ref().zip(outside), fds, launch))?;
        undo.keep();
        let pid = started.pid;
        self.running(cell, started, group, (ends, names), &target);
        if let Some(bundle) = bundle {
            bundle.started(pid);
        }
        Ok(())
    }

    /// Where a placed group is, an engine that comes after this one has to know.
    fn keep_group(&self, cell: &Cell, group: &Group) {
        let note = group.note();
        // That of an engine with another driver is no longer true.
        if note != cell.state().group {
            cell.change_silently(|state| state.group = note);
            self.house.save(cell);
        }
    }

    /// An engine that is killed after the launch and before its record must still know the address and the ports.
    fn keep_ends(&self, cell: &Cell, ends: &[Endpoint]) {
        if ends.is_empty() {
            return;
        }
        let kept = ends.iter().filter_map(|end| serde_json::to_value(end).ok()).collect();
        cell.change_silently(|state| state.endpoints = kept);
        self.house.save(cell);
    }

    /// On its networks; a sandbox with an end that fails to is of no use to others either.
    fn join_ends(&self, record: &Container, sandbox: &mut Sandbox, ready: Option<Endpoint>) -> Result<Vec<Endpoint>> {
        let joined = self.join_networks(record, sandbox);
        if let (Err(_), Some(end), true) = (&joined, ready, sandbox.endpoint.is_some()) {
            let _ = self.house.bridge.leave(&end);
        }
        joined
    }

    /// The process runs: from here on nothing fails.
    fn running(
        &self,
        cell: &Arc<Cell>,
        started: keeper::client::Started,
        group: Group,
        (endpoints, names): (Vec<Endpoint>, Option<dns::Guard>),
        target: &logs::Target,
    ) {
        let pid = started.pid;
        let kept = endpoints.iter().filter_map(|end| serde_json::to_value(end).ok()).collect();
        let record = cell.record();
        let oom_seen = self.watch_oom(&group);
        *lock(&cell.live) = Some(Live { pid, pidfd: started.pidfd, group, oom_seen, endpoints, names });
        cell.change(|state| {
            state.status = Status::Running;
            state.pid = pid;
            state.exit_code = 0;
            state.error.clear();
            state.oom_killed = false;
            state.started_at = now();
            state.finished_at = 0;
            state.stopped_by_user = false;
            state.has_run = true;
            state.health = health::at_start(&record, state.health.take());
            state.endpoints = kept;
        });
        self.house.save(cell);
        if let Err(e) = cell.hub.connect(started.streams, target) {
            tracing::error!("cannot read the output of {}: {e}", cell.id);
        }
        self.send_log(cell);
        self.tell_linked(cell.id);
        self.watch_health(cell);
    }

    fn sandbox(&self, record: &Container) -> Result<Sandbox> {
        let house = &self.house;
        let config = &record.config;
        let placed = house.groups.is_placed(&config.cgroup_parent);
        let plain = record.own_user_namespace && joined(config).next().is_none() && !placed;
        match config.network {
            NetworkMode::Bridge if plain && is_plain_bridge(config) => house.pool.take(Sort::Bridge),
            NetworkMode::User(_) if plain && self.takes_named(config) => house.pool.take(Sort::Named),
            NetworkMode::Bridge | NetworkMode::None | NetworkMode::User(_) if plain => house.pool.take(Sort::Isolated),
            _ => house.pool.workshop.make(self.wanted(record)?),
        }
    }

    /// A sandbox of no common sort: in the host's or in another container's namespaces.
    fn wanted(&self, record: &Container) -> Result<Wanted> {
        let config = &record.config;
        let ahead = if is_plain_bridge(config) { Ahead::Bridge } else { Ahead::Nothing };
        let mut wanted = Wanted { ahead, ..Wanted::default() };
        if self.house.groups.is_placed(&config.cgroup_parent) {
            let resources = container::spec::resources(record)?;
            let group = self.house.groups.place(&config.cgroup_parent, &record.id.to_string(), &resources)?;
            wanted.placed = Some((group, resources));
        }
        let owner = joined(config).next().map(|text| self.neighbour(text, "namespaces")).transpose()?;
        wanted.user = match owner {
            _ if !record.own_user_namespace => UserNamespace::Host,
            Some(owner) => {
                wanted.fds.push(owner.namespace("user")?);
                UserNamespace::Join(0)
            }
            None => self.house.pool.workshop.own_user(),
        };
        wanted.network = match &config.network {
            NetworkMode::Host => NetworkNamespace::Host,
            NetworkMode::Bridge | NetworkMode::None | NetworkMode::User(_) => NetworkNamespace::New,
            NetworkMode::Container(text) => {
                wanted.fds.push(self.neighbour(text, "network namespace")?.namespace("net")?);
                NetworkNamespace::Join(u32::try_from(wanted.fds.len() - 1).unwrap_or_default())
            }
        };
        Ok(wanted)
    }

    /// The container's group: the sandbox's under its own name, or (v2) one to be born into.
    fn group(&self, record: &Container, sandbox: &mut Sandbox) -> Result<Group> {
        let name = record.id.to_string();
        match sandbox.group.take() {
            None => Ok(self.house.groups.create(&name, &container::spec::ordinary_resources())?),
            Some(group) if group.is_placed() => Ok(group),
            Some(mut group) => {
                group.rename(&name)?;
                Ok(group)
            }
        }
    }

    /// Sets what the container asks beyond the ordinary; the directory to be born in on v2.
    fn limit(&self, group: &Group, spec: &Spec) -> Result<Option<OwnedFd>> {
        if let Some(resources) = spec.linux.as_ref().and_then(|linux| linux.resources.as_ref())
            && *resources != self.house.pool.workshop.ordinary
            && !group.is_placed()
        {
            group.update(resources)?;
        }
        match self.house.groups.version() {
            cgroup::Version::V1 => Ok(None),
            cgroup::Version::V2 => match group.entry()? {
                sys::CgroupEntry::V2(directory) => Ok(Some(directory)),
                _ => Ok(None),
            },
        }
    }

    pub(super) fn mount_root(&self, record: &Container) -> Result<OwnedFd> {
        let house = &self.house;
        let lowers = self.lowers(record)?;
        if house.settings.rootless.is_some() {
            crate::rootless::check_lowers(&lowers)?;
        }
        let (namespace, owner) = match record.own_user_namespace {
            true if house.settings.shifts_ids() => (Some(house.user_namespace.as_fd()), house.settings.id_base),
            _ => (None, 0),
        };
        // What a step of a build leaves becomes a layer, which is brought to disk as such.
        let sync = if record.config.auto_remove || record.config.layers.is_some() {
            layer::Sync::Never
        } else {
            layer::Sync::AtUnmount
        };
        Ok(house.images.layers().mount(&lowers, &house.roots.container(&record.id), namespace, owner, sync)?)
    }

    pub(super) fn host_gateway(&self) -> Option<std::net::IpAddr> {
        Some(self.house.bridge.gateway().into())
    }

    pub(super) fn surroundings(
        &self,
        record: &Container,
        user: container::user::Found,
        files: &Path,
        joined: &Joined,
    ) -> Surroundings {
        let house = &self.house;
        let (cgroup_version, cgroup_hierarchies) = match house.groups.version() {
            cgroup::Version::V1 => (CgroupVersion::V1, house.groups.hierarchies()),
            cgroup::Version::V2 => (CgroupVersion::V2, Vec::new()),
        };
        Surroundings {
            user,
            id_map: if record.own_user_namespace || house.settings.rootless.is_some() {
                house.pool.workshop.ids.gids.clone()
            } else {
                Vec::new()
            },
            hostname_file: files.join(HOSTNAME),
            hosts_file: files.join(HOSTS),
            resolv_file: files.join(RESOLV),
            binary: house.settings.binary.clone(),
            cgroup_version,
            cgroup_hierarchies,
            join_pid: joined.pid.as_ref().map(path_of),
            join_ipc: joined.ipc.as_ref().map(path_of),
            // In its place, see [`share_shm`].
            join_shm: joined.shm.as_ref().map(|_| house.roots.container(&record.id).display().to_string()),
            capability_bound: house.capability_bound,
            host_gateway: self.host_gateway(),
            nofile: house.open_files,
        }
    }

    fn inputs(&self, record: &Container, root: OwnedFd, cgroup_dir: Option<OwnedFd>) -> Result<runtime::Inputs> {
        let house = &self.house;
        let capabilities = container::spec::capabilities(&record.config, house.capability_bound)?;
        let user_namespace = match record.own_user_namespace {
            true => Some(
                house
                    .user_namespace
                    .try_clone()
                    .map_err(|source| Error::Io { action: "duplicate a file descriptor".into(), source })?,
            ),
            false => None,
        };
        let seccomp = house.filters.get(&record.config, capabilities)?;
        Ok(runtime::Inputs { root, seccomp, user_namespace, cgroup_dir, rules: runtime::Rules::Engine })
    }

    fn let_go(&self, pid: i32) {
        // After a failed launch the keeper no longer knows the process: nothing is left to let go.
        let _ = self.house.keeper.unpark(pid);
    }

    /// The failure is kept in the state; clients that attached see the end; `--rm` removes.
    fn start_failed(&self, cell: &Arc<Cell>, error: &Error) {
        cell.change(|state| {
            state.status = if state.has_run { Status::Exited } else { Status::Created };
            state.exit_code = failure_code(error);
            state.error = (self.house.settings.words)(error);
            state.finished_at = if state.has_run { now() } else { 0 };
            state.endpoints.clear();
        });
        self.house.save(cell);
        cell.hub.finish();
        if cell.record().config.auto_remove
            && let Err(e) = self.erase(cell, true)
        {
            tracing::warn!("cannot remove {}: {}", cell.id, base::chain(&e));
        }
    }
}

/// What is to be done for a container to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Startable {
    Yes,
    /// Nothing.
    Runs,
}

fn startable(cell: &Cell) -> Result<Startable> {
    match cell.status() {
        Status::Running | Status::Restarting => Ok(Startable::Runs),
        Status::Paused => Err(Error::Conflict("cannot start a paused container, try unpause instead".into())),
        Status::Removing | Status::Dead => Err(Error::Removing(cell.name())),
        Status::Created | Status::Exited => Ok(Startable::Yes),
    }
}

/// A step of a start, as traces show it; without a collector it costs one comparison.
pub(super) fn step<T>(name: &'static str, work: impl FnOnce() -> T) -> T {
    tracing::info_span!(target: "dhow::trace", "step", otel.name = name).in_scope(work)
}

/// What a shell would say: 127 not found, 126 not executable, 128 else.
pub(crate) fn failure_code(error: &Error) -> i32 {
    let Error::Start(failure) = error else { return 128 };
    match (failure.step, failure.errno) {
        (runtime::Step::LookPath | runtime::Step::Execve, e) if e == rustix::io::Errno::NOENT.raw_os_error() => 127,
        (runtime::Step::LookPath | runtime::Step::Execve, _) => 126,
        (_, e) if e == rustix::io::Errno::NOEXEC.raw_os_error() => 126,
        _ => 128,
    }
}

/// The same requests in the words of networks.
pub(crate) fn requests(ports: &[container::PublishRequest]) -> Vec<PortRequest> {
    let request = |port: &container::PublishRequest| PortRequest {
        container_port: port.container.port,
        protocol: protocol(port.container.protocol),
        host_ip: port.host_ip,
        host_ports: port.host_ports,
    };
    ports.iter().map(request).collect()
}

pub(crate) fn port_requests(config: &container::Config) -> Vec<PortRequest> {
    let mut requests = requests(&config.ports);
    if config.publish_all {
        let open = |exposed: &PortProtocol| !config.ports.iter().any(|port| port.container == *exposed);
        requests.extend(config.exposed_ports.iter().filter(|exposed| open(exposed)).map(|exposed| PortRequest {
            container_port: exposed.port,
            protocol: protocol(exposed.protocol),
            host_ip: config.publish_all_at,
            host_ports: (0, 0),
        }));
    }
    requests
}

pub(crate) fn protocol(protocol: Protocol) -> network::Protocol {
    match protocol {
        Protocol::Tcp => network::Protocol::Tcp,
        Protocol::Udp => network::Protocol::Udp,
        Protocol::Sctp => network::Protocol::Sctp,
    }
}

/// Puts the joined /dev/shm where the plan has the container's folder in its place: it is a detached mount already, and before
/// Linux 6.15 such a one cannot be opened as the source of a bind.
fn share_shm(prepared: &mut runtime::Prepared, spec: &Spec, folder: &Path, joined: Joined) -> Result<()> {
    let Some(shm) = joined.shm else { return Ok(()) };
    let stand_in = folder.display().to_string();
    let is_ours =
        |mount: &oci::runtime::Mount| mount.destination == SHM && mount.source.as_deref() == Some(stand_in.as_str());
    if !spec.mounts.iter().any(is_ours) {
        // The user mounts something else there.
        return Ok(());
    }
    let index = prepared.plan.mounts.iter().find_map(|step| match &step.source {
        runtime::MountSource::Detached { fd, .. } if step.destination == SHM => usize::try_from(*fd).ok(),
        _ => None,
    });
    let place = index.and_then(|index| prepared.fds.get_mut(index));
    *place.ok_or_else(|| Error::Conflict("the plan has no /dev/shm to share".into()))? = shm;
    Ok(())
}

const SHM: &str = "/dev/shm";

/// The ends of a container that runs.
pub(super) fn kept_ends(cell: &Cell) -> Vec<Endpoint> {
    let live = lock(&cell.live).as_ref().map(|live| live.endpoints.clone());
    live.unwrap_or_else(|| kept_ends_of(cell))
}

/// Those that its state knows of, while there is nothing live of it yet or any more.
pub(super) fn kept_ends_of(cell: &Cell) -> Vec<Endpoint> {
    cell.look_at_state(|state| if state.pid != 0 { adopt::ends(state) } else { Vec::new() })
}

//! From a record to a process.
//!
//! Every step that leaves something behind pushes its step back; a start that fails leaves nothing but the failure in the
//! container's state. Where the time goes: the sandbox waits in the pool, the root is one overlay mount of cached lowers, the
//! filter is compiled; what remains is the keeper's clone and the init's mounts.

use super::create::joined;
use super::neighbour::{Joined, path_of};
use super::stop::Change;
use crate::events::now;
use crate::groups::Group;
use crate::sandbox::{Sandbox, Sort, Wanted};
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
use std::path::{Path, PathBuf};
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
        match cell.status() {
            Status::Running | Status::Restarting => return Ok(Change::Already),
            Status::Paused => return Err(Error::Paused { action: "start", name: cell.name() }),
            Status::Removing | Status::Dead => return Err(Error::Removing(cell.name())),
            Status::Created | Status::Exited => {}
        }
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
                self.start_failed(cell, &e);
                Err(e)
            }
        }
    }

    fn bring_up(&self, cell: &Arc<Cell>) -> Result<()> {
        let house = &self.house;
        let mut record = Container::clone(&cell.record());
        let pinned = self.pin_subpaths(&mut record)?;
        let joined = self.join(&record)?;
        let mut undo = Undo::new();
        let name = record.id.to_string();
        undo.push(move || drop(house.groups.get(&name).remove()));
        let mut sandbox = self.sandbox(&record)?;
        if let Some(group) = &sandbox.group {
            // Until it has its own name; removed once the process in it was let go.
            let pooled = group.name().to_owned();
            undo.push(move || drop(house.groups.get(&pooled).remove()));
        }
        let (pid, network) = (sandbox.pid, sandbox.endpoint.clone());
        undo.push(move || self.let_go(pid, network));
        let group = self.group(&record, &mut sandbox)?;
        let root = self.mount_root(&record)?;
        let user = container::user::lookup(root.as_fd(), &record.config.user, &record.config.group_add)?;
        let id_base = if record.own_user_namespace { house.settings.id_base } else { 0 };
        self.fill_volumes(&record.mounts, root.as_fd(), id_base)?;
        if let Some(endpoint) = &mut sandbox.endpoint {
            house.bridge.publish(endpoint, &ports(&record))?;
            let published = endpoint.clone();
            undo.push(move || drop(house.bridge.unpublish(&published)));
        }
        let folder = house.roots.container(&record.id);
        self.write_files(&record, &folder, sandbox.endpoint.as_ref())?;
        let mut spec = container::spec::build(&record, &self.surroundings(&record, user, &folder, &joined))?;
        spec.process.iter_mut().try_for_each(|process| house.fit(process))?;
        let cgroup_dir = self.limit(&group, &spec)?;
        let mut prepared = runtime::prepare(&spec, self.inputs(&record, root, cgroup_dir)?)?;
        drop(pinned);
        share_shm(&mut prepared, &spec, &folder, joined)?;
        let stdio = Stdio { stdin: record.config.open_stdin, terminal: record.config.tty };
        let target = self.log_target(&record);
        self.keep_endpoint(cell, sandbox.endpoint.as_ref());
        let started = house.keeper.launch(record.id, pid, prepared.plan, &prepared.fds, stdio, target.clone())?;
        drop(prepared.fds);
        undo.keep();
        let endpoint = sandbox.endpoint;
        self.running(cell, started, group, endpoint, &target);
        Ok(())
    }

    /// An engine that is killed after the launch and before its record must still know the address and the ports.
    fn keep_endpoint(&self, cell: &Cell, endpoint: Option<&Endpoint>) {
        let Some(endpoint) = endpoint else { return };
        let kept = serde_json::to_value(endpoint).ok();
        cell.change_silently(|state| state.endpoint = kept);
        self.house.save(cell);
    }

    /// The process runs: from here on nothing fails.
    fn running(
        &self,
        cell: &Arc<Cell>,
        started: keeper::client::Started,
        group: Group,
        endpoint: Option<Endpoint>,
        target: &logs::Target,
    ) {
        let pid = started.pid;
        let kept = endpoint.as_ref().and_then(|endpoint| serde_json::to_value(endpoint).ok());
        *lock(&cell.live) = Some(Live { pid, pidfd: started.pidfd, group, endpoint });
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
            state.endpoint = kept;
        });
        self.house.save(cell);
        if let Err(e) = cell.hub.connect(started.streams, target) {
            tracing::error!("cannot read the output of {}: {e}", cell.id);
        }
    }

    fn sandbox(&self, record: &Container) -> Result<Sandbox> {
        let house = &self.house;
        let config = &record.config;
        let plain = record.own_user_namespace && joined(config).next().is_none();
        match config.network {
            NetworkMode::Bridge if plain => house.pool.take(Sort::Bridge),
            NetworkMode::None if plain => house.pool.take(Sort::Isolated),
            _ => house.pool.workshop.make(self.wanted(record)?),
        }
    }

    /// A sandbox of no common sort: in the host's or in another container's namespaces.
    fn wanted(&self, record: &Container) -> Result<Wanted> {
        let config = &record.config;
        let mut wanted = Wanted { bridge: config.network == NetworkMode::Bridge, ..Wanted::default() };
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
            NetworkMode::Bridge | NetworkMode::None => NetworkNamespace::New,
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

    fn mount_root(&self, record: &Container) -> Result<OwnedFd> {
        let house = &self.house;
        let image = house.images.get(&record.image_id.to_string())?;
        if house.settings.rootless.is_some() {
            crate::rootless::check_lowers(&image.lowers)?;
        }
        let (namespace, owner) = match record.own_user_namespace {
            true if house.settings.shifts_ids() => (Some(house.user_namespace.as_fd()), house.settings.id_base),
            _ => (None, 0),
        };
        let sync = if record.config.auto_remove { layer::Sync::Never } else { layer::Sync::AtUnmount };
        Ok(house.images.layers().mount(&image.lowers, &house.roots.container(&record.id), namespace, owner, sync)?)
    }

    fn write_files(&self, record: &Container, folder: &Path, endpoint: Option<&Endpoint>) -> Result<()> {
        let config = &record.config;
        let address = endpoint.map(|endpoint| endpoint.address);
        let hosts = match config.network {
            NetworkMode::Host if config.extra_hosts.is_empty() => {
                std::fs::read_to_string("/etc/hosts").unwrap_or_default()
            }
            _ => container::spec::hosts_text(record, address, self.host_gateway()),
        };
        let host_resolv = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let resolv = match config.network {
            NetworkMode::Host
                if config.dns.is_empty() && config.dns_search.is_empty() && config.dns_options.is_empty() =>
            {
                host_resolv
            }
            _ => container::spec::resolv_text(config, &host_resolv),
        };
        let hostname = container::spec::hostname(record);
        for (name, text) in [(HOSTS, hosts), (RESOLV, resolv), (HOSTNAME, hostname + "\n")] {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .map_err(|source| Error::Io { action: format!("write {}", path.display()), source })?;
        }
        Ok(())
    }

    fn host_gateway(&self) -> Option<std::net::IpAddr> {
        Some(self.house.bridge.gateway().into())
    }

    fn surroundings(
        &self,
        record: &Container,
        user: container::user::Found,
        folder: &Path,
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
            hostname_file: folder.join(HOSTNAME),
            hosts_file: folder.join(HOSTS),
            resolv_file: folder.join(RESOLV),
            binary: house.settings.binary.clone(),
            cgroup_version,
            cgroup_hierarchies,
            join_pid: joined.pid.as_ref().map(path_of),
            join_ipc: joined.ipc.as_ref().map(path_of),
            // In its place, see [`share_shm`].
            join_shm: joined.shm.as_ref().map(|_| folder.display().to_string()),
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

    pub(crate) fn log_target(&self, record: &Container) -> logs::Target {
        let log = &record.config.log;
        let path: PathBuf = self.house.roots.container(&record.id).join(format!("{}-json.log", record.id));
        let option = |key: &str| log.options.get(key).map(String::as_str);
        logs::Target {
            driver: if log.driver == "none" { logs::Driver::None } else { logs::Driver::JsonFile },
            path,
            max_size: option("max-size").and_then(bytes_of).unwrap_or(DEFAULT_LOG_SIZE),
            max_file: option("max-file").and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_LOG_FILES),
        }
    }

    fn let_go(&self, pid: i32, endpoint: Option<Endpoint>) {
        let house = &self.house;
        // After a failed launch the keeper no longer knows the process: nothing is left to let go.
        let _ = house.keeper.unpark(pid);
        if let Some(endpoint) = endpoint
            && let Err(e) = house.bridge.leave(&endpoint)
        {
            tracing::warn!("cannot detach {}: {}", endpoint.host_link, base::chain(&e));
        }
    }

    /// The failure is kept in the state; clients that attached see the end; `--rm` removes.
    fn start_failed(&self, cell: &Arc<Cell>, error: &Error) {
        cell.change(|state| {
            state.status = if state.has_run { Status::Exited } else { Status::Created };
            state.exit_code = failure_code(error);
            state.error = base::chain(error);
            state.finished_at = if state.has_run { now() } else { 0 };
            state.endpoint = None;
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

/// Bytes of a log before it is rotated, and how many are kept, unless told: output never fills the disk.
const DEFAULT_LOG_SIZE: u64 = 64 << 20;
const DEFAULT_LOG_FILES: u32 = 3;

/// `10m` as bytes; `-1` is without a limit.
fn bytes_of(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// What a shell would say: 127 not found, 126 not executable, 128 else.
pub(crate) fn failure_code(error: &Error) -> i32 {
    let Error::Start(failure) = error else { return 128 };
    match (failure.step, failure.errno) {
        (runtime::Step::LookPath | runtime::Step::Execve, e) if e == rustix::io::Errno::NOENT.raw_os_error() => 127,
        (runtime::Step::LookPath | runtime::Step::Execve, _) => 126,
        _ => 128,
    }
}

fn ports(record: &Container) -> Vec<PortRequest> {
    let config = &record.config;
    let mut requests: Vec<PortRequest> = config
        .ports
        .iter()
        .map(|port| PortRequest {
            container_port: port.container.port,
            protocol: protocol(port.container.protocol),
            host_ip: port.host_ip,
            host_ports: port.host_ports,
        })
        .collect();
    if config.publish_all {
        let open = |exposed: &PortProtocol| !config.ports.iter().any(|port| port.container == *exposed);
        requests.extend(config.exposed_ports.iter().filter(|exposed| open(exposed)).map(|exposed| PortRequest {
            container_port: exposed.port,
            protocol: protocol(exposed.protocol),
            host_ip: None,
            host_ports: (0, 0),
        }));
    }
    requests
}

fn protocol(protocol: Protocol) -> network::Protocol {
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

/// The endpoint kept in a container's state.
pub(super) fn kept_endpoint(cell: &Cell) -> Option<Endpoint> {
    lock(&cell.live).as_ref().and_then(|live| live.endpoint.clone()).or_else(|| {
        let state = cell.state();
        if state.pid != 0 { adopt::endpoint(&state) } else { None }
    })
}

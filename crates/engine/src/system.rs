//! The engine itself: opened, asked about, closed.

use crate::events::{Event, EventKind, Events, Subscription, now};
use crate::exec::Exec;
use crate::filters::Filters;
use crate::groups::Groups;
use crate::images::{Exchange, Holds};
use crate::networks::Networks;
use crate::rootless::HostPorts;
use crate::roots::Roots;
use crate::sampler::Sampler;
use crate::sandbox::{Pool, Workshop};
use crate::shelf::{Cell, Shelf};
use crate::streams::{Plumbing, lock};
use crate::timers::Timers;
use crate::{Error, Result, Settings, adopt, facts};
use base::Id;
use container::Status;
use keeper::client::{Keeper, Options};
use network::{Bridge, Driver, Endpoint, Ground};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::watch;

/// A running engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) house: Arc<House>,
}

/// What an engine consists of.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) id: String,
    pub(crate) settings: Settings,
    pub(crate) roots: Roots,
    pub(crate) images: image::Store,
    pub(crate) exchange: Exchange,
    pub(crate) volumes: volume::Store,
    pub(crate) records: container::Store,
    pub(crate) groups: Arc<Groups>,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) networks: Networks,
    /// The name server of containers on networks that people made.
    pub(crate) names: dns::Server,
    pub(crate) keeper: Keeper,
    pub(crate) shelf: Shelf,
    pub(crate) execs: Mutex<HashMap<Id, Arc<Exec>>>,
    pub(crate) plumbing: Arc<Plumbing>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) events: Events,
    pub(crate) filters: Filters,
    pub(crate) timers: Arc<Timers>,
    /// For what waits without a thread.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) sampler: Arc<Sampler>,
    /// Logs on their way to where their drivers say.
    pub(crate) sending: Arc<crate::logging::Tasks>,
    /// A user namespace with the maps of all containers, for id-mapped mounts.
    pub(crate) user_namespace: OwnedFd,
    /// Capabilities that this engine itself may give, bit n is number n.
    pub(crate) capability_bound: u64,
    /// Some container has links: the others need not be asked at each start.
    pub(crate) has_links: AtomicBool,
    pub(crate) closing: AtomicBool,
    /// The keeper is gone: nothing can be started any more.
    pub(crate) losing_keeper: AtomicBool,
    /// `true` once the ends of its containers are recorded.
    pub(crate) keeper_lost: watch::Sender<bool>,
    /// RLIMIT_NOFILE (soft, hard) that this engine was started with: containers get it, and not what the engine needs.
    pub(crate) open_files: (u64, u64),
    /// Held (shared) while a container with its volumes is made, (alone) while volumes that nobody names are removed.
    pub(crate) volumes_in_use: RwLock<()>,
    pub(crate) volume_holds: crate::volumes::VolumeHolds,
    pub(crate) holds: Holds,
}

/// Numbers of containers by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub running: usize,
    pub paused: usize,
    pub stopped: usize,
}

/// What `info` tells.
#[derive(Debug, Clone)]
pub struct Info {
    /// Lasts as long as the data root.
    pub id: String,
    pub counts: Counts,
    pub images: usize,
    pub kernel: String,
    pub operating_system: String,
    /// The number of its version; empty where it has none.
    pub os_version: String,
    /// What the data root is on.
    pub file_system: &'static str,
    /// Of this process.
    pub threads: usize,
    /// Those who watch events.
    pub listeners: usize,
    /// Whether packets on bridges go through iptables, of IPv4 and IPv6.
    pub bridge_filters: (bool, bool),
    pub architecture: String,
    pub processors: usize,
    /// Bytes
    pub memory: u64,
    pub hostname: String,
    pub data_root: String,
    pub cgroup_version: cgroup::Version,
    /// Whether containers can be limited.
    pub limits: bool,
    /// In what.
    pub abilities: cgroup::Abilities,
    pub cgroup_driver: cgroup::Driver,
    /// Whether this is the engine of an ordinary user.
    pub rootless: bool,
    pub keeper_pid: i32,
    pub bridge: String,
    pub gateway: std::net::Ipv4Addr,
    pub subnet: ipnet::Ipv4Net,
}

impl Engine {
    /// Opens the roots, connects to the keeper and adopts what it holds. One engine a root: a second one is refused.
    pub fn open(settings: Settings) -> Result<Engine> {
        let open_files = raise_open_files();
        let roots = Roots::open(&settings)?;
        let records = container::Store::open(&roots.data.join("containers.db"))?;
        let mut hidden = settings.hidden.clone();
        hidden.extend([roots.data.clone(), roots.exec.clone()]);
        let images = image::Store::open(&roots.data, image::HostMask { paths: hidden })?;
        let volumes = volume::Store::open(roots.data.join("volumes"))?;
        let groups = Arc::new(groups(&settings, &roots)?);
        let mut known = records.all()?;
        adopt::forget_strays(&mut known, &network::Store::open(roots.data.join("networks"))?.all()?);
        let options = Options { exec_root: roots.exec.clone(), binary: settings.binary.clone() };
        let (keeper, found, events) = Keeper::connect(&options)?;
        adopt::sweep_groups(&groups, &found);
        let used = adopt::endpoints(&known, &found);
        let (bridge, networks) = networks(&settings, &roots, &used)?;
        let workshop = Arc::new(Workshop {
            keeper: keeper.clone(),
            bridge: bridge.clone(),
            groups: groups.clone(),
            ordinary: container::spec::ordinary_resources(),
            ids: settings.ids(),
        });
        let io = |action: &'static str| move |source| Error::Io { action: action.into(), source };
        let journal =
            keeper.journal().ok_or_else(|| Error::Conflict("the keeper's journal is taken already".into()))?;
        let plumbing = Plumbing::new(journal, keeper.clone()).map_err(io("make the pump"))?;
        let runtime = tokio_runtime()?;
        let names = dns::Server::start(runtime.clone(), "/etc/resolv.conf".into());
        let house = House {
            id: engine_id(&roots.data).map_err(io("keep the engine's id"))?,
            user_namespace: user_namespace(&workshop)?,
            capability_bound: capability_bound().map_err(io("read the bounding set"))?,
            pool: Pool::start(workshop, &settings).map_err(io("start the pool"))?,
            timers: Timers::start().map_err(io("start the timers"))?,
            runtime,
            sampler: Arc::default(),
            sending: Arc::default(),
            exchange: Exchange::new(settings.registries.clone()),
            settings,
            roots,
            images,
            volumes,
            records,
            groups,
            bridge,
            networks,
            names,
            keeper,
            shelf: Shelf::default(),
            execs: Mutex::default(),
            plumbing,
            events: Events::new(),
            filters: Filters::default(),
            has_links: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            losing_keeper: AtomicBool::new(false),
            keeper_lost: watch::Sender::new(false),
            open_files,
            volumes_in_use: RwLock::default(),
            volume_holds: crate::volumes::VolumeHolds::default(),
            holds: Holds::default(),
        };
        let engine = Engine { house: Arc::new(house) };
        let boot = adopt::all(&engine, known, found);
        engine.settle_egress();
        engine.unmount_all_idle();
        engine.watch_rules()?;
        engine.house.plumbing.start().map_err(io("start the pump"))?;
        adopt::listen(&engine, events).map_err(io("start the listener"))?;
        engine.boot(boot).map_err(io("start containers again"))?;
        Ok(engine)
    }

    pub fn settings(&self) -> &Settings {
        &self.house.settings
    }

    pub fn info(&self) -> Info {
        let house = &self.house;
        let mut counts = Counts::default();
        for cell in house.shelf.all() {
            match cell.status() {
                Status::Running | Status::Restarting => counts.running += 1,
                Status::Paused => counts.paused += 1,
                _ => counts.stopped += 1,
            }
        }
        let uname = rustix::system::uname();
        Info {
            id: house.id.clone(),
            counts,
            images: house.images.list().map_or(0, |images| images.len()),
            kernel: uname.release().to_string_lossy().into_owned(),
            operating_system: facts::os_release("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
            os_version: facts::os_release("VERSION_ID").unwrap_or_default(),
            file_system: facts::file_system(&house.roots.data),
            threads: facts::threads(),
            listeners: house.events.listeners(),
            bridge_filters: facts::bridge_filters(),
            architecture: uname.machine().to_string_lossy().into_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory: total_memory(),
            hostname: uname.nodename().to_string_lossy().into_owned(),
            data_root: house.roots.data.display().to_string(),
            cgroup_version: house.groups.version(),
            limits: house.groups.any(),
            abilities: house.groups.abilities(),
            cgroup_driver: house.groups.driver(),
            rootless: house.settings.rootless.is_some(),
            keeper_pid: house.keeper.pid(),
            bridge: house.settings.bridge_name(&house.roots.data),
            gateway: house.bridge.gateway(),
            subnet: house.bridge.subnet(),
        }
    }

    /// Whether containers can be limited.
    pub fn has_limits(&self) -> bool {
        self.house.groups.any()
    }

    /// What containers can be limited in.
    pub fn abilities(&self) -> cgroup::Abilities {
        self.house.groups.abilities()
    }

    pub fn cgroup_version(&self) -> cgroup::Version {
        self.house.groups.version()
    }

    pub fn cgroup_driver(&self) -> cgroup::Driver {
        self.house.groups.driver()
    }

    pub fn events(&self) -> Subscription {
        self.house.events.subscribe()
    }

    /// Returns when the keeper is gone: the ends of its containers are recorded, and this engine is of no further use.
    pub async fn keeper_lost(&self) {
        let mut lost = self.house.keeper_lost.subscribe();
        let _ = lost.wait_for(|lost| *lost).await;
    }

    /// Before the process ends: containers go on (their keeper stays); without any, bridge and table go, and the keeper ends.
    pub fn close(&self) {
        let house = &self.house;
        house.closing.store(true, std::sync::atomic::Ordering::Release);
        house.pool.close();
        house.images.layers().close();
        let any = house.shelf.all().iter().any(|cell| lock(&cell.live).is_some());
        if any {
            return;
        }
        house.networks.down();
        house.groups.close();
    }
}

impl House {
    /// Makes of a process what this engine can start.
    pub(crate) fn fit(&self, process: &mut oci::runtime::Process) -> Result<()> {
        self.limit_open_files(process);
        if let Some(inside) = &self.settings.rootless {
            crate::rootless::lower(process, inside.told.ids)?;
        }
        Ok(())
    }

    /// A process has the limit of open files that was this engine's, unless it has one of its own.
    fn limit_open_files(&self, process: &mut oci::runtime::Process) {
        if process.rlimits.iter().all(|limit| limit.kind != NOFILE) {
            let (soft, hard) = self.open_files;
            process.rlimits.push(oci::runtime::Rlimit { kind: NOFILE.into(), soft, hard });
        }
    }

    /// Tells an event about a container.
    pub(crate) fn tell(&self, cell: &Cell, action: &str, more: &[(&str, String)]) {
        let record = cell.record();
        let mut attributes: BTreeMap<String, String> = record.config.labels.clone();
        attributes.insert("image".into(), record.config.image.clone());
        attributes.insert("name".into(), record.name.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let actor = cell.id.to_string();
        self.events.tell(Event { kind: EventKind::Container, action: action.into(), actor, attributes, at: now() });
    }

    /// Changes the record of a container, on disk first. Nobody changes it meanwhile.
    pub(crate) fn change_record(&self, cell: &Cell, change: impl FnOnce(&mut container::Container)) -> Result<()> {
        let _saving = lock(&cell.saving);
        let mut record = container::Container::clone(&cell.record());
        change(&mut record);
        self.records.save_record(&record)?;
        cell.set_record(record);
        Ok(())
    }

    /// Saves the state as it is now; what cannot be saved is logged: the process itself is the truth.
    pub(crate) fn save(&self, cell: &Cell) {
        // Of two that save at once the later one saves the later state.
        let _saving = lock(&cell.saving);
        if let Err(e) = self.records.save_state(&cell.id, &cell.state()) {
            tracing::error!("cannot save the state of {}: {}", cell.id, base::chain(&e));
        }
    }
}

/// Whose ports are published, when not those of this network namespace.
fn outer(settings: &Settings) -> Result<Option<Arc<dyn network::Outer>>> {
    let Some(inside) = &settings.rootless else { return Ok(None) };
    crate::rootless::loopback_up()?;
    Ok(Some(Arc::new(HostPorts::new(inside.doors.clone(), tokio_runtime()?))))
}

fn groups(settings: &Settings, roots: &Roots) -> Result<Groups> {
    let name = settings.group_name(&roots.data);
    match &settings.rootless {
        None => Ok(Groups::of_root(&name, settings.cgroup_driver)?),
        Some(_) => Ok(Groups::of_user(&name)),
    }
}

/// The engine's own bridge and all networks, up; `used` are the ends in use.
fn networks(settings: &Settings, roots: &Roots, used: &[Endpoint]) -> Result<(Arc<Bridge>, Networks)> {
    let options = settings.bridge_options(&roots.data);
    // Ports of an ordinary user's engine are sockets of the host: its rules see them anyway.
    let firewall = settings.rootless.as_ref().map_or(settings.publish_firewall, |_| network::Firewall::Open);
    let relay = Arc::new(crate::networks::relay::Tasks(tokio_runtime()?));
    let ground = Ground::new(&options.table, outer(settings)?)?.obeying(firewall).relaying(relay);
    let plugins = network::PluginFolders { kept: roots.data.join("cni"), run: roots.exec.join("netns") };
    let ground = Arc::new(ground.remembering(plugins));
    let records = network::Store::open(roots.data.join("networks"))?;
    let on_bridge = adopt::on_bridge(&records.all()?, used);
    let bridge = Arc::new(Bridge::first(&ground, options, &on_bridge)?);
    let networks = Networks::open(records, ground, Driver::Bridge(bridge.clone()), used)?;
    bridge.check()?;
    Ok((bridge, networks))
}

/// That of the door that opens the engine.
fn tokio_runtime() -> Result<tokio::runtime::Handle> {
    let none = |e| Error::Io { action: "wait for containers".into(), source: std::io::Error::other(e) };
    tokio::runtime::Handle::try_current().map_err(none)
}

fn user_namespace(workshop: &Workshop) -> Result<OwnedFd> {
    let plan = runtime::ParkPlan {
        user: workshop.own_user(),
        network: runtime::NetworkNamespace::Host,
        cgroup_procs: Vec::new(),
    };
    let parked = workshop.keeper.park(plan, &[])?;
    workshop.keeper.unpark(parked.pid)?;
    parked.user.ok_or_else(|| Error::Unsupported("this kernel has no user namespaces: CONFIG_USER_NS is needed".into()))
}

const NOFILE: &str = "RLIMIT_NOFILE";

/// A few descriptors for each container are more than the usual soft limit allows. The limit as it was before.
fn raise_open_files() -> (u64, u64) {
    let before = getrlimit(Resource::Nofile);
    let most = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(e) = setrlimit(Resource::Nofile, most) {
        tracing::warn!("cannot raise the limit of open files: {e}");
    }
    (before.current.unwrap_or(u64::MAX), before.maximum.unwrap_or(u64::MAX))
}

fn engine_id(data: &std::path::Path) -> std::io::Result<String> {
    let path = data.join("engine-id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        _ => {
            let id = Id::random().to_string();
            base::atomic::write(&path, id.as_bytes(), 0o600, base::atomic::Durability::PowerCut)?;
            Ok(id)
        }
    }
}

pub(crate) fn total_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// The bounding set that containers' capabilities are taken from (proc_pid_status(5), `CapBnd`).
fn capability_bound() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    set.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

//! Sandboxes: what a container lives in, made ahead of it.
//!
//! A sandbox is a parked process in its own user and network namespaces (and v1 cgroups), with an address on the bridge when
//! it is to have one. A new network namespace and the entry into v1 cgroups cost milliseconds in the kernel; a thread keeps a
//! few sandboxes of the two common sorts ready, so that a start does not wait for them.

use crate::groups::{Group, Groups};
use crate::settings::Ids;
use crate::streams::lock;
use crate::{Result, Settings};
use base::{Id, Undo};
use keeper::client::Keeper;
use network::{Bridge, Endpoint};
use oci::runtime::Resources;
use runtime::{NetworkNamespace, ParkPlan, UserNamespace};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// The name of a v1 group whose sandbox waits.
pub(crate) const POOLED: &str = "pool-";

/// What a sandbox has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Own user namespace, an address on the bridge.
    Bridge,
    /// Own user namespace, own network namespace with nothing but `lo`.
    Isolated,
}

/// A parked process with its surroundings.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) pid: i32,
    /// On v2 only a placed one: else the init is born into a group made for it.
    pub(crate) group: Option<Group>,
    pub(crate) endpoint: Option<Endpoint>,
    /// Its network namespace, for further ends.
    pub(crate) network: OwnedFd,
}

/// What sandboxes are made with.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) keeper: Keeper,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) groups: Arc<Groups>,
    /// Device rules of an ordinary container.
    pub(crate) ordinary: Resources,
    pub(crate) ids: Ids,
}

/// How one sandbox differs from the common sorts.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) user: UserNamespace,
    pub(crate) network: NetworkNamespace,
    pub(crate) bridge: bool,
    /// The namespaces to join, named by index.
    pub(crate) fds: Vec<OwnedFd>,
    /// A group where the user wants it, and what its processes may use.
    pub(crate) placed: Option<(Group, Resources)>,
}

impl Workshop {
    pub(crate) fn own_user(&self) -> UserNamespace {
        UserNamespace::New { uid: self.ids.uids.clone(), gid: self.ids.gids.clone() }
    }

    fn wanted(&self, sort: Sort) -> Wanted {
        let bridge = sort == Sort::Bridge;
        Wanted { user: self.own_user(), network: NetworkNamespace::New, bridge, ..Wanted::default() }
    }

    /// Makes a sandbox; when a step fails nothing is left of it.
    pub(crate) fn make(&self, wanted: Wanted) -> Result<Sandbox> {
        let new_network = wanted.network == NetworkNamespace::New;
        let mut fds = wanted.fds;
        let mut plan = ParkPlan { user: wanted.user, network: wanted.network, cgroup_procs: Vec::new() };
        let group = match (&wanted.placed, self.groups.version()) {
            (Some((group, _)), _) => Some(group.clone()),
            (None, cgroup::Version::V1) => Some(self.pooled_group()?),
            (None, cgroup::Version::V2) => None,
        };
        let mut undo = Undo::new();
        if let Some(group) = &group {
            undo.push(|| drop(group.remove()));
            enter(group, &mut plan, &mut fds)?;
        }
        let parked = self.keeper.park(plan, &fds)?;
        let pid = parked.pid;
        undo.push(move || drop(self.keeper.unpark(pid)));
        if let Some((group, resources)) = &wanted.placed {
            group.attach(pid, resources)?;
        }
        let endpoint = if wanted.bridge {
            Some(self.bridge.attach(parked.network.as_fd())?)
        } else if new_network {
            network::loopback_up(parked.network.as_fd())?;
            None
        } else {
            None
        };
        undo.keep();
        Ok(Sandbox { pid, group, endpoint, network: parked.network })
    }

    fn pooled_group(&self) -> Result<Group> {
        Ok(self.groups.create(&format!("{POOLED}{}", Id::random().short()), &self.ordinary)?)
    }

    /// Takes a sandbox apart that no container came into.
    pub(crate) fn unmake(&self, sandbox: Sandbox) {
        if let Err(e) = self.keeper.unpark(sandbox.pid) {
            tracing::warn!("cannot let a parked process go: {e}");
        }
        if let Some(endpoint) = &sandbox.endpoint
            && let Err(e) = self.bridge.leave(endpoint)
        {
            tracing::warn!("cannot detach {}: {e}", endpoint.host_link);
        }
        if let Some(group) = &sandbox.group
            && let Err(e) = group.remove()
        {
            tracing::warn!("cannot remove a group: {e}");
        }
    }
}

/// Has the parked process enter its v1 groups; into a v2 group the container's first process is born.
fn enter(group: &Group, plan: &mut ParkPlan, fds: &mut Vec<OwnedFd>) -> Result<()> {
    if let sys::CgroupEntry::V1(procs) = group.entry()? {
        for file in procs {
            plan.cgroup_procs.push(u32::try_from(fds.len()).unwrap_or(u32::MAX));
            fds.push(file);
        }
    }
    Ok(())
}

/// How long no sandbox was taken before more are made without need.
const CALM: std::time::Duration = std::time::Duration::from_millis(10);

/// Sandboxes that wait.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) workshop: Arc<Workshop>,
    shelf: Mutex<Shelf>,
    taken: Condvar,
    most: usize,
    filler: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shelf {
    bridge: VecDeque<Sandbox>,
    isolated: VecDeque<Sandbox>,
    closed: bool,
}

impl Shelf {
    fn of(&mut self, sort: Sort) -> &mut VecDeque<Sandbox> {
        match sort {
            Sort::Bridge => &mut self.bridge,
            Sort::Isolated => &mut self.isolated,
        }
    }
}

/// Where systemd makes groups, a sandbox made ahead is in none, and of no use to anybody.
fn most(settings: &Settings) -> usize {
    match settings.cgroup_driver {
        cgroup::Driver::Cgroupfs => settings.pool,
        cgroup::Driver::Systemd => 0,
    }
}

impl Pool {
    /// Starts the thread that keeps the pool filled.
    pub(crate) fn start(workshop: Arc<Workshop>, settings: &Settings) -> std::io::Result<Arc<Pool>> {
        let (shelf, taken, filler) = (Mutex::default(), Condvar::new(), Mutex::default());
        let pool = Arc::new(Pool { workshop, shelf, taken, most: most(settings), filler });
        let own = pool.clone();
        let filler = std::thread::Builder::new().name("pool".into()).stack_size(512 << 10).spawn(move || own.fill())?;
        *lock(&pool.filler) = Some(filler);
        Ok(pool)
    }

    /// A sandbox of this sort: one that waits, or a new one.
    pub(crate) fn take(&self, sort: Sort) -> Result<Sandbox> {
        let ready = lock(&self.shelf).of(sort).pop_front();
        self.taken.notify_one();
        match ready {
            Some(sandbox) => Ok(sandbox),
            None => self.workshop.make(self.workshop.wanted(sort)),
        }
    }

    /// Empties the pool for good.
    pub(crate) fn close(&self) {
        let mut shelf = lock(&self.shelf);
        shelf.closed = true;
        let waiting: Vec<Sandbox> =
            std::mem::take(&mut shelf.bridge).into_iter().chain(std::mem::take(&mut shelf.isolated)).collect();
        drop(shelf);
        self.taken.notify_all();
        // A sandbox that is being made is put, or taken apart, by its own thread.
        if let Some(filler) = lock(&self.filler).take() {
            let _ = filler.join();
        }
        waiting.into_iter().for_each(|sandbox| self.workshop.unmake(sandbox));
    }

    fn fill(&self) {
        while let Some(sort) = self.next() {
            match self.workshop.make(self.workshop.wanted(sort)) {
                Ok(sandbox) => self.put(sort, sandbox),
                Err(e) => {
                    tracing::warn!("cannot prepare a sandbox: {}", base::chain(&e));
                    self.pause();
                }
            }
        }
    }

    /// Waits until a sort is short; `None` when the pool is closed. While half of them are left the start that took one goes
    /// first: new ones are made once none has been taken for a moment.
    fn next(&self) -> Option<Sort> {
        let mut shelf = lock(&self.shelf);
        loop {
            if shelf.closed {
                return None;
            }
            let (bridge, isolated) = (shelf.bridge.len(), shelf.isolated.len());
            let sort = if bridge <= isolated { Sort::Bridge } else { Sort::Isolated };
            match bridge.min(isolated) {
                least if least >= self.most => {
                    shelf = self.taken.wait(shelf).unwrap_or_else(PoisonError::into_inner);
                }
                least if least <= self.most / 2 => return Some(sort),
                _ => {
                    let (back, calm) = self.taken.wait_timeout(shelf, CALM).unwrap_or_else(PoisonError::into_inner);
                    shelf = back;
                    if calm.timed_out() && !shelf.closed {
                        return Some(sort);
                    }
                }
            }
        }
    }

    fn put(&self, sort: Sort, sandbox: Sandbox) {
        let mut shelf = lock(&self.shelf);
        if shelf.closed {
            drop(shelf);
            self.workshop.unmake(sandbox);
            return;
        }
        shelf.of(sort).push_back(sandbox);
    }

    /// After a failure: until somebody takes one (and meets the failure) or some time has passed.
    fn pause(&self) {
        let shelf = lock(&self.shelf);
        if !shelf.closed {
            drop(self.taken.wait_timeout(shelf, std::time::Duration::from_secs(5)));
        }
    }
}

//! Sandboxes: what a container lives in, made ahead of it.
//!
//! A sandbox is a parked process in its own user and network namespaces (and v1 cgroups), with an address on the bridge when
//! it is to have one. A new network namespace and the entry into v1 cgroups cost milliseconds in the kernel; a thread keeps a
//! few sandboxes of the common sorts ready, so that a start does not wait for them. Those for networks of one's own are made ahead
//! once there was a start that wanted one.

use crate::groups::{Group, Groups};
use crate::settings::Ids;
use crate::streams::lock;
use crate::{Error, Result, Settings};
use base::{Id, Undo};
use keeper::client::Keeper;
use network::{Bridge, Endpoint, Spare};
use oci::runtime::Resources;
use runtime::{NetworkNamespace, ParkPlan, UserNamespace};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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
    /// Own user namespace, a link that is on no network yet, a name server.
    Named,
}

/// A parked process with its surroundings.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) pid: i32,
    /// On v2 only a placed one: else the init is born into a group made for it.
    pub(crate) group: Option<Group>,
    pub(crate) endpoint: Option<Endpoint>,
    /// A link for its first end, where it has one that waits.
    pub(crate) spare: Option<Spare>,
    /// Where its name server will listen, where that is made ready.
    pub(crate) names: Option<dns::Sockets>,
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
    pub(crate) ahead: Ahead,
    /// The namespaces to join, named by index.
    pub(crate) fds: Vec<OwnedFd>,
    /// A group where the user wants it, and what its processes may use.
    pub(crate) placed: Option<(Group, Resources)>,
}

/// What is made ready of its network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Ahead {
    #[default]
    Nothing,
    /// Its end on the engine's own bridge.
    Bridge,
    /// A link on no network, and a name server.
    Named,
}

impl Workshop {
    pub(crate) fn own_user(&self) -> UserNamespace {
        UserNamespace::New { uid: self.ids.uids.clone(), gid: self.ids.gids.clone() }
    }

    fn wanted(&self, sort: Sort) -> Wanted {
        let ahead = match sort {
            Sort::Bridge => Ahead::Bridge,
            Sort::Isolated => Ahead::Nothing,
            Sort::Named => Ahead::Named,
        };
        Wanted { user: self.own_user(), network: NetworkNamespace::New, ahead, ..Wanted::default() }
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
        let netns = parked.network.as_fd();
        let (mut endpoint, mut spare, mut names) = (None, None, None);
        match wanted.ahead {
            Ahead::Bridge => endpoint = Some(self.bridge.attach(netns)?),
            Ahead::Named => {
                // With the namespace both go.
                spare = Some(self.bridge.ground().spare(netns)?);
                names = Some(ready_names(netns)?);
            }
            Ahead::Nothing if new_network => network::loopback_up(netns)?,
            Ahead::Nothing => {}
        }
        undo.keep();
        Ok(Sandbox { pid, group, endpoint, spare, names, network: parked.network })
    }

    /// Removes the links of sandboxes that are on no network: at an engine's end nobody waits for the kernel to do so.
    fn discard(&self, sandboxes: &[Sandbox]) {
        let spares: Vec<&Spare> = sandboxes.iter().filter_map(|sandbox| sandbox.spare.as_ref()).collect();
        if let Err(e) = self.bridge.ground().discard(&spares) {
            tracing::warn!("cannot remove links that nobody came to: {}", base::chain(&e));
        }
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
        self.discard(std::slice::from_ref(&sandbox));
        if let Some(group) = &sandbox.group
            && let Err(e) = group.remove()
        {
            tracing::warn!("cannot remove a group: {e}");
        }
    }
}

/// Opens the name server's sockets in a container's network namespace, and leads its questions there.
pub(crate) fn ready_names(netns: BorrowedFd<'_>) -> Result<dns::Sockets> {
    let failed = |source| Error::Io { action: "open the container's name server".into(), source };
    let namespace = netns.try_clone_to_owned().map_err(failed)?;
    let sockets = dns::Sockets::open(namespace).map_err(failed)?;
    let ports = sockets.ports().map_err(failed)?;
    network::lead_names(sockets.namespace.as_fd(), ports)?;
    Ok(sockets)
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
    named: VecDeque<Sandbox>,
    /// Somebody wanted one: from then on they are made ahead.
    wants_named: bool,
    closed: bool,
}

impl Shelf {
    fn of(&mut self, sort: Sort) -> &mut VecDeque<Sandbox> {
        match sort {
            Sort::Bridge => &mut self.bridge,
            Sort::Isolated => &mut self.isolated,
            Sort::Named => &mut self.named,
        }
    }

    /// The sort of which the fewest wait, and how many.
    fn scarcest(&mut self) -> (Sort, usize) {
        let named = if self.wants_named { self.named.len() } else { usize::MAX };
        let all = [(Sort::Bridge, self.bridge.len()), (Sort::Isolated, self.isolated.len()), (Sort::Named, named)];
        all.into_iter().min_by_key(|(_, count)| *count).unwrap_or(all[0])
    }

    fn empty(&mut self) -> Vec<Sandbox> {
        [Sort::Bridge, Sort::Isolated, Sort::Named].into_iter().flat_map(|sort| std::mem::take(self.of(sort))).collect()
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
        let ready = {
            let mut shelf = lock(&self.shelf);
            shelf.wants_named |= sort == Sort::Named;
            shelf.of(sort).pop_front()
        };
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
        let waiting = shelf.empty();
        drop(shelf);
        self.taken.notify_all();
        // A sandbox that is being made is put, or taken apart, by its own thread.
        if let Some(filler) = lock(&self.filler).take() {
            let _ = filler.join();
        }
        self.workshop.discard(&waiting);
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
            let (sort, least) = shelf.scarcest();
            match least {
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

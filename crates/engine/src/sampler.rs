//! What containers use, looked at once a second for everybody who watches.
//!
//! One thread for all containers; it rests while nobody watches. A container is looked at when its first watcher comes, then
//! every second, so two looks that are told to a client are never closer together: the shares of time between them mean something.

use crate::shelf::Cell;
use crate::streams::lock;
use base::Id;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Between two looks at a container.
const BETWEEN: Duration = Duration::from_secs(1);
/// Looks that are due so soon are taken now: many watchers wake the thread a few times a second only.
const TOGETHER: Duration = Duration::from_millis(50);

/// One look at a container that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Nanoseconds since the epoch.
    pub at: i64,
    pub used: cgroup::Statistics,
    pub machine: Machine,
    /// By the names that the container has for its links; without the loopback.
    pub links: BTreeMap<String, Traffic>,
}

/// The machine at the time of a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Machine {
    /// Nanoseconds that all processors have worked or waited; to be compared with another look's.
    pub time: u64,
    pub processors: usize,
    /// Bytes.
    pub memory: u64,
}

/// Counters of a network link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

/// What a watcher gets; `None` while the container does not run. It closes when the container is removed.
pub type Looks = watch::Receiver<Option<Arc<Look>>>;

/// Who is watched.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    watched: Mutex<HashMap<Id, Watched>>,
    news: Condvar,
    thread: OnceLock<()>,
}

#[derive(Debug)]
struct Watched {
    cell: Weak<Cell>,
    told: watch::Sender<Option<Arc<Look>>>,
    due: Instant,
}

impl Watched {
    /// `None` once it was removed: watchers see the end then.
    fn cell(&self) -> Option<Arc<Cell>> {
        self.cell.upgrade().filter(|cell| !cell.life.borrow().removed)
    }
}

impl Sampler {
    /// Watches a container; what is told first is at most a second old.
    pub(crate) fn watch(self: &Arc<Self>, cell: &Arc<Cell>) -> std::io::Result<Looks> {
        self.start()?;
        let mut watched = lock(&self.watched);
        if let Some(known) = watched.get(&cell.id) {
            return Ok(known.told.subscribe());
        }
        drop(watched);
        let (told, looks) = watch::channel(look(cell, Machine::now()));
        watched = lock(&self.watched);
        let new = Watched { cell: Arc::downgrade(cell), told, due: Instant::now() + BETWEEN };
        self.news.notify_one();
        match watched.entry(cell.id) {
            // Of two that came at once.
            Entry::Occupied(first) => Ok(first.get().told.subscribe()),
            Entry::Vacant(place) => {
                place.insert(new);
                Ok(looks)
            }
        }
    }

    fn start(self: &Arc<Self>) -> std::io::Result<()> {
        if self.thread.get().is_some() {
            return Ok(());
        }
        let _first = lock(&self.watched);
        if self.thread.get().is_none() {
            let own = self.clone();
            let thread = std::thread::Builder::new().name("stats".into()).stack_size(512 << 10);
            thread.spawn(move || own.run())?;
            let _ = self.thread.set(());
        }
        Ok(())
    }

    fn run(&self) {
        let mut watched = lock(&self.watched);
        loop {
            watched.retain(|_, one| one.told.receiver_count() > 0 && one.cell.strong_count() > 0);
            let Some(next) = watched.values().map(|one| one.due).min() else {
                watched = self.news.wait(watched).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = Instant::now();
            if next > now {
                watched = self.news.wait_timeout(watched, next - now).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let due: Vec<Id> = watched.iter().filter(|(_, one)| one.due <= now + TOGETHER).map(|(id, _)| *id).collect();
            let cells: Vec<_> = due.iter().map(|id| (*id, watched.get(id).and_then(Watched::cell))).collect();
            drop(watched);
            let machine = Machine::now();
            let looks: Vec<_> =
                cells.into_iter().map(|(id, cell)| (id, cell.map(|cell| look(&cell, machine)))).collect();
            watched = lock(&self.watched);
            for (id, look) in looks {
                tell(&mut watched, id, look, now);
            }
        }
    }
}

fn tell(watched: &mut HashMap<Id, Watched>, id: Id, look: Option<Option<Arc<Look>>>, now: Instant) {
    match (watched.get_mut(&id), look) {
        (Some(one), Some(look)) => {
            one.told.send_replace(look);
            // After a time in which nothing could be done looks are not made up for.
            one.due = (one.due + BETWEEN).max(now + BETWEEN / 2);
        }
        (_, None) => drop(watched.remove(&id)),
        (None, Some(_)) => {}
    }
}

/// A look at a container; `None` when it does not run (any more).
pub(crate) fn look(cell: &Cell, machine: Machine) -> Option<Arc<Look>> {
    let (group, pid) = lock(&cell.live).as_ref().map(|live| (live.group.clone(), live.pid))?;
    let used = group.main_statistics().ok()?;
    let links = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    // The number may be another process's by now: then the container does not run.
    lock(&cell.live).as_ref().filter(|live| live.pid == pid)?;
    let links = if shares_host_network(cell) { BTreeMap::new() } else { links_of(&links) };
    Some(Arc::new(Look { at: crate::events::now(), used, machine, links }))
}

/// Links of the host are nobody's.
fn shares_host_network(cell: &Cell) -> bool {
    cell.record().config.network == container::NetworkMode::Host
}

impl Machine {
    /// The machine now.
    pub(crate) fn now() -> Machine {
        static MEMORY: OnceLock<u64> = OnceLock::new();
        let memory = *MEMORY.get_or_init(crate::system::total_memory);
        let (ticked, processors) = times(&std::fs::read_to_string("/proc/stat").unwrap_or_default());
        Machine { time: Clock::read(ticked, processors), processors, memory }
    }
}

/// The time of all processors to the nanosecond: between two looks a fraction of a second apart the ticks of `/proc/stat`
/// (a hundredth of a second) are too coarse.
#[derive(Debug)]
struct Clock {
    read: Instant,
    time: u64,
}

impl Clock {
    /// What the engine's only one shows now; the first time it is set to what `/proc/stat` says.
    fn read(ticked: u64, processors: usize) -> u64 {
        static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);
        let (mut clock, now) = (lock(&CLOCK), Instant::now());
        clock.get_or_insert(Clock { read: now, time: ticked }).go_on(now, processors)
    }

    fn go_on(&mut self, now: Instant, processors: usize) -> u64 {
        let passed = u64::try_from(now.saturating_duration_since(self.read).as_nanos()).unwrap_or(0);
        *self = Clock { read: now.max(self.read), time: self.time + passed * processors as u64 };
        self.time
    }
}

/// Nanoseconds all processors have worked or waited (`/proc/stat`, proc(5): 100 ticks a second), and how many there are.
fn times(stat: &str) -> (u64, usize) {
    const TICK: u64 = 10_000_000;
    let first = stat.lines().find(|line| line.starts_with("cpu ")).unwrap_or_default();
    // Guest time is in user time already.
    let ticks: u64 = first.split_ascii_whitespace().skip(1).take(8).filter_map(|n| n.parse::<u64>().ok()).sum();
    let processors = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    (ticks * TICK, processors)
}

/// The lines of /proc/PID/net/dev (proc_pid_net(5)): eight numbers of what came, eight of what went.
fn links_of(text: &str) -> BTreeMap<String, Traffic> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let number = |index: usize| numbers.get(index).copied().unwrap_or(0);
        let traffic = Traffic {
            rx_bytes: number(0),
            rx_packets: number(1),
            rx_errors: number(2),
            rx_dropped: number(3),
            tx_bytes: number(8),
            tx_packets: number(9),
            tx_errors: number(10),
            tx_dropped: number(11),
        };
        Some((name.trim().to_owned(), traffic)).filter(|(name, _)| name != "lo")
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_processors_is_read_from_proc_stat() {
        let stat = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1\ncpu1 1 1 1 1\nintr 5\n";
        assert_eq!(times(stat), (360_000_000, 2));
        assert_eq!(times(""), (0, 0));
    }

    #[test]
    fn between_two_looks_the_clock_goes_on_by_the_time_of_all_processors() {
        let now = Instant::now();
        let mut clock = Clock { read: now, time: 1000 };
        assert_eq!(clock.go_on(now, 2), 1000);
        assert_eq!(clock.go_on(now + Duration::from_nanos(50), 2), 1100);
        assert_eq!(clock.go_on(now + Duration::from_nanos(60), 4), 1140, "two more were brought up");
        assert_eq!(clock.go_on(now, 4), 1140);
    }

    #[test]
    fn links_are_counted_without_the_loopback() {
        let text = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0\n  eth0:    1042      11    1    2    0     0          0         0      70       5    3    4    0     0       0          0\n";
        let links = links_of(text);
        assert_eq!(links.len(), 1);
        let traffic = Traffic {
            rx_bytes: 1042,
            rx_packets: 11,
            rx_errors: 1,
            rx_dropped: 2,
            tx_bytes: 70,
            tx_packets: 5,
            tx_errors: 3,
            tx_dropped: 4,
        };
        assert_eq!(links["eth0"], traffic);
    }
}

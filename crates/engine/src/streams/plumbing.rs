//! The thread that pumps all output, and what it feeds.

use super::hub::{Hold, Hub};
use super::{Stream, lock};
use crate::logging::Compressor;
use base::Id;
use logs::pump::{Flow, Journal, Pump, Sink};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The pump's thread and what it feeds.
#[derive(Debug)]
pub(crate) struct Plumbing {
    pump: Mutex<Pump>,
    hubs: Mutex<HashMap<Id, Arc<Hub>>>,
    keeper: keeper::client::Keeper,
    compressor: Compressor,
}

impl Plumbing {
    pub(crate) fn new(journal: Journal, keeper: keeper::client::Keeper) -> io::Result<Arc<Plumbing>> {
        let pump = Pump::new(journal)?;
        Ok(Arc::new(Plumbing {
            pump: Mutex::new(pump),
            hubs: Mutex::new(HashMap::new()),
            keeper,
            compressor: Compressor::default(),
        }))
    }

    /// Starts the thread, once all streams of an earlier engine are connected. It ends with the process.
    pub(crate) fn start(self: &Arc<Plumbing>) -> io::Result<()> {
        let ready = lock(&self.pump).epoll().try_clone_to_owned()?;
        let own = self.clone();
        std::thread::Builder::new().name("pump".into()).stack_size(256 << 10).spawn(move || own.run(&ready))?;
        Ok(())
    }

    fn run(&self, ready: &OwnedFd) {
        let mut slow = Slow::default();
        loop {
            let mut fds = [PollFd::new(ready, PollFlags::IN)];
            match poll(&mut fds, slow.wait().as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    tracing::error!("cannot wait for output: {e}");
                    return;
                }
            }
            let mut feed = Feed { plumbing: self, fed: Vec::new(), slow: &mut slow };
            let mut pump = lock(&self.pump);
            if let Err(e) = pump.turn(&mut feed) {
                tracing::error!("cannot pump output: {e}");
            }
            let rotated = pump.take_rotated();
            drop(pump);
            // Only now is it in the logs.
            feed.fed.iter().for_each(|hub| hub.tell_growth());
            rotated.into_iter().for_each(|target| self.compressor.send(target));
            slow.judge();
        }
    }

    /// Whether no output moves right now.
    pub(crate) fn is_still(&self) -> bool {
        self.pump.try_lock().is_ok()
    }

    /// Does `work` while no output moves.
    pub(super) fn while_still<T>(&self, work: impl FnOnce() -> T) -> T {
        let _pump = lock(&self.pump);
        work()
    }

    pub(super) fn close_stdin(&self, key: Id) -> Result<(), keeper::client::Error> {
        self.keeper.close_stdin(key)
    }

    pub(super) fn add(
        &self,
        hub: &Arc<Hub>,
        outputs: Vec<(Stream, OwnedFd)>,
        terminal: bool,
        target: &logs::Target,
    ) -> io::Result<()> {
        lock(&self.hubs).insert(hub.key(), hub.clone());
        // What a keeper or an engine before this one rotated.
        self.compressor.send(target.clone());
        let mut pump = lock(&self.pump);
        outputs.into_iter().try_for_each(|(stream, fd)| pump.add(hub.key(), stream, fd, terminal, target))
    }

    /// Moves what a container that has ended left in its pipes, if the pump's thread did not come to it yet.
    pub(super) fn last_look(&self, key: Id) {
        let mut slow = Slow::default();
        let mut feed = Feed { plumbing: self, fed: Vec::new(), slow: &mut slow };
        if let Err(e) = lock(&self.pump).last_look(key, &mut feed) {
            tracing::error!("cannot pump the last output of {key}: {e}");
        }
        feed.fed.iter().for_each(|hub| hub.tell_growth());
    }

    /// What a process that escaped still writes belongs to nobody.
    pub(super) fn forget(&self, key: Id) {
        lock(&self.hubs).remove(&key);
        lock(&self.pump).remove(key);
    }

    pub(super) fn resume(&self, key: Id) {
        if let Err(e) = lock(&self.pump).resume(key) {
            tracing::warn!("cannot resume output of {key}: {e}");
        }
    }
}

struct Feed<'a> {
    plumbing: &'a Plumbing,
    /// Those that had output in this turn.
    fed: Vec<Arc<Hub>>,
    slow: &'a mut Slow,
}

impl Feed<'_> {
    fn hub(&self, key: Id) -> Option<Arc<Hub>> {
        lock(&self.plumbing.hubs).get(&key).cloned()
    }
}

impl Sink for Feed<'_> {
    fn output(&mut self, key: Id, stream: Stream, bytes: &[u8]) -> Flow {
        let Some(hub) = self.hub(key) else { return Flow::Go };
        let hold = hub.give(stream, bytes);
        if let Hold::Until(Some(time)) = hold {
            self.slow.add(&hub, time);
        }
        if !self.fed.iter().any(|fed| fed.key() == key) {
            self.fed.push(hub);
        }
        if hold == Hold::No { Flow::Go } else { Flow::Hold }
    }

    fn end(&mut self, key: Id, _stream: Stream) {
        if let Some(hub) = self.hub(key) {
            hub.ended();
        }
    }
}

/// Processes held by clients whose time is bounded.
#[derive(Debug, Default)]
struct Slow(Vec<(Arc<Hub>, Instant)>);

impl Slow {
    fn add(&mut self, hub: &Arc<Hub>, time: Instant) {
        match self.0.iter_mut().find(|(known, _)| known.key() == hub.key()) {
            Some((_, known)) => *known = time.min(*known),
            None => self.0.push((hub.clone(), time)),
        }
    }

    /// Until the first time is over; `None` when there is none.
    fn wait(&self) -> Option<Timespec> {
        let first = self.0.iter().map(|(_, time)| *time).min()?;
        let left = first.saturating_duration_since(Instant::now());
        // A fraction of a millisecond too early would only be asked again.
        Timespec::try_from(left).ok()
    }

    fn judge(&mut self) {
        let now = Instant::now();
        self.0.retain_mut(|(hub, time)| {
            if *time > now {
                return true;
            }
            match hub.judge(now) {
                Hold::Until(Some(next)) => {
                    *time = next;
                    true
                }
                Hold::Until(None) | Hold::No => false,
            }
        });
    }
}

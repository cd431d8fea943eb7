//! The streams of one container or exec, and its clients.

use super::client::{self, Client, Patience, Verdict};
use super::input::Input;
use super::{Attach, Attachment, Chunk, Plumbing, Stdin, Stream, lock};
use base::Id;
use bytes::Bytes;
use logs::read::{Mark, Range, Reader};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The streams of one container (for all its runs) or of one exec.
#[derive(Debug)]
pub(crate) struct Hub {
    key: Id,
    plumbing: Weak<Plumbing>,
    terminal: bool,
    /// A client's end of stdin is the process's end of stdin.
    stdin_once: bool,
    /// Its output is in no log.
    unlogged: bool,
    clients: Mutex<Vec<Client>>,
    pub(super) stdin: watch::Sender<Stdin>,
    grown: watch::Sender<bool>,
    open: Mutex<u8>,
    drained: Condvar,
    /// The process has ended: what is left in the pipes is bounded, and no reader may keep it there.
    ending: AtomicBool,
    /// Runs that are over: a client of an earlier one has no say in the next.
    runs: AtomicU64,
    /// Numbers of the pipes that are stdin, stdout and stderr.
    pipes: Mutex<[Option<u64>; 3]>,
}

impl Hub {
    /// For a container.
    pub(crate) fn new(key: Id, plumbing: &Arc<Plumbing>, terminal: bool, stdin_once: bool) -> Arc<Hub> {
        Arc::new(Hub::draft(key, plumbing, terminal, stdin_once))
    }

    /// For a step of a build, whose output is in no log.
    pub(crate) fn of_step(key: Id, plumbing: &Arc<Plumbing>) -> Arc<Hub> {
        Arc::new(Hub { unlogged: true, ..Hub::draft(key, plumbing, false, false) })
    }

    /// For an exec.
    pub(crate) fn of_exec(key: Id, plumbing: &Arc<Plumbing>, terminal: bool) -> Arc<Hub> {
        Arc::new(Hub { unlogged: true, ..Hub::draft(key, plumbing, terminal, true) })
    }

    fn draft(key: Id, plumbing: &Arc<Plumbing>, terminal: bool, stdin_once: bool) -> Hub {
        Hub {
            key,
            plumbing: Arc::downgrade(plumbing),
            terminal,
            stdin_once,
            unlogged: false,
            clients: Mutex::new(Vec::new()),
            stdin: watch::Sender::new(Stdin::Waiting),
            grown: watch::Sender::new(true),
            open: Mutex::new(0),
            drained: Condvar::new(),
            ending: AtomicBool::new(false),
            runs: AtomicU64::new(0),
            pipes: Mutex::default(),
        }
    }

    /// Whose streams these are.
    pub(super) fn key(&self) -> Id {
        self.key
    }

    /// Adds a client of the live output; `stdin` when it may write.
    pub(crate) fn attach(self: &Arc<Hub>, attach: Attach, stdin: bool) -> Attachment {
        let streams = (attach.stdout, attach.wants(Stream::Stderr, self.terminal));
        let (client, output) = client::pair(self, streams, self.patience());
        if attach.stream {
            lock(&self.clients).push(client);
        }
        let input = stdin.then(|| Input::new(self.clone(), self.runs.load(Ordering::Acquire)));
        Attachment { tty: self.terminal, earlier: None, output, input }
    }

    /// The same with what is in the log already. The pump stands still while the line between both is drawn.
    pub(crate) fn attach_after(
        self: &Arc<Hub>,
        attach: Attach,
        stdin: bool,
        target: &logs::Target,
    ) -> io::Result<Attachment> {
        let draw = || (self.attach(attach, stdin), Mark::end_of(target));
        let (mut attachment, mark) = match self.plumbing.upgrade() {
            Some(plumbing) => plumbing.while_still(draw),
            None => draw(),
        };
        if let Some(mark) = mark? {
            attachment.earlier = Some(Reader::up_to(target, Range::default(), mark)?);
        }
        Ok(attachment)
    }

    fn patience(&self) -> Patience {
        match &*self.stdin.borrow() {
            _ if self.unlogged => Patience::Endless,
            Stdin::Waiting | Stdin::GoneEarly => Patience::Started,
            Stdin::Open(_) | Stdin::Closed => Patience::Joined,
        }
    }

    /// The process runs: its ends of the streams go to the pump and to the clients that write.
    pub(crate) fn connect(self: &Arc<Hub>, streams: keeper::client::Streams, target: &logs::Target) -> io::Result<()> {
        let Some(plumbing) = self.plumbing.upgrade() else { return Ok(()) };
        let (stdin, outputs, terminal) = match streams {
            keeper::client::Streams::Pipes { stdin, stdout, stderr } => {
                *lock(&self.pipes) = [stdin.as_ref(), Some(&stdout), Some(&stderr)].map(number);
                (stdin, vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)], false)
            }
            keeper::client::Streams::Terminal(master) => {
                (Some(master.try_clone()?), vec![(Stream::Stdout, master)], true)
            }
            // An exec of an earlier engine: nobody listens to it any more.
            keeper::client::Streams::Gone => return Ok(()),
        };
        *lock(&self.open) = if terminal { 1 } else { 2 };
        self.ending.store(false, Ordering::Release);
        self.grown.send_replace(false);
        let before = self.stdin.send_replace(stdin.map_or(Stdin::Closed, |fd| Stdin::Open(Arc::new(fd))));
        plumbing.add(self, outputs, terminal, target)?;
        if matches!(before, Stdin::GoneEarly) {
            self.close_stdin();
        }
        Ok(())
    }

    /// Numbers of the pipes of the latest run: both ends of a pipe have the same.
    pub(crate) fn pipes(&self) -> [Option<u64>; 3] {
        *lock(&self.pipes)
    }

    /// The pseudo terminal, while the process runs.
    pub(crate) fn terminal(&self) -> Option<Arc<OwnedFd>> {
        match &*self.stdin.borrow() {
            Stdin::Open(fd) if self.terminal => Some(fd.clone()),
            _ => None,
        }
    }

    /// Whether no stream of output is open (any more).
    pub(crate) fn is_drained(&self) -> bool {
        *lock(&self.open) == 0
    }

    /// The process has ended: waits until all output was given to logs and clients, `most` at the longest.
    pub(crate) fn wait_drained(&self, most: Duration) {
        self.ending.store(true, Ordering::Release);
        self.resume();
        let deadline = Instant::now() + most;
        let mut open = lock(&self.open);
        while *open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(open);
                // The time may have passed while the machine stood still.
                if let Some(plumbing) = self.plumbing.upgrade() {
                    plumbing.last_look(self.key);
                }
                return;
            }
            open = self.drained.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The process has ended and its end is recorded: clients see the end of its output.
    pub(crate) fn finish(&self) {
        if let Some(plumbing) = self.plumbing.upgrade() {
            plumbing.forget(self.key);
        }
        self.runs.fetch_add(1, Ordering::AcqRel);
        self.stdin.send_replace(Stdin::Waiting);
        *lock(&self.open) = 0;
        lock(&self.clients).clear();
        self.grown.send_replace(true);
    }

    /// News of the log.
    pub(crate) fn grown(&self) -> watch::Receiver<bool> {
        self.grown.subscribe()
    }

    pub(super) fn tell_growth(&self) {
        self.grown.send_if_modified(|ended| !*ended);
    }

    pub(super) fn resume(&self) {
        if let Some(plumbing) = self.plumbing.upgrade() {
            plumbing.resume(self.key);
        }
    }

    /// A client of run `run` has gone.
    pub(super) fn client_gone(&self, run: u64) {
        if run != self.runs.load(Ordering::Acquire) || !self.stdin_once || self.terminal {
            return;
        }
        let early = self.stdin.send_if_modified(|stdin| {
            let early = matches!(stdin, Stdin::Waiting);
            if early {
                *stdin = Stdin::GoneEarly;
            }
            early
        });
        if !early {
            self.close_stdin();
        }
    }

    fn close_stdin(&self) {
        let was_open = matches!(self.stdin.send_replace(Stdin::Closed), Stdin::Open(_));
        if was_open && let Some(plumbing) = self.plumbing.upgrade() {
            let _ = plumbing.close_stdin(self.key);
        }
    }

    /// Gives a piece to all clients that want it. Some may hold the process until a time, see [`Hub::judge`].
    pub(super) fn give(&self, stream: Stream, bytes: &[u8]) -> Hold {
        let mut clients = lock(&self.clients);
        if clients.is_empty() {
            return Hold::No;
        }
        let chunk = Chunk { stream, bytes: Bytes::copy_from_slice(bytes) };
        let mut hold = Hold::No;
        clients.retain_mut(|client| hold.and(client.give(&chunk)));
        if self.ending.load(Ordering::Acquire) { Hold::No } else { hold }
    }

    /// Lets clients go whose time is over; says whether others still hold the process.
    pub(super) fn judge(&self, now: Instant) -> Hold {
        let mut hold = Hold::No;
        lock(&self.clients).retain_mut(|client| hold.and(client.judge(now, client::LETS_GO)));
        if hold == Hold::No {
            self.resume();
        }
        hold
    }

    /// A client went away: it is forgotten now, not when there is output again.
    pub(super) fn client_left(&self) {
        self.judge(Instant::now());
    }

    pub(super) fn ended(&self) {
        let mut open = lock(&self.open);
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.drained.notify_all();
        }
    }
}

fn number(pipe: Option<&OwnedFd>) -> Option<u64> {
    rustix::fs::fstat(pipe?).ok().map(|stat| stat.st_ino)
}

/// Whether clients hold a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    No,
    /// To be looked at again then; `None`: only the client ends it.
    Until(Option<Instant>),
}

impl Hold {
    /// Adds what a client does; false when it is to be let go.
    fn and(&mut self, verdict: Verdict) -> bool {
        *self = match (*self, verdict) {
            (_, Verdict::Gone) => return false,
            (before, Verdict::Keeps) => before,
            (Hold::Until(Some(a)), Verdict::Waits(Some(b))) => Hold::Until(Some(a.min(b))),
            (Hold::Until(a), Verdict::Waits(b)) => Hold::Until(a.or(b)),
            (Hold::No, Verdict::Waits(until)) => Hold::Until(until),
        };
        true
    }
}

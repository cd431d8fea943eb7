//! One client of a process's output: what waits for it, and for how long it may keep the process waiting.

use super::Chunk;
use super::hub::Hub;
use logs::pump::Stream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Bytes that may wait for one client before its process is held.
pub(super) const MOST_UNREAD: usize = 1 << 20;

/// What a piece of output costs in memory besides its bytes.
const PIECE: usize = 128;

/// Bytes that a client must take while it holds a process, to be given the same time again.
const PROGRESS: u64 = 64 << 10;

/// A look that comes so much later than it was meant to: the machine stood still, or had no time for the engine.
const STANDSTILL: Duration = Duration::from_millis(500);

/// How long a client that takes nothing may hold a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// It was there before the process started, as `docker run` is: it wants everything.
    Started,
    /// It came to a process that ran without it.
    Joined,
    /// It is the only place that the output goes to.
    Endless,
}

impl Patience {
    fn time(self) -> Option<Duration> {
        match self {
            Patience::Started => Some(Duration::from_secs(10)),
            Patience::Joined => Some(Duration::from_secs(1)),
            Patience::Endless => None,
        }
    }
}

/// What waits for a client, and what it took.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    unread: AtomicUsize,
    taken: AtomicU64,
}

fn cost(chunk: &Chunk) -> usize {
    chunk.bytes.len() + PIECE
}

/// The hub's end.
#[derive(Debug)]
pub(super) struct Client {
    chunks: mpsc::UnboundedSender<Chunk>,
    backlog: Arc<Backlog>,
    stdout: bool,
    stderr: bool,
    patience: Patience,
    /// Since when it holds its process, and what it had taken then.
    holds: Option<(Instant, u64)>,
}

/// What is to be done about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does not hold anybody.
    Keeps,
    /// It may hold until then; `None` is for ever.
    Waits(Option<Instant>),
    /// Its time is over.
    Gone,
}

/// Both ends of the way to a client.
pub(super) fn pair(hub: &Arc<Hub>, streams: (bool, bool), patience: Patience) -> (Client, Output) {
    let (chunks, receiver) = mpsc::unbounded_channel();
    let backlog = Arc::new(Backlog::default());
    let output = Output { chunks: receiver, backlog: backlog.clone(), hub: Arc::downgrade(hub) };
    (Client { chunks, backlog, stdout: streams.0, stderr: streams.1, patience, holds: None }, output)
}

impl Client {
    /// Gives it a piece if it wants it.
    pub(super) fn give(&mut self, chunk: &Chunk) -> Verdict {
        let wanted = if chunk.stream == Stream::Stdout { self.stdout } else { self.stderr };
        if !wanted {
            return if self.chunks.is_closed() { Verdict::Gone } else { Verdict::Keeps };
        }
        self.backlog.unread.fetch_add(cost(chunk), Ordering::AcqRel);
        if self.chunks.send(chunk.clone()).is_err() {
            return Verdict::Gone;
        }
        self.judge(Instant::now(), MOST_UNREAD)
    }

    /// What becomes of it now; it holds its process when more than `limit` bytes wait.
    pub(super) fn judge(&mut self, now: Instant, limit: usize) -> Verdict {
        if self.chunks.is_closed() {
            return Verdict::Gone;
        }
        if self.backlog.unread.load(Ordering::Acquire) <= limit {
            self.holds = None;
            return Verdict::Keeps;
        }
        let taken = self.backlog.taken.load(Ordering::Acquire);
        let (since, before) = *self.holds.get_or_insert((now, taken));
        let Some(time) = self.patience.time() else { return Verdict::Waits(None) };
        if now < since + time {
            return Verdict::Waits(Some(since + time));
        }
        // Who was stopped together with the engine could take nothing.
        let stood_still = now > since + time + STANDSTILL;
        if taken - before < PROGRESS && !stood_still {
            return Verdict::Gone;
        }
        self.holds = Some((now, taken));
        Verdict::Waits(Some(now + time))
    }
}

/// Bytes at which a client that held its process lets it go on.
pub(super) const LETS_GO: usize = MOST_UNREAD / 2;

/// Output for one client. Ends when the process has ended and all of its output was given.
#[derive(Debug)]
pub struct Output {
    chunks: mpsc::UnboundedReceiver<Chunk>,
    backlog: Arc<Backlog>,
    hub: Weak<Hub>,
}

impl Output {
    /// The next chunk; `None` at the end.
    pub async fn recv(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.recv().await?;
        let cost = cost(&chunk);
        self.backlog.taken.fetch_add(cost as u64, Ordering::AcqRel);
        let before = self.backlog.unread.fetch_sub(cost, Ordering::AcqRel);
        if before > LETS_GO
            && before - cost <= LETS_GO
            && let Some(hub) = self.hub.upgrade()
        {
            hub.resume();
        }
        Some(chunk)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.chunks.close();
        if let Some(hub) = self.hub.upgrade() {
            hub.client_left();
        }
    }
}

//! Standard streams of containers and execs, as clients see them.
//!
//! One thread pumps the output of all containers into their logs and into the [`Hub`] of each; clients sit on the hub. A
//! client that does not read holds only the container it watches, and only after [`MOST_UNREAD`] bytes.

use crate::shelf::Cell;
use base::Id;
use bytes::Bytes;
use logs::pump::{Flow, Journal, Pump, Sink};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

pub use logs::pump::Stream;

/// Bytes that may wait for one client before its container is held.
const MOST_UNREAD: usize = 4 << 20;

/// A piece of output.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub stream: Stream,
    pub bytes: Bytes,
}

/// What a client wants of a container's streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attach {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Earlier output from the log first.
    pub logs: bool,
    /// Live output.
    pub stream: bool,
}

/// A client's connection to a container's or an exec's streams.
#[derive(Debug)]
pub struct Attachment {
    /// One raw stream, not two multiplexed ones.
    pub tty: bool,
    pub output: Output,
    /// `None` when stdin was not asked for or the container has none.
    pub input: Option<Input>,
}

/// Output for one client. Ends when the process has ended and all of its output was given.
#[derive(Debug)]
pub struct Output {
    chunks: mpsc::UnboundedReceiver<Chunk>,
    unread: Arc<AtomicUsize>,
    hub: Weak<Hub>,
}

impl Output {
    /// The next chunk; `None` at the end.
    pub async fn recv(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.recv().await?;
        let before = self.unread.fetch_sub(chunk.bytes.len(), Ordering::AcqRel);
        let half = MOST_UNREAD / 2;
        if before > half
            && before - chunk.bytes.len() <= half
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
            hub.resume();
        }
    }
}

/// A container's log and news of its growth.
#[derive(Debug)]
pub struct LogFollow {
    pub target: logs::Target,
    pub tty: bool,
    /// Changes when the log may have grown; its value is `true` once the container has ended and its log is complete.
    pub grown: watch::Receiver<bool>,
}

/// Where the stdin of a process is.
#[derive(Debug, Clone)]
enum Stdin {
    /// The process has not started.
    Waiting,
    /// It has not started, and its client has gone already: it will see the end of its stdin at once.
    GoneEarly,
    Open(Arc<OwnedFd>),
    Closed,
}

/// The streams of one container (for all its runs) or of one exec.
#[derive(Debug)]
pub(crate) struct Hub {
    key: Id,
    plumbing: Weak<Plumbing>,
    terminal: bool,
    /// A client's end of stdin is the process's end of stdin.
    stdin_once: bool,
    clients: Mutex<Vec<Client>>,
    stdin: watch::Sender<Stdin>,
    grown: watch::Sender<bool>,
    open: Mutex<u8>,
    drained: Condvar,
    /// The process has ended: what is left in the pipes is bounded, and no reader may keep it there.
    ending: AtomicBool,
    /// Runs that are over: a client of an earlier one has no say in the next.
    runs: AtomicU64,
}

#[derive(Debug)]
struct Client {
    chunks: mpsc::UnboundedSender<Chunk>,
    unread: Arc<AtomicUsize>,
    stdout: bool,
    stderr: bool,
}

impl Hub {
    pub(crate) fn new(key: Id, plumbing: &Arc<Plumbing>, terminal: bool, stdin_once: bool) -> Arc<Hub> {
        Arc::new(Hub {
            key,
            plumbing: Arc::downgrade(plumbing),
            terminal,
            stdin_once,
            clients: Mutex::new(Vec::new()),
            stdin: watch::Sender::new(Stdin::Waiting),
            grown: watch::Sender::new(true),
            open: Mutex::new(0),
            drained: Condvar::new(),
            ending: AtomicBool::new(false),
            runs: AtomicU64::new(0),
        })
    }

    /// Adds a client of the live output; `stdin` when it may write.
    pub(crate) fn attach(self: &Arc<Hub>, attach: Attach, stdin: bool) -> Attachment {
        let (chunks, receiver) = mpsc::unbounded_channel();
        let unread = Arc::new(AtomicUsize::new(0));
        if attach.stream {
            let client = Client {
                chunks,
                unread: unread.clone(),
                stdout: attach.stdout,
                stderr: attach.stderr || self.terminal,
            };
            lock(&self.clients).push(client);
        }
        Attachment {
            tty: self.terminal,
            output: Output { chunks: receiver, unread, hub: Arc::downgrade(self) },
            input: stdin.then(|| Input { hub: self.clone(), writer: None, run: self.runs.load(Ordering::Acquire) }),
        }
    }

    /// The process runs: its ends of the streams go to the pump and to the clients that write.
    pub(crate) fn connect(self: &Arc<Hub>, streams: keeper::client::Streams, target: &logs::Target) -> io::Result<()> {
        let Some(plumbing) = self.plumbing.upgrade() else { return Ok(()) };
        let (stdin, outputs, terminal) = match streams {
            keeper::client::Streams::Pipes { stdin, stdout, stderr } => {
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

    /// The pseudo terminal, while the process runs.
    pub(crate) fn terminal(&self) -> Option<Arc<OwnedFd>> {
        match &*self.stdin.borrow() {
            Stdin::Open(fd) if self.terminal => Some(fd.clone()),
            _ => None,
        }
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

    fn tell_growth(&self) {
        self.grown.send_if_modified(|ended| !*ended);
    }

    fn resume(&self) {
        if let Some(plumbing) = self.plumbing.upgrade() {
            plumbing.resume(self.key);
        }
    }

    /// A client of run `run` has gone.
    fn client_gone(&self, run: u64) {
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
            let _ = plumbing.keeper.close_stdin(self.key);
        }
    }

    fn give(&self, stream: Stream, bytes: &[u8]) -> Flow {
        let mut flow = Flow::Go;
        let mut clients = lock(&self.clients);
        if !clients.is_empty() {
            let chunk = Chunk { stream, bytes: Bytes::copy_from_slice(bytes) };
            clients.retain(|client| {
                let wanted = if stream == Stream::Stdout { client.stdout } else { client.stderr };
                if !wanted {
                    return !client.chunks.is_closed();
                }
                if client.unread.fetch_add(bytes.len(), Ordering::AcqRel) + bytes.len() > MOST_UNREAD {
                    flow = Flow::Hold;
                }
                client.chunks.send(chunk.clone()).is_ok()
            });
            if clients.is_empty() || self.ending.load(Ordering::Acquire) {
                flow = Flow::Go;
            }
        }
        drop(clients);
        flow
    }

    fn ended(&self) {
        let mut open = lock(&self.open);
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.drained.notify_all();
        }
    }
}

/// The writing end of a process's stdin. Dropped, the client went away.
#[derive(Debug)]
pub struct Input {
    hub: Arc<Hub>,
    writer: Option<AsyncFd<OwnedFd>>,
    /// Which run of the process it belongs to.
    run: u64,
}

impl Input {
    /// Writes all of `bytes`, waiting while the process has not started or does not read. An error means that the process has
    /// closed its stdin or ended.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.writer.is_none() {
            self.writer = Some(self.open().await?);
        }
        let Some(writer) = &self.writer else { return Ok(()) };
        while !bytes.is_empty() {
            let mut ready = writer.writable().await?;
            match ready.try_io(|fd| rustix::io::write(fd, bytes).map_err(io::Error::from)) {
                Ok(Ok(n)) => bytes = bytes.get(n..).unwrap_or_default(),
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(e)) => return Err(e),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// The client sent its end: the process sees end of file, unless its stdin stays for later clients or is a terminal.
    pub async fn close(self) {
        drop(self);
    }

    async fn open(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let mut news = self.hub.stdin.subscribe();
        loop {
            let now = news.borrow_and_update().clone();
            match now {
                Stdin::Open(fd) => {
                    let own = fd.try_clone()?;
                    rustix::io::ioctl_fionbio(&own, true)?;
                    return watched(own);
                }
                Stdin::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
                Stdin::Waiting | Stdin::GoneEarly => news.changed().await.map_err(|_| io::ErrorKind::BrokenPipe)?,
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.writer = None;
        self.hub.client_gone(self.run);
    }
}

/// Deprecated for types that may change their fd or lie about it; an `OwnedFd` does neither.
#[allow(deprecated)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, tokio::io::Interest::WRITABLE)
}

/// The pump's thread and what it feeds.
#[derive(Debug)]
pub(crate) struct Plumbing {
    pump: Mutex<Pump>,
    hubs: Mutex<HashMap<Id, Arc<Hub>>>,
    keeper: keeper::client::Keeper,
}

impl Plumbing {
    pub(crate) fn new(journal: Journal, keeper: keeper::client::Keeper) -> io::Result<Arc<Plumbing>> {
        let pump = Pump::new(journal)?;
        Ok(Arc::new(Plumbing { pump: Mutex::new(pump), hubs: Mutex::new(HashMap::new()), keeper }))
    }

    /// Starts the thread, once all streams of an earlier engine are connected. It ends with the process.
    pub(crate) fn start(self: &Arc<Plumbing>) -> io::Result<()> {
        let ready = lock(&self.pump).epoll().try_clone_to_owned()?;
        let own = self.clone();
        std::thread::Builder::new().name("pump".into()).stack_size(256 << 10).spawn(move || own.run(&ready))?;
        Ok(())
    }

    fn run(&self, ready: &OwnedFd) {
        loop {
            let mut fds = [rustix::event::PollFd::new(ready, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => {
                    tracing::error!("cannot wait for output: {e}");
                    return;
                }
            }
            let mut feed = Feed { plumbing: self, fed: Vec::new() };
            if let Err(e) = lock(&self.pump).turn(&mut feed) {
                tracing::error!("cannot pump output: {e}");
            }
            // Only now is it in the logs.
            feed.fed.iter().for_each(|hub| hub.tell_growth());
        }
    }

    fn add(
        &self,
        hub: &Arc<Hub>,
        outputs: Vec<(Stream, OwnedFd)>,
        terminal: bool,
        target: &logs::Target,
    ) -> io::Result<()> {
        lock(&self.hubs).insert(hub.key, hub.clone());
        let mut pump = lock(&self.pump);
        outputs.into_iter().try_for_each(|(stream, fd)| pump.add(hub.key, stream, fd, terminal, target))
    }

    /// What a process that escaped still writes belongs to nobody.
    fn forget(&self, key: Id) {
        lock(&self.hubs).remove(&key);
        lock(&self.pump).remove(key);
    }

    fn resume(&self, key: Id) {
        if let Err(e) = lock(&self.pump).resume(key) {
            tracing::warn!("cannot resume output of {key}: {e}");
        }
    }
}

struct Feed<'a> {
    plumbing: &'a Plumbing,
    /// Those that had output in this turn.
    fed: Vec<Arc<Hub>>,
}

impl Feed<'_> {
    fn hub(&self, key: Id) -> Option<Arc<Hub>> {
        lock(&self.plumbing.hubs).get(&key).cloned()
    }
}

impl Sink for Feed<'_> {
    fn output(&mut self, key: Id, stream: Stream, bytes: &[u8]) -> Flow {
        let Some(hub) = self.hub(key) else { return Flow::Go };
        let flow = hub.give(stream, bytes);
        if !self.fed.iter().any(|fed| fed.key == key) {
            self.fed.push(hub);
        }
        flow
    }

    fn end(&mut self, key: Id, _stream: Stream) {
        if let Some(hub) = self.hub(key) {
            hub.ended();
        }
    }
}

/// A lock that a panic elsewhere does not take away from everybody.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The attachment of a client to a container.
pub(crate) fn attach(cell: &Cell, attach: Attach) -> Attachment {
    let config = &cell.record().config;
    cell.hub.attach(attach, attach.stdin && config.open_stdin)
}

/// Sets the size of a terminal, in characters.
pub(crate) fn resize(terminal: &OwnedFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal.as_fd(), size)?)
}

//! One connection: a lock around writing, and one thread that reads and hands out what comes.

use super::Error;
use crate::message::{Adopted, Asked, Event, OLDEST, Reply, Request, Told, VERSION};
use crate::wire::{BUSY, Frame, Inbox, Parcel, broken, hello_of};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The answer to a request.
#[derive(Debug)]
pub struct Answered {
    pub reply: Reply,
    pub fds: Vec<OwnedFd>,
}

/// What a new connection begins with.
#[derive(Debug)]
pub struct Greeted {
    pub stream: UnixStream,
    pub inbox: Inbox,
    /// What the keeper speaks.
    pub version: u32,
    pub found: Vec<(Adopted, Vec<OwnedFd>)>,
    pub journal: Vec<OwnedFd>,
}

/// Says hello and listens to what the keeper has.
pub fn greet(stream: UnixStream) -> Result<Greeted, Error> {
    let mut inbox = Inbox::default();
    let theirs = loop {
        match inbox.take_hello().map_err(Error::Lost)? {
            Some(version) => break version,
            None => more(&stream, &mut inbox).map_err(Error::Lost)?,
        }
    };
    if theirs == BUSY {
        return Err(Error::Refused("another engine is connected to it".into()));
    }
    if !(OLDEST..=VERSION).contains(&theirs) {
        return Err(Error::Version { ours: VERSION, theirs });
    }
    (&stream).write_all(&hello_of(theirs)).map_err(Error::Lost)?;
    let mut greeted = Greeted { stream, inbox, version: theirs, found: Vec::new(), journal: Vec::new() };
    listen(&mut greeted).map_err(Error::Lost)?;
    Ok(greeted)
}

fn listen(greeted: &mut Greeted) -> io::Result<()> {
    loop {
        let frame = wait(&greeted.stream, &mut greeted.inbox)?;
        match frame.message()? {
            Told::Found(process) => greeted.found.push((*process, frame.fds)),
            Told::Ready => {
                greeted.journal = frame.fds;
                return Ok(());
            }
            other => return Err(io::Error::new(ErrorKind::InvalidData, format!("{} before the time", other.name()))),
        }
    }
}

fn wait(stream: &UnixStream, inbox: &mut Inbox) -> io::Result<Frame> {
    loop {
        if let Some(frame) = inbox.take()? {
            return Ok(frame);
        }
        more(stream, inbox)?;
    }
}

fn more(stream: &UnixStream, inbox: &mut Inbox) -> io::Result<()> {
    match inbox.receive(stream.as_fd())? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// A live connection. Dropped, it closes, and its thread ends.
pub struct Connection {
    writing: Mutex<UnixStream>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    pid: i32,
    ear: Arc<OnceLock<Ear>>,
}

/// Who hears of an event first, on the thread that reads; one that is not taken goes into the channel. It must neither wait for the
/// keeper nor for anybody who does.
pub type Ear = Box<dyn Fn(&Event) -> Taken + Send + Sync>;

/// Whether an event was dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Yes,
    No,
}

/// Who waits for which answer; `None` once the connection is lost.
#[derive(Debug)]
struct Waiting(Mutex<Option<HashMap<u64, SyncSender<Answered>>>>);

impl Connection {
    /// Starts the reading thread. `child`: the keeper when this process started it, to be waited for at its end.
    pub fn start(stream: UnixStream, inbox: Inbox, child: Option<Child>) -> io::Result<(Connection, Receiver<Event>)> {
        let pid = rustix::net::sockopt::socket_peercred(&stream)?.pid.as_raw_nonzero().get();
        let waiting = Arc::new(Waiting(Mutex::new(Some(HashMap::new()))));
        let (events, receiver) = channel();
        let (reading, shared) = (stream.try_clone()?, waiting.clone());
        let ear = Arc::<OnceLock<Ear>>::default();
        let own = ear.clone();
        std::thread::Builder::new().name("keeper".into()).stack_size(128 << 10).spawn(move || {
            read(&reading, inbox, &shared, (&own, &events));
            // Whoever still waits is told by his channel that it is lost.
            shared.lock().take();
            let _ = reading.shutdown(Shutdown::Both);
            drop(events);
            if let Some(mut child) = child {
                let _ = child.wait();
            }
        })?;
        Ok((Connection { writing: Mutex::new(stream), waiting, next: AtomicU64::new(1), pid, ear }, receiver))
    }

    /// From now on events are told here first. Once: a second one is not heard.
    pub fn listen(&self, ear: Ear) {
        let _ = self.ear.set(ear);
    }

    /// The peer's process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a request whose answer nobody waits for.
    pub fn tell(&self, request: Request) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().as_ref().ok_or_else(lost)?;
        self.send(&mut Parcel::<BorrowedFd<'_>>::new(&Asked { number, request }, Vec::new())?)
    }

    fn send(&self, parcel: &mut Parcel<BorrowedFd<'_>>) -> io::Result<()> {
        let stream = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        parcel.send(stream.as_fd())?;
        Ok(())
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&self, request: Request, fds: &[OwnedFd]) -> io::Result<Answered> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        let mut parcel = Parcel::new(&Asked { number, request }, fds)?;
        let (sender, receiver) = sync_channel(1);
        self.waiting.lock().as_mut().ok_or_else(lost)?.insert(number, sender);
        if let Err(error) = self.send(&mut parcel) {
            if let Some(waiting) = self.waiting.lock().as_mut() {
                waiting.remove(&number);
            }
            return Err(error);
        }
        receiver.recv().map_err(|_| lost())
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let stream = self.writing.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, SyncSender<Answered>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands out answers and events until the connection ends.
fn read(stream: &UnixStream, mut inbox: Inbox, waiting: &Waiting, (ear, events): (&OnceLock<Ear>, &Sender<Event>)) {
    while let Ok(frame) = wait(stream, &mut inbox) {
        let handed = frame.message().and_then(|told| match told {
            Told::Answer { number, reply } => {
                let waiter = waiting.lock().as_mut().and_then(|waiting| waiting.remove(&number));
                // Each channel has room for its one answer: a slow waiter stops nobody.
                waiter.map(|waiter| waiter.send(Answered { reply, fds: frame.fds }));
                Ok(())
            }
            Told::Event(event) => {
                if ear.get().is_none_or(|ear| ear(&event) == Taken::No) {
                    // Nobody listens when the engine is about to close.
                    let _ = events.send(event);
                }
                Ok(())
            }
            Told::Found(_) | Told::Ready => Err(broken("a greeting in the middle")),
        });
        if handed.is_err() {
            return;
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(ErrorKind::NotConnected, "the keeper has gone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HELLO;
    use base::Id;
    use std::io::Read;

    /// What an engine answers to a keeper of this version, and what comes of it.
    fn greeted(version: u32) -> ([u8; HELLO], Error) {
        let (mut keeper, engine) = UnixStream::pair().unwrap();
        keeper.write_all(&hello_of(version)).unwrap();
        keeper.shutdown(Shutdown::Write).unwrap();
        let error = greet(engine).unwrap_err();
        let mut answer = [0; HELLO];
        let _ = keeper.read_exact(&mut answer);
        (answer, error)
    }

    #[test]
    fn an_event_is_heard_where_it_is_read_and_goes_on_if_it_is_not_taken() {
        let (keeper, engine) = UnixStream::pair().unwrap();
        let (connection, events) = Connection::start(engine, Inbox::default(), None).unwrap();
        let (taken, known) = (Id::random(), Id::random());
        let (tell, told) = channel();
        connection.listen(Box::new(move |Event::Exited { key, .. }| match *key == taken {
            true => {
                tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
                Taken::Yes
            }
            false => Taken::No,
        }));
        for key in [taken, known] {
            let event = Told::Event(Event::Exited { key, exit: crate::message::Exit::Code(0), at: 0 });
            Parcel::<BorrowedFd<'_>>::new(&event, Vec::new()).unwrap().send(keeper.as_fd()).unwrap();
        }
        let Event::Exited { key, .. } = events.recv().unwrap();
        assert_eq!((key, told.recv().unwrap().as_deref()), (known, Some("keeper")));
        drop(keeper);
        assert!(events.recv().is_err(), "the end is told by the channel");
    }

    #[test]
    fn an_older_keeper_is_spoken_to_in_its_version() {
        for version in [OLDEST, VERSION] {
            let (answer, error) = greeted(version);
            assert_eq!(answer, hello_of(version));
            assert!(matches!(error, Error::Lost(_)), "it closes before it says what it has: {error}");
        }
        let (answer, error) = greeted(VERSION + 1);
        assert_eq!(answer, [0; HELLO]);
        assert!(matches!(error, Error::Version { .. }));
        assert!(matches!(greeted(BUSY).1, Error::Refused(_)));
    }
}

//! Engines come and go: who reads the containers' output, and what a new engine is told.

use super::link::{Link, Peer};
use super::state::{LINK, PUMP, Process, State};
use crate::message::{OLDEST, Told, VERSION};
use logs::pump::{NullSink, Pump, Stream};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::net::{SocketFlags, accept_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

impl State {
    /// Takes a new connection, if there is one. A second engine is turned away while the first lives.
    pub fn accept(&mut self) -> bool {
        let Ok(socket) = accept_with(&self.seat.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else {
            return false;
        };
        let own = rustix::process::geteuid();
        if rustix::net::sockopt::socket_peercred(&socket).map_or(true, |peer| peer.uid != own) {
            return true;
        }
        // The one before may be dead without our having looked.
        self.link_event(epoll::EventFlags::IN);
        let mut link = Link::new(socket);
        if self.link.is_some() {
            link.refuse();
            return true;
        }
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        if epoll::add(&self.epoll, link.socket(), epoll::EventData::new_u64(LINK), flags).is_ok() {
            link.flush();
            self.link = Some(link);
            // Its hello may have arrived with it.
            self.link_event(epoll::EventFlags::IN);
        }
        true
    }

    /// Bytes came from the engine, or there is room for some, or it is gone.
    pub fn link_event(&mut self, flags: epoll::EventFlags) {
        let Some(link) = &mut self.link else { return };
        let sent = if flags.contains(epoll::EventFlags::OUT) { link.flush() } else { Peer::Alive };
        let peer = link.receive();
        let understood = self.hear();
        if sent == Peer::Gone || peer == Peer::Gone || understood.is_err() {
            self.engine_gone();
        }
    }

    /// Acts on the messages that have arrived.
    fn hear(&mut self) -> io::Result<()> {
        loop {
            let Some(link) = &mut self.link else { return Ok(()) };
            if !link.greeted {
                match link.take_hello()? {
                    None => return Ok(()),
                    Some(OLDEST..=VERSION) => link.greeted = true,
                    Some(_) => return Err(io::ErrorKind::Unsupported.into()),
                }
                self.hand_over()?;
                continue;
            }
            let Some(frame) = link.take()? else { return Ok(()) };
            let asked = frame.message()?;
            self.answer(asked, frame.fds);
        }
    }

    /// Says something to the engine, if there is one.
    pub fn tell(&mut self, told: &Told, fds: Vec<Rc<OwnedFd>>) {
        if let Some(link) = self.link.as_mut().filter(|link| link.greeted) {
            // A broken socket shows itself in the epoll as well.
            let _ = link.tell(told, fds);
        }
    }

    /// A new engine is here: it gets every process and the reading of their output.
    fn hand_over(&mut self) -> io::Result<()> {
        if let Some(mut pump) = self.pump.take() {
            let _ = epoll::delete(&self.epoll, pump.epoll());
            pump.turn(&mut NullSink)?;
            pump.clear();
        }
        let found: Vec<_> =
            self.processes.iter().map(|(key, process)| (process.adopted(*key), fds_of(process))).collect();
        for (adopted, fds) in found {
            self.tell(&Told::Found(Box::new(adopted)), fds);
        }
        let journal = self.journal.fds().map(|fd| fd.try_clone_to_owned().map(Rc::new));
        let journal = journal.into_iter().collect::<io::Result<Vec<_>>>()?;
        self.tell(&Told::Ready, journal);
        Ok(())
    }

    /// The engine's socket has closed: what it had not finished is undone, its pump's work is taken over.
    fn engine_gone(&mut self) {
        let Some(link) = self.link.take() else { return };
        let _ = epoll::delete(&self.epoll, link.socket());
        if !link.greeted {
            return;
        }
        self.abandon();
        if let Err(error) = self.take_over() {
            // Without a pump the containers wait for the next engine as soon as their pipes are full.
            super::complain(&format!("cannot read the containers' output: {error}"));
        }
    }

    /// Kills what is parked or on its way: nobody was told that it lives.
    fn abandon(&mut self) {
        self.parking.values_mut().for_each(|park| park.asker = None);
        self.beginning.values_mut().for_each(|begin| begin.asker = None);
        let mut pids: Vec<i32> = self.parked.drain().map(|(pid, _)| pid).collect();
        pids.extend(self.beginning.values().filter(|begin| begin.exited.is_none()).map(|begin| begin.starting.pid()));
        pids.into_iter().for_each(|pid| self.kill(pid));
    }

    fn take_over(&mut self) -> io::Result<()> {
        let mut pump = Pump::new(self.journal.try_clone()?)?;
        for (key, process) in self.processes.iter().filter(|(_, process)| process.container.is_none()) {
            let ends = [
                (&process.ends.terminal, Stream::Stdout),
                (&process.ends.stdout, Stream::Stdout),
                (&process.ends.stderr, Stream::Stderr),
            ];
            for (end, stream) in ends {
                let Some(end) = end else { continue };
                let terminal = process.stdio.terminal;
                // One that cannot be read leaves the others to be read.
                if let Err(error) = end.try_clone().and_then(|fd| pump.add(*key, stream, fd, terminal, &process.log)) {
                    super::complain(&format!("cannot read the output of {key}: {error}"));
                }
            }
        }
        // What a dead pump left half-done is finished with the streams: the rest may wait for the loop.
        pump.turn(&mut NullSink)?;
        epoll::add(&self.epoll, pump.epoll(), epoll::EventData::new_u64(PUMP), epoll::EventFlags::IN)?;
        self.pump = Some(pump);
        Ok(())
    }
}

/// What the engine gets of a process it finds: nothing when all is over.
fn fds_of(process: &Process) -> Vec<Rc<OwnedFd>> {
    let over = process.exited.is_some() && process.ends.outputs().all(|end| is_drained(end.as_fd()));
    if over { Vec::new() } else { std::iter::once(&process.pidfd).chain(process.ends.list()).cloned().collect() }
}

/// Nothing is in it and nobody can write to it any more.
fn is_drained(end: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&end, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let polled = poll(&mut fds, Some(&now)).is_ok();
    let state = fds[0].revents();
    polled && !state.contains(PollFlags::IN) && state.intersects(PollFlags::HUP | PollFlags::ERR)
}

//! A process in the foreground: its streams are copied and signals forwarded until it ends. One loop around poll(2).

mod channel;

use crate::error::{Error, Result};
use crate::log;
use crate::notify::Notify;
use crate::streams::Pipes;
use crate::terminal::HostTerminal;
use channel::{Channel, End, Flow};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::signalfd::{Received, Signals};

/// What is between a process and the caller.
#[derive(Debug)]
pub struct Foreground {
    /// `None`: closed.
    channels: Vec<Option<Channel>>,
    terminal: Option<(OwnedFd, HostTerminal)>,
}

/// Place of the channel to standard input among the channels.
const INPUT: usize = 0;

impl Foreground {
    /// Through pipes.
    pub fn pipes(pipes: Pipes) -> Result<Foreground> {
        let [stdin, stdout, stderr] = pipes.ours;
        let [from_caller, to_caller, errors_to_caller] = crate::streams::own().map(End::Callers);
        let connect = || {
            Ok(vec![
                Some(Channel::new(from_caller, End::ours(stdin)?)),
                Some(Channel::new(End::ours(stdout)?, to_caller)),
                Some(Channel::new(End::ours(stderr)?, errors_to_caller)),
            ])
        };
        Ok(Foreground { channels: connect().map_err(cannot)?, terminal: None })
    }

    /// Through a pseudo terminal, shown on the caller's.
    pub fn terminal(master: OwnedFd, host: HostTerminal) -> Result<Foreground> {
        let [from_caller, to_caller, _] = crate::streams::own().map(End::Callers);
        let connect = || {
            let to = End::ours(rustix::io::fcntl_dupfd_cloexec(&master, 3)?)?;
            let from = End::ours(rustix::io::fcntl_dupfd_cloexec(&master, 3)?)?;
            Ok(vec![Some(Channel::new(from_caller, to)), Some(Channel::new(from, to_caller))])
        };
        let channels = connect().map_err(|e: io::Error| Error::new(format!("cannot connect the terminal: {e}")))?;
        host.make_raw()?;
        host.lend_size(master.as_fd());
        Ok(Foreground { channels, terminal: Some((master, host)) })
    }

    /// Stays until the process `pid`, a child of this one, has ended and its output is written. Returns its exit code.
    pub fn attend(mut self, pid: i32, signals: &Signals, mut notify: Option<Notify>) -> Result<u8> {
        // It may have ended before: the signal that told so was read by who waited for its program.
        let mut code = reap(pid)?;
        if code.is_some() {
            self.end_input();
        }
        while code.is_none() || self.has_output() {
            let ready = self.wait(signals.as_fd(), notify.as_ref().map(AsFd::as_fd)).map_err(cannot)?;
            if ready.notified && notify.as_ref().is_some_and(|notify| notify.relay(std::process::id()).is_break()) {
                notify = None;
            }
            self.advance(&ready.channels);
            while let Some(received) = signals.next().map_err(|e| Error::new(format!("cannot read signals: {e}")))? {
                code = self.heed(received, pid)?.or(code);
            }
            if code.is_some() {
                self.end_input();
            }
        }
        Ok(code.unwrap_or_default())
    }

    fn has_output(&self) -> bool {
        self.channels.iter().skip(INPUT + 1).any(Option::is_some)
    }

    /// Waits until something can be done.
    fn wait(&self, signals: BorrowedFd<'_>, notify: Option<BorrowedFd<'_>>) -> rustix::io::Result<Ready> {
        let open = || self.channels.iter().enumerate().filter_map(|(index, channel)| Some((index, channel.as_ref()?)));
        let mut ready = Ready { notified: false, channels: Vec::new() };
        ready.channels.extend(open().filter(|(_, channel)| channel.is_due()).map(|(index, _)| index));
        if !ready.channels.is_empty() {
            return Ok(ready);
        }
        let mut polled: Vec<PollFd<'_>> = open().map(|(_, channel)| channel.interest()).collect();
        polled.push(PollFd::from_borrowed_fd(signals, PollFlags::IN));
        polled.extend(notify.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, None))?;
        let came = |fd: &PollFd<'_>| !fd.revents().is_empty();
        ready.channels = open().zip(&polled).filter(|(_, fd)| came(fd)).map(|((index, _), _)| index).collect();
        ready.notified = notify.is_some() && polled.last().is_some_and(came);
        Ok(ready)
    }

    fn advance(&mut self, ready: &[usize]) {
        for index in ready {
            let Some(place) = self.channels.get_mut(*index) else { continue };
            if place.as_mut().is_some_and(|channel| channel.advance() == Flow::Closed) {
                // The end of what the caller types is not the end of the terminal: only a pipe is closed.
                *place = None;
            }
        }
    }

    fn heed(&self, received: Received, pid: i32) -> Result<Option<u8>> {
        let signal = received.signal;
        if signal == Signal::CHILD.as_raw() {
            return reap(pid);
        }
        if signal == Signal::WINCH.as_raw() && self.terminal.is_some() {
            if let Some((master, host)) = &self.terminal {
                host.lend_size(master.as_fd());
            }
            return Ok(None);
        }
        // Our own broken pipes are no business of the process.
        if signal == Signal::PIPE.as_raw() && received.sender == std::process::id() {
            return Ok(None);
        }
        log::debug(&format!("forwarding signal {signal} to {pid}"));
        if let Err(e) = sys::signal::send(pid, signal) {
            log::warn(&format!("cannot forward signal {signal}: {e}"));
        }
        Ok(None)
    }

    /// The process has ended: what is typed goes nowhere. Pipes have an end, which comes when the last writer is gone.
    fn end_input(&mut self) {
        if let Some(input) = self.channels.get_mut(INPUT) {
            *input = None;
        }
        if self.terminal.is_some() {
            self.channels.iter_mut().flatten().for_each(Channel::finish);
        }
    }
}

/// What can go on.
#[derive(Debug)]
struct Ready {
    notified: bool,
    channels: Vec<usize>,
}

fn cannot(errno: Errno) -> Error {
    Error::new(format!("cannot copy the standard streams: {}", io::Error::from(errno)))
}

/// Waits for all children that have ended (orphans of the container come to a subreaper), and tells the exit code of `pid`.
fn reap(pid: i32) -> Result<Option<u8>> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((ended, status))) if Some(ended) == Pid::from_raw(pid) => code = Some(exit_code(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(e) => return Err(Error::new(format!("cannot wait for processes: {}", io::Error::from(e)))),
        }
    }
}

/// As a shell tells it: 128 and the signal for a process that was killed.
pub fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

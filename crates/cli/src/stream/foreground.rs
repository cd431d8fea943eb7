//! One container or exec in the foreground: its streams, its signals, its terminal's size.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use api::client::{Client, Hijacked, Payload, query};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::detach::Detach;
use super::frames::{Frames, Target};
use super::signals::{self, Signal};
use super::terminal::{self, Raw};
use crate::failure::Failure;
use crate::show::write_all;

/// One read(2) at most; the size of a pipe.
const CHUNK: usize = 64 * 1024;

/// What runs in the foreground, and how.
#[derive(Debug)]
pub struct Foreground {
    /// The path of its resize call: `/containers/ID` or `/exec/ID`.
    pub path: String,
    pub tty: bool,
    pub stdin: bool,
    /// Pass signals on to it.
    pub proxy: bool,
    pub detach: Detach,
}

/// How a copy ended.
#[derive(Debug)]
pub enum Ended {
    /// The output came to its end; with the exit code if that was told there.
    Output(Option<i32>),
    /// The detach keys were typed.
    Detached,
    /// The signal arrived while the terminal was raw.
    Killed(i32),
}

/// A foreground session under way; the terminal is raw until it is dropped.
#[derive(Debug)]
pub struct Running {
    path: String,
    tty: bool,
    proxy: bool,
    raw: Option<Raw>,
    ends: UnboundedReceiver<io::Result<Ended>>,
    caught: UnboundedReceiver<Signal>,
    resized: UnboundedReceiver<Signal>,
}

impl Foreground {
    /// Copies the output until its end; with nothing else to look after, on this thread.
    pub async fn last(self, taken: Hijacked, client: &Client) -> Result<Ended, Failure> {
        if !self.stdin && !self.tty && !self.proxy {
            return Ok(Ended::Output(copied(&taken)?));
        }
        let mut running = self.start(taken)?;
        running.resize(client).await;
        running.ended(client).await
    }

    /// Starts copying. Signals are caught from here on.
    pub fn start(self, taken: Hijacked) -> Result<Running, Failure> {
        let raw = if self.tty && self.stdin { Raw::enter()? } else { None };
        let (sender, ends) = mpsc::unbounded_channel();
        let socket = Arc::new(taken.socket);
        let (out, framed) = (socket.clone(), taken.framed || !self.tty);
        let first = taken.first;
        let report = sender.clone();
        std::thread::spawn(move || {
            let _ = report.send(copy_output(&out, &first, framed).map(Ended::Output));
        });
        if self.stdin {
            let keys = self.tty.then_some(self.detach);
            std::thread::spawn(move || copy_input(&socket, keys, &sender));
        }
        let proxy = self.proxy && !self.tty;
        let caught = signals::catch(match (proxy, &raw) {
            (true, _) => &signals::PROXIED,
            (false, Some(_)) => &signals::ENDING,
            (false, None) => &[],
        });
        let resized = signals::catch(if self.tty { &signals::RESIZED } else { &[] });
        Ok(Running { path: self.path, tty: self.tty, proxy, raw, ends, caught, resized })
    }
}

impl Running {
    /// Tells the engine the terminal's size, if there is one.
    pub async fn resize(&self, client: &Client) {
        let Some((rows, columns)) = terminal::size().filter(|_| self.tty) else { return };
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let path = query(&format!("{}/resize", self.path), &[("h", Some(&rows)), ("w", Some(&columns))]);
        // Too early or too late is no harm: the next change of size says it again.
        let _ = client.post(&path, Payload::Empty).await;
    }

    /// Passes signals and sizes on until the streams end.
    pub async fn ended(&mut self, client: &Client) -> Result<Ended, Failure> {
        loop {
            tokio::select! {
                end = self.ends.recv() => {
                    self.raw = None;
                    return Ok(end.unwrap_or(Ok(Ended::Output(None)))?);
                }
                Some((name, number)) = self.caught.recv() => {
                    if !self.proxy {
                        self.raw = None;
                        return Ok(Ended::Killed(number));
                    }
                    self.pass_on(client, name).await;
                }
                Some(_) = self.resized.recv() => self.resize(client).await,
            }
        }
    }

    /// Sends one signal to the container; one that is gone needs none.
    async fn pass_on(&self, client: &Client, name: &str) {
        let path = query(&format!("{}/kill", self.path), &[("signal", Some(name))]);
        let _ = client.post(&path, Payload::Empty).await;
    }
}

/// The exit code of a program that ended by a signal.
pub fn killed(number: i32) -> u8 {
    u8::try_from(128 + number).unwrap_or(u8::MAX)
}

/// Copies the output of a process without a terminal until its end. Gives its exit code if that is told there.
pub fn copied(taken: &Hijacked) -> Result<Option<i32>, Failure> {
    Ok(copy_output(&taken.socket, &taken.first, true)?)
}

/// Copies what the container says to stdout and stderr until its end. Gives its exit code if that is told there.
fn copy_output(socket: &OwnedFd, first: &[u8], framed: bool) -> io::Result<Option<i32>> {
    let mut frames = framed.then(Frames::default);
    // Whether the exit code was told, which is the last that is said.
    let mut write = |bytes: &[u8]| {
        let Some(frames) = &mut frames else { return write_all(rustix::stdio::stdout(), bytes).map(|()| None) };
        frames.feed(bytes, |target, payload| match target {
            Target::Stdout => write_all(rustix::stdio::stdout(), payload),
            Target::Stderr => write_all(rustix::stdio::stderr(), payload),
        })?;
        Ok::<_, io::Error>(frames.exit_code())
    };
    let mut ended = write(first)?;
    let mut buffer = vec![0u8; CHUNK];
    while ended.is_none() {
        match rustix::io::read(socket, &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::CONNRESET) => break,
            Ok(length) => ended = write(&buffer[..length])?,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(ended)
}

/// Copies stdin to the container and closes that half at its end; says so only if the detach keys were typed.
fn copy_input(socket: &OwnedFd, mut keys: Option<Detach>, report: &UnboundedSender<io::Result<Ended>>) {
    let mut buffer = vec![0u8; CHUNK];
    let mut passed = Vec::new();
    loop {
        let length = match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::AGAIN) => {
                if readable(rustix::stdio::stdin()).is_err() {
                    break;
                }
                continue;
            }
            Err(_) => break,
        };
        let mut bytes = &buffer[..length];
        let mut detached = false;
        if let Some(keys) = &mut keys {
            passed.clear();
            detached = keys.feed(bytes, &mut passed);
            bytes = &passed;
        }
        // The container may have closed its stdin; what it still says is copied all the same.
        if write_all(socket, bytes).is_err() {
            return;
        }
        if detached {
            let _ = report.send(Ok(Ended::Detached));
            return;
        }
    }
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Write);
}

fn readable(fd: impl AsFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

//! The pipes between the keeper and a process.

use crate::message::Stdio;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// The keeper's ends. They are shared with parcels that are still on their way to the engine.
#[derive(Debug, Default, Clone)]
pub struct Ends {
    pub stdin: Option<Rc<OwnedFd>>,
    pub stdout: Option<Rc<OwnedFd>>,
    pub stderr: Option<Rc<OwnedFd>>,
    pub terminal: Option<Rc<OwnedFd>>,
}

impl Ends {
    /// In the order of `Started`.
    pub fn list(&self) -> impl Iterator<Item = Rc<OwnedFd>> {
        [&self.terminal, &self.stdin, &self.stdout, &self.stderr].into_iter().flatten().cloned().collect::<Vec<_>>().into_iter()
    }
}

/// Makes the pipes of a process; the second value is what it gets as its descriptors 0, 1 and 2.
pub fn pipes(stdio: Stdio) -> io::Result<(Ends, [OwnedFd; 3])> {
    let (input, stdin) = if stdio.stdin {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(Rc::new(write)))
    } else {
        (rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    let (stdout, output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, errors) = pipe_with(PipeFlags::CLOEXEC)?;
    let ends = Ends { stdin, stdout: Some(Rc::new(stdout)), stderr: Some(Rc::new(stderr)), terminal: None };
    Ok((ends, [input, output, errors]))
}

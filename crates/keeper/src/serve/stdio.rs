//! The pipes between the keeper and a process.

use crate::message::Stdio;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// The keeper's ends. They are shared with parcels that are still on their way to the engine.
#[derive(Debug, Default)]
pub struct Ends {
    pub stdin: Option<Rc<OwnedFd>>,
    pub stdout: Option<Rc<OwnedFd>>,
    pub stderr: Option<Rc<OwnedFd>>,
    pub terminal: Option<Rc<OwnedFd>>,
}

impl Ends {
    /// In the order of `Started`.
    pub fn list(&self) -> impl Iterator<Item = &Rc<OwnedFd>> {
        [&self.terminal, &self.stdin, &self.stdout, &self.stderr].into_iter().flatten()
    }

    /// Those that output is read from.
    pub fn outputs(&self) -> impl Iterator<Item = &Rc<OwnedFd>> {
        [&self.terminal, &self.stdout, &self.stderr].into_iter().flatten()
    }
}

/// The process's ends: its descriptors 0, 1 and 2. The keeper must not keep them, or nobody would see an end of output.
#[derive(Debug)]
pub enum Theirs {
    Files([OwnedFd; 3]),
    /// It makes its terminal itself, in its own devpts.
    Terminal,
}

impl Theirs {
    pub fn borrow(&self) -> runtime::Stdio<'_> {
        match self {
            Theirs::Files([stdin, stdout, stderr]) => {
                runtime::Stdio::Files([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
            }
            Theirs::Terminal => runtime::Stdio::Terminal,
        }
    }
}

/// Both sides of a process's standard streams.
pub fn own_ends(stdio: Stdio) -> io::Result<(Ends, Theirs)> {
    if stdio.terminal {
        return Ok((Ends::default(), Theirs::Terminal));
    }
    let (input, stdin) = if stdio.stdin {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(Rc::new(write)))
    } else {
        (rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, None)
    };
    let (stdout, output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, errors) = pipe_with(PipeFlags::CLOEXEC)?;
    let ends = Ends { stdin, stdout: Some(Rc::new(stdout)), stderr: Some(Rc::new(stderr)), terminal: None };
    Ok((ends, Theirs::Files([input, output, errors])))
}

//! `exec`: one more process in a container.

mod groups;
mod process;

use crate::ends::{Ends, Mode};
use crate::error::{Error, Result};
use crate::passed::{Activation, Passed};
use crate::store::Container;
use crate::wording::{self, Who};
use crate::words::Global;
use crate::words::options::Exec;
use crate::{birth, log, pid_file, root, seal, streams};
use base::Undo;
use oci::runtime::{Process, Spec};
use oci::state::Status;
use runtime::Target;
use runtime::create::{Beginning, Joining, Milestone, Way, join};
use std::os::fd::{AsFd, OwnedFd};
use sys::CgroupEntry;
use sys::process::SingleThread;
use sys::signalfd::Signals;

/// Returns the exit code of the program, 0 when it was detached.
pub fn run(global: &Global, options: &Exec) -> Result<u8> {
    seal::program()?;
    let passed = Passed::collect(Activation::Ignore, options.preserve_fds)?;
    let container = global.store().open(&options.id)?;
    check_status(&container, options)?;
    let process = process::read(&container, options)?;
    let mode = if options.detach { Mode::Detached } else { Mode::Foreground };
    let sockets = (options.console_socket.as_deref(), options.pidfd_socket.as_deref());
    let ends = Ends::open(process.terminal, mode, sockets.0, sockets.1)?;
    let signals = Signals::take().map_err(|e| Error::because("cannot take signals", &e))?;
    let mut undo = Undo::new();
    let began = Began { container: &container, process: &process, passed: &passed, options };
    let (pid, pidfd, master) = match began.run(&ends, &signals, &mut undo) {
        // What the kernel refused is said by the process itself, which has the caller's streams.
        Err(e) if e.code == wording::REFUSED && mode == Mode::Foreground => {
            log::say(&e.message);
            return Ok(e.code);
        }
        began => began?,
    };
    let foreground = ends.hand_over("setns", pidfd.as_fd(), master)?;
    pid_file::write(options.pid_file.as_deref(), pid)?;
    undo.keep();
    foreground.map_or(Ok(0), |foreground| foreground.attend(pid, &signals, None))
}

fn check_status(container: &Container, options: &Exec) -> Result<()> {
    match container.status() {
        Status::Stopped => Err(Error::new("cannot exec in a stopped container")),
        Status::Paused if !options.ignore_paused => {
            Err(Error::new("cannot exec in a paused container (use --ignore-paused to override)"))
        }
        _ => Ok(()),
    }
}

/// What a process is made from.
struct Began<'a> {
    container: &'a Container,
    process: &'a Process,
    passed: &'a Passed,
    options: &'a Exec,
}

impl Began<'_> {
    /// Forks it and waits until its program runs.
    fn run(&self, ends: &Ends, signals: &Signals, undo: &mut Undo<'static>) -> Result<(i32, OwnedFd, Option<OwnedFd>)> {
        let init_pid = self.container.saved.init_process_pid;
        let init = self.container.init()?.ok_or_else(|| Error::new("cannot exec in a stopped container"))?;
        let spec = self.container.config()?;
        let state = self.container.state_as(Status::Running);
        let groups = groups::read(&self.options.cgroup)?;
        let placed = self.container.cgroup()?;
        let cgroup = placed.join_each(&groups, init_pid).map_err(cannot_move)?;
        let awaits_group = placed.is_users_unit() && matches!(cgroup, CgroupEntry::Inherit);
        self.give_streams(ends, &spec, init_pid)?;
        let (rootless, plain_lines) = (!root::is_root(), !self.options.detach);
        let joining = Joining {
            target: Target { pid: init_pid, pidfd: init.as_fd() },
            process: self.process,
            spec: &spec,
            cgroup,
            streams: ends.streams(),
            passed: self.passed.fds(),
            way: Way { rootless, plain_lines, awaits_group, ..Way::default() },
            state: &state,
        };
        let thread = SingleThread::prove().map_err(|e| Error::because("cannot fork", &e))?;
        let mut beginning = join(&thread, &joining).map_err(|e| wording::create(&e, Who::Exec))?;
        let pidfd = birth::watch(undo, beginning.pidfd())?;
        log::debug(&format!("process {} joins the container of process {init_pid}", beginning.pid()));
        let below = groups.get("").map(String::as_str);
        let master = follow(&mut beginning, signals, |pid| placed.attach_below(pid, below).map_err(cannot_move))?;
        Ok((beginning.pid(), pidfd, master))
    }

    fn give_streams(&self, ends: &Ends, spec: &Spec, init: i32) -> Result<()> {
        match runtime::create::host_uid(spec, init, self.process.user.uid) {
            Some(owner) if !self.process.terminal => streams::give(ends.streams(), owner),
            _ => Ok(()),
        }
    }
}

/// Goes with the process until its program runs. Returns the master of its terminal.
fn follow(beginning: &mut Beginning, signals: &Signals, attach: impl Fn(i32) -> Result<()>) -> Result<Option<OwnedFd>> {
    loop {
        birth::await_word(beginning, signals)?;
        match beginning.wait().map_err(|e| wording::failed(&e, Who::Exec))? {
            Milestone::Hooks => {
                attach(beginning.pid())?;
                beginning.proceed().map_err(|e| wording::failed(&e, Who::Exec))?;
            }
            Milestone::Created { master } | Milestone::Started { master } => return Ok(master),
        }
    }
}

fn cannot_move(error: cgroup::Error) -> Error {
    Error::because("error adding pid of the process to its cgroup", &error)
}

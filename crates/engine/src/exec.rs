//! More processes in running containers.

use crate::containers::Change;
use crate::shelf::Cell;
use crate::streams::{Attach, Attachment, Hub, lock};
use crate::{Engine, Error, Result};
use base::Id;
use container::Status;
use container::spec::ExecRequest;
use keeper::message::{Exit, Stdio};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

/// What an exec is made of.
#[derive(Debug, Clone, Default)]
pub struct ExecCreate {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
    pub privileged: bool,
    pub tty: bool,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub detach_keys: String,
    /// (rows, columns)
    pub console_size: Option<(u16, u16)>,
}

/// How an exec is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStart {
    pub detach: bool,
    pub tty: bool,
    pub console_size: Option<(u16, u16)>,
}

/// An exec as inspect shows it.
#[derive(Debug, Clone)]
pub struct ExecSnapshot {
    pub id: Id,
    pub container: Id,
    pub create: ExecCreate,
    pub running: bool,
    /// `None` until it has ended.
    pub exit_code: Option<i32>,
    pub pid: i32,
}

/// One exec.
#[derive(Debug)]
pub(crate) struct Exec {
    id: Id,
    cell: Arc<Cell>,
    create: ExecCreate,
    hub: Arc<Hub>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    started: bool,
    running: bool,
    pid: i32,
    exit_code: Option<i32>,
}

/// Execs that have ended and are remembered for inspect, in each container at the most.
const MOST_ENDED: usize = 64;
/// Execs of one container, before the oldest of those that nobody ever started are forgotten too.
const MOST_IDLE: usize = 256;

impl Engine {
    /// Prepares an exec; nothing runs yet.
    pub fn exec_create(&self, container: &str, create: ExecCreate) -> Result<Id> {
        let house = &self.house;
        let cell = house.shelf.find(container)?;
        running(&cell, container)?;
        if create.args.is_empty() || create.args.first().is_some_and(String::is_empty) {
            return Err(Error::Invalid("No exec command specified".into()));
        }
        if !create.user.is_empty() {
            container::user::lookup(root(&cell)?.as_fd(), &create.user, &cell.record().config.group_add)?;
        }
        let id = Id::random();
        let hub = Hub::new(id, &house.plumbing, create.tty, true);
        let told = format!("exec_create: {}", create.args.join(" "));
        let exec = Exec { id, cell: cell.clone(), create, hub, progress: Mutex::default() };
        lock(&house.execs).insert(id, Arc::new(exec));
        let mut execs = lock(&cell.execs);
        execs.push(id);
        self.forget_ended(&mut execs);
        drop(execs);
        house.tell(&cell, &told, &[("execID", id.to_string())]);
        Ok(id)
    }

    /// `None` when detached. The exit code is set before the output ends.
    pub fn exec_start(&self, id: &str, start: ExecStart) -> Result<Option<Attachment>> {
        let exec = self.find_exec(id)?;
        running(&exec.cell, &exec.cell.id.to_string())?;
        let mut progress = lock(&exec.progress);
        if progress.started {
            return Err(Error::Conflict(format!("exec command {id} has already run")));
        }
        progress.started = true;
        let create = &exec.create;
        let stdin = create.attach_stdin && !start.detach;
        let attach = Attach {
            stdin,
            stdout: create.attach_stdout,
            stderr: create.attach_stderr,
            logs: false,
            stream: !start.detach,
        };
        let attachment = (!start.detach).then(|| exec.hub.attach(attach, stdin));
        let told = format!("exec_start: {}", create.args.join(" "));
        self.house.tell(&exec.cell, &told, &[("execID", exec.id.to_string())]);
        match self.run(&exec, start, stdin) {
            Ok(pid) => {
                progress.pid = pid;
                progress.running = true;
                Ok(attachment)
            }
            Err(e) => {
                progress.exit_code = Some(failure_code(&e));
                exec.hub.finish();
                Err(e)
            }
        }
    }

    fn run(&self, exec: &Arc<Exec>, start: ExecStart, stdin: bool) -> Result<i32> {
        let house = &self.house;
        let record = exec.cell.record();
        let create = &exec.create;
        let root = root(&exec.cell)?;
        let who = if create.user.is_empty() { &record.config.user } else { &create.user };
        let user = container::user::lookup(root.as_fd(), who, &record.config.group_add)?;
        let request = ExecRequest {
            args: create.args.clone(),
            env: create.env.clone(),
            working_dir: create.working_dir.clone(),
            user: create.user.clone(),
            privileged: create.privileged,
            tty: create.tty,
            console_size: start.console_size.or(create.console_size),
        };
        if !create.working_dir.is_empty() {
            check_folder(root.as_fd(), &create.working_dir)?;
        }
        let mut process = container::spec::exec_process(&record, &request, &user, house.capability_bound)?;
        house.fit(&mut process)?;
        let capabilities = container::spec::capabilities(&record.config, house.capability_bound)?;
        let filter = if create.privileged { None } else { house.filters.get(&record.config, capabilities)? };
        let plan = runtime::prepare_process(&process, filter)?;
        let entry = lock(&exec.cell.live).as_ref().map(|live| live.group.entry()).transpose()?;
        let entry = entry.ok_or_else(|| Error::NotRunning(exec.cell.id.to_string()))?;
        let stdio = Stdio { stdin, terminal: create.tty };
        let started = house.keeper.exec(exec.id, exec.cell.id, plan, entry, stdio)?;
        let unlogged = logs::Target { driver: logs::Driver::None, ..logs::Target::default() };
        let pid = started.pid;
        exec.hub
            .connect(started.streams, &unlogged)
            .map_err(|source| Error::Io { action: "read the output of an exec".into(), source })?;
        Ok(pid)
    }

    /// Sets the size of an exec's terminal, in characters.
    pub fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<Change> {
        let exec = self.find_exec(id)?;
        let Some(terminal) = exec.hub.terminal() else { return Ok(Change::Already) };
        crate::streams::resize(&terminal, rows, columns)
            .map_err(|source| Error::Io { action: format!("resize the terminal of exec {id}"), source })?;
        Ok(Change::Done)
    }

    pub fn exec_inspect(&self, id: &str) -> Result<ExecSnapshot> {
        let exec = self.find_exec(id)?;
        let progress = *lock(&exec.progress);
        Ok(ExecSnapshot {
            id: exec.id,
            container: exec.cell.id,
            create: exec.create.clone(),
            running: progress.running,
            exit_code: progress.exit_code,
            pid: progress.pid,
        })
    }

    /// The keeper saw its end.
    pub(crate) fn exec_ended(&self, exec: &Arc<Exec>, exit: Exit) {
        // A very short exec ends before its start has returned: its streams are connected once that gives the lock back.
        drop(lock(&exec.progress));
        exec.hub.wait_drained(crate::containers::MOST_DRAINING);
        let code = exit.shell_code();
        let mut progress = lock(&exec.progress);
        progress.running = false;
        progress.exit_code = Some(code);
        drop(progress);
        let _ = self.house.keeper.release(exec.id);
        self.house.tell(&exec.cell, "exec_die", &[("execID", exec.id.to_string()), ("exitCode", code.to_string())]);
        exec.hub.finish();
    }

    /// The execs of a container that have started and not ended.
    pub(crate) fn running_execs(&self, cell: &Cell) -> Vec<Id> {
        let ids = lock(&cell.execs).clone();
        if ids.is_empty() {
            return ids;
        }
        let all = lock(&self.house.execs);
        let execs: Vec<Arc<Exec>> = ids.iter().filter_map(|id| all.get(id).cloned()).collect();
        drop(all);
        execs.iter().filter(|exec| lock(&exec.progress).running).map(|exec| exec.id).collect()
    }

    fn find_exec(&self, id: &str) -> Result<Arc<Exec>> {
        let missing = || Error::NoExec(id.to_owned());
        let id = id.parse::<Id>().map_err(|_| missing())?;
        lock(&self.house.execs).get(&id).cloned().ok_or_else(missing)
    }

    /// Keeps the list of execs of a container short: the oldest that have ended go.
    fn forget_ended(&self, of_container: &mut Vec<Id>) {
        let mut all = lock(&self.house.execs);
        while of_container.len() > MOST_ENDED {
            // One that is held is being started: nobody waits for it here, with all execs locked.
            let now = |id: &Id| all.get(id).map(|exec| exec.progress.try_lock().ok().map(|progress| *progress));
            let ended = |id: &Id| now(id).is_none_or(|now| now.is_some_and(|now| now.exit_code.is_some()));
            let idle = |id: &Id| now(id).flatten().is_some_and(|now| !now.started);
            let mut index = of_container.iter().position(ended);
            if index.is_none() && of_container.len() > MOST_IDLE {
                index = of_container.iter().position(idle);
            }
            let Some(index) = index else { return };
            all.remove(&of_container.remove(index));
        }
    }
}

/// What a container's process sees as `/`.
fn root(cell: &Cell) -> Result<OwnedFd> {
    let path = format!("/proc/{}/root", cell.pid()?);
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| Error::Io { action: "open the container's root".into(), source: e.into() })
}

/// Only a container's start makes its working folder: that of an exec must be there.
fn check_folder(root: BorrowedFd<'_>, path: &str) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Err(errno) => {
            let step = runtime::Step::WorkingDirectory;
            Err(Error::Start(runtime::Failure { step, errno: errno.raw_os_error(), subject: path.to_owned() }))
        }
        Ok(_) => Ok(()),
    }
}

/// As for a start; a working folder that is not there is 127 too, one that may not be entered 126 (moby, daemon/errors.go).
fn failure_code(error: &Error) -> i32 {
    match error {
        Error::Start(failure) if failure.step == runtime::Step::WorkingDirectory => {
            if failure.errno == Errno::ACCESS.raw_os_error() { 126 } else { 127 }
        }
        _ => crate::containers::failure_code(error),
    }
}

/// `shown` is how an answer names the container.
fn running(cell: &Cell, shown: &str) -> Result<()> {
    match cell.status() {
        Status::Running => Ok(()),
        Status::Paused => {
            Err(Error::Conflict(format!("Container {shown} is paused, unpause the container before exec")))
        }
        _ => Err(Error::NotRunning(cell.id.to_string())),
    }
}

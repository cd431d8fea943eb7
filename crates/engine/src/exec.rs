//! More processes in running containers.

use crate::containers::Change;
use crate::shelf::Cell;
use crate::streams::{Attach, Attachment, Hub, Plumbing, lock};
use crate::{Engine, Error, Result};
use base::Id;
use container::Status;
use container::spec::ExecRequest;
use keeper::message::{Exit, Stdio};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    /// While it runs.
    process: Mutex<Option<OwnedFd>>,
    /// It asks for the container's health: nobody else knows its id, and it is forgotten at its end.
    probe: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    started: bool,
    running: bool,
    pid: i32,
    exit_code: Option<i32>,
    ended_at: Option<Instant>,
}

/// How long an exec that has ended is remembered for inspect. Docker looks every 5 minutes, and forgets at the second look.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Execs that have ended and are remembered, in each container at the most.
const MOST_ENDED: usize = 1024;
/// Execs of one container, before the oldest of those that nobody ever started are forgotten too.
const MOST_IDLE: usize = 4096;

impl Exec {
    /// One that asks for the health of `cell`.
    pub(crate) fn probe(id: Id, cell: &Arc<Cell>, create: ExecCreate, plumbing: &Arc<Plumbing>) -> Exec {
        Exec { probe: true, ..Exec::new(id, cell, create, plumbing) }
    }

    fn new(id: Id, cell: &Arc<Cell>, create: ExecCreate, plumbing: &Arc<Plumbing>) -> Exec {
        let hub = Hub::of_exec(id, plumbing, create.tty);
        let (progress, process) = (Mutex::default(), Mutex::new(None));
        Exec { id, cell: cell.clone(), create, hub, progress, process, probe: false }
    }

    fn snapshot(&self, progress: Progress) -> ExecSnapshot {
        ExecSnapshot {
            id: self.id,
            container: self.cell.id,
            create: self.create.clone(),
            running: progress.running,
            exit_code: progress.exit_code,
            pid: progress.pid,
        }
    }

    /// `None` until it has ended.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        lock(&self.progress).exit_code
    }

    /// Whether its start has returned, and all its output was given to clients.
    pub(crate) fn is_drained(&self) -> bool {
        self.progress.try_lock().is_ok_and(|progress| progress.running) && self.hub.is_drained()
    }

    /// Kills its process with all that came of it.
    pub(crate) fn kill_tree(&self) {
        let pid = lock(&self.progress).pid;
        if let Some(process) = &*lock(&self.process) {
            crate::containers::kill_tree(pid, process);
        }
    }

    /// As Docker tells of it: a program without arguments has a space after it.
    fn told(&self, what: &str) -> String {
        let (program, arguments) = self.create.args.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
        format!("{what}: {program} {}", arguments.join(" "))
    }
}

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
        Ok(self.add_exec(Exec::new(Id::random(), &cell, create, &house.plumbing)).id)
    }

    pub(crate) fn add_exec(&self, exec: Exec) -> Arc<Exec> {
        let exec = Arc::new(exec);
        lock(&self.house.execs).insert(exec.id, exec.clone());
        let mut execs = lock(&exec.cell.execs);
        execs.push(exec.id);
        self.forget_ended(&mut execs);
        drop(execs);
        self.house.tell(&exec.cell, &exec.told("exec_create"), &[("execID", exec.id.to_string())]);
        exec
    }

    /// `None` when detached. The exit code is set before the output ends.
    pub fn exec_start(&self, id: &str, start: ExecStart) -> Result<Option<Attachment>> {
        let exec = self.find_exec(id)?;
        self.start_exec(&exec, start)
    }

    pub(crate) fn start_exec(&self, exec: &Arc<Exec>, start: ExecStart) -> Result<Option<Attachment>> {
        let id = exec.id;
        // A process frozen on its way to its program would be waited for until the container is thawed.
        let _thawed = exec.cell.freezing.read().unwrap_or_else(PoisonError::into_inner);
        running(&exec.cell, &exec.cell.id.to_string())?;
        let mut progress = lock(&exec.progress);
        if progress.exit_code.is_some() {
            return Err(Error::Conflict(format!("exec command {id} has already run")));
        }
        if progress.started {
            return Err(Error::Conflict(format!("exec command {id} is already running")));
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
        self.house.tell(&exec.cell, &exec.told("exec_start"), &[("execID", id.to_string())]);
        match self.run(exec, start, stdin) {
            Ok(pid) => {
                progress.pid = pid;
                progress.running = true;
                Ok(attachment)
            }
            Err(e) => {
                progress.exit_code = Some(failure_code(&e));
                progress.ended_at = Some(Instant::now());
                exec.hub.finish();
                Err(e)
            }
        }
    }

    /// A terminal's client has typed the keys that detach.
    pub fn exec_detached(&self, id: &str) {
        if let Ok(exec) = self.find_exec(id) {
            self.house.tell(&exec.cell, "exec_detach", &[("execID", exec.id.to_string())]);
        }
    }

    fn run(&self, exec: &Arc<Exec>, start: ExecStart, stdin: bool) -> Result<i32> {
        let house = &self.house;
        let record = self.linked(&exec.cell.record())?;
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
        *lock(&exec.process) = Some(started.pidfd);
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
        Ok(exec.snapshot(progress))
    }

    /// As [`exec_inspect`](Self::exec_inspect), from memory alone; `None` while it is being started, which may take its time.
    pub fn exec_glimpse(&self, id: &str) -> Option<Result<ExecSnapshot>> {
        let exec = match self.find_exec(id) {
            Ok(exec) => exec,
            Err(e) => return Some(Err(e)),
        };
        let progress = *exec.progress.try_lock().ok()?;
        Some(Ok(exec.snapshot(progress)))
    }

    /// The keeper saw its end.
    pub(crate) fn exec_ended(&self, exec: &Arc<Exec>, exit: Exit) {
        // A very short exec ends before its start has returned: its streams are connected once that gives the lock back.
        drop(lock(&exec.progress));
        exec.hub.wait_drained(crate::containers::MOST_DRAINING);
        let code = exit.shell_code();
        lock(&exec.process).take();
        let mut progress = lock(&exec.progress);
        progress.running = false;
        progress.exit_code = Some(code);
        progress.ended_at = Some(Instant::now());
        drop(progress);
        let _ = self.house.keeper.let_go(exec.id);
        self.house.tell(&exec.cell, "exec_die", &[("execID", exec.id.to_string()), ("exitCode", code.to_string())]);
        exec.hub.finish();
        if exec.probe {
            self.forget_exec(exec);
        }
    }

    pub(crate) fn forget_exec(&self, exec: &Exec) {
        lock(&self.house.execs).remove(&exec.id);
        lock(&exec.cell.execs).retain(|id| *id != exec.id);
    }

    /// Of a container that is gone: whoever listens to one of its execs sees the end.
    pub(crate) fn forget_execs(&self, cell: &Cell) {
        // Not locked while streams are closed: requests look at it.
        let ids = std::mem::take(&mut *lock(&cell.execs));
        for id in ids {
            let exec = lock(&self.house.execs).remove(&id);
            if let Some(exec) = exec {
                exec.hub.finish();
            }
        }
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
        // One that is held is being started.
        let runs = |exec: &&Arc<Exec>| exec.progress.try_lock().is_ok_and(|progress| progress.running);
        execs.iter().filter(runs).map(|exec| exec.id).collect()
    }

    pub(crate) fn has_exec(&self, id: Id) -> bool {
        lock(&self.house.execs).contains_key(&id)
    }

    fn find_exec(&self, id: &str) -> Result<Arc<Exec>> {
        let missing = || Error::NoExec(id.to_owned());
        let id = id.parse::<Id>().map_err(|_| missing())?;
        let exec = lock(&self.house.execs).get(&id).cloned();
        exec.filter(|exec| !is_old(exec)).ok_or_else(missing)
    }

    /// Keeps the list of execs of a container short: those that have ended long ago go, and the oldest of too many.
    fn forget_ended(&self, of_container: &mut Vec<Id>) {
        let mut all = lock(&self.house.execs);
        while let Some(&first) = of_container.first() {
            if !all.get(&first).is_none_or(|exec| is_old(exec)) {
                break;
            }
            all.remove(&of_container.remove(0));
        }
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

fn is_old(exec: &Exec) -> bool {
    let ended = exec.progress.try_lock().ok().and_then(|progress| progress.ended_at);
    ended.is_some_and(|ended| ended.elapsed() > REMEMBERED)
}

/// What a container's process sees as `/`: opened by its number, and only then it is asked whether that is still its own.
pub(crate) fn root(cell: &Cell) -> Result<OwnedFd> {
    let live = lock(&cell.live);
    let live = live.as_ref().ok_or_else(|| Error::NotRunning(cell.id.to_string()))?;
    let path = format!("/proc/{}/root", live.pid);
    let failed = |source| Error::Io { action: "open the container's root".into(), source };
    let root = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|e| failed(e.into()))?;
    sys::pidfd::send_signal(&live.pidfd, 0).map_err(failed)?;
    Ok(root)
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
        Status::Restarting => {
            Err(Error::Conflict(format!("Container {} is restarting, wait until the container is running", cell.id)))
        }
        _ => Err(Error::NotRunning(cell.id.to_string())),
    }
}

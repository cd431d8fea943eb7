//! The engine's way into its namespaces, and its host side's part in that.

use crate::doors::{self, Doors};
use crate::error::{Error, io};
use crate::host::Engine;
use crate::ids::Maps;
use crate::pasta::{self, Pasta};
use crate::{Inside, Told, resolver};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{Gid, Uid, set_thread_res_gid, set_thread_res_uid};
use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use sys::process::{Birth, Namespaces};
use sys::signalfd::Signals;
use sys::{Fork, SingleThread};

/// Which half of the engine this process is from now on.
#[derive(Debug)]
pub enum Side {
    /// The host side: the engine has ended, with this code.
    Ended(ExitCode),
    /// Root of its own namespaces: to go on as the engine.
    Engine(Inside),
}

/// What an engine has of its own. Its ids come with the user namespace.
fn namespaces() -> Namespaces {
    Namespaces::NEWUSER | Namespaces::NEWNS | Namespaces::NEWNET | Namespaces::NEWIPC
}

/// Makes two of this process, which must have one thread. The one returns as the engine, the other when that has ended.
///
/// Namespaces in which a keeper of `exec_root` lives are joined, so that its containers are adopted.
pub fn enter(exec_root: &Path) -> Result<Side, Error> {
    let thread = SingleThread::prove().map_err(io("become two processes"))?;
    let (exec_root, _lock) = claim(exec_root)?;
    let home = home_of_keeper(&exec_root)?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|e| io("make a pair of sockets")(e.into()))?;
    let birth = match home {
        Some(_) => Birth::default(),
        None => Birth { namespaces: namespaces(), ..Birth::default() },
    };
    match sys::fork(&thread, &birth).map_err(|source| Error::Forbidden { source })? {
        Fork::Child(_) => {
            drop(ours);
            inside(theirs, home.as_ref().map(AsFd::as_fd), &exec_root).map(Side::Engine)
        }
        Fork::Parent { pid, pidfd } => {
            drop(theirs);
            let host = Host { pid, exec_root: &exec_root, joined: home.is_some() };
            host.attend(pidfd, ours).map(Side::Ended)
        }
    }
}

/// The folder and its lock, as the engine's own lock would say it: two would fight for one namespace.
fn claim(exec_root: &Path) -> Result<(PathBuf, File), Error> {
    let failed = |source| Error::Folder { path: exec_root.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(exec_root).map_err(failed)?;
    let path = exec_root.canonicalize().map_err(failed)?;
    let lock = File::create(path.join("rootless.lock")).map_err(failed)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok((path, lock)),
        Err(Errno::WOULDBLOCK) => Err(Error::Taken(path)),
        Err(e) => Err(failed(e.into())),
    }
}

/// A descriptor of the keeper that holds this exec root's containers.
fn home_of_keeper(exec_root: &Path) -> Result<Option<OwnedFd>, Error> {
    // While the connection stands, the number is the keeper's.
    let Ok(connection) = UnixStream::connect(exec_root.join("keeper.sock")) else { return Ok(None) };
    let peer = sockopt::socket_peercred(&connection).map_err(|e| io("find the keeper")(e.into()))?;
    Ok(pasta::open(peer.pid.as_raw_nonzero().get()))
}

/// The host side's task at the beginning.
struct Host<'a> {
    pid: i32,
    exec_root: &'a Path,
    joined: bool,
}

impl Host<'_> {
    fn attend(&self, pidfd: OwnedFd, socket: OwnedFd) -> Result<ExitCode, Error> {
        // Pasta must not hold the pipe of whoever waits for the engine, nor sockets that were given to it.
        sys::process::cloexec_from(3).map_err(io("close descriptors to programs"))?;
        let signals = Signals::take().map_err(io("catch signals"))?;
        // It has gone into the keeper's namespaces, or is in its own since it was born.
        let Some(((), _)) = doors::receive(socket.as_fd()).map_err(io("hear from the engine"))? else {
            return Engine { pidfd, socket: None, signals, pasta: None }.serve();
        };
        let (ids, single) = if self.joined { ids_of(self.pid) } else { Maps::of_this_user().set(self.pid)? };
        let started = Pasta::start(self.pid, self.exec_root);
        let (pasta, cut_off) = match started {
            Ok(pasta) => (Some(pasta), None),
            Err(why) => (None, Some(why)),
        };
        let told = Told { ids, single, cut_off, pasta: pasta.as_ref().and_then(Pasta::pid) };
        // One that has ended meanwhile is met by `serve`.
        let _ = doors::send(socket.as_fd(), &told, &[]);
        Engine { pidfd, socket: Some(socket), signals, pasta }.serve()
    }
}

/// The ids of a namespace that was joined.
fn ids_of(pid: i32) -> (u32, Option<String>) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap_or_default();
    let sizes = text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u32>().ok());
    let ids = sizes.fold(0_u32, u32::saturating_add);
    (ids, (ids <= 1).then(|| "the containers that run have one id".to_owned()))
}

/// The engine's task: waits for its ids, becomes root, makes the mount namespace its own.
fn inside(socket: OwnedFd, home: Option<BorrowedFd<'_>>, exec_root: &Path) -> Result<Inside, Error> {
    if let Some(keeper) = home {
        sys::namespace::setns(keeper, namespaces()).map_err(io("join the keeper's namespaces"))?;
    }
    doors::send(socket.as_fd(), &(), &[]).map_err(io("tell the host side"))?;
    let Some((told, _)) = doors::receive::<Told>(socket.as_fd()).map_err(io("hear from the host side"))? else {
        return Err(Error::Alone);
    };
    become_root().map_err(|e| io("become root of the user namespace")(e.into()))?;
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|e| io("bind this process to its parent")(e.into()))?;
    if is_closed(&socket).map_err(|e| io("look for the host side")(e.into()))? {
        // It ended before it was bound to this process.
        return Err(Error::Alone);
    }
    if home.is_none() {
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            .map_err(|e| io("part from the host's mounts")(e.into()))?;
    }
    resolver::prepare(exec_root, home.is_some()).map_err(io("give the engine its name servers"))?;
    let pasta = told.pasta.and_then(pasta::open);
    Ok(Inside { told, doors: Arc::new(Doors::new(socket)), pasta })
}

fn is_closed(socket: &OwnedFd) -> rustix::io::Result<bool> {
    let mut looked_at = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut looked_at, Some(&Timespec::default()))?;
    Ok(looked_at[0].revents().contains(PollFlags::HUP))
}

/// The user's own ids are 0 in here; with them come all capabilities in the namespace, in whatever is executed later.
fn become_root() -> rustix::io::Result<()> {
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
}

//! sd_notify(3) from inside a container: its own socket, whose READY=1 is told to the service manager with the right MAINPID.

use crate::error::{Error, Result};
use crate::{log, sockets};
use oci::runtime::{Mount, Spec};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Below the state folder; mounted into the container as a folder, for the socket may be made later.
const FOLDER: &str = "notify";
const SOCKET: &str = "notify.sock";
const INSIDE: &str = "/run/notify";

/// How long the service manager may take to read what was sent, in seconds.
const BARRIER: i64 = 30;

/// The longest datagram that is read, in bytes.
const LONGEST: usize = 4096;

/// The container's socket, and the service manager's address.
#[derive(Debug)]
pub struct Notify {
    socket: OwnedFd,
    host: OsString,
}

/// Where the service manager listens, if there is one.
pub fn host() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// Makes the folder of the socket, and has the container see it.
pub fn announce(spec: &mut Spec, state_folder: &Path) -> Result<()> {
    let folder = state_folder.join(FOLDER);
    let made = DirBuilder::new().mode(0o755).create(&folder);
    // The umask may have taken away what a user of the container needs.
    made.and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o755)))
        .map_err(|e| Error::new(format!("cannot make {}: {e}", folder.display())))?;
    spec.mounts.push(Mount {
        destination: INSIDE.to_owned(),
        source: Some(folder.to_string_lossy().into_owned()),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).into(),
        ..Mount::default()
    });
    if let Some(process) = &mut spec.process {
        process.env.push(format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}"));
    }
    Ok(())
}

impl Notify {
    /// Opens the container's socket in its state folder.
    pub fn open(state_folder: &Path, host: OsString) -> Result<Notify> {
        let path = state_folder.join(FOLDER).join(SOCKET);
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
            let (_folder, address) = sockets::address(&path)?;
            rustix::net::bind(&socket, &address)?;
            fs::set_permissions(&path, Permissions::from_mode(0o777))?;
            Ok(socket)
        };
        let socket = open().map_err(|e: io::Error| Error::new(format!("cannot listen at {}: {e}", path.display())))?;
        Ok(Notify { socket, host })
    }

    /// Waits until the container says that it is ready, or its process ends.
    pub fn wait(&self, pidfd: BorrowedFd<'_>, main_pid: u32) -> Result<()> {
        loop {
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
            rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, None))
                .map_err(|e| Error::because("cannot wait for the container to be ready", &e))?;
            let [said, ended] = polled.map(|fd| !fd.revents().is_empty());
            if (said && self.relay(main_pid).is_break()) || (ended && !said) {
                return Ok(());
            }
        }
    }

    /// Reads one datagram; after READY the service manager knows, and this is over.
    pub fn relay(&self, main_pid: u32) -> ControlFlow<()> {
        let mut datagram = [0; LONGEST];
        let Ok((read, _)) = rustix::net::recv(&self.socket, &mut datagram, RecvFlags::DONTWAIT) else {
            return ControlFlow::Continue(());
        };
        let said = datagram.get(..read).unwrap_or_default();
        let Some(ready) = said.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY=")) else {
            return ControlFlow::Continue(());
        };
        if let Err(e) = self.tell(ready, main_pid) {
            log::warn(&format!("cannot tell {}: {e}", self.host.display()));
        }
        ControlFlow::Break(())
    }

    fn tell(&self, ready: &[u8], main_pid: u32) -> io::Result<()> {
        let socket = connect(&self.host)?;
        let send = |text: &[u8]| rustix::net::send(&socket, text, SendFlags::NOSIGNAL);
        send(&[ready, b"\n"].concat())?;
        send(format!("MAINPID={main_pid}\n").as_bytes())?;
        barrier(socket.as_fd())
    }
}

impl AsFd for Notify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits until all that was sent is read: the service manager then closes its copy of a pipe, sd_notify_barrier(3).
fn barrier(socket: BorrowedFd<'_>) -> io::Result<()> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    sys::send_with_fds(socket, b"BARRIER=1", &[writer.as_fd()])?;
    drop(writer);
    let patience = Timespec { tv_sec: BARRIER, tv_nsec: 0 };
    let mut closed = [PollFd::new(&reader, PollFlags::empty())];
    if rustix::io::retry_on_intr(|| rustix::event::poll(&mut closed, Some(&patience)))? == 0 {
        log::warn("Timeout after waiting 30s for barrier. Ignored.");
    }
    Ok(())
}

/// An address that begins with `@` is an abstract one, sd_notify(3).
fn connect(host: &OsStr) -> io::Result<OwnedFd> {
    match host.as_bytes().strip_prefix(b"@") {
        Some(name) => {
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
            rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
            Ok(socket)
        }
        None => sockets::connect_to(Path::new(host), SocketType::DGRAM),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    /// A service manager, a state folder with the container's socket, and a program that says things to it.
    fn world() -> (tempfile::TempDir, UnixDatagram, Notify, UnixDatagram) {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("host.sock");
        let manager = UnixDatagram::bind(&host).unwrap();
        let mut spec = Spec { process: Some(oci::runtime::Process::default()), ..Spec::default() };
        announce(&mut spec, folder.path()).unwrap();
        assert_eq!(spec.process.unwrap().env, ["NOTIFY_SOCKET=/run/notify/notify.sock"]);
        let notify = Notify::open(folder.path(), host.into()).unwrap();
        let program = UnixDatagram::unbound().unwrap();
        program.connect(folder.path().join("notify/notify.sock")).unwrap();
        (folder, manager, notify, program)
    }

    fn hear(manager: &UnixDatagram) -> String {
        let (mut bytes, mut fds) = ([0; 128], Vec::new());
        let read = sys::recv_with_fds(manager.as_fd(), &mut bytes, &mut fds, RecvFlags::empty()).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    #[test]
    fn ready_is_told_with_the_main_process_and_a_barrier() {
        let (_folder, manager, notify, program) = world();
        program.send(b"STATUS=warming up\nREADY=1\n").unwrap();
        let told = std::thread::spawn(move || [hear(&manager), hear(&manager), hear(&manager)]);
        assert!(notify.relay(42).is_break());
        assert_eq!(told.join().unwrap(), ["READY=1\n", "MAINPID=42\n", "BARRIER=1"]);
    }

    #[test]
    fn other_words_are_not_the_end() {
        let (_folder, _manager, notify, program) = world();
        program.send(b"STATUS=warming up").unwrap();
        assert!(notify.relay(42).is_continue());
        assert!(notify.relay(42).is_continue());
    }
}

//! The agent of a seccomp filter (SCMP_ACT_NOTIFY): who gets the filter's listener, and what it is told.

use crate::{Failure, Step};
use oci::runtime::Spec;
use oci::state::{ContainerProcessState, State, Status, VERSION};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The descriptor's name in [`ContainerProcessState::fds`].
const SECCOMP_FD: &str = "seccompFd";

/// Who answers for one process.
#[derive(Debug)]
pub(crate) struct Agent {
    path: String,
    told: ContainerProcessState,
}

impl Agent {
    /// `None`: the profile asks nobody.
    pub(crate) fn of(spec: &Spec, state: &State, pid: i32) -> Option<Self> {
        let profile = spec.linux.as_ref()?.seccomp.as_ref().filter(|profile| seccomp::uses_notify(profile))?;
        let container = if state.pid == 0 { pid } else { state.pid };
        let told = ContainerProcessState {
            oci_version: VERSION.to_owned(),
            fds: vec![SECCOMP_FD.to_owned()],
            pid,
            metadata: profile.listener_metadata.clone(),
            state: State { pid: container, status: Status::Running, ..state.clone() },
        };
        Some(Self { path: profile.listener_path.clone(), told })
    }

    /// Connects to the agent and hands the listener over.
    pub(crate) fn send(&self, listener: BorrowedFd<'_>) -> Result<(), Failure> {
        let failed = |what: &str, e: io::Error| {
            let errno = Errno::from_io_error(&e).unwrap_or(Errno::IO);
            Failure::new(Step::Prepare, errno, format!("{what} specified in the seccomp profile: {e}"))
        };
        let socket = connect(&self.path).map_err(|e| failed("failed to connect with seccomp agent", e))?;
        let text = serde_json::to_vec(&self.told).map_err(|e| failed("cannot tell the seccomp agent", e.into()))?;
        send_all(socket.as_fd(), &text, listener).map_err(|e| failed("cannot send to the seccomp agent", e))
    }
}

fn connect(path: &str) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(path)?,
    };
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
    Ok(socket)
}

/// The descriptor goes with the first bytes.
fn send_all(socket: BorrowedFd<'_>, text: &[u8], listener: BorrowedFd<'_>) -> io::Result<()> {
    let mut sent = sys::send_with_fds(socket, text, &[listener])?;
    while sent < text.len() {
        sent += sys::send_with_fds(socket, &text[sent..], &[])?;
    }
    Ok(())
}

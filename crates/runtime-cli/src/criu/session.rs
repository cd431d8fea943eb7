//! One conversation with `criu swrk`: a question, points of the way that are answered, the outcome.

use super::wire::{Kind, Notify, Options, Request, Response};
use crate::error::{Error, Result};
use crate::log;
use prost::Message;
use rustix::io::FdFlags;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The longest message of CRIU, in bytes.
const LONGEST: usize = 64 << 10;

/// A CRIU that waits for its question. Dropped, it is told to end and waited for.
#[derive(Debug)]
pub struct Session {
    socket: OwnedFd,
    child: Child,
}

impl Session {
    /// Starts it; `inherited` keep their numbers there.
    pub fn start(criu: &Path, inherited: &[BorrowedFd<'_>], streams: [BorrowedFd<'_>; 3]) -> Result<Session> {
        let flags = SocketFlags::CLOEXEC;
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (ours, theirs) = pair.map_err(|e| Error::because("cannot make a socket for criu", &e))?;
        for fd in inherited.iter().copied().chain([theirs.as_fd()]) {
            rustix::io::fcntl_setfd(fd, FdFlags::empty())
                .map_err(|e| Error::because("cannot pass a descriptor", &e))?;
        }
        let mut command = Command::new(criu);
        command.arg("swrk").arg(theirs.as_raw_fd().to_string());
        let [stdin, stdout, stderr] = streams.map(|stream| stream.try_clone_to_owned().map(Stdio::from));
        let connect = || Ok((stdin?, stdout?, stderr?));
        let (stdin, stdout, stderr) =
            connect().map_err(|e: io::Error| Error::because("cannot pass the standard streams", &e))?;
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        sys::signal::reset_in(&mut command);
        let child = command.spawn().map_err(|e| Error::because(format_args!("cannot start {}", criu.display()), &e))?;
        Ok(Session { socket: ours, child })
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Asks, and goes through all points of the way with `answer`.
    pub fn ask(
        &mut self,
        kind: Kind,
        options: Options,
        mut answer: impl FnMut(&Notify, Vec<OwnedFd>) -> Result<()>,
    ) -> Result<()> {
        self.send(&Request { kind: kind.into(), options: Some(options), notify_success: None })?;
        loop {
            let mut fds = Vec::new();
            let response = self.receive(&mut fds)?;
            if !response.success {
                let errno = response.errno.unwrap_or_default();
                let told = response.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
                return Err(Error::new(format!("criu failed: type {:?} errno {errno}{told}", response.kind())));
            }
            match response.kind() {
                Kind::Notify => {
                    let notify = response.notify.unwrap_or_default();
                    log::debug(&format!("criu notify: {}", notify.script()));
                    answer(&notify, fds)?;
                    self.send(&Request { kind: Kind::Notify.into(), options: None, notify_success: Some(true) })?;
                }
                done if done == kind => return Ok(()),
                other => return Err(Error::new(format!("criu answered {other:?} to {kind:?}"))),
            }
        }
    }

    fn send(&self, request: &Request) -> Result<()> {
        let sent = sys::send_with_fds(self.socket.as_fd(), &request.encode_to_vec(), &[]);
        sent.map(drop).map_err(|e| Error::because("cannot ask criu", &e))
    }

    fn receive(&self, fds: &mut Vec<OwnedFd>) -> Result<Response> {
        let mut bytes = vec![0; LONGEST];
        let read = sys::recv_with_fds(self.socket.as_fd(), &mut bytes, fds, RecvFlags::empty());
        match read.map_err(|e| Error::because("cannot hear criu", &e))? {
            0 => Err(Error::new("criu ended without an answer")),
            read => Response::decode(bytes.get(..read).unwrap_or_default())
                .map_err(|e| Error::because("cannot understand criu", &e)),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

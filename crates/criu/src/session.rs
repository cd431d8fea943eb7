//! One conversation with `criu swrk`: a question, points of the way that are answered, the outcome.

use crate::Error;
use crate::limit::Limit;
use crate::wire::{Kind, Notify, Options, Request, Response};
use prost::Message;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The longest message of CRIU, in bytes.
const LONGEST: usize = 64 << 10;

/// A CRIU that waits for its question. Dropped, it is told to end, and waited for if it is a child of this process.
#[derive(Debug)]
pub struct Session {
    socket: OwnedFd,
    child: Option<Child>,
    limit: Option<Limit>,
}

/// Both ends of a conversation: the asking one, and that for [`spawn`].
pub fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|e| Error::Socket(e.into()))
}

/// Starts the program at its end of a conversation; `inherited` keep their numbers there.
pub fn spawn(
    criu: &Path,
    socket: BorrowedFd<'_>,
    inherited: &[BorrowedFd<'_>],
    streams: [BorrowedFd<'_>; 3],
) -> Result<Child, Error> {
    let mut command = Command::new(criu);
    command.arg("swrk").arg(socket.as_raw_fd().to_string());
    let [stdin, stdout, stderr] = streams.map(|stream| stream.try_clone_to_owned().map(Stdio::from));
    let connect = || Ok((stdin?, stdout?, stderr?));
    let (stdin, stdout, stderr) = connect().map_err(Error::Streams)?;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    sys::signal::reset_in(&mut command);
    let passed: Vec<_> = inherited.iter().copied().chain([socket]).collect();
    sys::process::spawn_with(command, &passed)
        .map_err(|source| Error::Start { program: criu.display().to_string(), source })
}

impl Session {
    /// Starts it as a child of this process.
    pub fn start(criu: &Path, inherited: &[BorrowedFd<'_>], streams: [BorrowedFd<'_>; 3]) -> Result<Session, Error> {
        let (ours, theirs) = pair()?;
        let child = spawn(criu, theirs.as_fd(), inherited, streams)?;
        Ok(Session { socket: ours, child: Some(child), limit: None })
    }

    /// With one that another process starts at the other end of a [`pair`].
    pub fn over(socket: OwnedFd) -> Session {
        Session { socket, child: None, limit: None }
    }

    /// Its process; 0 when it is another's child.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).unwrap_or(0)
    }

    /// Ends it, a process `pid` that is alive, when it says nothing and does nothing for so long.
    pub fn limit(&mut self, pid: i32, silence: Duration) {
        self.limit = Limit::of(pid, silence);
    }

    /// Asks, and goes through all points of the way with `answer`.
    pub fn ask<E: From<Error>>(
        &mut self,
        kind: Kind,
        options: Options,
        mut answer: impl FnMut(&Notify, Vec<OwnedFd>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send(&Request { kind: kind.into(), options: Some(options), notify_success: None })?;
        loop {
            let mut fds = Vec::new();
            let response = self.receive(&mut fds)?;
            if !response.success {
                let errno = response.errno.unwrap_or_default();
                let told =
                    response.message.as_ref().map(|message| format!(": {}", message.trim_end())).unwrap_or_default();
                return Err(Error::Failed { kind: response.kind(), errno, told }.into());
            }
            match response.kind() {
                Kind::Notify => {
                    let notify = response.notify.unwrap_or_default();
                    if let (Some(limit), Some(pid)) = (&mut self.limit, notify.pid) {
                        limit.works_too(pid);
                    }
                    answer(&notify, fds)?;
                    self.send(&Request { kind: Kind::Notify.into(), options: None, notify_success: Some(true) })?;
                }
                done if done == kind => return Ok(()),
                other => return Err(Error::Answer { answer: other, kind }.into()),
            }
        }
    }

    fn send(&self, request: &Request) -> Result<(), Error> {
        let sent = sys::send_with_fds(self.socket.as_fd(), &request.encode_to_vec(), &[]);
        sent.map(drop).map_err(Error::Ask)
    }

    fn receive(&self, fds: &mut Vec<OwnedFd>) -> Result<Response, Error> {
        self.limit.as_ref().map_or(Ok(()), |limit| limit.wait(self.socket.as_fd()))?;
        let mut bytes = vec![0; LONGEST];
        let read = sys::recv_with_fds(self.socket.as_fd(), &mut bytes, fds, RecvFlags::empty());
        match read.map_err(Error::Hear)? {
            0 => Err(Error::Ended),
            read => Response::decode(bytes.get(..read).unwrap_or_default()).map_err(Error::Understand),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> std::fs::File {
        std::fs::File::options().read(true).write(true).open("/dev/null").unwrap()
    }

    fn silent(_: &Notify, _: Vec<OwnedFd>) -> Result<(), Error> {
        Ok(())
    }

    /// Something in CRIU's place. Written by another process: whatever this one forks meanwhile would keep the file busy (ETXTBSY).
    fn program(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("criu");
        let line = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
        let written = Command::new("sh").args(["-c", line]).arg(&path).arg(text).status().unwrap();
        assert!(written.success());
        path
    }

    #[test]
    fn one_that_ends_at_once_has_given_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let criu = program(folder.path(), "exit 1");
        let null = null();
        let mut session = Session::start(&criu, &[], [null.as_fd(); 3]).unwrap();
        let failed = session.ask(Kind::Dump, Options::default(), silent).unwrap_err();
        assert!(matches!(failed, Error::Ended | Error::Ask(_) | Error::Hear(_)), "{failed:?}");
    }

    #[test]
    fn the_socket_reaches_the_program_under_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let criu = program(folder.path(), r#"[ "$1" = swrk ] && [ -S /proc/self/fd/$2 ]"#);
        let null = null();
        let (_ours, theirs) = pair().unwrap();
        let mut child = spawn(&criu, theirs.as_fd(), &[], [null.as_fd(); 3]).unwrap();
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let null = null();
        let failed = Session::start(Path::new("/nowhere/criu"), &[], [null.as_fd(); 3]).unwrap_err();
        assert_eq!(failed.to_string(), "cannot start /nowhere/criu");
    }

    #[test]
    fn an_answer_goes_through_points_of_the_way() {
        let (ours, theirs) = pair().unwrap();
        let say = |response: Response| sys::send_with_fds(theirs.as_fd(), &response.encode_to_vec(), &[]).unwrap();
        let response = Response { kind: Kind::Notify.into(), success: true, ..Response::default() };
        say(Response { notify: Some(Notify { script: Some("x".into()), pid: Some(7) }), ..response.clone() });
        say(Response { kind: Kind::Dump.into(), ..response });
        let mut seen = Vec::new();
        let done: Result<(), Error> = Session::over(ours).ask(Kind::Dump, Options::default(), |notify, _| {
            seen.push((notify.script().to_owned(), notify.pid()));
            Ok(())
        });
        done.unwrap();
        assert_eq!(seen, [("x".to_owned(), 7)]);
    }

    #[test]
    fn a_failure_says_what_criu_says() {
        let (ours, theirs) = pair().unwrap();
        let response =
            Response { kind: Kind::Restore.into(), errno: Some(17), message: Some("no".into()), ..Response::default() };
        sys::send_with_fds(theirs.as_fd(), &response.encode_to_vec(), &[]).unwrap();
        let failed = Session::over(ours).ask(Kind::Restore, Options::default(), silent).unwrap_err();
        assert_eq!(failed.to_string(), "criu failed: type Restore errno 17: no");
    }
}

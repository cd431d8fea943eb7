//! Every signal of this process, read from a file descriptor instead of handled (signalfd(2)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// The length of one `struct signalfd_siginfo`, in bytes.
const RECORD: usize = 128;

/// All signals that can be blocked, which are from now on. A child that executes a program resets its mask.
#[derive(Debug)]
pub struct Signals(OwnedFd);

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// signal(7)
    pub signal: i32,
    /// The process that sent it, 0 if that was the kernel.
    pub sender: u32,
}

impl Signals {
    /// Blocks all signals in this thread. The descriptor does not block and is close-on-exec.
    ///
    /// SIGCHLD gets its default action, for one that was ignored by whoever started this process would let no child be waited for.
    pub fn take() -> io::Result<Signals> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `set` is valid for writing; sigfillset initialises all of it.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        // SAFETY: initialised by sigfillset.
        let set = unsafe { set.assume_init() };
        // SAFETY: SIG_DFL installs no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: `set` is initialised; the old mask is not asked for.
        let error = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        // SAFETY: `set` is initialised; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd has just made it and nobody else knows it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal, `None` when there is none now.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let mut record = [0; RECORD];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut record)) {
            Ok(RECORD) => Ok(Some(Received { signal: word(&record, 0).cast_signed(), sender: word(&record, 12) })),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn word(record: &[u8; RECORD], offset: usize) -> u32 {
    let bytes = record.get(offset..).and_then(<[u8]>::first_chunk::<4>);
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_with_its_sender() {
        let signals = Signals::take().unwrap();
        assert_eq!(signals.next().unwrap(), None);
        // To this thread alone: the others of the test have it unblocked.
        // SAFETY: no arguments; it cannot fail.
        let this = unsafe { libc::pthread_self() };
        // SAFETY: the thread is the calling one, so it exists.
        assert_eq!(unsafe { libc::pthread_kill(this, libc::SIGUSR1) }, 0);
        let mut ready = [rustix::event::PollFd::new(&signals, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut ready, None).unwrap(), 1);
        let received = signals.next().unwrap().unwrap();
        assert_eq!((received.signal, received.sender), (libc::SIGUSR1, std::process::id()));
    }
}

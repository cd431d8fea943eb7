//! Forking from a single-threaded process, and what a forked child does at once or at last.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::{io, ptr};

use rustix::fs::{Mode, OFlags};
pub use rustix::thread::UnshareFlags as Namespaces;

/// Proof that this process has one thread, and may therefore fork without execve: nobody else can hold a lock (of the
/// allocator, say) that the child would wait for in vain.
///
/// [`fork`] looks again each time, so a thread started later makes it fail instead of making it unsound.
#[derive(Debug)]
pub struct SingleThread {
    /// Where children are born unless told otherwise.
    home: OwnedFd,
    /// A way back to `home` failed and must be tried again before the next fork.
    astray: Cell<bool>,
    not_send: PhantomData<*const ()>,
}

/// How a child is born.
#[derive(Debug, Clone, Copy)]
pub struct Birth<'a> {
    /// New namespaces, clone(2).
    pub namespaces: Namespaces,
    /// An existing pid namespace to be born in; not together with NEWPID.
    pub pid_namespace: Option<BorrowedFd<'a>>,
    /// A cgroup v2 directory to be born in (CLONE_INTO_CGROUP, Linux 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The child becomes the caller's sibling: a child of the caller's own parent (CLONE_PARENT).
    pub sibling: bool,
}

impl Default for Birth<'_> {
    fn default() -> Self {
        Self { namespaces: Namespaces::empty(), pid_namespace: None, cgroup: None, sibling: false }
    }
}

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Fork {
    Child(Child),
    Parent { pid: i32, pidfd: OwnedFd },
}

/// Held only by a freshly forked child: it owns its copy of everything, and shares it with nobody.
#[derive(Debug)]
pub struct Child(());

impl SingleThread {
    /// Looks whether this process has exactly one thread. EBUSY if it has more; needs /proc.
    pub fn prove() -> io::Result<Self> {
        count_threads()?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let home = rustix::fs::open("/proc/self/ns/pid", flags, Mode::empty())?;
        Ok(Self { home, astray: Cell::new(false), not_send: PhantomData })
    }

    /// Whether children can be born elsewhere and later ones here again: coming back needs rights over this pid namespace
    /// (setns(2)), which root of a user namespace below it has not.
    pub fn comes_home(&self) -> bool {
        self.aim(Some(self.home.as_fd())).is_ok()
    }

    /// Makes `namespace` the one that children are born in.
    fn aim(&self, namespace: Option<BorrowedFd<'_>>) -> io::Result<()> {
        match namespace {
            Some(namespace) => {
                crate::namespace::setns(namespace, Namespaces::NEWPID)?;
                self.astray.set(true);
                Ok(())
            }
            None if self.astray.get() => {
                crate::namespace::setns(self.home.as_fd(), Namespaces::NEWPID)?;
                self.astray.set(false);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A directory below /proc/PID/task has two links of its own and one per thread.
fn count_threads() -> io::Result<()> {
    match rustix::fs::stat("/proc/self/task")?.st_nlink {
        3 => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EBUSY)),
    }
}

/// Forks (clone3(2), Linux 5.3). The parent gets a pidfd; SIGCHLD tells it of the child's end.
///
/// The child returns from this call too, on a copy of everything. It should not return from `main`, but end in
/// [`execve`] or [`exit`]. EBUSY when this process has more threads than one.
pub fn fork(thread: &SingleThread, birth: &Birth<'_>) -> io::Result<Fork> {
    count_threads()?;
    thread.aim(birth.pid_namespace)?;
    let made = match clone3(birth) {
        // A seccomp filter that cannot look into clone3's arguments (Docker's default profile) says so.
        Err(e) if e.raw_os_error() == Some(libc::ENOSYS) && birth.cgroup.is_none() => clone(birth),
        other => other,
    };
    if let Ok(Fork::Parent { .. }) | Err(_) = &made {
        // A failure here is repaired, or reported, before the next fork.
        let _ = thread.aim(None);
    }
    made
}

fn clone3(birth: &Birth<'_>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is the value "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from(birth.namespaces.bits()) | u64::from(libc::CLONE_PIDFD.unsigned_abs());
    args.pidfd = ptr::from_mut(&mut pidfd).expose_provenance() as u64;
    if birth.sibling {
        // It signals its end as the caller does; asking for a signal as well is EINVAL.
        args.flags |= u64::from(libc::CLONE_PARENT.unsigned_abs());
    } else {
        args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    }
    if let Some(cgroup) = birth.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    // SAFETY: without CLONE_VM the child gets a copy of the address space and goes on where the parent does, on a copy of
    // the same stack. The caller has proved that no other thread existed that could hold a lock. `args` outlives the call.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) } {
        -1 => Err(io::Error::last_os_error()),
        pid => side(pid, pidfd),
    }
}

/// The older call (clone(2), CLONE_PIDFD since Linux 5.2), whose flags a filter can see.
fn clone(birth: &Birth<'_>) -> io::Result<Fork> {
    let mut pidfd: RawFd = -1;
    let mut flags = i64::from(birth.namespaces.bits()) | i64::from(libc::CLONE_PIDFD | libc::SIGCHLD);
    if birth.sibling {
        // Here the signal asked for is not minded.
        flags |= i64::from(libc::CLONE_PARENT);
    }
    // The pidfd goes where the parent's copy of the thread id would; the order of the last two, which are not used,
    // differs between architectures.
    // SAFETY: as for `clone3`; a null stack is the caller's, copied.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        pid => side(pid, pidfd),
    }
}

/// Which side a successful clone returned to.
fn side(pid: i64, pidfd: RawFd) -> io::Result<Fork> {
    if pid == 0 {
        return Ok(Fork::Child(Child(())));
    }
    // SAFETY: CLONE_PIDFD made this descriptor (close-on-exec) for us alone.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Fork::Parent { pid: i32::try_from(pid).map_err(io::Error::other)?, pidfd })
}

/// linux/sched.h
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

impl Child {
    /// Closes every descriptor above 2 but these. What the parent had open stays open in the parent.
    ///
    /// The child must not use (nor drop) any other descriptor value it inherited: it ends in `execve` or `exit`.
    pub fn close_all_but(&self, keep: &mut [RawFd]) -> io::Result<()> {
        keep.sort_unstable();
        let mut first: u32 = 3;
        for fd in keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd >= 3) {
            if fd > first {
                close_range(first, fd - 1, 0)?;
            }
            first = first.max(fd + 1);
        }
        close_range(first, u32::MAX, 0)
    }

    /// Puts `fds` at the numbers `first`, `first` + 1, ..., not close-on-exec, over whatever is there.
    ///
    /// The child must not use any other descriptor value in that range afterwards; `fds` themselves are to be above it.
    pub fn place(&self, fds: &[BorrowedFd<'_>], first: RawFd) -> io::Result<()> {
        for (target, fd) in (first..).zip(fds) {
            // SAFETY: no pointers. The child owns its whole table and will not use what was at `target` (see above).
            if unsafe { libc::dup3(fd.as_raw_fd(), target, 0) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), CLOSE_RANGE_CLOEXEC, Linux 5.11).
pub fn cloexec_from(first: u32) -> io::Result<()> {
    close_range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: no pointers. Closing is only asked for by a forked child that owns its whole table (`Child`); with
    // CLOSE_RANGE_CLOEXEC nothing is closed.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A copy, close-on-exec and numbered `least` or higher, of a descriptor that this process was started with. EBADF: there is none
/// of that number. One that is close-on-exec was opened by this process itself, at a number that was free.
pub fn inherited(number: RawFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a number that is not open is EBADF.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => return Err(io::Error::last_os_error()),
        flags if flags & libc::FD_CLOEXEC != 0 => return Err(io::Error::from_raw_os_error(libc::EBADF)),
        _ => {}
    }
    // SAFETY: as above.
    match unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, least) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: F_DUPFD_CLOEXEC has just made it and nobody else knows it.
        copy => Ok(unsafe { OwnedFd::from_raw_fd(copy) }),
    }
}

/// Starts `command` with these descriptors open in it, too, under the numbers they have here. Nobody else inherits them.
pub fn spawn_with(mut command: std::process::Command, fds: &[BorrowedFd<'_>]) -> io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt;
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let keep_open = move || numbers.iter().try_for_each(|number| stays_open(*number));
    // SAFETY: after fork only system calls are made (`stays_open`), nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(keep_open) };
    command.spawn()
}

fn stays_open(number: RawFd) -> io::Result<()> {
    // SAFETY: no pointers; a number that is not open is EBADF.
    match unsafe { libc::fcntl(number, libc::F_SETFD, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Ends the process at once: no destructors, no buffers flushed (_exit(2)).
pub fn exit(code: i32) -> ! {
    // SAFETY: always sound; it does not return.
    unsafe { libc::_exit(code) }
}

/// Strings for execve(2): an argument vector or an environment.
#[derive(Debug)]
pub struct Strings {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    /// `None` when one of them has a NUL inside.
    pub fn new(list: impl IntoIterator<Item = Vec<u8>>) -> Option<Self> {
        let strings: Vec<CString> = list.into_iter().map(CString::new).collect::<Result<_, _>>().ok()?;
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect();
        Some(Self { strings, pointers })
    }

    /// The strings themselves.
    #[must_use]
    pub fn as_slice(&self) -> &[CString] {
        &self.strings
    }
}

/// Replaces this process's program (execve(2)). Returns only when that failed.
pub fn execve(path: &CStr, arguments: &Strings, environment: &Strings) -> io::Error {
    let (argv, envp) = (arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    // SAFETY: all three are NUL-terminated, and both vectors end in a null pointer and own their strings (`Strings`).
    unsafe { libc::execve(path.as_ptr(), argv, envp) };
    io::Error::last_os_error()
}

/// The same for an open program (execveat(2) with AT_EMPTY_PATH, Linux 3.19). Returns only when that failed.
pub fn execveat(program: BorrowedFd<'_>, arguments: &Strings, environment: &Strings) -> io::Error {
    let (argv, envp) = (arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    let fd: c_int = program.as_raw_fd();
    // SAFETY: as for `execve`; the path is the empty string.
    unsafe { libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH) };
    io::Error::last_os_error()
}

/// Sets the file mode creation mask of the whole process and returns the old one (umask(2)).
pub fn umask(mask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(mask & 0o777)).as_raw_mode()
}

/// Puts this process into a new session keyring, so that it no longer has its parent's keys (keyctl(2)).
///
/// A nameless one: any process of the same user namespace can make a keyring of a name that is known beforehand, and give its own
/// keys to who joins that later.
pub fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: the name is a null pointer, which asks for a nameless keyring.
    match unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_cannot_fork() {
        // The test harness itself runs this in a second thread.
        let proof = SingleThread::prove();
        assert_eq!(proof.unwrap_err().raw_os_error(), Some(libc::EBUSY));
    }

    #[test]
    fn a_string_with_nul_inside_is_refused() {
        assert!(Strings::new([b"a\0b".to_vec()]).is_none());
        let strings = Strings::new([b"sh".to_vec(), Vec::new()]).unwrap();
        assert_eq!(strings.as_slice().len(), 2);
    }
}

//! Signal dispositions and waiting for signals.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;

/// The number of the last signal, signal(7).
const LAST: c_int = 64;
/// The size of a signal set to the kernel: one bit for each.
const SET_BYTES: usize = 8;

/// Gives every signal its default action and unblocks all: what a new program expects (ignored ones survive execve(2)).
///
/// The two that libc keeps for itself are among them, so this is for a process that will execute another program.
pub fn reset_all() -> io::Result<()> {
    // struct sigaction of the kernel: all zeroes is SIG_DFL, no flags, empty mask. 32 bytes is the longest of all machines.
    let action = [0_u64; 4];
    for signal in 1..=LAST {
        // SAFETY: `action` is long enough and the old action is not asked for. No handler is installed. SIGKILL and SIGSTOP
        // are refused: fine.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), std::ptr::null_mut::<u64>(), SET_BYTES)
        };
    }
    set_mask(&empty())
}

/// Has the program of `command` start with all signals at their default and unblocked, whatever this process does with them.
pub fn reset_in(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: after fork only system calls are made (`reset_all`), nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(reset_all) };
}

/// Blocks every signal of the calling thread that can be blocked.
pub fn block_all() -> io::Result<()> {
    let mut set = empty();
    // SAFETY: `set` is initialised.
    unsafe { libc::sigfillset(&raw mut set) };
    set_mask(&set)
}

/// Unblocks every signal of the calling thread.
pub fn unblock_all() -> io::Result<()> {
    set_mask(&empty())
}

/// Waits for the next signal, all being blocked, and returns its number.
pub fn wait() -> io::Result<i32> {
    let mut set = empty();
    // SAFETY: `set` is initialised.
    unsafe { libc::sigfillset(&raw mut set) };
    // SAFETY: `set` is initialised and no details are asked for.
    match unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) } {
        -1 => Err(io::Error::last_os_error()),
        signal => Ok(signal),
    }
}

/// Sends any signal, real-time ones too, to a process (kill(2)).
pub fn send(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above, which cannot fail for a valid pointer.
    unsafe { set.assume_init() }
}

fn set_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is initialised and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signals_of_libc_are_reset_as_well() {
        // Those that libc's own functions refuse to touch, and posix_spawn(3) of some leaves ignored.
        let ignore = [libc::SIG_IGN as u64, 0, 0, 0];
        for signal in [32, 33] {
            // SAFETY: as in `reset_all`; ignoring a signal installs no handler.
            let set = unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, ignore.as_ptr(), std::ptr::null_mut::<u64>(), SET_BYTES)
            };
            assert_eq!(set, 0);
        }
        let ignored = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap()
        };
        assert_eq!(ignored() >> 31 & 3, 3);
        reset_all().unwrap();
        assert_eq!(ignored(), 0);
    }
}

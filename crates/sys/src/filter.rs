//! Installing a system call filter: seccomp(2).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Installs a compiled filter (`struct sock_filter` after `struct sock_filter`) for the calling thread, for good; `flags` are
/// SECCOMP_FILTER_FLAG_ bits.
///
/// Needs no_new_privs, or CAP_SYS_ADMIN in the thread's user namespace (EACCES). EINVAL when it is no valid program.
pub fn install(program: &[u8], flags: u32) -> io::Result<()> {
    set_filter(program, flags & !NEW_LISTENER).map(drop)
}

/// The same for a filter that asks a listener (SECCOMP_RET_USER_NOTIF, Linux 5.0): returns the listener's descriptor, close-on-exec.
///
/// EBUSY when a filter with a listener is in force already.
pub fn install_with_listener(program: &[u8], flags: u32) -> io::Result<OwnedFd> {
    let listener = set_filter(program, flags | NEW_LISTENER)?;
    let listener = RawFd::try_from(listener).map_err(io::Error::other)?;
    // SAFETY: with this flag the kernel has just made the descriptor, for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// linux/seccomp.h: SECCOMP_FILTER_FLAG_NEW_LISTENER
pub const NEW_LISTENER: u32 = 1 << 3;

fn set_filter(program: &[u8], flags: u32) -> io::Result<i64> {
    let (instructions, rest) = program.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut filter: Vec<libc::sock_filter> = instructions.iter().map(instruction).collect();
    let len = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `program` points to `len` instructions that outlive the call; the kernel copies and checks them.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) } {
        -1 => Err(io::Error::last_os_error()),
        made => Ok(made),
    }
}

fn instruction(bytes: &[u8; 8]) -> libc::sock_filter {
    let [a, b, jt, jf, k @ ..] = *bytes;
    libc::sock_filter { code: u16::from_ne_bytes([a, b]), jt, jf, k: u32::from_ne_bytes(k) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_an_instruction_is_refused() {
        assert_eq!(install(&[0; 12], 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

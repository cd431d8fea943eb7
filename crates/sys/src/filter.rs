//! Installing a system call filter: seccomp(2).

use std::io;

/// Installs a compiled filter (`struct sock_filter` after `struct sock_filter`) for the calling thread, for good.
///
/// Needs no_new_privs, or CAP_SYS_ADMIN in the thread's user namespace (EACCES). EINVAL when it is no valid program.
pub fn install(program: &[u8]) -> io::Result<()> {
    let (instructions, rest) = program.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut filter: Vec<libc::sock_filter> = instructions.iter().map(instruction).collect();
    let len = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `program` points to `len` instructions that outlive the call; the kernel copies and checks them.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
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
        assert_eq!(install(&[0; 12]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

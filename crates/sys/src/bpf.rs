//! bpf(2), as far as device control on cgroup v2 needs it (Documentation/admin-guide/cgroup-v2.rst, "Device controller").

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// The most programs of one kind a cgroup can have (include/linux/bpf-cgroup.h, BPF_CGROUP_MAX_PROGS).
const MAX_ATTACHED: u32 = 64;

/// An extended BPF instruction (`struct bpf_insn`, Documentation/bpf/standardization/instruction-set.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    pub code: u8,
    /// The destination in the low half, the source in the high one.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

/// `union bpf_attr`, the part for BPF_PROG_LOAD.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// The part for BPF_PROG_ATTACH and BPF_PROG_DETACH.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: RawFd,
    program: RawFd,
    attach_type: u32,
    flags: u32,
    replaced: RawFd,
}

/// The part for BPF_PROG_QUERY.
#[repr(C)]
#[derive(Default)]
struct Query {
    target: RawFd,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// The part for BPF_PROG_GET_FD_BY_ID.
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next_id: u32,
    open_flags: u32,
}

/// Loads a program that decides about access to devices; the kernel checks it (EACCES, EINVAL). Linux 4.15, CAP_BPF and
/// CAP_NET_ADMIN or CAP_SYS_ADMIN in the first user namespace.
pub fn load_device_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attributes = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: address(instructions.as_ptr()),
        license: address(c"Apache-2.0".as_ptr()),
        name: *b"dhow_devices\0\0\0\0",
        ..Load::default()
    };
    let fd = call(BPF_PROG_LOAD, &mut attributes)?;
    // SAFETY: the kernel has just given this descriptor to us alone; it is close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a v2 cgroup, beside others or in place of `replaced` (Linux 5.6).
pub fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut attributes = Attach {
        target: cgroup.as_raw_fd(),
        program: program.as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
        replaced: 0,
    };
    if let Some(old) = replaced {
        attributes.flags |= BPF_F_REPLACE;
        attributes.replaced = old.as_raw_fd();
    }
    call(BPF_PROG_ATTACH, &mut attributes).map(drop)
}

/// Takes a device program off a v2 cgroup.
pub fn detach_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let (target, program) = (cgroup.as_raw_fd(), program.as_raw_fd());
    let mut attributes = Attach { target, program, attach_type: BPF_CGROUP_DEVICE, ..Attach::default() };
    call(BPF_PROG_DETACH, &mut attributes).map(drop)
}

/// The device programs attached to a v2 cgroup itself, without its ancestors'. One that is gone by now is left out.
pub fn device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MAX_ATTACHED as usize];
    let mut query = Query {
        target: cgroup.as_fd().as_raw_fd(),
        attach_type: BPF_CGROUP_DEVICE,
        ids: address(ids.as_mut_ptr()),
        count: MAX_ATTACHED,
        ..Query::default()
    };
    call(BPF_PROG_QUERY, &mut query)?;
    let mut programs = Vec::new();
    for id in ids.iter().take(query.count as usize) {
        match call(BPF_PROG_GET_FD_BY_ID, &mut ById { id: *id, ..ById::default() }) {
            // SAFETY: the kernel has just given this descriptor to us alone; it is close-on-exec.
            Ok(fd) => programs.push(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(programs)
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// bpf(2) with a part of `union bpf_attr`; what it gives back is a descriptor or 0.
fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    let size = size_of::<T>();
    // SAFETY: `attributes` is the part of the union that `command` reads and writes, `size` bytes long; the addresses in it
    // belong to buffers that live in the callers' frames until this returns.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(|_| io::ErrorKind::InvalidData.into())
}

//! The calling conventions a filter tells apart, and their system call numbers.

use std::sync::OnceLock;

/// A calling convention: what libseccomp calls an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Machine {
    X86_64,
    X86,
    /// 32-bit pointers in 64-bit mode: x86_64's audit value, numbers from [`X32_BIT`] up.
    X32,
    Aarch64,
    Arm,
}

/// Set in the number of every x32 call (arch/x86/include/uapi/asm/unistd.h).
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// Where ARM's own calls begin (arch/arm/include/uapi/asm/unistd.h, `__ARM_NR_BASE`).
const ARM_PRIVATE: u32 = 0x000f_0000;

/// Architectures the specification names and whose calls a kernel for x86 or ARM never makes.
#[rustfmt::skip]
const FOREIGN: &[&str] = &[
    "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64", "SCMP_ARCH_S390", "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
];

/// Calls newer than the tables: the same number on all architectures here (Linux 6.19 and 7.0).
const NEWER: &[(&str, u32)] = &[("listns", 470), ("rseq_slice_yield", 471)];

/// Names libseccomp knows under which the tables lack a call.
const AARCH64_MORE: &[(&str, u32)] = &[("newfstatat", 79)];

/// ARM's own calls.
const ARM_MORE: &[(&str, u32)] = &[
    ("breakpoint", ARM_PRIVATE + 1),
    ("cacheflush", ARM_PRIVATE + 2),
    ("usr26", ARM_PRIVATE + 3),
    ("usr32", ARM_PRIVATE + 4),
    ("set_tls", ARM_PRIVATE + 5),
    ("get_tls", ARM_PRIVATE + 6),
];

/// Calls with a number of their own on x32 (arch/x86/entry/syscalls/syscall_64.tbl, "x32").
#[rustfmt::skip]
const X32_OWN: &[(&str, u32)] = &[
    ("rt_sigaction", 512), ("rt_sigreturn", 513), ("ioctl", 514), ("readv", 515), ("writev", 516), ("recvfrom", 517),
    ("sendmsg", 518), ("recvmsg", 519), ("execve", 520), ("ptrace", 521), ("rt_sigpending", 522),
    ("rt_sigtimedwait", 523), ("rt_sigqueueinfo", 524), ("sigaltstack", 525), ("timer_create", 526),
    ("mq_notify", 527), ("kexec_load", 528), ("waitid", 529), ("set_robust_list", 530), ("get_robust_list", 531),
    ("vmsplice", 532), ("move_pages", 533), ("preadv", 534), ("pwritev", 535), ("rt_tgsigqueueinfo", 536),
    ("recvmmsg", 537), ("sendmmsg", 538), ("process_vm_readv", 539), ("process_vm_writev", 540), ("setsockopt", 541),
    ("getsockopt", 542), ("io_setup", 543), ("io_submit", 544), ("execveat", 545), ("preadv2", 546), ("pwritev2", 547),
];

/// Calls of x86_64 that x32 has not (the same table, "64").
const X32_NONE: &[&str] = &[
    "_sysctl",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "get_kernel_syms",
    "get_thread_area",
    "nfsservctl",
    "query_module",
    "set_thread_area",
    "uselib",
    "vserver",
];

type Table = Vec<(&'static str, u32)>;

impl Machine {
    /// The one the kernel itself is built for.
    pub(crate) const NATIVE: Machine = if cfg!(target_arch = "aarch64") { Machine::Aarch64 } else { Machine::X86_64 };

    /// The architecture of that name in the specification; `Some(None)` for one that cannot occur here, `None` for no name at all.
    pub(crate) fn of_name(name: &str) -> Option<Option<Machine>> {
        match name {
            "SCMP_ARCH_X86_64" => Some(Some(Machine::X86_64)),
            "SCMP_ARCH_X86" => Some(Some(Machine::X86)),
            "SCMP_ARCH_X32" => Some(Some(Machine::X32)),
            "SCMP_ARCH_AARCH64" => Some(Some(Machine::Aarch64)),
            "SCMP_ARCH_ARM" => Some(Some(Machine::Arm)),
            _ => FOREIGN.contains(&name).then_some(None),
        }
    }

    /// Its name in the specification.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Machine::X86_64 => "SCMP_ARCH_X86_64",
            Machine::X86 => "SCMP_ARCH_X86",
            Machine::X32 => "SCMP_ARCH_X32",
            Machine::Aarch64 => "SCMP_ARCH_AARCH64",
            Machine::Arm => "SCMP_ARCH_ARM",
        }
    }

    /// Its name in Docker's `includes` and `excludes`, which is Go's but for x86.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Machine::X86_64 => "amd64",
            Machine::X86 => "x86",
            Machine::X32 => "x32",
            Machine::Aarch64 => "arm64",
            Machine::Arm => "arm",
        }
    }

    /// The conventions a kernel of this architecture runs besides its own.
    pub(crate) fn companions(self) -> &'static [Machine] {
        match self {
            Machine::X86_64 => &[Machine::X86, Machine::X32],
            Machine::Aarch64 => &[Machine::Arm],
            _ => &[],
        }
    }

    /// `seccomp_data.arch` (include/uapi/linux/audit.h).
    pub(crate) fn audit(self) -> u32 {
        match self {
            Machine::X86_64 | Machine::X32 => 0xc000_003e,
            Machine::X86 => 0x4000_0003,
            Machine::Aarch64 => 0xc000_00b7,
            Machine::Arm => 0x4000_0028,
        }
    }

    /// Whether only the low half of an argument counts: the upper one may then be rubbish of the caller's.
    pub(crate) fn narrow(self) -> bool {
        !matches!(self, Machine::X86_64 | Machine::Aarch64)
    }

    /// The numbers ordinary calls can have, first and last; ARM's own lie above.
    pub(crate) fn numbers(self) -> (u32, u32) {
        match self {
            Machine::X86_64 => (0, X32_BIT - 1),
            Machine::X32 => (X32_BIT, u32::MAX),
            Machine::Arm => (0, ARM_PRIVATE - 1),
            Machine::X86 | Machine::Aarch64 => (0, u32::MAX),
        }
    }

    /// The number of the call of that name, as the filter sees it.
    pub(crate) fn number(self, name: &str) -> Option<u32> {
        let table = self.table();
        table.binary_search_by(|(known, _)| (*known).cmp(name)).ok().map(|at| table[at].1)
    }

    /// All names and numbers, sorted by name.
    pub(crate) fn table(self) -> &'static [(&'static str, u32)] {
        static TABLES: [OnceLock<Table>; 5] = [const { OnceLock::new() }; 5];
        TABLES[self as usize].get_or_init(|| {
            let mut table = self.build();
            table.sort_unstable();
            table
        })
    }

    fn build(self) -> Table {
        use syscalls::{aarch64, arm, x86, x86_64};
        match self {
            Machine::X86_64 => collect(|id| x86_64::Sysno::new(id).map(|call| call.name()), &[]),
            Machine::X86 => collect(|id| x86::Sysno::new(id).map(|call| call.name()), &[]),
            Machine::Aarch64 => collect(|id| aarch64::Sysno::new(id).map(|call| call.name()), AARCH64_MORE),
            Machine::Arm => collect(|id| arm::Sysno::new(id).map(|call| call.name()), ARM_MORE),
            Machine::X32 => x32(),
        }
    }
}

/// More than the largest ordinary number in any table.
const NUMBERS_END: u32 = 600;

fn collect(name: impl Fn(usize) -> Option<&'static str>, more: &[(&'static str, u32)]) -> Table {
    let mut table: Table = (0..NUMBERS_END).filter_map(|id| Some((name(id as usize)?, id))).collect();
    table.extend_from_slice(more);
    table.extend(NEWER.iter().filter(|(_, id)| name(*id as usize).is_none()));
    table
}

fn x32() -> Table {
    let own = |name: &str| X32_OWN.iter().any(|(known, _)| *known == name);
    let shared = Machine::X86_64.table().iter().copied();
    let mut table: Table = shared.filter(|(name, _)| !own(name) && !X32_NONE.contains(name)).collect();
    table.extend_from_slice(X32_OWN);
    table.iter_mut().for_each(|(_, id)| *id |= X32_BIT);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Machine; 5] = [Machine::X86_64, Machine::X86, Machine::X32, Machine::Aarch64, Machine::Arm];

    #[test]
    fn numbers_are_those_of_the_kernels_tables() {
        for (machine, name, number) in [
            (Machine::X86_64, "read", 0),
            (Machine::X86_64, "uretprobe", 335),
            (Machine::X86_64, "file_setattr", 469),
            (Machine::X86, "socketcall", 102),
            (Machine::X86, "clone", 120),
            (Machine::X86, "clock_gettime64", 403),
            (Machine::X32, "read", X32_BIT),
            (Machine::X32, "execve", X32_BIT + 520),
            (Machine::X32, "mseal", X32_BIT + 462),
            (Machine::Aarch64, "newfstatat", 79),
            (Machine::Aarch64, "clone3", 435),
            (Machine::Arm, "set_tls", 0xf0005),
            (Machine::Arm, "socket", 281),
            (Machine::Arm, "listns", 470),
        ] {
            assert_eq!(machine.number(name), Some(number), "{machine:?} {name}");
        }
        assert_eq!(Machine::X32.number("epoll_wait_old"), None);
        assert_eq!(Machine::X86_64.number("socketcall"), None);
    }

    #[test]
    fn a_name_has_one_number_and_none_lies_beyond_the_search() {
        for machine in ALL {
            let table = machine.table();
            assert!(table.len() > 290, "{machine:?} {}", table.len());
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0), "{machine:?}");
            let (first, last) = machine.numbers();
            let private = |id: u32| machine == Machine::Arm && id > ARM_PRIVATE;
            assert!(table.iter().all(|(_, id)| (first..=last).contains(id) || private(*id)), "{machine:?}");
        }
        assert!((NUMBERS_END..4096).all(|id| syscalls::x86_64::Sysno::new(id as usize).is_none()));
        assert!((NUMBERS_END..4096).all(|id| syscalls::arm::Sysno::new(id as usize).is_none()));
    }
}

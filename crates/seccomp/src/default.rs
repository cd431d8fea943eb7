//! Docker's default profile, as moby's profiles/seccomp of release 29 has it.

use crate::machine::Machine;
use crate::names;
use oci::runtime::{Seccomp, SeccompArg, SeccompRule};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Domains a process may ask of personality(2): Linux and 32-bit Linux, both with UNAME26 too, and "tell me".
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The namespace flags of clone(2) but CLONE_NEWTIME, which has no place there: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// Address families a container may use, as blocks `(mask, value)` of the low half of socket(2)'s first argument:
/// all below 128 but AF_ALG (38, CVE-2026-31431) and AF_VSOCK (40).
///
/// The kernel takes the family as an `int`. A comparison of all 64 bits (as `> 40` would be) lets 38 through with any bit
/// set in the upper half; blocks of the low half do not. The kernel knows no family from 46 on (Linux 6.18).
const FAMILIES: [(u64, u64); 9] = [
    (0xffff_ffe0, 0),
    (0xffff_fffc, 32),
    (0xffff_fffe, 36),
    (0xffff_ffff, 39),
    (0xffff_ffff, 41),
    (0xffff_fffe, 42),
    (0xffff_fffc, 44),
    (0xffff_fff0, 48),
    (0xffff_ffc0, 64),
];

/// Docker's default profile for a process with these capabilities (bit n is capability number n).
///
/// As moby's profiles/seccomp: default errno EPERM, ENOSYS for `clone3` without CAP_SYS_ADMIN, argument filters on
/// `personality`, `clone` and `socket` (AF_ALG and AF_VSOCK denied), rules that depend on capabilities and on the architecture.
///
/// The 32-bit `socketcall` stays allowed, as Docker 29.4.3 settled: its arguments lie behind a pointer that no filter can
/// follow, and without it i386 programs have no network. Denying AF_ALG there is the work of an LSM.
pub fn default_profile(capabilities: u64) -> Seccomp {
    for_machine(Machine::NATIVE, capabilities)
}

pub(crate) fn for_machine(native: Machine, capabilities: u64) -> Seccomp {
    let mut syscalls = vec![allow(names::ALWAYS)];
    match native {
        Machine::Aarch64 | Machine::Arm => syscalls.push(allow(names::ARM)),
        Machine::X86_64 | Machine::X86 | Machine::X32 => syscalls.push(allow(names::X86)),
    }
    syscalls.extend(PERSONALITIES.map(|value| allow_if("personality", equal(value))));
    syscalls.extend(FAMILIES.map(|(mask, value)| allow_if("socket", masked(mask, value))));
    syscalls.extend(by_capability(capabilities));
    let machines = [native].into_iter().chain(native.companions().iter().copied());
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(EPERM),
        architectures: machines.map(|machine| machine.name().to_owned()).collect(),
        syscalls,
        ..Seccomp::default()
    }
}

fn by_capability(capabilities: u64) -> Vec<SeccompRule> {
    let has = |number: u32| capabilities >> number & 1 == 1;
    let lists = names::BY_CAPABILITY.iter().filter(|(number, _)| has(*number));
    let mut rules: Vec<_> = lists.map(|(_, list)| allow(list)).collect();
    if has(names::CAP_SYS_ADMIN) {
        rules.push(allow(names::SYS_ADMIN));
    } else {
        rules.push(allow_if("clone", masked(NEW_NAMESPACES, 0)));
        // A filter cannot read clone3's flags: with ENOSYS the C library falls back to clone.
        rules.push(SeccompRule { action: "SCMP_ACT_ERRNO".to_owned(), errno_ret: Some(ENOSYS), ..allow("clone3") });
    }
    rules
}

fn allow(list: &str) -> SeccompRule {
    let names = list.split_whitespace().map(str::to_owned).collect();
    SeccompRule { names, action: "SCMP_ACT_ALLOW".to_owned(), errno_ret: None, args: Vec::new() }
}

fn allow_if(name: &str, first_argument: SeccompArg) -> SeccompRule {
    SeccompRule { args: vec![first_argument], ..allow(name) }
}

fn equal(value: u64) -> SeccompArg {
    SeccompArg { index: 0, value, value_two: 0, op: "SCMP_CMP_EQ".to_owned() }
}

fn masked(mask: u64, value: u64) -> SeccompArg {
    SeccompArg { index: 0, value: mask, value_two: value, op: "SCMP_CMP_MASKED_EQ".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ALWAYS, ARM, BY_CAPABILITY, SYS_ADMIN, X86};

    /// Names in Docker's profile that no table here has: other architectures, and calls that are gone.
    const NOWHERE: [&str; 2] = ["riscv_hwprobe", "sync_file_range2"];

    #[test]
    fn every_name_is_a_call_of_some_architecture() {
        let machines = [Machine::X86_64, Machine::X86, Machine::Aarch64, Machine::Arm];
        let lists = [ALWAYS, ARM, X86, SYS_ADMIN].into_iter().chain(BY_CAPABILITY.iter().map(|(_, list)| *list));
        for name in lists.flat_map(str::split_whitespace).filter(|name| !NOWHERE.contains(name)) {
            assert!(machines.iter().any(|machine| machine.number(name).is_some()), "{name}");
        }
    }

    #[test]
    fn lists_are_sorted_and_name_a_call_once() {
        for list in [ALWAYS, ARM, X86, SYS_ADMIN].into_iter().chain(BY_CAPABILITY.iter().map(|(_, list)| *list)) {
            let words: Vec<_> = list.split_whitespace().collect();
            assert!(words.windows(2).all(|pair| pair[0] < pair[1]), "{list}");
        }
    }
}

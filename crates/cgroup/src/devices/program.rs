//! A policy as an extended BPF program of the type BPF_PROG_TYPE_CGROUP_DEVICE.
//!
//! It reads `struct bpf_cgroup_dev_ctx` (include/uapi/linux/bpf.h): access in the upper and type in the lower half of the
//! first word, then major and minor number. It returns 1 to allow.

use super::policy::{ALL, Exception, Policy, Sort};
use sys::bpf::Instruction;

const CONTEXT: u8 = 1;
const RESULT: u8 = 0;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// BPF_LDX | BPF_MEM | BPF_W.
const LOAD_WORD: u8 = 0x61;
/// BPF_ALU | BPF_MOV | BPF_X, 32 bits.
const MOVE: u8 = 0xbc;
/// BPF_ALU64 | BPF_MOV | BPF_K.
const SET: u8 = 0xb7;
/// BPF_ALU | BPF_AND | BPF_K, 32 bits.
const AND: u8 = 0x54;
/// BPF_ALU | BPF_RSH | BPF_K, 32 bits.
const SHIFT_RIGHT: u8 = 0x74;
/// BPF_JMP | BPF_JEQ | BPF_K.
const IF_EQUAL: u8 = 0x15;
/// BPF_JMP | BPF_JNE | BPF_K.
const IF_NOT_EQUAL: u8 = 0x55;
/// BPF_JMP | BPF_EXIT.
const EXIT: u8 = 0x95;

/// The program; `None` when nothing is forbidden.
pub(crate) fn instructions(policy: &Policy) -> Option<Vec<Instruction>> {
    if policy.allow && policy.exceptions.is_empty() {
        return None;
    }
    let mut program = vec![
        two(LOAD_WORD, TYPE, CONTEXT, 0),
        two(MOVE, ACCESS, TYPE, 0),
        one(AND, TYPE, 0xffff),
        one(SHIFT_RIGHT, ACCESS, 16),
        two(LOAD_WORD, MAJOR, CONTEXT, 4),
        two(LOAD_WORD, MINOR, CONTEXT, 8),
    ];
    for exception in &policy.exceptions {
        program.extend(block(exception, policy.allow));
    }
    program.extend(answer(policy.allow));
    Some(program)
}

/// Answers when the exception fits; otherwise falls out at its end.
///
/// An exception that allows must cover all that is asked for (opening for reading and writing asks for both); one that
/// denies need only touch it.
fn block(exception: &Exception, base: bool) -> Vec<Instruction> {
    let sort = if exception.sort == Sort::Block { 1 } else { 2 };
    let mut block = vec![one(IF_NOT_EQUAL, TYPE, sort)];
    if exception.access != ALL {
        let bits = if base { exception.access } else { ALL & !exception.access };
        block.push(two(MOVE, RESULT, ACCESS, 0));
        block.push(one(AND, RESULT, i32::from(bits)));
        block.push(one(if base { IF_EQUAL } else { IF_NOT_EQUAL }, RESULT, 0));
    }
    for (register, number) in [(MAJOR, exception.major), (MINOR, exception.minor)] {
        if let Some(number) = number.and_then(|number| i32::try_from(number).ok()) {
            block.push(one(IF_NOT_EQUAL, register, number));
        }
    }
    block.extend(answer(!base));
    let end = i16::try_from(block.len()).unwrap_or(i16::MAX);
    for (at, instruction) in (1i16..).zip(&mut block) {
        if matches!(instruction.code, IF_EQUAL | IF_NOT_EQUAL) {
            instruction.offset = end - at;
        }
    }
    block
}

fn answer(allow: bool) -> [Instruction; 2] {
    [one(SET, RESULT, i32::from(allow)), one(EXIT, 0, 0)]
}

fn one(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate }
}

fn two(code: u8, to: u8, from: u8, offset: i16) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate: 0 }
}

#[cfg(test)]
mod tests {
    use super::super::policy::tests::rule;
    use super::super::policy::{MKNOD, READ, WRITE};
    use super::*;

    /// What the kernel would compute.
    fn run(program: &[Instruction], kind: u32, access: u8, major: u32, minor: u32) -> bool {
        let context = [u32::from(access) << 16 | kind, major, minor];
        let (mut at, mut registers) = (0, [0u64; 6]);
        loop {
            let Instruction { code, registers: pair, offset, immediate } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            at += 1;
            let taken = match code {
                EXIT => return registers[0] == 1,
                IF_EQUAL => registers[to] == immediate as u64,
                IF_NOT_EQUAL => registers[to] != immediate as u64,
                _ => false,
            };
            match code {
                LOAD_WORD => registers[to] = context[offset as usize / 4].into(),
                MOVE => registers[to] = registers[from],
                SET => registers[to] = immediate as u64,
                AND => registers[to] &= immediate as u64,
                SHIFT_RIGHT => registers[to] >>= immediate,
                _ if taken => at += offset as usize,
                _ => {}
            }
        }
    }

    #[test]
    fn a_short_list_of_devices_is_allowed_and_no_other() {
        let rules = [
            rule(true, "c", None, None, "m"),
            rule(true, "c", Some(1), Some(3), "rwm"),
            rule(true, "c", Some(10), Some(200), "rw"),
            rule(true, "c", Some(136), None, "rwm"),
        ];
        let program = instructions(&Policy::read(&rules).unwrap()).unwrap();
        let (block, character) = (1, 2);
        for (kind, access, major, minor, allowed) in [
            (character, MKNOD, 99, 99, true),
            (block, MKNOD, 99, 99, false),
            (character, READ | WRITE, 1, 3, true),
            (block, READ, 1, 3, false),
            (character, READ, 1, 1, false),
            (character, READ | WRITE, 10, 200, true),
            (character, READ | WRITE | MKNOD, 10, 200, false),
            (character, READ | MKNOD, 99, 99, false),
            (character, WRITE, 136, 77, true),
            (character, READ, 8, 0, false),
        ] {
            assert_eq!(run(&program, kind, access, major, minor), allowed, "{kind} {access} {major}:{minor}");
        }
    }

    #[test]
    fn a_denied_device_is_denied_for_any_part_of_the_access() {
        let rules = [rule(true, "a", None, None, "rwm"), rule(false, "b", Some(8), None, "w")];
        let program = instructions(&Policy::read(&rules).unwrap()).unwrap();
        assert!(!run(&program, 1, READ | WRITE, 8, 1));
        assert!(run(&program, 1, READ, 8, 1));
        assert!(run(&program, 2, WRITE, 8, 1));
    }

    #[test]
    fn no_program_is_needed_where_nothing_is_forbidden() {
        assert_eq!(instructions(&Policy::read(&[rule(true, "a", None, None, "rwm")]).unwrap()), None);
        let nothing = instructions(&Policy::read(&[]).unwrap()).unwrap();
        assert!(!run(&nothing, 2, READ, 1, 3));
    }
}

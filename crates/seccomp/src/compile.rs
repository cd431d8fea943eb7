//! The compiler: architecture, then a binary search over ranges of numbers, then tests of arguments.

use crate::Error;
use crate::bpf::{self, Assembler, Instruction, Label, Test};
use crate::machine::{Machine, X32_BIT};
use crate::rules::{Action, Compare, Condition, Rules, Verdict};
use oci::runtime::Seccomp;

/// Longest program the kernel takes, in instructions (include/uapi/linux/bpf_common.h, BPF_MAXINSNS).
const MAX_INSTRUCTIONS: usize = 4096;

/// Offsets into `struct seccomp_data` (include/uapi/linux/seccomp.h), in bytes.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// What meets a call of an architecture that the profile does not list. libseccomp kills the thread; a process that lost one
/// of its threads without a word hangs more often than not.
const WRONG_ARCHITECTURE: Action = Action::KILL_PROCESS;

/// Compiles a profile: `struct sock_filter` after `struct sock_filter`, in native byte order.
///
/// The machine's own architecture is always part of the filter. Names that no table has are skipped, as Docker does; calls
/// newer than the newest one the profile names get ENOSYS rather than a default that denies, as runc does.
/// Fails on words the specification does not know, and when the program is longer than the kernel takes.
pub fn compile(profile: &Seccomp) -> Result<Vec<u8>, Error> {
    program(Machine::NATIVE, profile).map(|program| bpf::bytes(&program))
}

pub(crate) fn program(native: Machine, profile: &Seccomp) -> Result<Vec<Instruction>, Error> {
    let rules = Rules::read(profile)?;
    let machines = machines(native, profile)?;
    let mut assembler = Assembler::default();
    let mut next = assembler.ret(WRONG_ARCHITECTURE.0);
    // Written backwards: the native architecture comes last, so it is asked first.
    for machine in machines.iter().rev().filter(|machine| **machine != Machine::X32) {
        let x32 = (*machine == Machine::X86_64).then(|| machines.contains(&Machine::X32));
        let body = one_machine(&mut assembler, &rules, *machine, x32);
        next = assembler.branch(Test::Equal, machine.audit(), body, next);
    }
    let start = assembler.load(ARCHITECTURE, next);
    let program = assembler.finish(start);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::Invalid(format!(
            "it needs {} instructions, {MAX_INSTRUCTIONS} are possible",
            program.len()
        )));
    }
    Ok(program)
}

/// The architectures of the profile that can occur, the native one first.
fn machines(native: Machine, profile: &Seccomp) -> Result<Vec<Machine>, Error> {
    let mut machines = vec![native];
    for name in &profile.architectures {
        let known = Machine::of_name(name)
            .ok_or_else(|| Error::Invalid(format!("string {name} is not a valid arch for seccomp")))?;
        if let Some(machine) = known.filter(|machine| native.companions().contains(machine))
            && !machines.contains(&machine)
        {
            machines.push(machine);
        }
    }
    Ok(machines)
}

/// The part for one audit architecture. `x32` is for x86_64: whether that convention is allowed beside it.
fn one_machine(assembler: &mut Assembler, rules: &Rules<'_>, machine: Machine, x32: Option<bool>) -> Label {
    let mut ranges: Vec<_> =
        rules.ranges(machine).into_iter().map(|(start, verdict)| (start, machine, verdict)).collect();
    match x32 {
        None => {}
        Some(true) => {
            let more = rules.ranges(Machine::X32);
            ranges.extend(more.into_iter().map(|(start, verdict)| (start, Machine::X32, verdict)));
        }
        Some(false) => {
            ranges.push((X32_BIT, machine, Verdict::plain(WRONG_ARCHITECTURE)));
            // A tracer skips a call by making its number -1, which then passes the filter again (seccomp(2)).
            ranges.push((u32::MAX, machine, Verdict::plain(rules.default())));
        }
    }
    let search = search(assembler, &ranges);
    assembler.load(NUMBER, search)
}

/// A balanced tree of comparisons over ranges, which lie in order and leave no gap.
fn search(assembler: &mut Assembler, ranges: &[(u32, Machine, Verdict)]) -> Label {
    if let [(_, machine, verdict)] = ranges {
        return verdict_at(assembler, *machine, verdict);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let above = search(assembler, high);
    let below = search(assembler, low);
    assembler.branch(Test::GreaterOrEqual, high[0].0, above, below)
}

fn verdict_at(assembler: &mut Assembler, machine: Machine, verdict: &Verdict) -> Label {
    let mut next = assembler.ret(verdict.otherwise.0);
    for alternative in verdict.alternatives.iter().rev() {
        let mut then = assembler.ret(alternative.action.0);
        for condition in alternative.conditions.iter().rev() {
            then = condition_at(assembler, machine, condition, then, next);
        }
        next = then;
    }
    next
}

/// One comparison, of both halves of the argument or (32-bit conventions) of the low one.
fn condition_at(assembler: &mut Assembler, machine: Machine, condition: &Condition, yes: Label, no: Label) -> Label {
    let halves = Halves { offset: ARGUMENTS + 8 * condition.argument, narrow: machine.narrow() };
    let value = condition.value;
    match condition.compare {
        Compare::Equal => halves.equal(assembler, u64::MAX, value, yes, no),
        Compare::NotEqual => halves.equal(assembler, u64::MAX, value, no, yes),
        Compare::Masked(mask) => halves.equal(assembler, mask, value, yes, no),
        Compare::Greater => halves.order(assembler, Test::Greater, value, yes, no),
        Compare::GreaterOrEqual => halves.order(assembler, Test::GreaterOrEqual, value, yes, no),
        Compare::Less => halves.order(assembler, Test::GreaterOrEqual, value, no, yes),
        Compare::LessOrEqual => halves.order(assembler, Test::Greater, value, no, yes),
    }
}

/// An argument in memory: 64 bits, which BPF reads as two words.
struct Halves {
    offset: u32,
    narrow: bool,
}

impl Halves {
    const LOW: u32 = if cfg!(target_endian = "big") { 4 } else { 0 };
    const HIGH: u32 = 4 - Halves::LOW;

    fn equal(&self, assembler: &mut Assembler, mask: u64, value: u64, yes: Label, no: Label) -> Label {
        let low = word_equal(assembler, self.offset + Halves::LOW, (low(mask), low(value)), yes, no);
        if self.narrow || (high(mask) == 0 && high(value) == 0) {
            return low;
        }
        word_equal(assembler, self.offset + Halves::HIGH, (high(mask), high(value)), low, no)
    }

    fn order(&self, assembler: &mut Assembler, test: Test, value: u64, yes: Label, no: Label) -> Label {
        let compare = assembler.branch(test, low(value), yes, no);
        let low_half = assembler.load(self.offset + Halves::LOW, compare);
        if self.narrow {
            return low_half;
        }
        let same = assembler.branch(Test::Equal, high(value), low_half, no);
        let greater = assembler.branch(Test::Greater, high(value), yes, same);
        assembler.load(self.offset + Halves::HIGH, greater)
    }
}

fn word_equal(assembler: &mut Assembler, offset: u32, (mask, value): (u32, u32), yes: Label, no: Label) -> Label {
    let compare = assembler.branch(Test::Equal, value, yes, no);
    let masked = if mask == u32::MAX { compare } else { assembler.and(mask, compare) };
    assembler.load(offset, masked)
}

fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(u32::MAX)
}

fn high(value: u64) -> u32 {
    u32::try_from(value >> 32).unwrap_or(u32::MAX)
}

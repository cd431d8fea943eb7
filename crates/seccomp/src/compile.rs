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

/// Numbers of one verdict, but for a few among them.
struct Segment<'a> {
    start: u32,
    machine: Machine,
    verdict: &'a Verdict,
    exceptions: Vec<(u32, &'a Verdict)>,
}

/// Exceptions that are asked for one after the other: more of them would be slower than another comparison of ranges.
const MOST_EXCEPTIONS: usize = 4;

/// A balanced tree of comparisons over ranges, which lie in order and leave no gap.
///
/// The kernel reads, checks and translates a filter each time it is installed: what counts is how short it is. Most of what a
/// profile denies are single numbers among many that it allows, each of them a test for itself instead of two bounds.
fn search(assembler: &mut Assembler, ranges: &[(u32, Machine, Verdict)]) -> Label {
    tree(assembler, &segments(ranges))
}

fn segments(ranges: &[(u32, Machine, Verdict)]) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut rest = ranges;
    while let [(start, machine, verdict), more @ ..] = rest {
        rest = more;
        let mut exceptions = Vec::new();
        while let [(one, of, other), (next, after, again), ..] = rest
            && *next - *one == 1
            && (of, after, again) == (machine, machine, verdict)
            && exceptions.len() < MOST_EXCEPTIONS
        {
            exceptions.push((*one, other));
            rest = &rest[2..];
        }
        segments.push(Segment { start: *start, machine: *machine, verdict, exceptions });
    }
    segments
}

fn tree(assembler: &mut Assembler, segments: &[Segment<'_>]) -> Label {
    if let [segment] = segments {
        return segment_at(assembler, segment);
    }
    let (low, high) = segments.split_at(segments.len() / 2);
    let above = tree(assembler, high);
    let below = tree(assembler, low);
    assembler.branch(Test::GreaterOrEqual, high[0].start, above, below)
}

fn segment_at(assembler: &mut Assembler, segment: &Segment<'_>) -> Label {
    let mut next = verdict_at(assembler, segment.machine, segment.verdict);
    for (number, verdict) in segment.exceptions.iter().rev() {
        let exception = verdict_at(assembler, segment.machine, verdict);
        next = assembler.branch(Test::Equal, *number, exception, next);
    }
    next
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

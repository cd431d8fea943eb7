//! What a profile says, per system call number.

use crate::Error;
use crate::machine::Machine;
use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use std::collections::BTreeMap;

/// What happens to a call: the value a filter returns (SECCOMP_RET_*, seccomp(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Action(pub(crate) u32);

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
/// The kernel returns no errno above (include/linux/err.h, MAX_ERRNO).
const MAX_ERRNO: u32 = 4095;

impl Action {
    pub(crate) const KILL_PROCESS: Action = Action(0x8000_0000);
    const KILL_THREAD: Action = Action(0);
    const TRAP: Action = Action(0x0003_0000);
    const ERRNO: u32 = 0x0005_0000;
    const NOTIFY: Action = Action(0x7fc0_0000);
    const TRACE: u32 = 0x7ff0_0000;
    const LOG: Action = Action(0x7ffc_0000);
    pub(crate) const ALLOW: Action = Action(0x7fff_0000);
    pub(crate) const NO_SUCH_CALL: Action = Action(Action::ERRNO | ENOSYS);

    fn parse(name: &str, value: Option<u32>) -> Result<Action, Error> {
        let value = value.unwrap_or(EPERM);
        match name {
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Ok(Action::KILL_THREAD),
            "SCMP_ACT_KILL_PROCESS" => Ok(Action::KILL_PROCESS),
            "SCMP_ACT_TRAP" => Ok(Action::TRAP),
            "SCMP_ACT_ERRNO" if value <= MAX_ERRNO => Ok(Action(Action::ERRNO | value)),
            "SCMP_ACT_TRACE" if value <= 0xffff => Ok(Action(Action::TRACE | value)),
            "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE" => Err(Error::Invalid(format!("errno {value} is out of range"))),
            "SCMP_ACT_NOTIFY" => Ok(Action::NOTIFY),
            "SCMP_ACT_LOG" => Ok(Action::LOG),
            "SCMP_ACT_ALLOW" => Ok(Action::ALLOW),
            _ => Err(Error::Invalid(format!("string {name} is not a valid action for seccomp"))),
        }
    }

    /// Whether calls that nobody named go on, perhaps with a tracer's word.
    fn lets_pass(self) -> bool {
        self == Action::ALLOW || self == Action::LOG || self.0 & 0xffff_0000 == Action::TRACE
    }
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// Only these bits count.
    Masked(u64),
}

/// One condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// 0 to 5.
    pub(crate) argument: u32,
    pub(crate) compare: Compare,
    pub(crate) value: u64,
}

impl Condition {
    fn parse(arg: &SeccompArg) -> Result<Condition, Error> {
        if arg.index > 5 {
            return Err(Error::Invalid(format!("a system call has no argument {}", arg.index)));
        }
        let (compare, value) = match arg.op.as_str() {
            "SCMP_CMP_EQ" => (Compare::Equal, arg.value),
            "SCMP_CMP_NE" => (Compare::NotEqual, arg.value),
            "SCMP_CMP_GT" => (Compare::Greater, arg.value),
            "SCMP_CMP_GE" => (Compare::GreaterOrEqual, arg.value),
            "SCMP_CMP_LT" => (Compare::Less, arg.value),
            "SCMP_CMP_LE" => (Compare::LessOrEqual, arg.value),
            "SCMP_CMP_MASKED_EQ" => (Compare::Masked(arg.value), arg.value_two),
            other => return Err(Error::Invalid(format!("string {other} is not a valid operator for seccomp"))),
        };
        Ok(Condition { argument: arg.index, compare, value })
    }
}

/// Conditions that must all hold, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Alternative {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
}

/// What happens to one call: the first alternative that fits, otherwise the last word.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Verdict {
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) otherwise: Action,
}

impl Verdict {
    pub(crate) fn plain(action: Action) -> Verdict {
        Verdict { alternatives: Vec::new(), otherwise: action }
    }
}

/// A profile read, before numbers are looked up.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    default: Action,
    /// Calls beyond the newest named one get ENOSYS, so that programs fall back to what they did before it existed.
    unknown_is_missing: bool,
    /// All names of the profile, those of rules without effect too.
    named: Vec<&'a str>,
    /// In the profile's order.
    calls: Vec<(&'a str, Alternative)>,
}

impl<'a> Rules<'a> {
    /// Reads the profile's words. A rule that says what the default says has no effect, as with runc.
    pub(crate) fn read(profile: &'a Seccomp) -> Result<Rules<'a>, Error> {
        let default = Action::parse(&profile.default_action, profile.default_errno_ret)?;
        if default == Action::NOTIFY {
            return Err(Error::Invalid("SCMP_ACT_NOTIFY cannot be used as default action".to_owned()));
        }
        let unknown_is_missing = !default.lets_pass() && profile.default_errno_ret != Some(ENOSYS);
        let mut rules = Rules { default, unknown_is_missing, named: Vec::new(), calls: Vec::new() };
        for rule in &profile.syscalls {
            rules.add(rule)?;
        }
        Ok(rules)
    }

    fn add(&mut self, rule: &'a SeccompRule) -> Result<(), Error> {
        let action = Action::parse(&rule.action, rule.errno_ret)?;
        let alternatives = alternatives(&rule.args, action)?;
        for name in &rule.names {
            if name.is_empty() {
                return Err(Error::Invalid("empty string is not a valid syscall".to_owned()));
            }
            if action == Action::NOTIFY && name == "write" {
                return Err(Error::Invalid("SCMP_ACT_NOTIFY cannot be used for the write syscall".to_owned()));
            }
            self.named.push(name);
            if action != self.default {
                self.calls.extend(alternatives.iter().map(|alternative| (name.as_str(), alternative.clone())));
            }
        }
        Ok(())
    }

    pub(crate) fn default(&self) -> Action {
        self.default
    }

    /// What happens to each number of one architecture: where a range begins, and its verdict; the ranges cover all the
    /// numbers from the machine's first one on.
    pub(crate) fn ranges(&self, machine: Machine) -> Vec<(u32, Verdict)> {
        let (first, last) = machine.numbers();
        let verdicts = self.verdicts(machine);
        let newest = self.named.iter().filter_map(|name| machine.number(name)).filter(|id| *id <= last).max();
        let mut ranges = vec![(first, Verdict::plain(self.default))];
        for (number, verdict) in verdicts {
            ranges.push((number, verdict));
            if number < u32::MAX {
                ranges.push((number + 1, Verdict::plain(self.default)));
            }
        }
        if let Some(newest) = newest.filter(|newest| self.unknown_is_missing && *newest < last) {
            let at = ranges.partition_point(|(start, _)| *start <= newest + 1);
            ranges.insert(at, (newest + 1, Verdict::plain(Action::NO_SUCH_CALL)));
            if last < u32::MAX && machine == Machine::Arm {
                ranges.insert(at + 1, (last + 1, Verdict::plain(self.default)));
            }
        }
        merge(ranges)
    }

    /// Unconditional rules beat conditional ones, the first of them the later ones (libseccomp, db_rule_add).
    fn verdicts(&self, machine: Machine) -> BTreeMap<u32, Verdict> {
        let mut verdicts: BTreeMap<u32, (Verdict, bool)> = BTreeMap::new();
        for (name, alternative) in &self.calls {
            let Some(number) = machine.number(name) else { continue };
            let (verdict, settled) = verdicts.entry(number).or_insert_with(|| (Verdict::plain(self.default), false));
            if *settled {
                continue;
            }
            if alternative.conditions.is_empty() {
                *verdict = Verdict::plain(alternative.action);
                *settled = true;
            } else if !verdict.alternatives.contains(alternative) {
                verdict.alternatives.push(alternative.clone());
            }
        }
        verdicts.into_iter().map(|(number, (verdict, _))| (number, verdict)).collect()
    }
}

/// Arguments of a rule are ANDed, but when two of them concern the same argument each stands for itself: runc's "old behavior",
/// which profiles written for Docker rely on.
fn alternatives(args: &[SeccompArg], action: Action) -> Result<Vec<Alternative>, Error> {
    let conditions = args.iter().map(Condition::parse).collect::<Result<Vec<_>, _>>()?;
    let repeated = |at: usize| conditions[..at].iter().any(|earlier| earlier.argument == conditions[at].argument);
    if (0..conditions.len()).any(repeated) {
        return Ok(conditions.into_iter().map(|one| Alternative { conditions: vec![one], action }).collect());
    }
    Ok(vec![Alternative { conditions, action }])
}

/// Of ranges that begin at one number the last counts; neighbours with equal verdicts become one.
fn merge(ranges: Vec<(u32, Verdict)>) -> Vec<(u32, Verdict)> {
    let mut merged: Vec<(u32, Verdict)> = Vec::with_capacity(ranges.len());
    for (start, verdict) in ranges {
        if merged.last().is_some_and(|(last, _)| *last == start) {
            merged.pop();
        }
        if merged.last().is_none_or(|(_, last)| *last != verdict) {
            merged.push((start, verdict));
        }
    }
    merged
}

/// The flags of a profile without a list, as with runc: SECCOMP_FILTER_FLAG_SPEC_ALLOW, so that programs are not slowed down by a
/// defence against others of their own kind (Speculative Store Bypass; before Linux 5.16 every filter brought that).
pub const USUAL_FLAGS: u32 = 1 << 2;

/// The flags for seccomp(2) that a profile asks for (SECCOMP_FILTER_FLAG_*); TSYNC is left out, an init has one thread.
///
/// WAIT_KILLABLE_RECV means something only to a listener, the kernel refuses it
/// without one.
pub fn install_flags(profile: &Seccomp) -> Result<u32, Error> {
    let Some(flags) = &profile.flags else { return Ok(USUAL_FLAGS) };
    flags.iter().try_fold(0, |flags, name| match name.as_str() {
        "SECCOMP_FILTER_FLAG_TSYNC" => Ok(flags),
        "SECCOMP_FILTER_FLAG_LOG" => Ok(flags | 1 << 1),
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => Ok(flags | USUAL_FLAGS),
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" if uses_notify(profile) => Ok(flags | 1 << 5),
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => Ok(flags),
        _ => Err(Error::Invalid(format!("seccomp flag {name} is not known to runc"))),
    })
}

/// Whether calls are put before a listener: then the filter must be installed with one (SECCOMP_FILTER_FLAG_NEW_LISTENER).
#[must_use]
pub fn uses_notify(profile: &Seccomp) -> bool {
    profile.syscalls.iter().any(|rule| rule.action == "SCMP_ACT_NOTIFY" && !rule.names.is_empty())
}

/// Whether a profile says nothing at all, and so filters nothing.
#[must_use]
pub fn is_empty(profile: &Seccomp) -> bool {
    profile.default_action.is_empty() && profile.syscalls.is_empty()
}

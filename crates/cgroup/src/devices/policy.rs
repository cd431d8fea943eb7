//! What a list of device rules amounts to.

use crate::Error;
use oci::runtime::DeviceRule;
use std::fmt::Write as _;

/// Block or character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    Block,
    Character,
}

/// Access bits (include/uapi/linux/bpf.h, BPF_DEVCG_ACC_*).
pub(crate) const MKNOD: u8 = 1;
pub(crate) const READ: u8 = 2;
pub(crate) const WRITE: u8 = 4;
pub(crate) const ALL: u8 = MKNOD | READ | WRITE;

/// Devices that are treated the other way than the rest; `None` is any number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Exception {
    pub(crate) sort: Sort,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
    pub(crate) access: u8,
}

/// A base and its exceptions, as the v1 devices controller keeps them (security/device_cgroup.c): there, too, rules for the
/// same devices add up, and a rule for all devices forgets everything before it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Policy {
    pub(crate) allow: bool,
    pub(crate) exceptions: Vec<Exception>,
}

impl Policy {
    /// Reads rules in order. Before the first one everything is denied.
    pub(crate) fn read(rules: &[DeviceRule]) -> Result<Policy, Error> {
        let mut policy = Policy { allow: false, exceptions: Vec::new() };
        for rule in rules {
            policy.add(rule)?;
        }
        policy.exceptions.retain(|exception| exception.access != 0);
        Ok(policy)
    }

    fn add(&mut self, rule: &DeviceRule) -> Result<(), Error> {
        let access = access(rule.access.as_deref())?;
        let sorts: &[Sort] = match rule.kind.as_deref().unwrap_or("a") {
            "a" if access == ALL && rule.major.is_none() && rule.minor.is_none() => {
                *self = Policy { allow: rule.allow, exceptions: Vec::new() };
                return Ok(());
            }
            "a" => &[Sort::Block, Sort::Character],
            "b" => &[Sort::Block],
            "c" | "u" => &[Sort::Character],
            other => return Err(Error::Invalid(format!("{other:?} is no type of device"))),
        };
        for sort in sorts {
            let exception = Exception { sort: *sort, major: number(rule.major)?, minor: number(rule.minor)?, access };
            if rule.allow == self.allow {
                self.refuse_hole(&exception)?;
            }
            self.except(exception, rule.allow != self.allow);
        }
        Ok(())
    }

    /// The kernel takes no exception out of a wider one, and says nothing: the devices would stay open.
    fn refuse_hole(&self, rule: &Exception) -> Result<(), Error> {
        let covers = |wide: Option<u32>, narrow: Option<u32>| wide.is_none() || wide == narrow;
        let wider = self.exceptions.iter().find(|wide| {
            wide.sort == rule.sort
                && (wide.major, wide.minor) != (rule.major, rule.minor)
                && covers(wide.major, rule.major)
                && covers(wide.minor, rule.minor)
                && wide.access & rule.access != 0
        });
        match wider {
            None => Ok(()),
            Some(wider) => Err(Error::Invalid(format!(
                "the device rule {} cannot punch a hole in the wildcard rule {} before it",
                rule.line(),
                wider.line()
            ))),
        }
    }

    fn except(&mut self, new: Exception, adds: bool) {
        let same = |old: &&mut Exception| (old.sort, old.major, old.minor) == (new.sort, new.major, new.minor);
        match self.exceptions.iter_mut().find(same) {
            Some(old) if adds => old.access |= new.access,
            Some(old) => old.access &= !new.access,
            None if adds => self.exceptions.push(new),
            None => {}
        }
    }
}

impl Exception {
    /// The line for `devices.allow` and `devices.deny` (cgroup-v1/devices.rst).
    pub(crate) fn line(&self) -> String {
        let mut line = String::with_capacity(16);
        line.push(if self.sort == Sort::Block { 'b' } else { 'c' });
        line.push(' ');
        push_number(&mut line, self.major);
        line.push(':');
        push_number(&mut line, self.minor);
        line.push(' ');
        let letters = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
        line.extend(letters.iter().filter(|(bit, _)| self.access & bit != 0).map(|(_, letter)| letter));
        line
    }
}

fn push_number(line: &mut String, number: Option<u32>) {
    let _ = match number {
        Some(number) => write!(line, "{number}"),
        None => write!(line, "*"),
    };
}

fn access(letters: Option<&str>) -> Result<u8, Error> {
    letters.unwrap_or("rwm").chars().try_fold(0, |bits, letter| match letter {
        'r' => Ok(bits | READ),
        'w' => Ok(bits | WRITE),
        'm' => Ok(bits | MKNOD),
        _ => Err(Error::Invalid(format!("{letter:?} is no sort of access to a device"))),
    })
}

/// A device number; -1 is any (runtime-spec, config-linux.md).
fn number(number: Option<i64>) -> Result<Option<u32>, Error> {
    match number {
        None | Some(-1) => Ok(None),
        // 31 bits: the program compares with a signed constant. The kernel has 12 bits for a major, 20 for a minor number.
        Some(number) => match i32::try_from(number).ok().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(Error::Invalid(format!("{number} is no device number"))),
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn rule(allow: bool, kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceRule {
        DeviceRule { allow, kind: Some(kind.to_owned()), major, minor, access: Some(access.to_owned()) }
    }

    fn lines(rules: &[DeviceRule]) -> (bool, Vec<String>) {
        let policy = Policy::read(rules).unwrap();
        (policy.allow, policy.exceptions.iter().map(Exception::line).collect())
    }

    #[test]
    fn rules_for_the_same_devices_add_up() {
        let rules = [
            rule(false, "a", None, None, "rwm"),
            rule(true, "c", Some(1), Some(3), "r"),
            rule(true, "c", Some(1), Some(3), "w"),
            rule(true, "b", None, Some(-1), "m"),
            rule(true, "c", Some(5), Some(2), "rwm"),
            rule(false, "c", Some(5), Some(2), "rwm"),
        ];
        assert_eq!(lines(&rules), (false, vec!["c 1:3 rw".to_owned(), "b *:* m".to_owned()]));
    }

    #[test]
    fn a_rule_for_everything_forgets_what_was_before() {
        let rules = [rule(true, "c", Some(1), Some(3), "r"), DeviceRule { allow: true, ..DeviceRule::default() }];
        assert_eq!(lines(&rules), (true, vec![]));
        let more = [rules.as_slice(), &[rule(false, "a", Some(8), None, "w")]].concat();
        assert_eq!(lines(&more), (true, vec!["b 8:* w".to_owned(), "c 8:* w".to_owned()]));
    }

    #[test]
    fn a_rule_that_the_kernel_would_ignore_is_refused() {
        let hole = [rule(true, "c", Some(1), None, "rw"), rule(false, "c", Some(1), Some(11), "r")];
        let refused = Policy::read(&hole).unwrap_err().to_string();
        assert!(refused.contains("c 1:11 r") && refused.contains("c 1:* rw"), "{refused}");
        let other = [rule(true, "c", None, None, "m"), rule(false, "c", Some(1), Some(11), "rw")];
        assert_eq!(lines(&other), (false, vec!["c *:* m".to_owned()]));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            rule(true, "x", None, None, "rwm"),
            rule(true, "c", Some(-2), None, "rwm"),
            rule(true, "c", Some(1 << 31), None, "rwm"),
            rule(true, "c", Some(1), Some(1), "rwx"),
            rule(true, "c\n", Some(1), Some(1), "r"),
        ] {
            assert!(matches!(Policy::read(std::slice::from_ref(&wrong)), Err(Error::Invalid(_))), "{wrong:?}");
        }
    }
}

//! What options do to the flags of a bind: as mount(2) does when it remounts one (MS_REMOUNT | MS_BIND).
//!
//! Once a flag is named, those that are not are cleared; the kind of atime stays unless one is asked for. For a container with a
//! user namespace, the flags that the mount has on the host are locked (mount_namespaces(7)), although it is the host who makes the
//! mount here: what the host forbids, `nosuid` for one, a container of other ids does not get back.

use super::options::Options;
use crate::Attributes;
use rustix::fs::StatVfsMountFlags;
use std::io;
use std::os::fd::BorrowedFd;
use sys::mount::attribute;

/// Flags that a mount has or has not, and that can be locked.
const LOCKABLE: u64 = attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;
const PLAIN: u64 = LOCKABLE | attribute::NOSYMFOLLOW;
/// All that says how access times are kept.
const TIMES: u64 = attribute::ATIME_FIELD | attribute::NODIRATIME;

/// Names of flags, and their ST_ bits of statvfs(3).
const FLAGS: [(&str, u64, StatVfsMountFlags); 6] = [
    ("ro", attribute::RDONLY, StatVfsMountFlags::RDONLY),
    ("nosuid", attribute::NOSUID, StatVfsMountFlags::NOSUID),
    ("nodev", attribute::NODEV, StatVfsMountFlags::NODEV),
    ("noexec", attribute::NOEXEC, StatVfsMountFlags::NOEXEC),
    ("nodiratime", attribute::NODIRATIME, StatVfsMountFlags::NODIRATIME),
    ("noatime", attribute::NOATIME, StatVfsMountFlags::NOATIME),
];

/// Why the flags cannot be what is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Locked(pub(super) String);

/// The change that the options ask for, `None` when they name no flag.
pub(super) fn asked(words: &[String], options: &Options) -> Option<Attributes> {
    if options.attributes == Attributes::default() {
        return None;
    }
    let mut set = options.attributes.set & PLAIN;
    let mut clear = PLAIN & !set;
    if let Some(times) = times(words) {
        set |= times;
        clear |= attribute::ATIME_FIELD | (TIMES & !times);
    }
    Some(Attributes { set, clear })
}

/// The change that is left where flags are locked that `present` has.
pub(super) fn within_locks(asked: Attributes, options: &Options, present: u64) -> Result<Attributes, Locked> {
    let locked = present & LOCKABLE;
    let wants_times = asked.clear & attribute::ATIME_FIELD != 0;
    let other_times = wants_times && asked.set & TIMES != present & TIMES;
    if asked.clear & locked == 0 && !other_times {
        return Ok(asked);
    }
    let refused = present & options.attributes.clear & !options.attributes.set & (LOCKABLE | attribute::NODIRATIME);
    if refused != 0 {
        return Err(Locked(format!("cannot clear locked flags {}", names(refused))));
    }
    if other_times {
        return Err(Locked("cannot change locked atime flags".to_owned()));
    }
    Ok(Attributes { set: asked.set | locked, clear: asked.clear & !locked })
}

/// The flags that a mount has.
pub(super) fn present(tree: BorrowedFd<'_>) -> io::Result<u64> {
    let flags = rustix::fs::fstatvfs(tree)?.f_flag;
    let named = FLAGS.iter().filter(|(_, _, flag)| flags.contains(*flag)).map(|(_, bit, _)| bit);
    let strict = !flags.intersects(StatVfsMountFlags::NOATIME | StatVfsMountFlags::RELATIME);
    Ok(named.fold(if strict { attribute::STRICTATIME } else { 0 }, |all, bit| all | bit))
}

/// How access times are to be kept. `atime` and the other words that only take a kind back leave it as it is, as mount(8) does; and
/// `nodiratime` alone comes with relatime.
fn times(words: &[String]) -> Option<u64> {
    let mut asked = [("strictatime", false), ("noatime", false), ("relatime", false), ("nodiratime", false)];
    for word in words {
        let (name, value) = match word.as_str() {
            "nostrictatime" => ("strictatime", false),
            "atime" => ("noatime", false),
            "norelatime" => ("relatime", false),
            "diratime" => ("nodiratime", false),
            name => (name, true),
        };
        asked.iter_mut().filter(|(known, _)| *known == name).for_each(|(_, is)| *is = value);
    }
    let [(_, strict), (_, never), (_, relative), (_, no_folders)] = asked;
    let kind = match (strict, never) {
        (true, _) => attribute::STRICTATIME,
        (false, true) => attribute::NOATIME,
        (false, false) => attribute::RELATIME,
    };
    let folders = if no_folders { attribute::NODIRATIME } else { 0 };
    (strict || never || relative || no_folders).then_some(kind | folders)
}

fn names(bits: u64) -> String {
    let named: Vec<_> = FLAGS.iter().filter(|(_, bit, _)| bits & bit != 0).map(|(name, ..)| *name).collect();
    named.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(words: &[&str], present: u64) -> Result<Option<Attributes>, Locked> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mount = oci::runtime::Mount { options: words, ..oci::runtime::Mount::default() };
        let options = super::super::options::parse(&mount);
        asked(&mount.options, &options).map(|asked| within_locks(asked, &options, present)).transpose()
    }

    fn set(words: &[&str], present: u64) -> u64 {
        change(words, present).unwrap().unwrap().set
    }

    #[test]
    fn without_a_flag_nothing_changes() {
        assert_eq!(change(&["rbind", "rprivate"], attribute::RDONLY), Ok(None));
    }

    #[test]
    fn flags_that_are_not_named_are_cleared_but_times_stay() {
        let change = change(&["bind", "nosuid", "atime"], 0).unwrap().unwrap();
        assert_eq!(change, Attributes { set: attribute::NOSUID, clear: PLAIN & !attribute::NOSUID });
    }

    #[test]
    fn a_kind_of_atime_replaces_the_others() {
        assert_eq!(times(&["nodiratime".to_owned()]), Some(attribute::RELATIME | attribute::NODIRATIME));
        assert_eq!(times(&["noatime".to_owned(), "strictatime".to_owned()]), Some(attribute::STRICTATIME));
        assert_eq!(times(&["noatime".to_owned(), "atime".to_owned()]), None);
    }

    #[test]
    fn locked_flags_stay_or_are_refused_by_name() {
        assert_eq!(set(&["bind", "nodev"], attribute::RDONLY), attribute::NODEV | attribute::RDONLY);
        let refused = change(&["bind", "rw", "nodev"], attribute::RDONLY);
        assert_eq!(refused, Err(Locked("cannot clear locked flags ro".to_owned())));
        let times = change(&["bind", "strictatime"], attribute::NOATIME);
        assert_eq!(times, Err(Locked("cannot change locked atime flags".to_owned())));
        assert_eq!(set(&["bind", "relatime", "ro"], attribute::RELATIME), attribute::RDONLY);
    }
}

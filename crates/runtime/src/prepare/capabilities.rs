//! Names of capabilities, capabilities(7).

use super::{PrepareError, Result};
use crate::Capabilities;
use rustix::thread::CapabilitySet;
use std::sync::OnceLock;

/// The bit of a capability is its place in this list.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// `CAP_CHOWN` and all others by number.
#[must_use]
pub fn known_capabilities() -> Vec<String> {
    NAMES.iter().map(|name| format!("CAP_{name}")).collect()
}

/// The sets of a specification, as far as this engine can give them: what is unknown, or not its own, is left out (see
/// [`unknown`]). The ambient set is cut down to what is permitted and inheritable, as the kernel demands. What is inheritable
/// must be in the bounding set: the kernel would say so only when the container starts (cap_capset in security/commoncap.c).
pub(super) fn compile(named: &oci::runtime::Capabilities) -> Result<Capabilities> {
    let bound = own_bounding_set();
    let mask = |names: &[String]| names.iter().filter_map(|name| bit(name)).fold(0, |mask, bit| mask | bit) & bound;
    let (permitted, inheritable, bounding) = (mask(&named.permitted), mask(&named.inheritable), mask(&named.bounding));
    if inheritable & !bounding != 0 {
        return Err(PrepareError::Refused("unable to apply caps: operation not permitted".into()));
    }
    Ok(Capabilities {
        bounding,
        effective: mask(&named.effective) & permitted,
        inheritable,
        permitted,
        ambient: mask(&named.ambient) & permitted & inheritable,
    })
}

/// Names that [`compile`] leaves out, each once.
pub(super) fn unknown(named: &oci::runtime::Capabilities) -> Vec<String> {
    let bound = own_bounding_set();
    let sets = [&named.bounding, &named.effective, &named.inheritable, &named.permitted, &named.ambient];
    let strange = sets.into_iter().flatten().filter(|name| bit(name).is_none_or(|bit| bit & bound == 0));
    strange.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Ambient capabilities that the kernel refuses, since they are not both permitted and inheritable (capabilities(7)).
pub(super) fn unraisable(named: &oci::runtime::Capabilities) -> Vec<String> {
    let has = |set: &[String], name: &str| set.iter().any(|other| bit(other).is_some() && bit(other) == bit(name));
    let refused = |name: &&String| !has(&named.permitted, name) || !has(&named.inheritable, name);
    named.ambient.iter().filter(|name| bit(name).is_some()).filter(refused).cloned().collect()
}

fn bit(name: &str) -> Option<u64> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == short).map(|number| 1 << number)
}

/// What this process may give on; it does not change while an engine runs.
fn own_bounding_set() -> u64 {
    static SET: OnceLock<u64> = OnceLock::new();
    *SET.get_or_init(|| {
        let bits = (0..64).map(|number| 1_u64 << number);
        let has = |bit: &u64| rustix::thread::capability_is_in_bounding_set(CapabilitySet::from_bits_retain(*bit));
        bits.map_while(|bit| has(&bit).ok().map(|has| if has { bit } else { 0 })).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_numbers() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("sys_admin"), Some(CapabilitySet::SYS_ADMIN.bits()));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Some(CapabilitySet::CHECKPOINT_RESTORE.bits()));
        assert_eq!(bit("CAP_FLY"), None);
    }

    #[test]
    fn ambient_needs_inheritable() {
        let all = vec!["CAP_KILL".to_owned()];
        let named = oci::runtime::Capabilities { permitted: all.clone(), ambient: all, ..Default::default() };
        assert_eq!(compile(&named).unwrap().ambient, 0);
    }

    #[test]
    fn unknown_names_are_left_out_and_told() {
        let names = ["CAP_FLY", "CAP_KILL", "CAP_FLY"].map(str::to_owned).to_vec();
        let named = oci::runtime::Capabilities { bounding: names, ..Default::default() };
        assert_eq!(compile(&named).unwrap().bounding, CapabilitySet::KILL.bits());
        assert_eq!(unknown(&named), ["CAP_FLY"]);
    }

    #[test]
    fn what_is_inheritable_must_be_in_the_bounding_set() {
        let kill = vec!["CAP_KILL".to_owned()];
        let named = oci::runtime::Capabilities { inheritable: kill.clone(), ..Default::default() };
        assert!(matches!(compile(&named), Err(PrepareError::Refused(_))));
        assert!(compile(&oci::runtime::Capabilities { bounding: kill, ..named }).is_ok());
    }
}

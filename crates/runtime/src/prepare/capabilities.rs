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

/// The sets of a specification, as far as this engine can give them. The ambient set is cut down to what is permitted and
/// inheritable, as the kernel demands.
pub(super) fn compile(named: &oci::runtime::Capabilities) -> Result<Capabilities> {
    let bound = own_bounding_set();
    let mask =
        |names: &[String]| names.iter().try_fold(0, |mask, name| Ok(mask | bit(name)?)).map(|mask: u64| mask & bound);
    let (permitted, inheritable) = (mask(&named.permitted)?, mask(&named.inheritable)?);
    Ok(Capabilities {
        bounding: mask(&named.bounding)?,
        effective: mask(&named.effective)? & permitted,
        inheritable,
        permitted,
        ambient: mask(&named.ambient)? & permitted & inheritable,
    })
}

fn bit(name: &str) -> Result<u64> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let number = NAMES.iter().position(|known| *known == short);
    number.map(|number| 1 << number).ok_or_else(|| PrepareError::Invalid(format!("capability {name}")))
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
        assert_eq!(bit("CAP_CHOWN").unwrap(), 1);
        assert_eq!(bit("sys_admin").unwrap(), CapabilitySet::SYS_ADMIN.bits());
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE").unwrap(), CapabilitySet::CHECKPOINT_RESTORE.bits());
        assert!(bit("CAP_FLY").is_err());
    }

    #[test]
    fn ambient_needs_inheritable() {
        let all = vec!["CAP_KILL".to_owned()];
        let named = oci::runtime::Capabilities { permitted: all.clone(), ambient: all, ..Default::default() };
        assert_eq!(compile(&named).unwrap().ambient, 0);
    }
}

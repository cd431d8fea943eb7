//! Capabilities: Docker's default set, and `--cap-add` and `--cap-drop` on it.

use super::SpecError;
use crate::Config;

/// Names by number (linux/capability.h; the last, CHECKPOINT_RESTORE, is of kernel 5.9).
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Docker's 14: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw, sys_chroot,
/// mknod, audit_write, setfcap.
pub(super) const DEFAULT: u64 = 0b1111_1011 | 1 << 8 | 1 << 10 | 1 << 13 | 1 << 18 | 1 << 27 | 1 << 29 | 1 << 31;

const KNOWN: u64 = (1 << NAMES.len()) - 1;

/// The capabilities a configuration ends up with, bit n is number n. `bound` is what the engine can give.
///
/// As moby's `caps.TweakCapabilities`: privileged is all; an added `ALL` loses only what is dropped by name; a dropped `ALL`
/// leaves what is added; else what is added wins over what is dropped. Never one outside `bound`.
pub fn capabilities(config: &Config, bound: u64) -> Result<u64, SpecError> {
    let bound = bound & KNOWN;
    let add = Listed::parse(&config.cap_add, bound)
        .map_err(|text| SpecError::Capability(format!("invalid CapAdd: {text}")))?;
    let drop = Listed::parse(&config.cap_drop, bound)
        .map_err(|text| SpecError::Capability(format!("invalid CapDrop: {text}")))?;
    let wanted = if config.privileged {
        bound
    } else if add.all {
        bound & !drop.named
    } else if drop.all {
        add.named
    } else {
        (DEFAULT & !drop.named) | add.named
    };
    Ok(wanted & bound)
}

/// The names of a set, by number.
pub(super) fn names(set: u64) -> Vec<String> {
    NAMES.iter().enumerate().filter(|(number, _)| set >> number & 1 == 1).map(|(_, name)| (*name).to_owned()).collect()
}

struct Listed {
    all: bool,
    named: u64,
}

impl Listed {
    fn parse(texts: &[String], bound: u64) -> Result<Listed, String> {
        let mut listed = Listed { all: false, named: 0 };
        for text in texts {
            let mut name = text.to_ascii_uppercase();
            if name == "ALL" {
                listed.all = true;
                continue;
            }
            if !name.starts_with("CAP_") {
                name.insert_str(0, "CAP_");
            }
            let number =
                NAMES.iter().position(|known| *known == name).ok_or_else(|| format!("unknown capability: {name:?}"))?;
            if bound >> number & 1 == 0 {
                return Err(format!(
                    "capability not supported by your kernel or not available in the current environment: {name:?}"
                ));
            }
            listed.named |= 1 << number;
        }
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = KNOWN;

    fn tweak(add: &[&str], drop: &[&str]) -> Result<Vec<String>, String> {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let config = Config { cap_add: own(add), cap_drop: own(drop), ..Config::default() };
        capabilities(&config, ALL).map(names).map_err(|e| e.to_string())
    }

    #[test]
    fn the_default_set_is_dockers_fourteen() {
        let expected = [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_SETGID",
            "CAP_SETUID",
            "CAP_SETPCAP",
            "CAP_NET_BIND_SERVICE",
            "CAP_NET_RAW",
            "CAP_SYS_CHROOT",
            "CAP_MKNOD",
            "CAP_AUDIT_WRITE",
            "CAP_SETFCAP",
        ];
        assert_eq!(tweak(&[], &[]).unwrap(), expected);
    }

    #[test]
    fn adding_and_dropping_follow_dockers_order() {
        assert_eq!(tweak(&["net_admin"], &["ALL"]).unwrap(), ["CAP_NET_ADMIN"]);
        assert!(tweak(&[], &["all"]).unwrap().is_empty());
        assert_eq!(tweak(&["ALL"], &[]).unwrap().len(), NAMES.len());
        assert!(!tweak(&["ALL"], &["CAP_SYS_ADMIN"]).unwrap().contains(&"CAP_SYS_ADMIN".to_owned()));
        assert_eq!(tweak(&["ALL"], &["ALL"]).unwrap().len(), NAMES.len());
        assert!(tweak(&["CHOWN"], &["CHOWN"]).unwrap().contains(&"CAP_CHOWN".to_owned()), "added wins over dropped");
        assert!(!tweak(&[], &["cap_chown"]).unwrap().contains(&"CAP_CHOWN".to_owned()));
    }

    #[test]
    fn unknown_names_are_refused_in_dockers_words() {
        assert_eq!(tweak(&["x"], &[]).unwrap_err(), "invalid CapAdd: unknown capability: \"CAP_X\"");
        assert_eq!(tweak(&[], &["CAP_"]).unwrap_err(), "invalid CapDrop: unknown capability: \"CAP_\"");
    }

    #[test]
    fn nothing_outside_the_engines_own_set_is_ever_given() {
        let bound = ALL & !(1 << 21);
        let privileged = Config { privileged: true, ..Config::default() };
        assert_eq!(capabilities(&privileged, bound).unwrap(), bound);
        assert_eq!(capabilities(&privileged, u64::MAX).unwrap(), ALL);
        let add = Config { cap_add: vec!["SYS_ADMIN".to_owned()], ..Config::default() };
        let text = capabilities(&add, bound).unwrap_err().to_string();
        assert_eq!(
            text,
            "invalid CapAdd: capability not supported by your kernel or not available in the current environment: \"CAP_SYS_ADMIN\""
        );
        assert_eq!(capabilities(&Config::default(), 1).unwrap(), 1);
    }
}

//! Kernel parameters and resource limits.

use super::{SpecError, Surroundings};
use crate::{Config, Container, IpcMode, NetworkMode, Ulimit, UtsMode};
use oci::runtime::Rlimit;
use std::collections::BTreeMap;

/// Parameters that belong to an ipc namespace; those below `fs.mqueue.` do too (ipc_namespaces(7)).
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The limits of getrlimit(2), as `--ulimit` spells them.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Docker's two defaults of a new network namespace (ping and low ports for everybody), then the user's.
pub(super) fn sysctls(container: &Container, around: &Surroundings) -> Result<BTreeMap<String, String>, SpecError> {
    let config = &container.config;
    let mut all = BTreeMap::new();
    if matches!(config.network, NetworkMode::Bridge | NetworkMode::None | NetworkMode::User(_)) {
        all.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {}", last_group(container, around)));
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
    }
    for (key, value) in &config.sysctls {
        let key = dotted(key).ok_or_else(|| SpecError::Invalid(format!("invalid sysctl {key:?}")))?;
        check(&key, config)?;
        all.insert(key, value.clone());
    }
    Ok(all)
}

/// The kernel refuses a range of groups that are not mapped.
pub(super) fn last_group(container: &Container, around: &Surroundings) -> u32 {
    let last = |map: &oci::runtime::IdMapping| map.container_id.saturating_add(map.size.saturating_sub(1));
    let all = 0x7fff_ffff;
    let unmapped = if container.own_user_namespace { 0 } else { all };
    around.id_map.iter().map(last).max().unwrap_or(unmapped).min(all)
}

/// sysctl(8) takes `net.ipv4.conf.eth0/1.forwarding` and `net/ipv4/conf/eth0.1/forwarding`: the first separator tells which.
/// `None` for what could name another file than a parameter.
fn dotted(key: &str) -> Option<String> {
    let separator = key.find(['.', '/'])?;
    let swapped = |c: char| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let dotted = match key.as_bytes()[separator] {
        b'/' => key.chars().map(swapped).collect(),
        _ => key.to_owned(),
    };
    let is_word = |word: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '@');
        !word.is_empty()
            && word.chars().all(known)
            && !word.contains("//")
            && !word.starts_with('/')
            && !word.ends_with('/')
    };
    dotted.split('.').all(is_word).then_some(dotted)
}

/// Only parameters of a namespace that the container does not share with the host (texts as runc's).
fn check(key: &str, config: &Config) -> Result<(), SpecError> {
    let refused = |text: String| Err(SpecError::Invalid(text));
    if IPC.contains(&key) || key.starts_with("fs.mqueue.") {
        return match config.ipc {
            IpcMode::Host => refused(format!("sysctl {key:?} is not allowed in the hosts ipc namespace")),
            _ => Ok(()),
        };
    }
    if key.starts_with("net.") {
        return match config.network {
            NetworkMode::Host => refused(format!("sysctl {key:?} not allowed in host network namespace")),
            _ => Ok(()),
        };
    }
    match (key, config.uts) {
        ("kernel.domainname", UtsMode::Private) => Ok(()),
        ("kernel.hostname", UtsMode::Private) => {
            refused(format!("sysctl {key:?} is not allowed as it conflicts with the OCI \"hostname\" field"))
        }
        _ => refused(format!("sysctl {key:?} is not in a separate kernel namespace")),
    }
}

/// The user's limits; without any, the process keeps the engine's.
pub(super) fn rlimits(ulimits: &[Ulimit]) -> Result<Vec<Rlimit>, SpecError> {
    ulimits.iter().map(rlimit).collect()
}

fn rlimit(ulimit: &Ulimit) -> Result<Rlimit, SpecError> {
    let name = ulimit.name.to_ascii_lowercase();
    if !ULIMITS.contains(&name.as_str()) {
        return Err(SpecError::Invalid(format!("invalid ulimit type: {}", ulimit.name)));
    }
    let (Some(soft), Some(hard)) = (amount(ulimit.soft), amount(ulimit.hard)) else {
        return Err(SpecError::Invalid(format!("invalid ulimit {}={}:{}", ulimit.name, ulimit.soft, ulimit.hard)));
    };
    if soft > hard {
        return Err(SpecError::Invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {} > {}",
            ulimit.soft, ulimit.hard
        )));
    }
    Ok(Rlimit { kind: format!("RLIMIT_{}", name.to_ascii_uppercase()), soft, hard })
}

/// -1 is RLIM_INFINITY.
fn amount(value: i64) -> Option<u64> {
    if value == -1 { Some(u64::MAX) } else { u64::try_from(value).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(key: &str, config: &Config) -> Option<String> {
        let key = dotted(key).expect("a well-formed key");
        check(&key, config).err().map(|e| e.to_string())
    }

    #[test]
    fn parameters_of_the_host_are_refused() {
        let config = Config::default();
        assert_eq!(refusal("net.ipv4.ip_forward", &config), None);
        assert_eq!(refusal("kernel.shmmax", &config), None);
        assert_eq!(refusal("fs.mqueue.msg_max", &config), None);
        assert_eq!(refusal("kernel/domainname", &config), None);
        assert_eq!(
            refusal("kernel.core_pattern", &config).unwrap(),
            "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace"
        );
        assert!(refusal("kernel.hostname", &config).unwrap().contains("conflicts"));
        assert!(refusal("vm.overcommit_memory", &config).is_some());
    }

    #[test]
    fn a_shared_namespace_takes_its_parameters_with_it() {
        let config = Config { network: NetworkMode::Host, ipc: IpcMode::Host, uts: UtsMode::Host, ..Config::default() };
        assert_eq!(
            refusal("net.ipv4.ip_forward", &config).unwrap(),
            "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace"
        );
        assert!(refusal("kernel.sem", &config).is_some());
        assert!(refusal("kernel.domainname", &config).is_some());
    }

    #[test]
    fn keys_that_could_leave_their_folder_are_no_keys() {
        for key in [
            "",
            "net",
            "net..x",
            "net.ipv4/../x",
            "net/ipv4/../../kernel/core_pattern",
            "net.ipv4. x",
            "/net",
            "net.",
            "net.a\0b",
        ] {
            assert_eq!(dotted(key), None, "{key:?}");
        }
        assert_eq!(dotted("net/ipv4/conf/eth0.1/forwarding").as_deref(), Some("net.ipv4.conf.eth0/1.forwarding"));
        assert_eq!(dotted("net.ipv4.conf.eth0/1.forwarding").as_deref(), Some("net.ipv4.conf.eth0/1.forwarding"));
    }

    #[test]
    fn limits_are_checked_as_docker_does() {
        let limit =
            |name: &str, soft, hard| rlimit(&Ulimit { name: name.to_owned(), soft, hard }).map_err(|e| e.to_string());
        assert_eq!(
            limit("nofile", 1024, -1).unwrap(),
            Rlimit { kind: "RLIMIT_NOFILE".to_owned(), soft: 1024, hard: u64::MAX }
        );
        assert_eq!(limit("files", 1, 1).unwrap_err(), "invalid ulimit type: files");
        assert_eq!(
            limit("core", 2, 1).unwrap_err(),
            "ulimit soft limit must be less than or equal to hard limit: 2 > 1"
        );
        assert!(limit("core", -1, 5).is_err());
        assert!(limit("core", -2, -2).is_err());
    }
}

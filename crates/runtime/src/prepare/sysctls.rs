//! Kernel parameters: their spelling, and which of them belong to a container.

use super::{PrepareError, Result};
use oci::runtime::{Linux, NamespaceKind};
use std::os::unix::fs::MetadataExt;

/// Checks and spells keys: `net.ipv4.ip_forward` and `net/ipv4/ip_forward` are both in use (sysctl(8)).
pub(super) fn compile(linux: &Linux) -> Result<Vec<(String, String)>> {
    linux.sysctl.iter().map(|(key, value)| Ok((path(key)?, value.clone()))).collect()
}

/// Whichever of `.` and `/` comes first separates; the other stands for the first inside a name (`net.ipv4.conf.eth0/1.forwarding`).
fn path(key: &str) -> Result<String> {
    let path = match key.find(['.', '/']).map(|first| key.as_bytes()[first]) {
        Some(b'.') => exchanged(key),
        _ => key.to_owned(),
    };
    let plain = !path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if plain { Ok(path) } else { Err(PrepareError::Invalid(format!("sysctl {key}"))) }
}

fn exchanged(key: &str) -> String {
    let exchange = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    key.chars().map(exchange).collect()
}

/// Of the namespace of semaphores and message queues.
const OF_IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// Refuses parameters that are the host's: those of no namespace, or of one that the container shares with it.
pub(super) fn check(linux: &Linux) -> Result<()> {
    let refuse = |text: String| Err(PrepareError::Refused(text));
    let has = |kind| linux.namespace(kind).is_some();
    for key in linux.sysctl.keys() {
        let dotted = exchanged(&path(key)?);
        let in_kernel = dotted.strip_prefix("kernel.");
        if in_kernel.is_some_and(|name| OF_IPC.contains(&name)) || dotted.starts_with("fs.mqueue.") {
            if !has(NamespaceKind::Ipc) {
                return refuse(format!("sysctl {dotted:?} is not allowed in the hosts ipc namespace"));
            }
        } else if dotted.starts_with("net.") {
            if !has_own_network(linux)? {
                return refuse(format!("sysctl {dotted:?} not allowed in host network namespace"));
            }
        } else if in_kernel == Some("domainname") && has(NamespaceKind::Uts) {
        } else if in_kernel == Some("hostname") && has(NamespaceKind::Uts) {
            let why = "is not allowed as it conflicts with the OCI \"hostname\" field";
            return refuse(format!("sysctl {dotted:?} {why}"));
        } else if dotted.starts_with("user.") {
            if !has(NamespaceKind::User) {
                return refuse(format!("setting ucounts without a user namespace not allowed: {dotted}"));
            }
        } else {
            return refuse(format!("sysctl {dotted:?} is not in a separate kernel namespace"));
        }
    }
    Ok(())
}

/// A namespace by path may be the one of this process.
fn has_own_network(linux: &Linux) -> Result<bool> {
    let Some(network) = linux.namespace(NamespaceKind::Network) else { return Ok(false) };
    let Some(path) = network.existing() else { return Ok(true) };
    let of = |path: &str| std::fs::metadata(path).map(|look| (look.dev(), look.ino()));
    let own = of("/proc/self/ns/net").and_then(|ours| Ok(of(path)? != ours));
    own.map_err(|e| PrepareError::Refused(format!("invalid netns path: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::Namespace;

    fn linux(kinds: &[NamespaceKind], keys: &[&str]) -> Linux {
        let namespaces = kinds.iter().map(|kind| Namespace { kind: *kind, path: None }).collect();
        let sysctl = keys.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect();
        Linux { namespaces, sysctl, ..Linux::default() }
    }

    #[test]
    fn keys_are_read_in_both_spellings() {
        assert_eq!(path("net.ipv4.ip_forward").unwrap(), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding").unwrap(), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding").unwrap(), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("kernel").unwrap(), "kernel");
    }

    #[test]
    fn keys_that_climb_are_refused() {
        for key in ["", "/kernel/x", "net/../../x", "net..x", "./x", "net/./x", "net/ipv4/"] {
            assert!(path(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_parameter_needs_its_namespace() {
        use NamespaceKind::{Ipc, Network, User, Uts};
        let own = [
            (Ipc, "kernel.shmmax"),
            (Ipc, "fs/mqueue/msg_max"),
            (Network, "net/ipv4/ip_forward"),
            (Uts, "kernel.domainname"),
            (User, "user.max_net_namespaces"),
        ];
        for (kind, key) in own {
            assert!(check(&linux(&[kind], &[key])).is_ok(), "{key}");
            assert!(check(&linux(&[NamespaceKind::Mount], &[key])).is_err(), "{key}");
        }
        for key in ["kernel.hostname", "kernel.panic", "vm.swappiness"] {
            assert!(check(&linux(&[Ipc, Network, User, Uts], &[key])).is_err(), "{key}");
        }
    }

    #[test]
    fn the_network_of_this_process_is_the_hosts() {
        let mut linux = linux(&[NamespaceKind::Network], &["net.ipv4.ip_forward"]);
        linux.namespaces[0].path = Some("/proc/self/ns/net".into());
        let error = check(&linux).unwrap_err().to_string();
        assert_eq!(error, "sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace");
    }
}

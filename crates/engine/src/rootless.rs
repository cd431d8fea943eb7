//! What is different in an engine of an ordinary user: ports of the host come through its host side, and some settings are
//! not for it to raise.

use crate::{Error, Result};
use network::{OuterPort, Protocol};
use oci::runtime::Process;
use rootless::{Doors, Forward};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Publishes ports on the host, and carries what comes there to containers.
#[derive(Debug)]
pub(crate) struct HostPorts {
    doors: Arc<Doors>,
    runtime: Handle,
}

impl HostPorts {
    pub(crate) fn new(doors: Arc<Doors>, runtime: Handle) -> HostPorts {
        HostPorts { doors, runtime }
    }

    fn lead(&self, protocol: rootless::Protocol, at: SocketAddrV4, to: SocketAddrV4) -> io::Result<OuterPort> {
        let socket = self.doors.bind(protocol, at)?;
        let port = port_of(&socket)?;
        let forward = match protocol {
            rootless::Protocol::Tcp => Forward::tcp(&self.runtime, socket, to)?,
            rootless::Protocol::Udp => Forward::udp(&self.runtime, socket, to)?,
        };
        Ok(OuterPort { port, holder: Box::new(forward) })
    }
}

impl network::Outer for HostPorts {
    fn open(
        &self,
        protocol: Protocol,
        at: SocketAddrV4,
        to: SocketAddrV4,
    ) -> std::result::Result<Option<OuterPort>, network::Error> {
        let carried = match protocol {
            Protocol::Tcp => rootless::Protocol::Tcp,
            Protocol::Udp => rootless::Protocol::Udp,
            Protocol::Sctp => {
                return Err(network::Error::Invalid(format!(
                    "port {}/sctp: an engine without root publishes tcp and udp only",
                    at.port()
                )));
            }
        };
        match self.lead(carried, at, to) {
            Ok(port) => Ok(Some(port)),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                Err(network::Error::Invalid(privileged(at.port())))
            }
            Err(source) => Err(network::Error::Netlink { action: format!("bind {at}/{protocol} on the host"), source }),
        }
    }
}

fn privileged(port: u16) -> String {
    format!(
        "port {port} may only be published by root: choose one from 1024 on, or let everybody have it with `sysctl -w net.ipv4.ip_unprivileged_port_start={port}`"
    )
}

fn port_of(socket: &impl AsFd) -> io::Result<u16> {
    let copy = TcpListener::from(socket.as_fd().try_clone_to_owned()?);
    match copy.local_addr()? {
        SocketAddr::V4(address) => Ok(address.port()),
        SocketAddr::V6(address) => Ok(address.port()),
    }
}

/// Brings `lo` of the engine's own network namespace up.
pub(crate) fn loopback_up() -> Result<()> {
    let own = std::fs::File::open("/proc/self/ns/net");
    let own = own.map_err(|source| Error::Io { action: "open the network namespace".into(), source })?;
    Ok(network::loopback_up(own.as_fd())?)
}

/// The kernel takes no folder for a layer that hides mounts of another user namespace (clone_private_mount, Linux 5.14).
pub(crate) fn check_lowers(lowers: &[layer::Lower]) -> Result<()> {
    if lowers.iter().any(|lower| matches!(lower, layer::Lower::Folder(_))) {
        return Err(Error::Unsupported("the host image needs an engine of root: a user's may not take / apart".into()));
    }
    Ok(())
}

/// Refuses an id that the engine does not have, and leaves out what only root may have: a score below the present one, limits
/// above the present ones; groups where there is but one id, for then setgroups(2) is denied.
pub(crate) fn lower(process: &mut Process, ids: u32) -> Result<()> {
    let (uid, gid) = (process.user.uid, process.user.gid);
    let ids = ids.min(crate::settings::ID_COUNT);
    if uid.max(gid) >= ids {
        return Err(Error::Invalid(format!(
            "cannot be user {uid}:{gid}: this engine has the ids 0 to {} (/etc/subuid and /etc/subgid grant them)",
            ids.saturating_sub(1)
        )));
    }
    if ids == 1 {
        process.user.additional_gids.clear();
    }
    let score = std::fs::read_to_string("/proc/self/oom_score_adj").ok();
    let least = score.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    process.oom_score_adj = process.oom_score_adj.map(|score| score.max(least));
    for limit in &mut process.rlimits {
        let Some(most) = most(&limit.kind) else { continue };
        limit.hard = limit.hard.min(most);
        limit.soft = limit.soft.min(most);
    }
    Ok(())
}

/// This process's own hard limit (getrlimit(2)); `None` without one.
fn most(kind: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/limits").ok()?;
    let name = PROC_NAMES.iter().find(|(limit, _)| *limit == kind)?.1;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// As /proc/PID/limits calls them (proc_pid_limits(5)).
const PROC_NAMES: [(&str, &str); 16] = [
    ("RLIMIT_CPU", "Max cpu time"),
    ("RLIMIT_FSIZE", "Max file size"),
    ("RLIMIT_DATA", "Max data size"),
    ("RLIMIT_STACK", "Max stack size"),
    ("RLIMIT_CORE", "Max core file size"),
    ("RLIMIT_RSS", "Max resident set"),
    ("RLIMIT_NPROC", "Max processes"),
    ("RLIMIT_NOFILE", "Max open files"),
    ("RLIMIT_MEMLOCK", "Max locked memory"),
    ("RLIMIT_AS", "Max address space"),
    ("RLIMIT_LOCKS", "Max file locks"),
    ("RLIMIT_SIGPENDING", "Max pending signals"),
    ("RLIMIT_MSGQUEUE", "Max msgqueue size"),
    ("RLIMIT_NICE", "Max nice priority"),
    ("RLIMIT_RTPRIO", "Max realtime priority"),
    ("RLIMIT_RTTIME", "Max realtime timeout"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_for_that_only_root_may_have() {
        let own = most("RLIMIT_NOFILE").expect("a limit");
        let limit = |hard| oci::runtime::Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 8, hard };
        let mut process =
            Process { oom_score_adj: Some(-1000), rlimits: vec![limit(u64::MAX), limit(9)], ..Process::default() };
        process.user.additional_gids = vec![10];
        lower(&mut process, 65_537).expect("known ids");
        assert_eq!(process.user.additional_gids, [10]);
        lower(&mut process, 1).expect("known ids");
        assert!(process.user.additional_gids.is_empty());
        process.user.gid = 1;
        assert!(lower(&mut process, 1).is_err());
        assert!(process.oom_score_adj.is_some_and(|score| score > -1000));
        assert_eq!(process.rlimits, [limit(own), limit(9)]);
    }
}

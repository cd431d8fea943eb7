//! Settings below /proc/sys/net of the calling thread's network namespace.

use crate::Error;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};

/// Settings of a container's namespace before its link is made: ports below 1024 and `ping` for everybody, as Docker
/// has it since 20.10; no IPv6 on links to come (CVE-2020-13401: router advertisements) but on `lo`.
pub(crate) fn prepare_container() -> Result<(), Error> {
    set("ipv4/ip_unprivileged_port_start", "0")?;
    set("ipv4/ping_group_range", "0 2147483647")?;
    set_if_there("ipv6/conf/default/disable_ipv6", "1")?;
    set_if_there("ipv6/conf/default/accept_ra", "0")
}

/// Settings of the host: forwarding on; the bridge takes replies to connections from 127.0.0.1, and no IPv6.
///
/// Forwarding stays on at the end: others may have come to rely on it.
pub(crate) fn prepare_host(bridge: &str) -> Result<(), Error> {
    if read("ipv4/ip_forward").is_none_or(|v| v != "1") {
        set("ipv4/ip_forward", "1")?;
        tracing::info!("net.ipv4.ip_forward is now 1: this host forwards packets between its networks");
    }
    set(&format!("ipv4/conf/{bridge}/route_localnet"), "1")?;
    set_if_there(&format!("ipv6/conf/{bridge}/accept_ra"), "0")?;
    set_if_there(&format!("ipv6/conf/{bridge}/disable_ipv6"), "1")
}

/// The ports the kernel picks from for port 0.
pub(crate) fn ephemeral_ports() -> (u16, u16) {
    let text = read("ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|n| n.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) if low <= high && low > 0 => (low, high),
        _ => (32_768, 60_999),
    }
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/net/{name}")).ok().map(|text| text.trim().to_owned())
}

fn set(name: &str, value: &str) -> Result<(), Error> {
    // Without O_CREAT and O_TRUNC, which fs::write has: they cost as much as the write.
    let written = OpenOptions::new().write(true).open(format!("/proc/sys/net/{name}"));
    written
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|e| Error::io(format!("set net.{} to {value}", name.replace('/', ".")), e))
}

/// IPv6 may be missing as a whole.
fn set_if_there(name: &str, value: &str) -> Result<(), Error> {
    match set(name, value) {
        Err(Error::Netlink { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

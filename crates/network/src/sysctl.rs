//! Settings below /proc/sys/net of the calling thread's network namespace.

use crate::Error;
use crate::bridge::Whose;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

/// Settings of a container's namespace before its link is made: ports below 1024 and `ping` for everybody, as Docker
/// has it since 20.10; no IPv6 on links to come (CVE-2020-13401: router advertisements) but on `lo`.
pub(crate) fn prepare_container() -> Result<(), Error> {
    set("ipv4/ip_unprivileged_port_start", "0")?;
    set("ipv4/ping_group_range", &format!("0 {}", last_group()))?;
    set_if_there("ipv6/conf/default/disable_ipv6", "1")?;
    set_if_there("ipv6/conf/default/accept_ra", "0")
}

/// The last group that the kernel takes there: all up to it must be mapped in the caller's user namespace.
fn last_group() -> u32 {
    static FOUND: OnceLock<u32> = OnceLock::new();
    *FOUND.get_or_init(|| last_mapped(&fs::read_to_string("/proc/self/gid_map").unwrap_or_default()))
}

/// The end of the ids that are mapped without a gap from 0 on, by the lines of a map (user_namespaces(7)).
fn last_mapped(map: &str) -> u32 {
    const MOST: u32 = i32::MAX.cast_unsigned();
    let mut ranges: Vec<(u32, u32)> = map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
        })
        .collect();
    ranges.sort_unstable();
    let end =
        ranges.iter().fold(0_u32, |end, (first, count)| if *first == end { end.saturating_add(*count) } else { end });
    if end == 0 { MOST } else { (end - 1).min(MOST) }
}

/// Settings of the host: forwarding on; the bridge takes replies to connections from 127.0.0.1, and IPv6 only when it has a subnet of it.
///
/// Forwarding stays on at the end: others may have come to rely on it.
pub(crate) fn prepare_host(bridge: &str, whose: Whose, ipv6: bool) -> Result<(), Error> {
    if read("ipv4/ip_forward").is_none_or(|v| v != "1") {
        set("ipv4/ip_forward", "1")?;
        tracing::info!("net.ipv4.ip_forward is now 1: this host forwards packets between its networks");
    }
    set(&format!("ipv4/conf/{bridge}/route_localnet"), "1")?;
    if whose == Whose::Engine {
        set_if_there(&format!("ipv6/conf/{bridge}/accept_ra"), "0")?;
    }
    if !ipv6 && whose == Whose::Host {
        return Ok(());
    }
    if !ipv6 {
        return set_if_there(&format!("ipv6/conf/{bridge}/disable_ipv6"), "1");
    }
    set(&format!("ipv6/conf/{bridge}/disable_ipv6"), "0")?;
    if read("ipv6/conf/all/forwarding").is_none_or(|v| v != "1") {
        // What accepts router advertisements as a host would stop doing so as a router (2 is: nevertheless).
        for link in accepting_links() {
            set_if_there(&format!("ipv6/conf/{link}/accept_ra"), "2")?;
        }
        set("ipv6/conf/all/forwarding", "1")?;
        tracing::info!("net.ipv6.conf.all.forwarding is now 1: this host forwards packets between its networks");
    }
    Ok(())
}

/// Settings of a further bridge of a network: it is a wire, and answers for no address, as the host would on each of its links.
pub(crate) fn prepare_shard(bridge: &str) -> Result<(), Error> {
    set(&format!("ipv4/conf/{bridge}/arp_ignore"), "8")?;
    set_if_there(&format!("ipv6/conf/{bridge}/disable_ipv6"), "1")
}

/// Lets the tables of neighbours grow to so many entries, of all network namespaces together. Only the machine's first one has the
/// settings; that they cannot be changed is told, not fatal.
pub(crate) fn make_room_for_neighbours(entries: usize) {
    for family in ["ipv4", "ipv6"] {
        let name = |number: u8| format!("{family}/neigh/default/gc_thresh{number}");
        let most: Option<usize> = read(&name(3)).and_then(|text| text.parse().ok());
        if most.is_none_or(|most| most >= entries) {
            continue;
        }
        let raised = [(3, entries), (2, entries / 2)]
            .into_iter()
            .try_for_each(|(number, value)| set(&name(number), &value.to_string()));
        match raised {
            Ok(()) => tracing::info!(
                "net.{family}.neigh.default.gc_thresh3 is now {entries}: many containers have an address each"
            ),
            Err(e) => {
                tracing::warn!("there may be more containers than the kernel knows neighbours: {}", base::chain(&e))
            }
        }
    }
}

/// Settings of the pair of links that packets are sent round by ([`crate::gate`]): what comes back by it may be from anywhere (2: return
/// paths by any link will do), and it has an IPv6 address at once, so that it has a route.
pub(crate) fn prepare_gate(into: &str, out: &str) -> Result<(), Error> {
    set(&format!("ipv4/conf/{out}/rp_filter"), "2")?;
    for link in [into, out] {
        for (setting, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
            set_if_there(&format!("ipv6/conf/{link}/{setting}"), value)?;
        }
    }
    Ok(())
}

/// Links that take addresses and routes from router advertisements.
fn accepting_links() -> Vec<String> {
    let links = fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten();
    let names = links.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| !matches!(name.as_str(), "all" | "default" | "lo"))
        .filter(|name| read(&format!("ipv6/conf/{name}/accept_ra")).is_some_and(|v| v == "1"))
        .collect()
}

/// Lets a link of a container have IPv6 addresses.
pub(crate) fn allow_ipv6(link: &str) -> Result<(), Error> {
    set(&format!("ipv6/conf/{link}/disable_ipv6"), "0")
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

/// Whether this host speaks IPv6.
pub(crate) fn has_ipv6() -> bool {
    read("ipv6/conf/all/disable_ipv6").is_some_and(|v| v != "1")
}

pub(crate) fn set(name: &str, value: &str) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_let_in_as_far_as_they_are_mapped() {
        assert_eq!(last_mapped("         0          0 4294967295\n"), 2_147_483_647);
        assert_eq!(last_mapped("1 100000 65536\n0 1000 1\n"), 65_536);
        assert_eq!(last_mapped("0 1000 1\n5 100000 65536\n"), 0);
    }
}

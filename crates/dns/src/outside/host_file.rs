//! The name servers of the host's resolv.conf(5), as the file says at the time.

use super::lock;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How often the file is looked at, at most.
const PERIOD: Duration = Duration::from_secs(1);
/// Servers that are used of those the file has.
const MOST: usize = 8;
/// Asked when the file names none, as Docker does.
const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(8, 8, 4, 4)];

/// Follows a resolv.conf. Looked at when somebody asks, so that a quiet engine does nothing.
#[derive(Debug)]
pub(crate) struct HostFile {
    path: PathBuf,
    port: u16,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    looked: Option<Instant>,
    stamp: Option<Stamp>,
    servers: Vec<SocketAddr>,
}

/// What changes when a file is written or replaced: device, inode, size, and its time of change with nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl HostFile {
    pub(crate) fn new(path: PathBuf, port: u16) -> HostFile {
        let known = Known { looked: None, stamp: None, servers: Vec::new() };
        HostFile { path, port, known: Mutex::new(known) }
    }

    pub(super) fn servers(&self) -> Vec<SocketAddr> {
        self.has_changed();
        lock(&self.known).servers.clone()
    }

    /// Looks at the file if that was not done lately; whether its servers are others than before.
    pub(super) fn has_changed(&self) -> bool {
        let mut known = lock(&self.known);
        let now = Instant::now();
        if known.looked.is_some_and(|looked| now.saturating_duration_since(looked) < PERIOD) {
            return false;
        }
        let is_first = known.looked.replace(now).is_none();
        let stamp = stamp(&self.path);
        if stamp == known.stamp && !is_first {
            return false;
        }
        known.stamp = stamp;
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let servers = parse(&text, self.port);
        let changed = servers != known.servers;
        known.servers = servers;
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

fn parse(text: &str, port: u16) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    let words =
        lines.filter(|rest| rest.starts_with(char::is_whitespace)).filter_map(|rest| rest.split_whitespace().next());
    let servers: Vec<SocketAddr> = words.filter_map(|word| address(word, port)).take(MOST).collect();
    if servers.is_empty() { PUBLIC.map(|address| SocketAddr::new(address.into(), port)).to_vec() } else { servers }
}

/// An address, for a link-local one with its link as `fe80::1%eth0`.
fn address(word: &str, port: u16) -> Option<SocketAddr> {
    let Some((address, link)) = word.split_once('%') else {
        return Some(SocketAddr::new(word.parse::<IpAddr>().ok()?, port));
    };
    let index = link.parse().ok().or_else(|| link_index(link))?;
    Some(SocketAddrV6::new(address.parse().ok()?, port, 0, index).into())
}

fn link_index(link: &str) -> Option<u32> {
    // A link's name is one component of a path, or nothing that /sys has.
    let plain = !link.contains('/') && link != "." && link != "..";
    std::fs::read_to_string(format!("/sys/class/net/{link}/ifindex")).ok().filter(|_| plain)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        parse(text, 53).iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn servers_are_taken_in_order_and_other_lines_are_not_theirs() {
        let text = "# nameserver 1.1.1.1\nsearch example.org\nnameserver 10.0.0.1\nnameserver\t::1 # local\n\
                    nameservers 10.0.0.9\nnameserver nonsense\nnameserver fe80::1%7\n";
        assert_eq!(texts(text), ["10.0.0.1:53", "[::1]:53", "[fe80::1%7]:53"]);
    }

    #[test]
    fn a_file_without_servers_means_the_public_ones() {
        assert_eq!(texts("search example.org\n"), ["8.8.8.8:53", "8.8.4.4:53"]);
    }

    #[test]
    fn a_file_that_is_replaced_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        std::fs::write(&path, "nameserver 10.0.0.1\n").unwrap();
        let file = HostFile::new(path.clone(), 53);
        assert!(file.has_changed());
        assert!(!file.has_changed());
        std::fs::write(folder.path().join("new"), "nameserver 10.0.0.2\n").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
        lock(&file.known).looked = Instant::now().checked_sub(PERIOD);
        assert!(file.has_changed());
        assert_eq!(file.servers(), ["10.0.0.2:53".parse().unwrap()]);
    }
}

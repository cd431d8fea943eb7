//! What an engine is started with.

use crate::Registries;
use oci::runtime::IdMapping;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What an engine is started with. Doors build it from flags and the configuration file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Images, layers, containers, volumes: survives a boot.
    pub data_root: PathBuf,
    /// Sockets and live run state: gone after a boot.
    pub exec_root: PathBuf,
    /// The bridge's gateway and subnet; `None` picks a free one.
    pub bip: Option<ipnet::Ipv4Net>,
    /// The bridge's name; `None`: `dhow0` for the default data root, else `dhow-` and 6 digits of the root's hash.
    pub bridge: Option<String>,
    /// Bytes; 0 is 1500.
    pub mtu: u32,
    /// The dhow binary itself.
    pub binary: PathBuf,
    /// Files that the `host` image must not show, besides both roots: configuration, keys.
    pub hidden: Vec<PathBuf>,
    /// The first host id of the 65,536 that containers' ids are mapped to.
    pub id_base: u32,
    /// Set in an engine of an ordinary user; `id_base` is 0 then.
    pub rootless: Option<Arc<rootless::Inside>>,
    /// How a failure is told to users: a container whose start failed keeps these words.
    pub words: fn(&crate::Error) -> String,
    /// Who makes containers' groups. Those of systemd are not made ahead: each start waits for it to start a unit.
    pub cgroup_driver: cgroup::Driver,
    /// `native.cgroupdriver` and the like.
    pub exec_options: BTreeMap<String, String>,
    /// Further names of runtimes that containers may ask for, and their programs.
    pub runtimes: BTreeMap<String, String>,
    /// Where subnets are taken from that nobody asked for.
    pub address_pools: network::Pools,
    /// Options of every new network, by driver.
    pub network_options: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether containers of the default bridge do not reach each other.
    pub is_isolated: bool,
    /// Who decides who reaches published ports.
    pub publish_firewall: network::Firewall,
    /// Where devices are described; empty: the usual folders.
    pub cdi_folders: Vec<PathBuf>,
    /// Sandboxes (namespaces, address, cgroup) made ahead for each kind of network.
    pub pool: usize,
    /// Words for `info`: `key=value`.
    pub labels: Vec<String>,
    /// How registries are reached at first.
    pub registries: Registries,
    /// Bytes that images may take up; those not used for longest go first.
    pub disk_budget: Option<u64>,
}

/// The data root of an engine that was told nothing; its names on the host are the plain ones.
const DEFAULT_ROOT: &str = "/var/lib/dhow";

impl Settings {
    /// The maps of containers' user namespaces.
    pub(crate) fn ids(&self) -> Ids {
        match &self.rootless {
            None => {
                let all = vec![IdMapping { container_id: 0, host_id: self.id_base, size: ID_COUNT }];
                Ids { uids: all.clone(), gids: all }
            }
            Some(_) => {
                let own = |kind| std::fs::read_to_string(format!("/proc/self/{kind}_map")).unwrap_or_default();
                Ids { uids: unchanged(&own("uid")), gids: unchanged(&own("gid")) }
            }
        }
    }

    /// Whether the ids of containers are others outside of them: then their files are seen through id-mapped mounts. A user
    /// cannot make those; his containers have the ids of his namespace.
    pub(crate) fn shifts_ids(&self) -> bool {
        self.id_base != 0
    }

    /// The bridge's name: unlike that of any engine on other roots.
    pub(crate) fn bridge_name(&self, root: &Path) -> String {
        self.bridge.clone().unwrap_or_else(|| match suffix(root) {
            None => "dhow0".to_owned(),
            Some(digits) => format!("dhow-{digits}"),
        })
    }

    /// The parent of its containers' cgroups.
    pub(crate) fn group_name(&self, root: &Path) -> String {
        match suffix(root) {
            None => "dhow".to_owned(),
            Some(digits) => format!("dhow-{digits}"),
        }
    }

    pub(crate) fn bridge_options(&self, root: &Path) -> network::Options {
        let bridge = self.bridge_name(root);
        let (pools, together) = (self.address_pools.clone(), !self.is_isolated);
        network::Options { table: bridge.clone(), bridge, subnet: self.bip, pools, mtu: self.mtu, together }
    }
}

/// Ids that a user namespace of a container has at most.
pub(crate) const ID_COUNT: u32 = 65_536;

/// The maps of containers' user namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uids: Vec<IdMapping>,
    pub(crate) gids: Vec<IdMapping>,
}

/// The ids of the engine's own namespace, by the lines of its map. No line of a map may span two of the map above
/// (user_namespaces(7)).
fn unchanged(map: &str) -> Vec<IdMapping> {
    let ranges = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.nth(1)?.ok()?))
    });
    let within = ranges.filter(|(first, _)| *first < ID_COUNT);
    within.map(|(id, size)| IdMapping { container_id: id, host_id: id, size: size.min(ID_COUNT - id) }).collect()
}

/// Six digits of the root's FNV-1a hash; none for the default root.
fn suffix(root: &Path) -> Option<String> {
    if root == Path::new(DEFAULT_ROOT) {
        return None;
    }
    let hash = root
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    Some(format!("{:06x}", hash & 0xff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_user_are_mapped_as_they_are_and_line_by_line() {
        let map = |id, size| IdMapping { container_id: id, host_id: id, size };
        assert_eq!(unchanged("0 1000 1\n1 100000 65536\n65537 300000 9\n"), [map(0, 1), map(1, 65_535)]);
        assert_eq!(unchanged("0 1000 1\n"), [map(0, 1)]);
    }

    #[test]
    fn engines_on_different_roots_have_different_names() {
        assert_eq!(suffix(Path::new(DEFAULT_ROOT)), None);
        assert_ne!(suffix(Path::new("/tmp/a")), suffix(Path::new("/tmp/b")));
    }
}

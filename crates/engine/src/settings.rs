//! What an engine is started with.

use crate::Registries;
use std::path::{Path, PathBuf};

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
        network::Options { table: bridge.clone(), bridge, subnet: self.bip, mtu: self.mtu }
    }
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
    fn engines_on_different_roots_have_different_names() {
        assert_eq!(suffix(Path::new(DEFAULT_ROOT)), None);
        assert_ne!(suffix(Path::new("/tmp/a")), suffix(Path::new("/tmp/b")));
    }
}

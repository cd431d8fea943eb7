//! What an engine is started with.

use std::path::PathBuf;

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
}

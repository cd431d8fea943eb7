//! What is kept of a network, and where: `networks/ID.json` below the data root.

use crate::Error;
use base::Id;
use base::atomic::{Durability, write};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The layout of the files this code writes.
const VERSION: u32 = 1;

/// A network as its maker wants it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// 64 hex digits.
    pub id: String,
    pub name: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// `bridge`, `macvlan`, `host`, `null`.
    pub driver: String,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    pub ipv6: bool,
    pub ipam: Ipam,
}

/// How addresses of a network are managed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ipam {
    pub driver: String,
    /// As they were given: none is not the same as an empty list to who compares.
    pub options: Option<BTreeMap<String, String>>,
    pub config: Vec<Subnet>,
}

/// A subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub subnet: IpNet,
    /// Where addresses are given out from.
    pub range: Option<IpNet>,
    pub gateway: Option<IpAddr>,
    /// Addresses that others on it have, by name.
    #[serde(default)]
    pub reserved: BTreeMap<String, IpAddr>,
    /// Whether it was asked for, and not chosen: only then may containers ask for addresses.
    #[serde(default)]
    pub asked: bool,
}

#[derive(Serialize, Deserialize)]
struct File<T> {
    version: u32,
    network: T,
}

/// The records of an engine's networks.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The folder is made when it is missing.
    pub fn open(folder: PathBuf) -> Result<Store, Error> {
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(format!("make {}", folder.display()), e))?;
        Ok(Store { folder })
    }

    /// Keeps a network.
    pub fn save(&self, network: &Network) -> Result<(), Error> {
        let path = self.path(&network.id);
        let failed = |e: std::io::Error| Error::io(format!("write {}", path.display()), e);
        let bytes = serde_json::to_vec(&File { version: VERSION, network }).map_err(|e| failed(e.into()))?;
        write(&path, &bytes, 0o600, Durability::PowerCut).map_err(failed)
    }

    /// Forgets a network; one that is not there is none.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let path = self.path(id);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }

    /// All networks, the oldest first. One that cannot be read is told and left where it is.
    pub fn all(&self) -> Result<Vec<Network>, Error> {
        let failed = |e: std::io::Error| Error::io(format!("read {}", self.folder.display()), e);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if stem.parse::<Id>().is_err() || path.extension().is_none_or(|ext| ext != "json") {
                continue;
            }
            match read(&path, stem) {
                Ok(network) => all.push(network),
                Err(e) => tracing::warn!("the network {} is left out: {e}", path.display()),
            }
        }
        all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(all)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn read(path: &Path, id: &str) -> std::io::Result<Network> {
    let file: File<Network> = serde_json::from_slice(&std::fs::read(path)?)?;
    if file.version > VERSION || file.network.id != id {
        let words = format!("it is the record of {:?}, version {}", file.network.id, file.version);
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, words));
    }
    Ok(file.network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_as_it_was_kept_and_strange_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("networks")).unwrap();
        let subnet = Subnet {
            subnet: "10.1.0.0/24".parse().unwrap(),
            range: Some("10.1.0.128/25".parse().unwrap()),
            gateway: Some("10.1.0.1".parse().unwrap()),
            reserved: BTreeMap::from([("router".to_owned(), "10.1.0.9".parse().unwrap())]),
            asked: true,
        };
        let ipam = Ipam { driver: "default".to_owned(), config: vec![subnet], ..Ipam::default() };
        let id = Id::random().to_string();
        let network = Network { id: id.clone(), name: "front".to_owned(), ipam, ..Network::default() };
        store.save(&network).unwrap();
        std::fs::write(folder.path().join("networks/notes.txt"), "x").unwrap();
        std::fs::write(folder.path().join("networks").join(format!("{}.json", Id::random())), "{").unwrap();
        assert_eq!(store.all().unwrap(), [network]);
        store.remove(&id).unwrap();
        store.remove(&id).unwrap();
        assert_eq!(store.all().unwrap(), []);
    }
}

//! `volume.json`: what is kept of a volume besides its files.

use crate::Volume;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The layout of the record this code writes.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    name: String,
    created_at: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(default)]
    anonymous: bool,
}

impl Record {
    /// A volume made now.
    pub(crate) fn new(
        name: &str,
        labels: BTreeMap<String, String>,
        options: BTreeMap<String, String>,
        anonymous: bool,
    ) -> Record {
        let created_at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Record { version: VERSION, name: name.to_owned(), created_at, labels, options, anonymous }
    }

    /// The record of a volume under another name: who renames one wants to keep it.
    pub(crate) fn of(volume: &Volume, name: &str) -> Record {
        let Volume { created_at, labels, options, .. } = volume.clone();
        let labels = labels.into_iter().filter(|(key, _)| key != crate::ANONYMOUS).collect();
        Record { version: VERSION, name: name.to_owned(), created_at, labels, options, anonymous: false }
    }

    /// Reads the record of the volume `name`. One of a later version is refused rather than misread.
    pub(crate) fn read(path: &Path, name: &str) -> io::Result<Record> {
        let record: Record = serde_json::from_slice(&std::fs::read(path)?)?;
        if record.version > VERSION || record.name != name {
            let words = format!("it is the record of {:?}, version {}", record.name, record.version);
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(record)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        self.anonymous
    }

    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    pub(crate) fn volume(self, mountpoint: std::path::PathBuf) -> Volume {
        let Record { name, created_at, mut labels, options, anonymous, .. } = self;
        if anonymous {
            labels.entry(crate::ANONYMOUS.to_owned()).or_default();
        }
        Volume { name, created_at, labels, options, anonymous, mountpoint }
    }
}

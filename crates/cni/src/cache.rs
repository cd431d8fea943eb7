//! What was attached with which configuration, and what came of it: a file for each attachment.

use crate::list::List;
use crate::{Attachment, Error};
use base::atomic::{Durability, write};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::PathBuf;

/// The layout of the files this code writes.
const VERSION: u32 = 1;

/// The attachments of one network.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// An attachment as it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Cached {
    pub attachment: Attachment,
    pub list: List,
    /// As the last plugin said it; `None` when none had yet.
    pub result: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    attachment: Attachment,
    list: Value,
    result: Option<Value>,
}

impl Cache {
    /// The folder is made when it is missing.
    pub fn open(folder: PathBuf) -> Result<Cache, Error> {
        fs::create_dir_all(&folder).map_err(|source| Error::Io { action: "make", path: folder.clone(), source })?;
        Ok(Cache { folder })
    }

    pub(crate) fn put(&self, cached: &Cached) -> Result<(), Error> {
        let path = self.path(&cached.attachment);
        let file = File {
            version: VERSION,
            attachment: cached.attachment.clone(),
            list: cached.list.to_value(),
            result: cached.result.clone(),
        };
        let bytes = serde_json::to_vec(&file).map_err(io::Error::from);
        let done = bytes.and_then(|bytes| write(&path, &bytes, 0o600, Durability::PowerCut));
        done.map_err(|source| Error::Io { action: "write", path, source })
    }

    /// What is kept of an attachment.
    pub fn get(&self, container: &str, link: &str) -> Result<Option<Cached>, Error> {
        let path = self.folder.join(format!("{container}-{link}.json"));
        match fs::read(&path) {
            Ok(bytes) => read(&bytes).map(Some).map_err(|why| Error::Configuration { path, why }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "read", path, source }),
        }
    }

    /// Everything that is kept; what cannot be read is told and left out.
    pub fn all(&self) -> Vec<Cached> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|ext| ext != "json") {
                continue;
            }
            match fs::read(&path).map_err(|e| e.to_string()).and_then(|bytes| read(&bytes)) {
                Ok(cached) => all.push(cached),
                Err(why) => tracing::warn!("the attachment {} is left out: {why}", path.display()),
            }
        }
        all
    }

    pub(crate) fn forget(&self, attachment: &Attachment) -> Result<(), Error> {
        let path = self.path(attachment);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::Io { action: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    fn path(&self, attachment: &Attachment) -> PathBuf {
        self.folder.join(format!("{}-{}.json", attachment.container, attachment.link))
    }
}

fn read(bytes: &[u8]) -> Result<Cached, String> {
    let file: File = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if file.version > VERSION {
        return Err(format!("it is of version {}", file.version));
    }
    Ok(Cached { attachment: file.attachment, list: List::of(&file.list)?, result: file.result })
}

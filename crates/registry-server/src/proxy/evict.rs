//! The bound of a cache: what was asked for the longest ago goes first.

use super::Proxy;
use crate::folder::layout;
use base::Digest;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

struct Kept {
    used: SystemTime,
    size: u64,
    path: PathBuf,
}

impl Proxy {
    /// Removes blobs until the rest is within the bound. Manifests stay: they are small, and tell what a tag was when
    /// the upstream registry is away. Who reads a removed blob reads it to its end.
    pub(super) fn evict(&self) -> io::Result<()> {
        let Some(bound) = self.max_size else { return Ok(()) };
        let manifests = self.manifests()?;
        let mut total = 0;
        let mut blobs = Vec::new();
        for entry in fs::read_dir(self.cache.blobs().folder())? {
            let entry = entry?;
            // Gone in the meantime: somebody else made room.
            let Ok(data) = entry.metadata() else { continue };
            total += data.len();
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy()).parse::<Digest>();
            if digest.is_ok_and(|digest| !manifests.contains(&digest)) {
                blobs.push(Kept { used: data.modified()?, size: data.len(), path: entry.path() });
            }
        }
        blobs.sort_by_key(|blob| blob.used);
        for blob in blobs {
            if total <= bound {
                break;
            }
            match fs::remove_file(&blob.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => total -= blob.size,
            }
        }
        Ok(())
    }

    fn manifests(&self) -> io::Result<HashSet<Digest>> {
        let mut all = HashSet::new();
        for repository in layout::repositories(self.cache.root())? {
            all.extend(self.cache.place(&repository).manifests()?);
        }
        Ok(all)
    }
}

//! Mark and sweep: blobs that no manifest names, old uploads, what a crash left.
//!
//! A blob that no manifest of its repository names may wait for its manifest: it stays as long as an upload may.
//! When a manifest cannot be read nothing is removed, since what it names is not known.

use super::Folder;
use super::layout::{self, Place};
use super::uploads::is_older;
use crate::document::{Document, MAX_MANIFEST};
use crate::name::Repository;
use base::Digest;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::sync::PoisonError;
use std::time::Duration;

/// What manifests name, by their digest.
type Read = HashMap<Digest, Vec<Digest>>;

impl Folder {
    pub(super) fn sweep_all(&self) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        self.uploads.sweep(writer.patience)?;
        // What has a digest never changes: read before, so that nobody waits for more than what came since.
        let mut read = Read::new();
        for name in layout::repositories(&self.root)? {
            self.named_in(&self.place(&name), &mut HashSet::new(), &mut read)?;
        }
        let _alone = writer.gate.write().unwrap_or_else(PoisonError::into_inner);
        let mut needed = HashSet::new();
        let places: Vec<Place> = layout::repositories(&self.root)?.iter().map(|name| self.place(name)).collect();
        let mut named = Vec::new();
        for place in &places {
            named.push(self.named_in(place, &mut needed, &mut read)?);
        }
        for (place, named) in places.iter().zip(&named) {
            sweep_marks(place, named, writer.patience, &mut needed)?;
        }
        self.sweep_blobs(&needed, writer.patience)?;
        places.iter().try_for_each(|place| place.remove_leftovers(writer.patience))?;
        // The deepest first, so that the folder of `a` can go after that of `a/b`.
        places.iter().rev().for_each(Place::remove_empty);
        Ok(())
    }

    /// Lets go at once of blobs that somebody else keeps now: those of them that no manifest of the repository names,
    /// and their bytes if no other repository has them.
    pub fn release(&self, repository: &Repository, digests: &[Digest]) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let _alone = writer.gate.write().unwrap_or_else(PoisonError::into_inner);
        let place = self.place(repository);
        let named = self.named_in(&place, &mut HashSet::new(), &mut Read::new())?;
        for digest in digests.iter().filter(|digest| !named.contains(digest)) {
            place.remove_blob(digest)?;
        }
        place.remove_empty();
        let places: Vec<Place> = layout::repositories(&self.root)?.iter().map(|name| self.place(name)).collect();
        for digest in digests {
            let mut needed = false;
            for place in &places {
                needed |= place.blob(digest).exists() || place.manifest(digest)?.is_some();
            }
            if !needed {
                self.blobs.remove(digest)?;
            }
        }
        Ok(())
    }

    /// What the manifests of a repository name. They themselves are needed.
    fn named_in(&self, place: &Place, needed: &mut HashSet<Digest>, read: &mut Read) -> io::Result<HashSet<Digest>> {
        let mut named = HashSet::new();
        for digest in place.manifests()? {
            needed.insert(digest);
            if let Some(parts) = read.get(&digest) {
                named.extend(parts);
                continue;
            }
            let Some(bytes) = self.blobs.read(&digest, MAX_MANIFEST as u64)? else { continue };
            let media_type = place.manifest(&digest)?.map(|record| record.media_type);
            let document = Document::parse(bytes, media_type.as_deref());
            let document = document.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault.message))?;
            let parts: Vec<Digest> = document.parts().iter().map(|part| part.digest).collect();
            named.extend(&parts);
            read.insert(digest, parts);
        }
        Ok(named)
    }

    fn sweep_blobs(&self, needed: &HashSet<Digest>, patience: Duration) -> io::Result<()> {
        let mut count = 0;
        for entry in fs::read_dir(self.blobs.folder())? {
            let entry = entry?;
            let digest = format!("sha256:{}", entry.file_name().to_string_lossy()).parse::<Digest>();
            let unneeded = digest.map_or(true, |digest| !needed.contains(&digest));
            if unneeded && is_older(&entry.metadata()?, patience)? {
                fs::remove_file(entry.path())?;
                count += 1;
            }
        }
        if count > 0 {
            tracing::info!(count, "removed blobs that no manifest names");
        }
        Ok(())
    }
}

fn sweep_marks(
    place: &Place,
    named: &HashSet<Digest>,
    patience: Duration,
    needed: &mut HashSet<Digest>,
) -> io::Result<()> {
    for digest in place.blobs()? {
        if named.contains(&digest) || !is_older(&fs::metadata(place.blob(&digest))?, patience)? {
            needed.insert(digest);
        } else {
            place.remove_blob(&digest)?;
        }
    }
    Ok(())
}

//! One pass over an archive: documents into memory, layers into the stores.

use super::{Contents, blob_name, digest};
use crate::catalog::MAX_DOCUMENT;
use crate::store::Arrival;
use crate::taking::{Pending, Taken, Taking};
use crate::{Error, Keep, Progress, Store};
use archive::{Compression, Entry, EntryKind, Reader, normal};
use base::Digest;
use std::collections::VecDeque;
use std::io::Read;
use std::thread::Scope;

/// Most bytes of all documents together.
const MAX_DOCUMENTS: u64 = 64 * 1024 * 1024;
/// Layers that are unpacked at once, besides the one that is being read.
const UNPACKING: usize = 1;
/// Bytes between two reports of progress.
const REPORT: u64 = 1024 * 1024;

pub fn read(
    store: &Store,
    archive: &mut dyn Read,
    arrival: &mut Arrival<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Contents, Error> {
    let mut reader = Reader::new(archive::decompress(archive)?);
    std::thread::scope(|scope| {
        let mut reading =
            Reading { store, arrival, progress, contents: Contents::default(), documents: 0, pending: VecDeque::new() };
        let read = reading.entries(scope, &mut reader);
        // Also after an error: what is complete must be known to be removed.
        let settled = reading.settle(0);
        read.and(settled)?;
        Ok(reading.contents)
    })
}

struct Reading<'scope, 'store, 'a> {
    store: &'scope Store,
    arrival: &'a mut Arrival<'store>,
    progress: &'a mut dyn FnMut(Progress),
    contents: Contents,
    /// Bytes of the documents so far.
    documents: u64,
    pending: VecDeque<Waiting<'scope>>,
}

struct Waiting<'scope> {
    path: Vec<u8>,
    size: u64,
    layer: Pending<'scope>,
}

impl<'scope> Reading<'scope, '_, '_> {
    fn entries<'env, R: Read>(
        &mut self,
        scope: &'scope Scope<'scope, 'env>,
        reader: &mut Reader<R>,
    ) -> Result<(), Error> {
        while let Some(entry) = reader.next()? {
            let path = normal(&entry.path)?;
            match entry.kind {
                EntryKind::File => self.file(scope, reader, path, &entry)?,
                EntryKind::Symlink | EntryKind::Hardlink => self.link(path, &entry)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn link(&mut self, path: Vec<u8>, entry: &Entry) -> Result<(), Error> {
        let beside = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
        let target = match entry.kind {
            EntryKind::Symlink if !entry.link.starts_with(b"/") => normal(&[beside, b"/", &entry.link].concat())?,
            _ => normal(&entry.link)?,
        };
        self.count(path.len() + target.len())?;
        self.contents.links.insert(path, target);
        Ok(())
    }

    fn file<'env, R: Read>(
        &mut self,
        scope: &'scope Scope<'scope, 'env>,
        reader: &mut Reader<R>,
        path: Vec<u8>,
        entry: &Entry,
    ) -> Result<(), Error> {
        if self.is_here(&path) {
            return Ok(());
        }
        let mut first = Vec::new();
        while first.len() < 1024 {
            let piece = reader.content()?;
            if piece.is_empty() {
                break;
            }
            first.extend_from_slice(piece);
        }
        if is_layer(&path, &first) {
            return self.layer(scope, reader, path, entry, &first);
        }
        let left = entry.size.saturating_sub(first.len() as u64);
        if entry.size > MAX_DOCUMENT {
            return Ok(());
        }
        self.count(first.len() + path.len() + usize::try_from(left).unwrap_or(usize::MAX))?;
        let rest = reader.content_at_most(usize::try_from(left).unwrap_or(0))?;
        first.extend_from_slice(&rest);
        if let Some(expected) = blob_name(&path) {
            check(&path, expected, digest(&first))?;
        }
        self.contents.documents.insert(path, first);
        Ok(())
    }

    /// A blob that the stores have, verified when it came: its bytes need not be read again.
    fn is_here(&mut self, path: &[u8]) -> bool {
        let Some(blob) = blob_name(path) else { return false };
        let Some((diff_id, descriptor)) = self.store.look(|catalog| catalog.diff_id_of(&blob)) else { return false };
        let stores = &self.store.stores;
        let kept = self.store.keep == Keep::TreesOnly || stores.content.has(&blob);
        if !kept || !stores.layers.has(&diff_id) {
            return false;
        }
        self.contents.layers.insert(path.to_vec(), Ok(Taken { diff_id, blob: descriptor }));
        true
    }

    fn layer<'env, R: Read>(
        &mut self,
        scope: &'scope Scope<'scope, 'env>,
        reader: &mut Reader<R>,
        path: Vec<u8>,
        entry: &Entry,
        first: &[u8],
    ) -> Result<(), Error> {
        self.count(path.len())?;
        self.settle(UNPACKING)?;
        let mut taking = match Taking::start(&self.store.stores, self.store.keep, scope, first) {
            Ok(taking) => taking,
            Err(error @ Error::Archive(_)) => {
                self.contents.layers.insert(path, Err(error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let id = shown(&path);
        let mut current = first.len() as u64;
        let mut reported = 0;
        loop {
            let piece = match reader.content() {
                Ok(piece) => piece,
                Err(error) => {
                    taking.fail(&std::io::ErrorKind::UnexpectedEof.into());
                    return Err(error.into());
                }
            };
            if piece.is_empty() {
                break;
            }
            taking.write(piece)?;
            current += piece.len() as u64;
            if current - reported >= REPORT {
                reported = current;
                (self.progress)(Progress::Layer { id: id.clone(), current, total: Some(entry.size) });
            }
        }
        self.pending.push_back(Waiting { path, size: entry.size, layer: taking.finish() });
        Ok(())
    }

    /// Waits for trees until at most `left` are unfinished.
    fn settle(&mut self, left: usize) -> Result<(), Error> {
        let mut first_error = Ok(());
        while self.pending.len() > left {
            let Some(waiting) = self.pending.pop_front() else { break };
            let taken = waiting.layer.settle(waiting.size, self.arrival);
            if let Ok(taken) = &taken {
                (self.progress)(Progress::LayerDone { id: shown(&waiting.path) });
                if let Some(expected) = blob_name(&waiting.path) {
                    first_error = first_error.and(check(&waiting.path, expected, taken.blob.digest));
                }
            }
            self.contents.layers.insert(waiting.path, taken);
        }
        first_error
    }

    fn count(&mut self, bytes: usize) -> Result<(), Error> {
        self.documents = self.documents.saturating_add(bytes as u64);
        if self.documents > MAX_DOCUMENTS {
            return Err(Error::Archive("its documents are too large".to_owned()));
        }
        Ok(())
    }
}

fn check(path: &[u8], expected: Digest, actual: Digest) -> Result<(), Error> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::WrongDigest { what: String::from_utf8_lossy(path).into_owned(), expected, actual })
}

/// Told by the bytes, because archives name their layers in every way; by the name where the bytes say nothing.
fn is_layer(path: &[u8], first: &[u8]) -> bool {
    let compressed = !matches!(Compression::of(first), Ok(Compression::Plain));
    let tar = first.get(257..262) == Some(b"ustar");
    let empty = !first.is_empty() && first.iter().all(|byte| *byte == 0);
    compressed || tar || empty || path.ends_with(b".tar") || path.ends_with(b".tar.gz")
}

/// Twelve letters that tell one layer from another, as progress shows it.
fn shown(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    let name = path.strip_suffix("/layer.tar").unwrap_or(&path);
    let name = name.rsplit('/').next().unwrap_or(name);
    name.chars().take(12).collect()
}

//! Reads everything again. Nothing is removed by anybody while a check goes on; what arrives meanwhile is not looked at.

use super::fault::{Outcome, differences};
use super::{Mend, Report};
use crate::catalog::{MAX_DOCUMENT, Record, check_layers};
use crate::{Error, Keep, Store};
use base::Digest;
use oci::image::Manifest;
use sha2::Digest as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

const PIECE: usize = 1024 * 1024;

impl Store {
    /// Reads everything again: digests of blobs, diffIDs' trees, manifests against configurations; orphans.
    pub fn check(&self, mend: Mend, tell: &mut dyn FnMut(&str)) -> Result<Report, Error> {
        let arrival = self.arrive();
        let blobs = self.stores.content.list()?.into_iter().collect();
        let mut check = Check {
            store: self,
            mend,
            tell,
            report: Report::default(),
            records: self.records(),
            blobs,
            lying: BTreeSet::new(),
            broken: BTreeMap::new(),
            compared: BTreeSet::new(),
        };
        check.blobs();
        check.trees();
        check.images()?;
        check.groups()?;
        check.index()?;
        check.orphans()?;
        let report = check.report;
        drop(arrival);
        Ok(report)
    }
}

struct Check<'a> {
    store: &'a Store,
    mend: Mend,
    tell: &'a mut dyn FnMut(&str),
    report: Report,
    records: Vec<Arc<Record>>,
    /// On disk at the start.
    blobs: BTreeSet<Digest>,
    /// Blobs whose bytes are not what their names say.
    lying: BTreeSet<Digest>,
    /// Layers whose trees are not what they should be, and why.
    broken: BTreeMap<Digest, String>,
    /// Layers that were compared with an intact blob.
    compared: BTreeSet<Digest>,
}

impl Check<'_> {
    /// Every blob by its digest; those of layers beside their trees, in the same pass.
    fn blobs(&mut self) {
        let layers: BTreeMap<Digest, Digest> = self.layers().into_iter().collect();
        for blob in self.blobs.clone() {
            (self.tell)(&format!("blob {blob}"));
            self.report.blobs += 1;
            let tree = layers.get(&blob).filter(|diff_id| self.store.stores.layers.fault(diff_id).is_none());
            if let Err(wrong) = self.blob(&blob, tree) {
                self.lying.insert(blob);
                let outcome = self.drop_blob(&blob, layers.get(&blob));
                self.report.blob(&blob, wrong, outcome);
            }
        }
    }

    /// All pairs of a layer's blob and its diffID.
    fn layers(&self) -> BTreeSet<(Digest, Digest)> {
        let of = |record: &Arc<Record>| {
            let blobs = record.layers.iter().map(|layer| layer.digest);
            blobs.zip(record.config.rootfs.diff_ids.clone()).collect::<Vec<_>>()
        };
        self.records.iter().flat_map(of).collect()
    }

    fn blob(&mut self, blob: &Digest, tree: Option<&Digest>) -> Result<(), String> {
        let file = self.store.stores.content.open_blob(blob).map_err(|e| base::chain(&e))?;
        let mut raw = Hashing { source: file, hash: sha2::Sha256::new(), bytes: 0 };
        let verified = tree.map(|diff_id| (*diff_id, self.store.stores.layers.verify(diff_id, &mut raw)));
        let rest = raw.drain().map_err(|e| format!("cannot be read: {e}"));
        self.report.bytes += raw.bytes;
        rest?;
        let actual = Digest::from_bytes(raw.hash.finalize().into());
        if actual != *blob {
            return Err(format!("its bytes are those of {actual}"));
        }
        let Some((diff_id, verified)) = verified else { return Ok(()) };
        let wrong = match verified {
            Err(error) => base::chain(&error),
            Ok(verified) if verified.diff_id != diff_id => format!("its blob unpacks to {}", verified.diff_id),
            Ok(verified) if !verified.differences.is_empty() => differences(&verified.differences),
            Ok(_) => {
                self.compared.insert(diff_id);
                return Ok(());
            }
        };
        self.broken.insert(diff_id, wrong);
        Ok(())
    }

    /// A layer's blob that was a plain tar can perhaps be made again from its tree.
    fn drop_blob(&self, blob: &Digest, diff_id: Option<&Digest>) -> Outcome {
        if self.mend == Mend::No {
            return Outcome::Left;
        }
        if let Err(error) = self.store.stores.content.remove(blob) {
            tracing::warn!(%blob, error = base::chain(&error), "cannot remove a blob");
            return Outcome::Left;
        }
        if diff_id == Some(blob)
            && let Err(error) = self.repack(blob)
        {
            tracing::warn!(%blob, error = base::chain(&error), "cannot make a blob again");
        }
        Outcome::Mended
    }

    fn repack(&self, diff_id: &Digest) -> Result<(), Error> {
        let mut ingest = self.store.stores.content.ingest()?;
        self.store.stores.layers.repack(diff_id, &mut ingest)?;
        ingest.commit(Some(diff_id), None)?;
        Ok(())
    }

    /// Every tree that some image needs, unpacked again where it is broken and an intact blob is there.
    fn trees(&mut self) {
        let mut blobs: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (blob, diff_id) in self.layers() {
            blobs.entry(diff_id).or_default().push(blob);
        }
        for (diff_id, blobs) in blobs {
            (self.tell)(&format!("layer {diff_id}"));
            self.report.layers += 1;
            let fault = self.store.stores.layers.fault(&diff_id).map(str::to_owned);
            let Some(wrong) = fault.or_else(|| self.broken.get(&diff_id).cloned()) else { continue };
            let intact = blobs.iter().find(|blob| self.blobs.contains(blob) && !self.lying.contains(blob));
            let mended = self.mend == Mend::Yes && intact.is_some_and(|blob| self.unpack(&diff_id, blob));
            if mended {
                self.broken.remove(&diff_id);
            } else {
                self.broken.insert(diff_id, wrong.clone());
            }
            self.report.layer(&diff_id, wrong, if mended { Outcome::Mended } else { Outcome::Left });
        }
    }

    fn unpack(&self, diff_id: &Digest, blob: &Digest) -> bool {
        let stores = &self.store.stores;
        let done = stores.content.open_blob(blob).map_err(Error::from);
        let done = done.and_then(|mut blob| Ok(stores.layers.replace(diff_id, &mut blob)?));
        if let Err(error) = &done {
            tracing::warn!(layer = %diff_id, error = base::chain(error), "cannot unpack a layer again");
        }
        done.is_ok()
    }

    fn images(&mut self) -> Result<(), Error> {
        for record in self.records.clone() {
            let names = self.store.look(|catalog| catalog.image(&record.id).map(|image| image.tags.join(", ")));
            let Some(names) = names else { continue };
            let what = format!("image {}", if names.is_empty() { record.id.to_string() } else { names });
            (self.tell)(&what);
            if let Err(wrong) = self.documents(&record).and_then(|()| self.stands(&record)) {
                let outcome = self.drop_image(&record.id)?;
                self.report.fault(what, wrong, outcome);
                continue;
            }
            let gone: Vec<String> = self.missing(&record).iter().map(Digest::to_string).collect();
            if record.keep == Keep::Blobs && !gone.is_empty() {
                let wrong = format!("cannot be saved or pushed, pull or load it again: no blob {}", gone.join(", "));
                self.report.fault(what, wrong, Outcome::Left);
            }
        }
        for entry in self.store.look(|catalog| catalog.unread.clone()) {
            let wrong = "could not be read when the engine started".to_owned();
            self.report.fault(format!("image {}", entry.digest), wrong, Outcome::Left);
        }
        Ok(())
    }

    /// Every index can be read, and what the engine says of it is here.
    fn groups(&mut self) -> Result<(), Error> {
        for group in self.store.look(|catalog| catalog.groups.values().cloned().collect::<Vec<_>>()) {
            let index = group.index.digest;
            (self.tell)(&format!("index {index}"));
            let documents = group.blobs();
            let layers: BTreeSet<Digest> = group.parts.iter().flat_map(layers_of).collect();
            let gone = documents
                .iter()
                .filter(|blob| !layers.contains(blob))
                .find(|blob| self.lying.contains(blob) || !self.store.stores.content.has(blob));
            let Some(gone) = gone else { continue };
            let outcome = match self.mend {
                Mend::No => Outcome::Left,
                // Its images stay, each by itself.
                Mend::Yes => {
                    self.store.change(|catalog| {
                        catalog.groups.remove(&index);
                        Ok(())
                    })?;
                    Outcome::Mended
                }
            };
            self.report.fault(format!("index {index}"), format!("no blob {gone}"), outcome);
        }
        Ok(())
    }

    /// Manifest and configuration are there, agree, and say what the engine knows.
    fn documents(&self, record: &Record) -> Result<(), String> {
        let read = |digest: &Digest| self.store.stores.content.read(digest, MAX_DOCUMENT).map_err(|e| base::chain(&e));
        let manifest: Manifest = serde_json::from_slice(&read(&record.manifest.digest)?)
            .map_err(|e| format!("its manifest is broken: {e}"))?;
        let config: oci::image::Image =
            serde_json::from_slice(&read(&record.id)?).map_err(|e| format!("its configuration is broken: {e}"))?;
        check_layers("its manifest", &manifest, &config).map_err(|e| base::chain(&e))?;
        let same = manifest.config.digest == record.id && manifest.layers == record.layers && config == record.config;
        if same { Ok(()) } else { Err("its documents are not those that the engine read".to_owned()) }
    }

    /// Every layer has a tree. One that only differs a little still carries the image.
    fn stands(&self, record: &Record) -> Result<(), String> {
        let fault = |diff_id: &Digest| self.store.stores.layers.fault(diff_id).map(|wrong| (*diff_id, wrong));
        match record.config.rootfs.diff_ids.iter().find_map(fault) {
            Some((diff_id, wrong)) => Err(format!("layer {diff_id}: {wrong}")),
            None => Ok(()),
        }
    }

    fn missing(&self, record: &Record) -> Vec<Digest> {
        let layers = record.layers.iter().map(|layer| layer.digest);
        layers.filter(|blob| !self.lying.contains(blob) && !self.store.stores.content.has(blob)).collect()
    }

    fn drop_image(&self, id: &Digest) -> Result<Outcome, Error> {
        if self.mend == Mend::No {
            return Ok(Outcome::Left);
        }
        self.store.change(|catalog| {
            catalog.names.retain(|_, name| name.id != *id || name.index.is_some());
            catalog.records.remove(id);
            Ok(())
        })?;
        Ok(Outcome::Mended)
    }

    /// The index on disk says what the engine knows.
    fn index(&mut self) -> Result<(), Error> {
        let alone = self.store.alone();
        let known = self.store.look(crate::catalog::Catalog::index);
        let wrong = match self.store.stores.content.index() {
            Ok(written) if written.manifests == known.manifests => return Ok(()),
            Ok(_) => "does not say what the engine knows".to_owned(),
            Err(error) => base::chain(&error),
        };
        let outcome = match self.mend {
            Mend::No => Outcome::Left,
            Mend::Yes => {
                self.store.stores.content.replace_index(&known)?;
                Outcome::Mended
            }
        };
        drop(alone);
        self.report.fault("index.json".to_owned(), wrong, outcome);
        Ok(())
    }

    /// What is on disk and nobody needs. While something else arrives this cannot be told.
    fn orphans(&mut self) -> Result<(), Error> {
        let stores = &self.store.stores;
        let mut changes = self.store.alone();
        let unread = self.store.look(|catalog| !catalog.unread.is_empty());
        if changes.arriving > 1 || unread {
            return Ok(());
        }
        let (blobs, mut layers) = self.store.look(|catalog| (catalog.blobs(), catalog.layers()));
        layers.append(&mut self.store.pins.all());
        let unneeded = |all: Vec<Digest>, needed: &BTreeSet<Digest>, known: &BTreeSet<Digest>| -> Vec<Digest> {
            all.into_iter().filter(|digest| !needed.contains(digest) && !known.contains(digest)).collect()
        };
        let blobs = unneeded(stores.content.list()?, &blobs, &changes.blobs);
        let layers = unneeded(stores.layers.list()?, &layers, &changes.layers);
        let strangers = [stores.content.strangers()?, stores.layers.strangers()?].concat();
        // They go when this check, which is an arrival like others, is over.
        changes.sweep |= self.mend == Mend::Yes && !(blobs.is_empty() && layers.is_empty());
        drop(changes);
        let outcome = if self.mend == Mend::Yes { Outcome::Mended } else { Outcome::Left };
        let wrong = || "no image needs it".to_owned();
        blobs.iter().for_each(|blob| self.report.blob(blob, wrong(), outcome));
        layers.iter().for_each(|layer| self.report.layer(layer, wrong(), outcome));
        strangers.into_iter().for_each(|path| self.stranger(path));
        Ok(())
    }

    fn stranger(&mut self, path: PathBuf) {
        let removed = self.mend == Mend::Yes && base::tree::remove(&path).is_ok();
        let outcome = if removed { Outcome::Mended } else { Outcome::Left };
        self.report.fault(format!("file {}", path.display()), "does not belong to the store".to_owned(), outcome);
    }
}

/// Blobs of layers need not be kept.
fn layers_of(part: &crate::group::Part) -> Vec<Digest> {
    match &part.here {
        crate::group::Here::Image { layers, .. } => layers.iter().map(|layer| layer.digest).collect(),
        _ => Vec::new(),
    }
}

/// Bytes of a blob on their way.
struct Hashing<R> {
    source: R,
    hash: sha2::Sha256,
    bytes: u64,
}

impl<R: Read> Hashing<R> {
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.source.read(buffer)?;
        self.hash.update(&buffer[..got]);
        self.bytes += got as u64;
        Ok(got)
    }
}

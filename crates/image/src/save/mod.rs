//! Images into an archive: an OCI layout with Docker's `manifest.json` in one tar, as Docker writes it since 25.0.
//!
//! ```text
//!   oci-layout index.json manifest.json repositories   documents first: who reads the stream knows what will come
//!   blobs/sha256/HEX                                    manifests, configurations, layers; each once
//! ```
//!
//! Manifests and layers are the bytes that they came as, so digests survive a save and a load. `manifest.json` names the
//! same layers, but where one is compressed with zstd, which dockerd before 23.0 does not know: then it names a plain copy
//! that is in the archive besides.
//!
//! A manifest of Docker's own type is in the archive twice, too: the index names its OCI twin, because readers of layouts
//! overlook other types, and beside it notes the original, which our load prefers.
//!
//! The same images make the same archive: no times, and an order that only the names decide.

mod index;
mod names;
pub(crate) mod tar;

use crate::admit::descriptor;
use crate::catalog::{FULL_NAME, MAX_DOCUMENT, REF_NAME, Record};
use crate::commit::as_oci;
use crate::group::Group;
use crate::reference::Reference;
use crate::{Error, Store, taking};
use base::Digest;
use oci::image::{Descriptor, Index, Manifest, Platform, media};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use tar::Tar;

/// Of an entry of the index: the digest of the manifest that it is the twin of.
pub const ORIGINAL: &str = "dhow.image.manifest";

/// Bytes copied at once.
const PIECE: usize = 1024 * 1024;

/// An image that is saved.
struct Wanted {
    record: Arc<Record>,
    /// The index that it is shown for.
    group: Option<Arc<Group>>,
    /// With tags, as they were asked for.
    names: Vec<Reference>,
}

/// One image of `manifest.json` (moby, image/tarexport).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// A layer in the archive.
#[derive(Clone, Copy)]
enum Source {
    /// The blob as it is.
    Blob(Digest),
    /// The blob, uncompressed: its digest is the diffID.
    Plain { diff_id: Digest, blob: Digest },
    /// No blob was kept, but the tree gives the same bytes again.
    Tree(Digest),
}

/// Everything that goes into the archive.
#[derive(Default)]
struct Plan {
    index: Vec<Descriptor>,
    items: Vec<Item>,
    repositories: BTreeMap<String, BTreeMap<String, String>>,
    /// Manifests and configurations.
    documents: BTreeMap<Digest, Vec<u8>>,
    /// With their sizes, in the order of the images.
    layers: Vec<(Source, u64)>,
    /// Their names in the archive.
    known: BTreeSet<Digest>,
}

impl Store {
    /// Writes the named images (names, ids, `name@digest`; a name without a tag means all its tags) as one archive that
    /// `docker load`, podman and skopeo read. Of an index with `platform` only the image for it, and refuse an image that is for
    /// another.
    pub fn save(&self, names: &[String], platform: Option<&Platform>, sink: &mut dyn Write) -> Result<(), Error> {
        // While it lives nothing is removed: what is planned stays until it is written.
        let _arrival = self.arrive();
        let wanted = names::wanted(self, names)?;
        let mut plan = Plan::default();
        for image in wanted {
            match (&image.group, platform) {
                (Some(group), None) => self.plan_index(&image, group, &mut plan)?,
                (_, None) => self.plan(&image, &mut plan)?,
                (_, Some(platform)) => self.plan(&self.only(image, platform)?, &mut plan)?,
            }
        }
        self.write(&plan, sink)
    }

    fn plan(&self, image: &Wanted, plan: &mut Plan) -> Result<(), Error> {
        let content = &self.stores.content;
        let record = &image.record;
        let diff_ids = &record.config.rootfs.diff_ids;
        let mut layers = Vec::new();
        let mut rebuilt = false;
        for (layer, diff_id) in record.layers.iter().zip(diff_ids) {
            let source = self.source(layer, diff_id)?;
            rebuilt |= matches!(source.0, Source::Tree(id) if id != layer.digest);
            let old_reader = match source.0 {
                Source::Blob(blob) if zstd(layer) => self.uncompressed(*diff_id, blob)?,
                _ => source,
            };
            plan.layer(source);
            plan.layer(old_reader);
            layers.push((source, old_reader.0.name()));
        }
        let config = content.read(&record.id, MAX_DOCUMENT)?;
        let manifest = if rebuilt {
            oci_manifest(record, config.len(), &layers)?
        } else {
            let original = original(content, record)?;
            if original.0.media_type == media::MANIFEST {
                original
            } else {
                let mut twin = oci_manifest(record, config.len(), &layers)?;
                twin.0.annotations.insert(ORIGINAL.to_owned(), original.0.digest.to_string());
                plan.documents.insert(original.0.digest, original.1);
                twin
            }
        };
        plan.documents.insert(record.id, config);
        plan.entries(image, &manifest.0);
        plan.item(image, layers.iter().map(|(_, name)| path(name)).collect());
        plan.documents.insert(manifest.0.digest, manifest.1);
        Ok(())
    }

    /// Where the bytes of a layer come from, and how many they are.
    fn source(&self, layer: &Descriptor, diff_id: &Digest) -> Result<(Source, u64), Error> {
        match self.stores.content.size(&layer.digest) {
            Ok(size) if size == layer.size => return Ok((Source::Blob(layer.digest), size)),
            Ok(actual) => return Err(content::Error::WrongSize { expected: layer.size, actual }.into()),
            Err(content::Error::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut counted = Counted::default();
        self.stores.layers.repack(diff_id, &mut counted)?;
        if counted.digest() != *diff_id {
            return Err(Error::NotKept(*diff_id));
        }
        Ok((Source::Tree(*diff_id), counted.size))
    }

    fn uncompressed(&self, diff_id: Digest, blob: Digest) -> Result<(Source, u64), Error> {
        let mut counted = Counted::default();
        let mut plain = archive::decompress(self.stores.content.open_blob(&blob)?)?;
        copy(&mut plain, &mut counted)?;
        if counted.digest() != diff_id {
            let what = format!("layer {blob}");
            return Err(Error::WrongDigest { what, expected: diff_id, actual: counted.digest() });
        }
        Ok((Source::Plain { diff_id, blob }, counted.size))
    }

    fn write(&self, plan: &Plan, sink: &mut dyn Write) -> Result<(), Error> {
        let mut tar = Tar::new(sink);
        let index = Index {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            manifests: plan.index.clone(),
            ..Index::default()
        };
        tar.document("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        tar.document("index.json", &json(&index)?)?;
        tar.document("manifest.json", &json(&plan.items)?)?;
        if !plan.repositories.is_empty() {
            tar.document("repositories", &json(&plan.repositories)?)?;
        }
        tar.folder("blobs/")?;
        tar.folder("blobs/sha256/")?;
        for (digest, bytes) in &plan.documents {
            tar.document(&path(digest), bytes)?;
        }
        for (source, size) in &plan.layers {
            tar.file(&path(&source.name()), *size)?;
            self.layer(source, &mut tar)?;
            tar.end()?;
        }
        tar.finish()
    }

    fn layer(&self, source: &Source, tar: &mut Tar<'_>) -> Result<(), Error> {
        let content = &self.stores.content;
        match source {
            Source::Blob(blob) => copy(&mut advised(content.open_blob(blob)?), tar),
            Source::Plain { blob, .. } => copy(&mut archive::decompress(content.open_blob(blob)?)?, tar),
            Source::Tree(diff_id) => Ok(self.stores.layers.repack(diff_id, tar)?),
        }
    }
}

impl Plan {
    fn layer(&mut self, layer: (Source, u64)) {
        if self.known.insert(layer.0.name()) {
            self.layers.push(layer);
        }
    }

    /// What the layout's index says of an image: its names stand at `target`.
    fn entries(&mut self, image: &Wanted, target: &Descriptor) {
        for name in &image.names {
            let mut entry = target.clone();
            entry.annotations.insert(FULL_NAME.to_owned(), name.to_string());
            entry.annotations.insert(REF_NAME.to_owned(), name.tag.clone().unwrap_or_default());
            self.index.push(entry);
        }
        if image.names.is_empty() {
            self.index.push(target.clone());
        }
    }

    /// What `manifest.json` says of it.
    fn item(&mut self, image: &Wanted, layers: Vec<String>) {
        let top = image.record.config.rootfs.diff_ids.last().map(Digest::hex).unwrap_or_default();
        for name in &image.names {
            let tag = name.tag.clone().unwrap_or_default();
            let bare = Reference { tag: None, digest: None, ..name.clone() };
            self.repositories.entry(bare.familiar()).or_default().insert(tag, top.clone());
        }
        let tags: Vec<String> = image.names.iter().map(Reference::familiar).collect();
        let repo_tags = if tags.is_empty() { None } else { Some(tags) };
        self.items.push(Item { config: path(&image.record.id), repo_tags, layers });
    }
}

impl Source {
    /// The digest of the bytes in the archive.
    fn name(&self) -> Digest {
        match self {
            Source::Blob(digest) | Source::Tree(digest) | Source::Plain { diff_id: digest, .. } => *digest,
        }
    }
}

fn zstd(layer: &Descriptor) -> bool {
    as_oci(layer).media_type == media::LAYER_ZSTD
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The manifest as it came.
fn original(content: &content::Store, record: &Record) -> Result<(Descriptor, Vec<u8>), Error> {
    let bytes = content.read(&record.manifest.digest, MAX_DOCUMENT)?;
    let descriptor = Descriptor { annotations: BTreeMap::new(), platform: None, ..record.manifest.clone() };
    Ok((descriptor, bytes))
}

/// An OCI manifest of the same layers; it names plain ones where their compressed blobs are gone.
fn oci_manifest(
    record: &Record,
    config_size: usize,
    layers: &[((Source, u64), Digest)],
) -> Result<(Descriptor, Vec<u8>), Error> {
    let layer = |(layer, ((source, size), _)): (&Descriptor, &((Source, u64), Digest))| match source {
        Source::Tree(diff_id) => taking::descriptor(archive::Compression::Plain, *diff_id, *size),
        _ => as_oci(layer),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        config: descriptor(media::CONFIG, record.id, config_size),
        layers: record.layers.iter().zip(layers).map(layer).collect(),
        annotations: BTreeMap::new(),
    };
    let bytes = json(&manifest)?;
    let digest = crate::load::digest(&bytes);
    Ok((descriptor(media::MANIFEST, digest, bytes.len()), bytes))
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|e| Error::Archive(format!("cannot write a document: {e}")))
}

fn advised(file: File) -> File {
    // Only a hint: a larger read-ahead.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    file
}

pub(crate) fn copy(source: &mut dyn Read, sink: &mut dyn Write) -> Result<(), Error> {
    let mut buffer = vec![0; PIECE];
    loop {
        let got = match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Io { action: "read a layer".to_owned(), source }),
        };
        sink.write_all(&buffer[..got]).map_err(tar::failed)?;
    }
}

/// Bytes that go nowhere.
#[derive(Default)]
struct Counted {
    hash: sha2::Sha256,
    size: u64,
}

impl Counted {
    fn digest(&self) -> Digest {
        Digest::from_bytes(sha2::Digest::finalize(self.hash.clone()).into())
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sha2::Digest::update(&mut self.hash, bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

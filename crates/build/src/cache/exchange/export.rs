//! What a build came to, for other engines.

use super::document::{self, Annotations, Config, Form, Record, Step};
use super::place::{Asking, Place};
use super::{Export, Far, Noted, flag};
use crate::cache::{self, Made};
use crate::progress::{Event, Watch};
use crate::{Error, Result};
use archive::Compression;
use base::Digest;
use image::outbound::{Force, Form as Shape, Outbound};
use oci::image::Descriptor;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Which layers come along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Those of the result. What other steps came to is named, so that nothing is done again that led to the result.
    #[default]
    Min,
    /// All.
    Max,
}

/// What is taken out of a build.
pub(crate) struct Taken<'a> {
    pub steps: &'a [Noted],
    /// Layers of the results.
    pub result: &'a HashSet<Digest>,
    pub far: &'a [std::sync::Arc<Far>],
    /// Where files without names lie.
    pub scratch: &'a Path,
}

/// Writes a cache; BuildKit's answer.
pub(crate) fn export(
    export: &Export,
    taken: &Taken<'_>,
    (asking, store): (&Asking<'_>, &cache::Store),
    watch: &dyn Watch,
) -> Result<BTreeMap<String, String>> {
    let exporting = Exporting::of(export, taken, asking, store)?;
    let work = exporting.run();
    match work {
        Err(error) if export.may_fail()? && !error.is_cancelled() => {
            let text = format!("{}: {}", export.title(), base::chain(&error));
            watch.tell(Event::Warning { lines: None, text });
            Ok(BTreeMap::new())
        }
        work => work,
    }
}

struct Exporting<'a> {
    taken: &'a Taken<'a>,
    asking: &'a Asking<'a>,
    store: &'a cache::Store,
    target: Place,
    name: String,
    mode: Mode,
    form: Form,
    shape: Shape,
    outbound: Outbound<'a>,
    /// Where files without names lie.
    scratch: &'a Path,
}

impl<'a> Exporting<'a> {
    fn of(
        export: &Export,
        taken: &'a Taken<'a>,
        asking: &'a Asking<'a>,
        store: &'a cache::Store,
    ) -> Result<Exporting<'a>> {
        let (target, name) = asking.target(export)?;
        let attributes = &export.attributes;
        let mode = match attributes.get("mode").map(String::as_str) {
            None | Some("" | "min") => Mode::Min,
            Some("max") => Mode::Max,
            Some(other) => return Err(Error::Invalid(format!("unknown cache mode {other:?}: it is min or max"))),
        };
        let oci = flag(attributes, "oci-mediatypes", true)?;
        let form = match (flag(attributes, "image-manifest", oci)?, oci) {
            (true, true) => Form::Image,
            (false, true) => Form::Index,
            (false, false) => Form::List,
            (true, false) => {
                return Err(Error::Invalid("a cache in the form of an image needs oci-mediatypes=true".to_owned()));
            }
        };
        let shape = shape(attributes)?;
        let outbound = asking.engine.image_store().outbound();
        Ok(Exporting { taken, asking, store, target, name, mode, form, shape, outbound, scratch: taken.scratch })
    }

    fn run(&self) -> Result<BTreeMap<String, String>> {
        let mut config = Config::default();
        let mut blobs: Vec<Descriptor> = Vec::new();
        let mut places: BTreeMap<Digest, usize> = BTreeMap::new();
        for noted in self.taken.steps {
            let Some(made) = &noted.outcome.layer else { continue };
            let is_wanted = self.mode == Mode::Max || self.taken.result.contains(&made.diff_id);
            if !is_wanted || places.contains_key(&made.diff_id) {
                continue;
            }
            let Some(blob) = self.layer(made)? else { continue };
            places.insert(made.diff_id, blobs.len());
            config.layers.push(layer(&blob, made.diff_id, &noted.outcome.created));
            blobs.push(blob);
        }
        config.records = self.taken.steps.iter().map(|noted| record(noted, &places)).collect();
        if config.records.is_empty() {
            return Ok(BTreeMap::new());
        }
        let written = document::config(&config)?;
        self.small(&written, |content| self.target.put(&written.descriptor, content))?;
        let manifest = document::manifest(self.form, blobs, written.descriptor.clone())?;
        self.small(&manifest, |content| self.target.finish(&self.name, &manifest, content))?;
        let answer = serde_json::to_string(&manifest.descriptor).map_err(document::broken)?;
        Ok(BTreeMap::from([("cache.manifest".to_owned(), answer)]))
    }

    /// Puts a layer there, unless it is there; `None` when nobody has it any more.
    fn layer(&self, made: &Made) -> Result<Option<Descriptor>> {
        let (diff_id, cancel) = (&made.diff_id, self.asking.cancel);
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let form = format!("{:?} {:?}", self.shape.compression, self.shape.level);
        let far = self.taken.far.iter().flat_map(|far| far.places(diff_id)).collect::<Vec<_>>();
        let known = self.store.packed(diff_id, &form)?;
        for blob in known.iter().chain(far.iter().map(|(_, blob)| blob)) {
            if self.target.has(blob)? {
                return Ok(Some(blob.clone()));
            }
        }
        if self.asking.engine.image_store().layers().has(diff_id) {
            let layer = self.outbound.layer(diff_id, Some(made.tar), self.shape, cancel)?;
            let layer = self.outbound.as_blob(&layer, cancel)?;
            if !self.target.has(&layer.blob)? {
                self.target.put(&layer.blob, &self.outbound.open(&layer)?)?;
            }
            self.store.keep_packed(diff_id, &form, &layer.blob)?;
            return Ok(Some(layer.blob));
        }
        let Some((place, blob)) = far.first() else { return Ok(None) };
        let content = self.copied(place, blob)?;
        self.target.put(blob, &content)?;
        Ok(Some(blob.clone()))
    }

    /// A blob of another cache, verified, in a file without a name.
    fn copied(&self, place: &Place, blob: &Descriptor) -> Result<File> {
        use sha2::Digest as _;
        let failed = || Error::io(format!("copy the cache's blob {}", blob.digest));
        let mut content = nameless(self.scratch)?;
        let mut reader = place.open(blob)?;
        let (mut hash, mut buffer) = (sha2::Sha256::new(), vec![0; 256 * 1024]);
        loop {
            let got = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(failed()(e)),
            };
            if self.asking.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            hash.update(&buffer[..got]);
            content.write_all(&buffer[..got]).map_err(failed())?;
        }
        let actual = Digest::from_bytes(hash.finalize().into());
        if actual != blob.digest {
            return Err(Error::Checksum { expected: blob.digest.to_string(), actual: actual.to_string() });
        }
        Ok(content)
    }

    fn small(&self, written: &document::Written, put: impl FnOnce(&File) -> Result<()>) -> Result<()> {
        let mut content = nameless(self.scratch)?;
        content.write_all(&written.bytes).map_err(Error::io("write a document of the cache"))?;
        put(&content)
    }
}

fn layer(blob: &Descriptor, diff_id: Digest, created: &str) -> document::Layer {
    let annotations =
        Annotations { media_type: blob.media_type.clone(), diff_id, size: blob.size, created_at: created.to_owned() };
    document::Layer { blob: blob.digest, parent: -1, annotations: Some(annotations) }
}

fn record(noted: &Noted, places: &BTreeMap<Digest, usize>) -> Record {
    let created = &noted.outcome.created;
    let at = noted.outcome.layer.and_then(|made| places.get(&made.diff_id).copied());
    let results = at.map(|layer| document::Place { layer, created_at: created.clone() });
    let dhow = Some(Step::of(noted));
    Record { results: results.into_iter().collect(), digest: noted.key.to_string(), dhow }
}

/// A file that goes with its last descriptor.
fn nameless(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).map_err(Error::io(format!("make {}", folder.display())))?;
    let path = folder.join(base::Id::random().to_string());
    let failed = || Error::io(format!("make a file in {}", folder.display()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed())?;
    std::fs::remove_file(&path).map_err(failed())?;
    Ok(file)
}

/// BuildKit's words for how layers are compressed.
fn shape(attributes: &BTreeMap<String, String>) -> Result<Shape> {
    let wrong = |text: &String| Error::Invalid(format!("failed to parse compression-level: {text:?} is no number"));
    let level = attributes.get("compression-level").map(|text| text.parse::<i32>().map_err(|_| wrong(text)));
    let force = if flag(attributes, "force-compression", false)? { Force::Yes } else { Force::No };
    let compression = match attributes.get("compression").map_or("gzip", String::as_str) {
        "uncompressed" => Compression::Plain,
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        other => {
            return Err(Error::Invalid(format!(
                "unsupported compression type {other:?}: it is one of gzip, zstd and uncompressed"
            )));
        }
    };
    Ok(Shape { compression, level: level.transpose()?, force })
}

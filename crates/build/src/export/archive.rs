//! A result as an archive: `docker` for `docker load`, `oci` for everybody.

use super::compose::{self, Composed};
use super::options::Options;
use super::{Export, ready, response};
use crate::cache::Blobs;
use crate::output::{Exported, OutputKind};
use crate::{Error, Result};
use base::Digest;
use image::Reference;
use image::outbound::{Archive, Item, Layer, Outbound};
use oci::image::Descriptor;
use std::collections::{BTreeMap, BTreeSet};

/// containerd's annotation of an entry in an archive's index: the full name.
const FULL_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CREATED: &str = "org.opencontainers.image.created";

pub(super) fn archive(export: &Export<'_>, options: &Options) -> Result<Exported> {
    let outbound = export.solved.house.engine.image_store().outbound();
    let is_docker = export.output.kind == OutputKind::Docker;
    if is_docker && export.solved.results().len() > 1 {
        let why = "docker exporter does not currently support exporting manifest lists";
        return Err(Error::Invalid(why.to_owned()));
    }
    let ready = ready::all(export, &outbound, options)?;
    let composed = compose::compose(export, &outbound, options, &ready)?;
    let root = composed.root()?;
    let created = options.epoch.or(export.solved.epoch).and_then(|at| jiff::Timestamp::from_second(at).ok());
    let created = created.unwrap_or_else(|| jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default());
    let archive = Archive {
        index: entries(root, &options.names, &created.to_string()),
        docker: if is_docker { items(&composed, &options.names) } else { Vec::new() },
        documents: &composed.documents,
        layers: layers(&composed),
    };
    if options.tar {
        stream(export, &outbound, &archive)?;
    } else {
        let folder = export.sink.layout()?;
        export.begun("copying files");
        lay(&outbound, &archive, &*folder, export)?;
        export.ended("copying files");
    }
    let mut response = response(root, root.digest.to_string(), options);
    if let ([only], None) = (&composed.images[..], &composed.index) {
        response.insert("containerimage.config.digest".to_owned(), only.config.to_string());
    }
    let full: Vec<String> = options.names.iter().map(|name| name.clone().or_latest().to_string()).collect();
    if !full.is_empty() {
        response.insert("image.name".to_owned(), full.join(","));
    }
    Ok(Exported { image: None, names: Vec::new(), response })
}

fn stream(export: &Export<'_>, outbound: &Outbound<'_>, archive: &Archive<'_>) -> Result<()> {
    let mut sink = export.sink.archive()?;
    export.begun("sending tarball");
    outbound.archive(archive, &mut sink)?;
    sink.finish()?;
    export.ended("sending tarball");
    Ok(())
}

/// One entry for each name, as containerd writes them.
fn entries(root: &Descriptor, names: &[Reference], created: &str) -> Vec<Descriptor> {
    let mut plain = root.clone();
    plain.annotations.entry(CREATED.to_owned()).or_insert_with(|| created.to_owned());
    if names.is_empty() {
        return vec![plain];
    }
    let named = |name: &Reference| {
        let name = name.clone().or_latest();
        let mut entry = plain.clone();
        entry.annotations.insert(FULL_NAME.to_owned(), name.to_string());
        entry.annotations.insert(REF_NAME.to_owned(), name.tag.clone().unwrap_or_default());
        entry
    };
    names.iter().map(named).collect()
}

fn items(composed: &Composed, names: &[Reference]) -> Vec<Item> {
    let names: Vec<String> = names.iter().map(|name| name.clone().or_latest().familiar()).collect();
    composed.images.iter().map(|image| Item::new(&image.config, names.clone(), &image.layers)).collect()
}

/// Each once.
fn layers(composed: &Composed) -> Vec<&Layer> {
    let mut known: BTreeSet<Digest> = BTreeSet::new();
    composed.images.iter().flat_map(|image| &image.layers).filter(|layer| known.insert(layer.blob.digest)).collect()
}

/// The same as a folder of the client's.
fn lay(outbound: &Outbound<'_>, archive: &Archive<'_>, folder: &dyn Blobs, export: &Export<'_>) -> Result<()> {
    for layer in &archive.layers {
        let layer = outbound.as_blob(layer, export.cancel)?;
        put(folder, &layer.blob, &outbound.open(&layer)?)?;
    }
    for (digest, bytes) in archive.documents {
        let size = bytes.len() as u64;
        let media_type = archive.index.iter().find(|entry| entry.digest == *digest).map(|entry| &entry.media_type);
        let media_type = media_type.cloned().unwrap_or_else(|| "application/octet-stream".to_owned());
        let blob = Descriptor { media_type, digest: *digest, size, annotations: BTreeMap::new(), platform: None };
        let file = image::outbound::in_memory(bytes).map_err(Error::io("hold a document"))?;
        put(folder, &blob, &file)?;
    }
    for entry in &archive.index {
        let tag = entry.annotations.get(REF_NAME).map_or("latest", String::as_str);
        folder.name(tag, entry)?;
    }
    Ok(())
}

fn put(folder: &dyn Blobs, blob: &Descriptor, file: &std::fs::File) -> Result<()> {
    if folder.has(blob)? {
        return Ok(());
    }
    folder.put(blob, file)
}

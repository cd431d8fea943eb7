//! An image into the engine's own store, and into a registry.

use super::compose::{self, Composed, Composite};
use super::options::{Options, Push};
use super::ready::{self, Ready};
use super::{Export, push, response};
use crate::output::Exported;
use crate::{Error, Result};
use base::Digest;
use image::outbound::{Kept, Outbound};
use image::{Assembled, AssembledIndex, Reference};
use oci::image::Index;

pub(super) fn image(export: &Export<'_>, options: &Options) -> Result<Exported> {
    if options.push != Push::No && options.names.is_empty() {
        return Err(Error::Invalid("tag is needed when pushing to registry".to_owned()));
    }
    let store = export.solved.house.engine.image_store();
    let outbound = store.outbound();
    let ready = ready::all(export, &outbound, options)?;
    let is_attested = !options.attested(export.solved, ready.len())?.is_empty();
    if options.push == Push::No && options.store && !is_attested {
        return keep(export, options, &ready);
    }
    // What is said of a manifest is said of its layers as they would go out.
    let composed = compose::compose(export, &outbound, options, &ready)?;
    let image = if options.store { kept(export, &outbound, options, &composed)? } else { None };
    named(export, options, image)?;
    if options.push != Push::No {
        for name in &options.names {
            push::push(export, &outbound, options, (&composed, image, name))?;
        }
    }
    told(&composed, image, options)
}

/// Into the store alone: as it lies here, nothing is compressed.
fn keep(export: &Export<'_>, options: &Options, ready: &[Ready]) -> Result<Exported> {
    let store = export.solved.house.engine.image_store();
    let mut composed = Composed::default();
    // Where an index comes, names are its.
    let names: &[Reference] = if ready.len() == 1 { &options.names } else { &[] };
    for one in ready {
        let tars = one.tars();
        let id = store.assemble(&Assembled { config: &one.image, tars: &tars, names, parent: None })?;
        let mut manifest = store.manifest_of(&id)?;
        manifest.platform = Some(one.platform.clone());
        composed.images.push(Composite { config: id, manifest, layers: Vec::new() });
    }
    let composed = compose::finish(export, options, ready, composed)?;
    let image = match &composed.index {
        None => composed.images.first().map(|image| image.config),
        Some(index) => Some(index_of(export, options, &composed, index)?),
    };
    named(export, options, image)?;
    told(&composed, image, options)
}

/// Into the store as it goes out. Returns the image that its names show.
fn kept(
    export: &Export<'_>,
    outbound: &Outbound<'_>,
    options: &Options,
    composed: &Composed,
) -> Result<Option<Digest>> {
    let names: &[Reference] = if composed.index.is_none() { &options.names } else { &[] };
    let bytes = |digest: &Digest| composed.documents.get(digest).map(Vec::as_slice).unwrap_or_default();
    let mut image = None;
    for one in &composed.images {
        let (config, manifest) = (bytes(&one.config), bytes(&one.manifest.digest));
        let kept = Kept { config, manifest, media_type: &one.manifest.media_type, names };
        image = Some(outbound.keep(&kept)?);
    }
    match &composed.index {
        Some(index) => Ok(Some(index_of(export, options, composed, index)?)),
        None => Ok(image),
    }
}

/// An index into the store. Returns the image that is shown for it.
fn index_of(export: &Export<'_>, options: &Options, composed: &Composed, index: &Index) -> Result<Digest> {
    let documents: Vec<Vec<u8>> = composed.documents.values().cloned().collect();
    let assembled = AssembledIndex { index, documents: &documents, names: &options.names };
    Ok(export.solved.house.engine.image_store().assemble_index(&assembled)?.image)
}

fn named(export: &Export<'_>, options: &Options, image: Option<Digest>) -> Result<()> {
    let Some(image) = image else { return Ok(()) };
    for name in &options.names {
        export.done(&format!("naming to {name}"));
    }
    Ok(export.solved.house.engine.image_built(&image, &familiar(options))?)
}

fn familiar(options: &Options) -> Vec<String> {
    options.names.iter().map(|name| Reference::or_latest(name.clone()).familiar()).collect()
}

fn told(composed: &Composed, image: Option<Digest>, options: &Options) -> Result<Exported> {
    let root = composed.root()?;
    // As `docker inspect` shows it, unless it is known elsewhere.
    let digest = image.filter(|_| options.push == Push::No).unwrap_or(root.digest);
    let mut response = response(root, digest.to_string(), options);
    if let ([only], false) = (&composed.images[..], root.media_type.contains("index")) {
        response.insert("containerimage.config.digest".to_owned(), only.config.to_string());
    }
    let names = if image.is_some() { familiar(options) } else { Vec::new() };
    Ok(Exported { image, names, response })
}

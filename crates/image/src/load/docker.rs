//! docker-archive: `manifest.json` names configurations, tags and layers by path (moby, image/tarexport).

use super::{Arrived, Contents, blob_name, digest, layout, record_is_image};
use crate::reference::Reference;
use crate::{Error, platform};
use oci::image::Platform;
use serde::Deserialize;

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub fn images(contents: &mut Contents) -> Result<Vec<Arrived>, Error> {
    items(contents)?.into_iter().map(|item| image(contents, item)).collect()
}

/// Those that run on `wanted`. What is wrong with the others does not matter.
pub fn images_for(contents: &mut Contents, wanted: &Platform) -> Result<Vec<Arrived>, Error> {
    let mut found = Vec::new();
    for item in items(contents)? {
        let config: oci::image::Image = serde_json::from_slice(&config(contents, &item)?)
            .map_err(|e| Error::Archive(format!("the configuration {} is broken: {e}", item.config)))?;
        if platform::runs_on(&config, wanted) {
            found.push(image(contents, item)?);
        }
    }
    Ok(found)
}

fn items(contents: &Contents) -> Result<Vec<Item>, Error> {
    let broken = |e: serde_json::Error| Error::Archive(format!("manifest.json is broken: {e}"));
    let items: Vec<Item> = serde_json::from_slice(contents.document(b"manifest.json")?).map_err(broken)?;
    if items.is_empty() {
        return Err(Error::Archive("manifest.json names no image".to_owned()));
    }
    Ok(items)
}

fn config(contents: &Contents, item: &Item) -> Result<Vec<u8>, Error> {
    let path = archive::normal(item.config.as_bytes())?;
    let config = contents.document(&path)?.to_vec();
    if let Some(expected) = blob_name(&path).filter(|expected| *expected != digest(&config)) {
        return Err(Error::WrongDigest { what: item.config.clone(), expected, actual: digest(&config) });
    }
    Ok(config)
}

fn image(contents: &mut Contents, item: Item) -> Result<Arrived, Error> {
    let names = names(item.repo_tags.as_deref().unwrap_or_default())?;
    let config = config(contents, &item)?;
    let what = names.first().map_or_else(|| item.config.clone(), Reference::familiar);
    let image = record_is_image(&config, &what)?;
    let layers = item.layers.unwrap_or_default();
    let diff_ids = &image.rootfs.diff_ids;
    if layers.len() != diff_ids.len() {
        let (listed, known) = (layers.len(), diff_ids.len());
        return Err(Error::Archive(format!("{what} lists {listed} layers, its configuration {known}")));
    }
    let mut found = Vec::with_capacity(layers.len());
    for (path, diff_id) in layers.iter().zip(diff_ids) {
        found.push(contents.layer(&archive::normal(path.as_bytes())?, diff_id)?);
    }
    // A push and a save of the image then give the digest that it always had.
    match layout::original(contents, &digest(&config), diff_ids) {
        Some((manifest, media_type)) => Ok(Arrived { manifest, media_type, config, names, parent: None }),
        None => Arrived::with_own_manifest(config, found, names),
    }
}

fn names(tags: &[String]) -> Result<Vec<Reference>, Error> {
    tags.iter()
        .map(|tag| match Reference::parse(tag) {
            Ok(reference) if reference.tag.is_some() && reference.digest.is_none() => Ok(reference),
            _ => Err(Error::Archive(format!("{tag:?} is no name with a tag"))),
        })
        .collect()
}

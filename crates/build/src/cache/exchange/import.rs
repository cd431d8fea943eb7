//! Caches are looked into before a build begins; one that cannot be read costs the build no more than its steps.

use super::document::{self, CONFIG_TYPE, Said, broken};
use super::far::Far;
use super::place::{Asking, Found, Place};
use super::{ExchangeKind, Import};
use crate::progress::{Event, TaskState, Watch};
use crate::{Error, Result};
use oci::image::{Descriptor, Index, Manifest, media};

/// Images of an index that are looked into.
const MOST_IMAGES: usize = 32;

/// All that `imports` say. A kind that is not spoken here is an error; one that fails is told, and left out.
pub(crate) fn all(imports: &[Import], asking: &Asking<'_>, watch: &dyn Watch) -> Result<Far> {
    let mut far = Far::default();
    for import in imports {
        if let foreign @ ExchangeKind::Foreign(_) = import.kind {
            return Err(foreign.refused());
        }
        let (place, name) = asking.source(import)?;
        watch.tell(Event::Export { task: import.title(), state: TaskState::Begun });
        let found = one(&place, &name);
        watch.tell(Event::Export { task: import.title(), state: TaskState::Done });
        match found {
            Ok(said) => said.into_iter().for_each(|said| far.add(&place, said)),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                let text = format!("{}: {}", import.title(), base::chain(&error));
                watch.tell(Event::Warning { lines: None, text });
            }
        }
    }
    Ok(far)
}

fn one(place: &Place, name: &str) -> Result<Vec<Said>> {
    let none = || Error::Invalid("there is no such manifest".to_owned());
    let found = place.manifest(name)?.ok_or_else(none)?;
    if is_index(&found)? {
        let index: Index = serde_json::from_slice(&found.bytes).map_err(broken)?;
        let (configs, others): (Vec<_>, Vec<_>) =
            index.manifests.into_iter().partition(|blob| blob.media_type == CONFIG_TYPE);
        return match configs.first() {
            Some(config) => Ok(vec![document::read(&place.document(config)?, &others)?]),
            None => images(place, &others),
        };
    }
    of_manifest(place, &found.bytes).map(|said| vec![said])
}

/// The type stands in the document or beside it.
fn is_index(found: &Found) -> Result<bool> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        #[serde(default)]
        media_type: String,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let kind: Kind = serde_json::from_slice(&found.bytes).map_err(broken)?;
    let named = [kind.media_type.as_str(), found.media_type.as_str()];
    Ok(kind.manifests.is_some() || named.iter().any(|name| matches!(*name, media::INDEX | media::DOCKER_LIST)))
}

/// Each image of an index may bring a cache of its own.
fn images(place: &Place, manifests: &[Descriptor]) -> Result<Vec<Said>> {
    let is_image = |blob: &&Descriptor| matches!(blob.media_type.as_str(), media::MANIFEST | media::DOCKER_MANIFEST);
    let mut said = Vec::new();
    for blob in manifests.iter().filter(is_image).take(MOST_IMAGES) {
        let Some(found) = place.manifest(&blob.digest.to_string())? else { continue };
        said.push(of_manifest(place, &found.bytes)?);
    }
    Ok(said)
}

fn of_manifest(place: &Place, bytes: &[u8]) -> Result<Said> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(broken)?;
    let config = &manifest.config;
    if config.media_type == CONFIG_TYPE {
        return document::read(&place.document(config)?, &manifest.layers);
    }
    if !matches!(config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        return Ok(Said::default());
    }
    let image: oci::image::Image = serde_json::from_slice(&place.document(config)?).map_err(broken)?;
    document::read_inline(&image, &manifest.layers)
}

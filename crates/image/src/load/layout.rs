//! OCI layouts: `index.json`, indexes within it, manifests by digest (image-spec 1.1, image-layout.md and
//! image-index.md).

use super::{Arrived, Contents, digest, indexes, record_is_image};
use crate::catalog::name_in;
use crate::platform::{machine_platform, runs_on, words};
use crate::reference::Reference;
use crate::{Error, catalog, document, platform};
use base::Digest;
use oci::image::{Descriptor, Index, Manifest, Platform, media};

/// How deep an index may stand in an index.
const MAX_DEPTH: usize = 4;

/// All images that stand in the layout's index by themselves; with `wanted`, only those that run there. Those of an index within it
/// only where that index cannot be kept: then the one for `wanted`, else for this machine.
pub fn images(contents: &mut Contents, wanted: Option<&Platform>) -> Result<Vec<Arrived>, Error> {
    let index: Index = parse("index.json", contents.document(b"index.json")?)?;
    if index.manifests.is_empty() {
        return Err(Error::Archive("index.json names no image".to_owned()));
    }
    let mut images: Vec<(Descriptor, Arrived)> = Vec::new();
    let plain = indexes::plain(contents, &index);
    for entry in &index.manifests {
        if indexes::is_index(entry) && plain.contains(&entry.digest) {
            continue;
        }
        let name = name_in(entry);
        if let Some((_, known)) = images.iter_mut().find(|(other, _)| other.digest == entry.digest) {
            known.names.extend(name);
            continue;
        }
        let manifest = match choose(contents, entry, wanted, MAX_DEPTH) {
            Err(Error::NoMatch(_)) => continue,
            other => other?,
        };
        let image = image(contents, &manifest, name)?;
        let config = || serde_json::from_slice::<oci::image::Image>(&image.config);
        if wanted.is_none_or(|wanted| config().is_ok_and(|config| runs_on(&config, wanted))) {
            images.push((entry.clone(), image));
        }
    }
    Ok(images.into_iter().map(|(_, image)| image).collect())
}

/// The manifest of an image that `manifest.json` describes, too, as the archive's index has it: its bytes and its type.
/// What does not fit is left aside, because the archive is complete without it.
pub fn original(contents: &mut Contents, config: &Digest, diff_ids: &[Digest]) -> Option<(Vec<u8>, String)> {
    let index: Index = parse("index.json", contents.document(b"index.json").ok()?).ok()?;
    index.manifests.iter().find_map(|entry| {
        let entry = noted(contents, entry).or_else(|| choose(contents, entry, None, MAX_DEPTH).ok())?;
        let bytes = blob(contents, &entry).ok()?.to_vec();
        let manifest: Manifest = parse("the manifest", &bytes).ok()?;
        check_type(&entry, manifest.media_type.as_deref()).ok()?;
        let config_type = matches!(manifest.config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG);
        let same = manifest.config.digest == *config && config_type && blob(contents, &manifest.config).is_ok();
        if !same || manifest.layers.len() != diff_ids.len() {
            return None;
        }
        let mut here = |layer: &Descriptor, diff_id: &Digest| {
            let taken = contents.layer(&path(layer), diff_id);
            taken.is_ok_and(|taken| (taken.digest, taken.size) == (layer.digest, layer.size))
        };
        let all = manifest.layers.iter().zip(diff_ids).all(|(layer, diff_id)| here(layer, diff_id));
        all.then_some((bytes, entry.media_type))
    })
}

/// The manifest of Docker's type that an entry is the OCI twin of, as our own archives have it.
fn noted(contents: &Contents, entry: &Descriptor) -> Option<Descriptor> {
    let digest = entry.annotations.get(crate::save::ORIGINAL)?.parse().ok()?;
    let mut original = Descriptor { digest, media_type: media::DOCKER_MANIFEST.to_owned(), ..entry.clone() };
    original.size = contents.document(&path(&original)).ok()?.len() as u64;
    Some(original)
}

/// The manifest behind an entry: of an index, the one for `wanted`, else for this machine.
fn choose(
    contents: &Contents,
    entry: &Descriptor,
    wanted: Option<&Platform>,
    depth: usize,
) -> Result<Descriptor, Error> {
    let bytes = blob(contents, entry)?;
    match entry.media_type.as_str() {
        media::INDEX | media::DOCKER_LIST if depth > 0 => {
            let index: Index = parse(&entry.digest.to_string(), bytes)?;
            check_type(entry, index.media_type.as_deref())?;
            choose(contents, &best(contents, entry, &index, wanted)?, wanted, depth - 1)
        }
        media::MANIFEST | media::DOCKER_MANIFEST => Ok(entry.clone()),
        other => Err(Error::Archive(format!("{} is of the type {other:?}, which is no image", entry.digest))),
    }
}

/// The best of those that are here: Docker saves an index as it was pulled, but only the platforms it has. Where no platform
/// was asked for, the only one there is will do. Attestations have the platform `unknown/unknown`.
fn best(
    contents: &Contents,
    entry: &Descriptor,
    index: &Index,
    wanted: Option<&Platform>,
) -> Result<Descriptor, Error> {
    let is_image =
        |d: &Descriptor| d.platform.as_ref().is_none_or(|p| p.os != "unknown" && p.architecture != "unknown");
    let all: Vec<&Descriptor> = index.manifests.iter().filter(|d| is_image(d)).collect();
    let here: Vec<Descriptor> = all.iter().filter(|d| blob(contents, d).is_ok()).map(|d| (*d).clone()).collect();
    let machine = machine_platform();
    if let Some(best) = platform::choose(&here, wanted.unwrap_or(&machine)) {
        return Ok(best.clone());
    }
    if let Some(wanted) = wanted {
        return Err(Error::NoMatch(words(&platform::normal(wanted))));
    }
    if let [only] = &here[..] {
        return Ok(only.clone());
    }
    let platforms: Vec<String> = all.iter().filter_map(|d| d.platform.as_ref()).map(words).collect();
    Err(Error::Platform {
        name: name_in(entry).map_or_else(|| entry.digest.to_string(), |name| name.familiar()),
        image: platforms.join(", "),
        machine: words(&machine),
    })
}

pub fn image(contents: &mut Contents, entry: &Descriptor, name: Option<Reference>) -> Result<Arrived, Error> {
    let bytes = blob(contents, entry)?.to_vec();
    let what = name.as_ref().map_or_else(|| entry.digest.to_string(), Reference::familiar);
    let manifest: Manifest = parse(&what, &bytes)?;
    check_type(entry, manifest.media_type.as_deref())?;
    if !matches!(manifest.config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        let kind = &manifest.config.media_type;
        return Err(Error::Archive(format!("{what} is of the type {kind:?}, which is no image")));
    }
    let config = blob(contents, &manifest.config)?.to_vec();
    let image = record_is_image(&config, &what)?;
    catalog::check_layers(&what, &manifest, &image)?;
    for (layer, diff_id) in manifest.layers.iter().zip(&image.rootfs.diff_ids) {
        let taken = contents.layer(&path(layer), diff_id)?;
        if taken.size != layer.size {
            let wrong = content::Error::WrongSize { expected: layer.size, actual: taken.size };
            return Err(wrong.into());
        }
    }
    Ok(Arrived {
        manifest: bytes,
        media_type: entry.media_type.clone(),
        config,
        names: name.into_iter().collect(),
        parent: None,
    })
}

pub fn path(entry: &Descriptor) -> Vec<u8> {
    format!("blobs/sha256/{}", entry.digest.hex()).into_bytes()
}

/// The bytes of a document, verified.
pub fn blob<'a>(contents: &'a Contents, entry: &Descriptor) -> Result<&'a [u8], Error> {
    let bytes = contents.document(&path(entry))?;
    let actual = digest(bytes);
    if actual != entry.digest {
        return Err(Error::WrongDigest { what: entry.digest.to_string(), expected: entry.digest, actual });
    }
    if bytes.len() as u64 != entry.size {
        return Err(content::Error::WrongSize { expected: entry.size, actual: bytes.len() as u64 }.into());
    }
    Ok(bytes)
}

pub fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Error> {
    document::parse(what, bytes).map_err(Error::Archive)
}

pub fn check_type(entry: &Descriptor, inside: Option<&str>) -> Result<(), Error> {
    document::check_type(&entry.digest, inside, &entry.media_type).map_err(Error::Archive)
}

//! Annotations of manifests and indexes: `annotation.KEY`, `annotation-index.KEY`, `annotation-manifest[linux/arm64].KEY`...

use crate::{Error, Result};
use oci::image::Platform;
use std::collections::BTreeMap;

/// Annotations by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Annotations(Vec<Annotation>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Annotation {
    place: Place,
    /// `None`: of all.
    platform: Option<Platform>,
    key: String,
    value: String,
}

/// What has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Manifest,
    /// The entry that points at the manifest.
    ManifestDescriptor,
    Index,
    IndexDescriptor,
}

impl Annotations {
    /// Takes them out of an output's attributes.
    pub fn take(attributes: &mut BTreeMap<String, String>) -> Result<Annotations> {
        let keys: Vec<String> = attributes.keys().filter(|key| key.starts_with("annotation")).cloned().collect();
        let mut found = Vec::new();
        for attribute in keys {
            let Some((place, platform, key)) = split(&attribute)? else { continue };
            if platform.is_some() && matches!(place, Place::Index | Place::IndexDescriptor) {
                return Err(Error::Invalid(format!("an index has no platform: {attribute:?}")));
            }
            let value = attributes.remove(&attribute).unwrap_or_default();
            found.push(Annotation { place, platform, key, value });
        }
        Ok(Annotations(found))
    }

    /// Those for one place; what is said for its platform comes before what is said for all.
    pub fn of(&self, place: Place, platform: Option<&Platform>) -> BTreeMap<String, String> {
        let here = |own: &&Annotation| own.place == place;
        let pair = |own: &Annotation| (own.key.clone(), own.value.clone());
        let mut all: BTreeMap<String, String> =
            self.0.iter().filter(here).filter(|own| own.platform.is_none()).map(pair).collect();
        let for_it = |own: &&Annotation| own.platform.is_some() && own.platform.as_ref() == platform;
        all.extend(self.0.iter().filter(here).filter(for_it).map(pair));
        all
    }

    /// Every platform that one is for must be among those that are built.
    pub fn check(&self, platforms: &[&Platform]) -> Result<()> {
        let unknown = |own: &&Platform| !platforms.contains(own);
        match self.0.iter().filter_map(|own| own.platform.as_ref()).find(unknown) {
            None => Ok(()),
            Some(platform) => {
                let (os, architecture) = (&platform.os, &platform.architecture);
                Err(Error::Invalid(format!("invalid annotation: no platform {os}/{architecture} found in source")))
            }
        }
    }

    pub fn has(&self, place: Place) -> bool {
        self.0.iter().any(|own| own.place == place)
    }

    /// Whether there are some that Docker's own documents have no place for.
    pub fn need_oci(&self) -> bool {
        self.0.iter().any(|own| own.place != Place::Manifest)
    }
}

fn split(attribute: &str) -> Result<Option<(Place, Option<Platform>, String)>> {
    let Some((head, key)) = attribute_and_key(attribute) else { return Ok(None) };
    let (kind, platform) = match head.split_once('[') {
        None => (head, None),
        Some((kind, platform)) => (kind, Some(platform.trim_end_matches(']'))),
    };
    let place = match kind {
        "annotation" | "annotation-manifest" => Place::Manifest,
        "annotation-manifest-descriptor" => Place::ManifestDescriptor,
        "annotation-index" => Place::Index,
        "annotation-index-descriptor" => Place::IndexDescriptor,
        _ => return Err(Error::Invalid(format!("unrecognized annotation type in {attribute:?}"))),
    };
    let platform = platform.map(image::parse_platform).transpose()?;
    Ok(Some((place, platform.as_ref().map(image::short_platform), key.to_owned())))
}

/// The part before the first dot that is not in brackets, and the rest.
fn attribute_and_key(attribute: &str) -> Option<(&str, &str)> {
    let from = attribute.find(']').unwrap_or(0);
    let dot = from + attribute.get(from..)?.find('.')?;
    Some((attribute.get(..dot)?, attribute.get(dot + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_told_apart_by_place_and_platform() {
        let pairs = [
            ("annotation.org.example.a", "1"),
            ("annotation-manifest[linux/arm64].org.example.a", "2"),
            ("annotation-index.b.c", "3"),
            ("name", "x"),
        ];
        let mut attributes: BTreeMap<String, String> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let annotations = Annotations::take(&mut attributes).unwrap();
        assert_eq!(attributes.len(), 1);
        let arm = image::parse_platform("linux/arm64").unwrap();
        let amd = image::parse_platform("linux/amd64").unwrap();
        assert_eq!(annotations.of(Place::Manifest, Some(&arm))["org.example.a"], "2");
        assert_eq!(annotations.of(Place::Manifest, Some(&amd))["org.example.a"], "1");
        assert_eq!(annotations.of(Place::Index, None)["b.c"], "3");
        assert!(annotations.check(&[&amd]).is_err() && annotations.check(&[&amd, &arm]).is_ok());
    }

    #[test]
    fn an_unknown_sort_is_refused() {
        let mut attributes = BTreeMap::from([("annotation-layer.a".to_owned(), "1".to_owned())]);
        assert!(Annotations::take(&mut attributes).unwrap_err().to_string().contains("unrecognized annotation type"));
    }
}

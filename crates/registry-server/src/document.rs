//! A manifest as it comes from a client: what it says it is, what it names, and that it is one thing only.

use crate::blobs::digest_of;
use crate::fault::{Code, Fault};
use crate::name;
use base::Digest;
use http::StatusCode;
use oci::image::media;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};
use std::fmt;

/// Most bytes of a manifest (distribution-spec, "Pushing manifests").
pub const MAX_MANIFEST: usize = 4 * 1024 * 1024;

/// A checked manifest or index.
#[derive(Debug)]
pub struct Document {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    pub media_type: String,
    pub shape: Shape,
    pub subject: Option<Digest>,
    /// `artifactType`, or for a manifest without one the type of its configuration.
    pub artifact_type: Option<String>,
    annotations: Option<Value>,
}

#[derive(Debug)]
pub enum Shape {
    Manifest { config: Part, layers: Vec<Part>, is_artifact: IsArtifact },
    Index { manifests: Vec<Part> },
}

/// Whether a manifest says that it is no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsArtifact {
    No,
    Yes,
}

/// What a manifest names.
#[derive(Debug, Clone)]
pub struct Part {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    /// Kept somewhere else, so it need not be here.
    pub foreign: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<WirePart>,
    layers: Option<Vec<WirePart>>,
    manifests: Option<Vec<WirePart>>,
    subject: Option<WirePart>,
    annotations: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Document {
    /// Reads what was sent as `content_type` (which may be missing if the document names its type itself).
    pub fn parse(bytes: Vec<u8>, content_type: Option<&str>) -> Result<Document, Fault> {
        if bytes.len() > MAX_MANIFEST {
            return Err(too_large());
        }
        unambiguous(&bytes)?;
        let mut wire: Wire =
            serde_json::from_slice(&bytes).map_err(|e| invalid(format!("the manifest is broken: {e}")))?;
        if wire.schema_version != Some(2) {
            return Err(invalid("schemaVersion must be 2".to_owned()));
        }
        let media_type = agreed_type(content_type, wire.media_type.as_deref())?;
        let shape = shape(&media_type, &mut wire)?;
        let subject = wire.subject.map(Part::try_from).transpose()?.map(|part| part.digest);
        let artifact_type = wire.artifact_type.filter(|text| !text.is_empty()).or_else(|| match &shape {
            Shape::Manifest { config, .. } => Some(config.media_type.clone()),
            Shape::Index { .. } => None,
        });
        let annotations = wire.annotations.filter(|value| !value.is_null());
        Ok(Document { digest: digest_of(&bytes), bytes, media_type, shape, subject, artifact_type, annotations })
    }

    /// All blobs and manifests it names, without its subject.
    pub fn parts(&self) -> Vec<&Part> {
        match &self.shape {
            Shape::Manifest { config, layers, .. } => std::iter::once(config).chain(layers).collect(),
            Shape::Index { manifests } => manifests.iter().collect(),
        }
    }

    /// How a list of referrers shows it.
    pub fn referrer(&self) -> Value {
        let mut entry = json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() });
        if let Some(artifact_type) = &self.artifact_type {
            entry["artifactType"] = json!(artifact_type);
        }
        if let Some(annotations) = &self.annotations {
            entry["annotations"] = annotations.clone();
        }
        entry
    }

    /// Whether an engine could run it: a configuration and layers of the known types.
    pub fn is_image(&self) -> bool {
        match &self.shape {
            Shape::Manifest { config, layers, is_artifact: IsArtifact::No } => {
                let is_config = matches!(config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG);
                is_config && layers.iter().all(|layer| !layer.foreign && is_layer(&layer.media_type))
            }
            _ => false,
        }
    }
}

impl TryFrom<WirePart> for Part {
    type Error = Fault;

    fn try_from(wire: WirePart) -> Result<Part, Fault> {
        let nowhere = wire.media_type.contains(".nondistributable.") || wire.media_type.contains(".rootfs.foreign.");
        let foreign = nowhere || wire.urls.is_some_and(|urls| !urls.is_empty());
        Ok(Part { digest: name::digest(&wire.digest)?, size: wire.size, media_type: wire.media_type, foreign })
    }
}

fn is_layer(media_type: &str) -> bool {
    matches!(
        media_type,
        media::LAYER | media::LAYER_GZIP | media::LAYER_ZSTD | media::DOCKER_LAYER | media::DOCKER_LAYER_GZIP
    )
}

pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, media::INDEX | media::DOCKER_LIST)
}

fn shape(media_type: &str, wire: &mut Wire) -> Result<Shape, Fault> {
    let missing = |what: &str| invalid(format!("a document of the type {media_type:?} must have {what}"));
    let parts = |list: Option<Vec<WirePart>>, what: &str| {
        list.ok_or_else(|| missing(what))?.into_iter().map(Part::try_from).collect::<Result<Vec<_>, _>>()
    };
    match media_type {
        media::MANIFEST | media::DOCKER_MANIFEST => {
            let config = wire.config.take().ok_or_else(|| missing("config"))?.try_into()?;
            let named = wire.artifact_type.as_deref().is_some_and(|text| !text.is_empty());
            let is_artifact = if named { IsArtifact::Yes } else { IsArtifact::No };
            Ok(Shape::Manifest { config, layers: parts(wire.layers.take(), "layers")?, is_artifact })
        }
        media::INDEX | media::DOCKER_LIST => Ok(Shape::Index { manifests: parts(wire.manifests.take(), "manifests")? }),
        other => {
            Err(invalid(format!("cannot keep a manifest of the type {other:?}: use an OCI or Docker schema 2 one")))
        }
    }
}

/// The type outside without its parameters and the type inside must not differ.
fn agreed_type(outside: Option<&str>, inside: Option<&str>) -> Result<String, Fault> {
    let outside = outside.map(|text| text.split(';').next().unwrap_or_default().trim()).filter(|text| !text.is_empty());
    match (outside, inside) {
        (Some(outside), Some(inside)) if outside != inside => {
            Err(invalid(format!("the manifest is ambiguous: Content-Type is {outside:?}, mediaType is {inside:?}")))
        }
        (Some(known), _) | (None, Some(known)) => Ok(known.to_owned()),
        (None, None) => Err(invalid("the type of the manifest is missing: send Content-Type".to_owned())),
    }
}

/// Refuses a document that is a manifest to one reader and an index to another (CVE-2021-41190), also by a key that
/// stands twice or that differs in case, which Go's reader takes for the same.
fn unambiguous(bytes: &[u8]) -> Result<(), Fault> {
    const KEYS: [&str; 8] =
        ["schemaversion", "mediatype", "artifacttype", "config", "layers", "manifests", "subject", "fslayers"];
    let keys: Keys = serde_json::from_slice(bytes).map_err(|e| invalid(format!("the manifest is broken: {e}")))?;
    let count = |key: &str| keys.0.iter().filter(|other| other.eq_ignore_ascii_case(key)).count();
    if let Some(twice) = KEYS.iter().find(|key| count(key) > 1) {
        return Err(invalid(format!("the manifest is ambiguous: {twice:?} stands in it more than once")));
    }
    if count("manifests") > 0 && ["config", "layers", "fslayers"].iter().any(|key| count(key) > 0) {
        return Err(invalid("the manifest is ambiguous: both a manifest and an index".to_owned()));
    }
    Ok(())
}

/// The keys of an object, each as often as it stands there.
struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Keys, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        d.deserialize_map(Collect)
    }
}

fn invalid(text: String) -> Fault {
    Fault::new(Code::ManifestInvalid, text)
}

pub fn too_large() -> Fault {
    let text = format!("the manifest is too large: at most {MAX_MANIFEST} bytes");
    Fault::new(Code::SizeInvalid, text).with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn manifest() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": media::MANIFEST,
            "config": { "mediaType": media::CONFIG, "digest": D, "size": 1 },
            "layers": [{ "mediaType": media::LAYER_GZIP, "digest": D, "size": 1 }],
        })
    }

    fn parse(value: &Value, outside: Option<&str>) -> Result<Document, Fault> {
        Document::parse(value.to_string().into_bytes(), outside)
    }

    #[test]
    fn an_image_is_told_from_an_artifact() {
        assert!(parse(&manifest(), None).unwrap().is_image());
        let mut artifact = manifest();
        artifact["artifactType"] = json!("application/x");
        let artifact = parse(&artifact, Some(media::MANIFEST)).unwrap();
        assert!(!artifact.is_image());
        assert_eq!(artifact.referrer()["artifactType"], "application/x");
    }

    #[test]
    fn ambiguous_documents_are_refused() {
        assert!(parse(&manifest(), Some(media::INDEX)).is_err());
        let mut both = manifest();
        both["manifests"] = json!([]);
        assert!(parse(&both, None).is_err());
        let mut shouting = manifest();
        shouting["Manifests"] = json!([]);
        assert!(parse(&shouting, None).is_err());
        let twice = manifest().to_string().replacen('{', r#"{"mediaType":"x","#, 1);
        assert!(Document::parse(twice.into_bytes(), None).is_err());
    }

    #[test]
    fn a_type_has_what_belongs_to_it() {
        for key in ["config", "layers", "schemaVersion"] {
            let mut less = manifest();
            less.as_object_mut().unwrap().remove(key);
            assert!(parse(&less, None).is_err(), "{key}");
        }
        assert!(parse(&json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": [] }), None).is_ok());
        assert!(parse(&json!({ "schemaVersion": 2, "mediaType": "text/plain", "manifests": [] }), None).is_err());
        assert!(parse(&json!([]), Some(media::INDEX)).is_err());
    }
}

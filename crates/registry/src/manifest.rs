//! Manifests and indexes: fetched and verified, found, named, deleted.

use crate::error::{Error, Refusal};
use crate::hosts::Capability;
use crate::repository::{Inner, Repository, check_reference};
use crate::session::{Ask, Session};
use crate::setup::{self, Trust, drain};
use base::Digest;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode};
use oci::image::{Descriptor, media};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// Bytes of a manifest at most. Registries take 4 MiB.
const LARGEST: usize = 8 << 20;
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone)]
pub struct Document {
    pub bytes: Vec<u8>,
    pub media_type: String,
    /// Computed from the bytes.
    pub digest: Digest,
}

impl Repository {
    /// Fetches a manifest or an index by tag or by digest (then verified), from a mirror when one has it.
    pub fn manifest(&self, reference: &str) -> Result<Document, Error> {
        check_reference(reference)?;
        let reference = reference.to_owned();
        self.run(async move |inner: Arc<Inner>| inner.fetch(&reference).await)
    }

    /// Whether it is there, and which it is, without its bytes. Mirrors are asked too.
    pub fn find_manifest(&self, reference: &str) -> Result<Option<Descriptor>, Error> {
        check_reference(reference)?;
        let reference = reference.to_owned();
        self.run(async move |inner: Arc<Inner>| inner.find(&reference).await)
    }

    /// Names a manifest by a tag or by its digest.
    pub fn push_manifest(&self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<Digest, Error> {
        check_reference(reference)?;
        let digest = digest_of(bytes);
        if reference.contains(':') && reference != digest.to_string() {
            return Err(Error::Invalid(format!("cannot push a manifest as {reference}: its digest is {digest}")));
        }
        let (reference, media_type, bytes) =
            (reference.to_owned(), media_type.to_owned(), Bytes::copy_from_slice(bytes));
        self.run(async move |inner: Arc<Inner>| inner.put(&reference, &media_type, bytes).await)
    }

    /// Deletes a tag or a manifest.
    pub fn delete_manifest(&self, reference: &str) -> Result<(), Error> {
        check_reference(reference)?;
        let reference = reference.to_owned();
        self.run(async move |inner: Arc<Inner>| inner.delete(&reference).await)
    }
}

impl Inner {
    pub(crate) async fn fetch(&self, reference: &str) -> Result<Document, Error> {
        let sessions = self.sessions(needed(reference)).await?;
        self.ask_each(sessions, |_, session| self.fetch_from(session, reference)).await
    }

    async fn fetch_from(&self, session: Session, reference: &str) -> Result<Document, Error> {
        let response = session.send(&self.ask(Method::GET, reference)?).await?;
        if !response.status().is_success() {
            return Err(self.unread(Refusal::read(response).await, Some(reference)));
        }
        let headers = response.headers().clone();
        let bytes = setup::body(response, LARGEST, &self.setup.patience).await?;
        let digest = digest_of(&bytes);
        let name = self.familiar_with(reference);
        check_digest(&name, reference.parse().ok(), digest)?;
        check_digest(&name, told_digest(&headers), digest)?;
        let media_type = media_type(&headers, &bytes)
            .map_err(|reason| Error::Invalid(format!("cannot use the manifest of {name}: {reason}")))?;
        Ok(Document { bytes, media_type, digest })
    }

    async fn find(&self, reference: &str) -> Result<Option<Descriptor>, Error> {
        let sessions = self.sessions(needed(reference)).await?;
        let found = self.ask_each(sessions, |_, session| self.find_at(session, reference)).await;
        match found {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(Error::NotFound(text)) if text.starts_with("pull access denied") => Err(Error::NotFound(text)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_at(&self, session: Session, reference: &str) -> Result<Descriptor, Error> {
        let response = session.send(&self.ask(Method::HEAD, reference)?).await?;
        if !response.status().is_success() {
            return Err(self.unread(Refusal::read(response).await, Some(reference)));
        }
        let headers = response.headers();
        let told = reference.parse().ok().or_else(|| told_digest(headers));
        let size = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if let (Some(digest), Some(size), Some(media_type)) = (told, size, told_type(headers)) {
            check_digest(&self.familiar_with(reference), told_digest(headers), digest)?;
            return Ok(descriptor(media_type, digest, size));
        }
        let document = self.fetch_from(session, reference).await?;
        Ok(descriptor(document.media_type, document.digest, document.bytes.len() as u64))
    }

    async fn put(&self, reference: &str, media_type: &str, bytes: Bytes) -> Result<Digest, Error> {
        let digest = digest_of(&bytes);
        let ask = Ask::new(Method::PUT, self.at(&format!("manifests/{reference}")));
        let mut ask = ask.scope(self.scope("pull,push")).header(CONTENT_TYPE, media_type)?;
        ask.body = Some(bytes);
        let response = self.pushing().await?.send(&ask).await?;
        if !response.status().is_success() {
            return Err(Refusal::read(response).await.into_error());
        }
        check_digest(&self.familiar_with(reference), told_digest(response.headers()), digest)?;
        drain(response).await;
        Ok(digest)
    }

    async fn delete(&self, reference: &str) -> Result<(), Error> {
        let ask = Ask::new(Method::DELETE, self.at(&format!("manifests/{reference}"))).scope(self.scope("delete"));
        let response = self.pushing().await?.send(&ask).await?;
        match response.status() {
            status if status.is_success() => {
                drain(response).await;
                Ok(())
            }
            StatusCode::NOT_FOUND => Err(self.unread(Refusal::read(response).await, Some(reference))),
            _ => Err(Refusal::read(response)
                .await
                .into_error_saying(|text| format!("cannot delete {}: {text}", self.familiar_with(reference)))),
        }
    }

    fn ask(&self, method: Method, reference: &str) -> Result<Ask, Error> {
        let accept = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_LIST].join(", ");
        let ask = Ask::new(method, self.at(&format!("manifests/{reference}"))).scope(self.scope("pull"));
        let mut ask = ask.header(ACCEPT, &accept)?;
        if reference.parse::<Digest>().is_ok() {
            ask.trust = Trust::ByDigest;
        }
        Ok(ask)
    }
}

fn needed(reference: &str) -> Capability {
    if reference.contains(':') { Capability::Pull } else { Capability::Resolve }
}

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn descriptor(media_type: String, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type, digest, size, annotations: Default::default(), platform: None }
}

/// A digest by another algorithm is not compared.
fn told_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

fn check_digest(name: &str, expected: Option<Digest>, found: Digest) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != found => Err(Error::Invalid(format!(
            "manifest verification failed for {name}: expected digest {expected}, got {found}"
        ))),
        _ => Ok(()),
    }
}

/// `Content-Type`, when it says more than that it is a text.
fn told_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let bare = value.split(';').next()?.trim().to_ascii_lowercase();
    let vague = matches!(bare.as_str(), "application/json" | "text/plain" | "application/octet-stream" | "text/json");
    (!bare.is_empty() && bare.len() < 256 && !vague).then_some(bare)
}

/// The keys that tell what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

/// What a document is. One that could be read in two ways is refused (CVE-2021-41190).
fn media_type(headers: &HeaderMap, bytes: &[u8]) -> Result<String, String> {
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON document: {error}"))?;
    let told = told_type(headers);
    let schema1 =
        told.as_deref().is_some_and(|told| told.starts_with("application/vnd.docker.distribution.manifest.v1"));
    if schema1 || shape.schema_version == Some(1) || shape.fs_layers.is_some() {
        return Err(
            "Docker image manifest version 2, schema 1 is not supported. Ask the author of the image to push it \
                    in the OCI format or as schema 2"
                .to_owned(),
        );
    }
    if shape.manifests.is_some() && (shape.layers.is_some() || shape.config.is_some()) {
        return Err("it could be both a manifest and an index".to_owned());
    }
    match (told, shape.media_type) {
        (Some(told), Some(own)) if told != own => Err(format!("it is sent as {told:?} and calls itself {own:?}")),
        (Some(known), _) | (None, Some(known)) => fits(known, shape.manifests.as_ref()),
        (None, None) if shape.manifests.is_some() => Ok(media::INDEX.to_owned()),
        (None, None) if shape.layers.is_some() => Ok(media::MANIFEST.to_owned()),
        (None, None) => Err("it is neither a manifest nor an index".to_owned()),
    }
}

fn fits(media_type: String, manifests: Option<&IgnoredAny>) -> Result<String, String> {
    let wrong = match media_type.as_str() {
        media::INDEX | media::DOCKER_LIST => manifests.is_none(),
        media::MANIFEST | media::DOCKER_MANIFEST => manifests.is_some(),
        _ => false,
    };
    if wrong { Err(format!("its content is not {media_type:?}")) } else { Ok(media_type) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, document: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        media_type(&headers, document.as_bytes())
    }

    #[test]
    fn the_type_is_the_headers_else_the_documents_else_its_shape() {
        assert_eq!(of(media::DOCKER_LIST, r#"{"manifests":[]}"#).unwrap(), media::DOCKER_LIST);
        assert_eq!(of("application/json", r#"{"manifests":[]}"#).unwrap(), media::INDEX);
        assert_eq!(of("text/plain; charset=utf-8", r#"{"layers":[]}"#).unwrap(), media::MANIFEST);
        let own = format!(r#"{{"mediaType":"{}","layers":[]}}"#, media::DOCKER_MANIFEST);
        assert_eq!(of("application/octet-stream", &own).unwrap(), media::DOCKER_MANIFEST);
    }

    #[test]
    fn documents_that_could_be_two_things_are_refused() {
        for (content_type, document) in [
            (media::INDEX, r#"{"manifests":[],"layers":[],"config":{}}"#),
            (media::MANIFEST, r#"{"manifests":[]}"#),
            (media::INDEX, r#"{"layers":[]}"#),
            (media::INDEX, r#"{"manifests":[],"mediaType":"application/vnd.oci.image.manifest.v1+json"}"#),
            (media::MANIFEST, "[]"),
            ("text/html", "<html>"),
            ("application/json", "{}"),
        ] {
            assert!(of(content_type, document).is_err(), "{content_type} {document}");
        }
    }

    #[test]
    fn schema_1_is_refused_in_clear_words() {
        for (content_type, document) in [
            ("application/vnd.docker.distribution.manifest.v1+prettyjws", r#"{"schemaVersion":1}"#),
            ("application/json", r#"{"schemaVersion":1,"fsLayers":[]}"#),
        ] {
            assert!(of(content_type, document).unwrap_err().contains("schema 1 is not supported"));
        }
    }
}

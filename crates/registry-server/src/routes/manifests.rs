//! Manifests and indexes.

use super::blobs::{etag, is_known};
use super::{App, Asked, blocking, receive};
use crate::answer::{Answer, DIGEST};
use crate::blob_body::{Body, full};
use crate::document::{Document, MAX_MANIFEST, too_large};
use crate::fault::{Code, Fault};
use crate::name::{Reference, Repository, Tag};
use crate::storage::Push;
use http::header::{self, HeaderName};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// distribution-spec, "Pushing Manifests": at least this many tags at once.
const MAX_TAGS: usize = 10;

pub async fn get(
    app: &Arc<App>,
    asked: Asked,
    repository: Repository,
    reference: Reference,
) -> Result<Response<Body>, Fault> {
    let manifest = blocking(app, move |storage| storage.manifest(&repository, &reference)).await?;
    let status =
        if is_known(&asked.parts.headers, &manifest.digest) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let answer = Answer::new(status)
        .header(header::CONTENT_TYPE, &manifest.media_type)
        .header(DIGEST, manifest.digest)
        .header(header::ETAG, etag(&manifest.digest));
    if status == StatusCode::NOT_MODIFIED {
        return Ok(answer.body(full("")));
    }
    let answer = answer.header(header::CONTENT_LENGTH, manifest.bytes.len());
    Ok(answer.body(if asked.parts.method == Method::HEAD { full("") } else { full(manifest.bytes) }))
}

pub async fn put(
    app: &Arc<App>,
    asked: Asked,
    body: &mut Incoming,
    (repository, reference): (Repository, Reference),
) -> Result<Response<Body>, Fault> {
    let declared = asked.parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: usize| length > MAX_MANIFEST) {
        return Err(too_large());
    }
    let bytes = receive::document(body, MAX_MANIFEST).await?.ok_or_else(too_large)?;
    let content_type = asked.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let document = Document::parse(bytes, content_type)?;
    let tags = tags(&asked, &reference, &document)?;
    let mut answer = Answer::new(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{repository}/manifests/{}", document.digest))
        .header(DIGEST, document.digest);
    if let Some(subject) = &document.subject {
        answer = answer.header(SUBJECT, subject);
    }
    if matches!(reference, Reference::Digest(_)) {
        answer = tags.iter().fold(answer, |answer, tag| answer.header(TAG, tag));
    }
    blocking(app, move |storage| storage.writing()?.put_manifest(&repository, &Push { document, tags })).await?;
    Ok(answer.empty())
}

/// The tag of the path, or those that a push by digest adds.
fn tags(asked: &Asked, reference: &Reference, document: &Document) -> Result<Vec<Tag>, Fault> {
    match reference {
        Reference::Tag(tag) => Ok(vec![tag.clone()]),
        Reference::Digest(digest) if *digest != document.digest => {
            let text = format!("wrong digest: the manifest is {}, not {digest}", document.digest);
            Err(Fault::new(Code::DigestInvalid, text))
        }
        Reference::Digest(_) => {
            let tags = asked.query.all("tag").map(Tag::parse).collect::<Result<Vec<_>, _>>()?;
            if tags.len() > MAX_TAGS {
                let text = format!("too many tags: at most {MAX_TAGS} at once");
                return Err(Fault::new(Code::ManifestInvalid, text).with_status(StatusCode::URI_TOO_LONG));
            }
            Ok(tags)
        }
    }
}

pub async fn delete(app: &Arc<App>, repository: Repository, reference: Reference) -> Result<Response<Body>, Fault> {
    blocking(app, move |storage| storage.writing()?.delete_manifest(&repository, &reference)).await?;
    Ok(Answer::new(StatusCode::ACCEPTED).empty())
}

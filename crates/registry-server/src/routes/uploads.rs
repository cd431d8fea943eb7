//! Blobs on their way in: whole, in chunks, or from another repository.

use super::{App, Asked, blocking, receive};
use crate::answer::{Answer, DIGEST};
use crate::blob_body::Body;
use crate::fault::{Code, Fault};
use crate::folder::uploads::{Session, UploadId};
use crate::name::{self, Repository};
use base::Digest;
use http::header::{self, HeaderName};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

pub async fn post(
    app: &Arc<App>,
    asked: Asked,
    body: &mut Incoming,
    repository: Repository,
) -> Result<Response<Body>, Fault> {
    if asked.query.get("digest-algorithm").is_some_and(|algorithm| algorithm != "sha256") {
        return Err(Fault::new(Code::DigestInvalid, "this registry keeps sha256 digests only".to_owned()));
    }
    if let Some(text) = asked.query.get("mount") {
        let digest = name::digest(text)?;
        let from = asked.query.get("from").map(Repository::parse).transpose()?;
        if mount(app, &repository, from, digest).await? {
            return Ok(created(&repository, &digest));
        }
    }
    let digest = asked.query.get("digest").map(name::digest).transpose()?;
    let owner = repository.clone();
    let session = blocking(app, move |storage| storage.writing()?.uploads().begin(&owner)).await?;
    match digest {
        None => Ok(accepted(StatusCode::ACCEPTED, &repository, session.id(), 0)),
        Some(digest) => {
            let id = session.id().clone();
            let done = complete(app, session, body, (repository.clone(), digest)).await;
            if done.is_err() {
                // The client does not know this upload, so that it could not go on with it.
                let _ = delete(app, repository, id).await;
            }
            done
        }
    }
}

async fn mount(
    app: &Arc<App>,
    repository: &Repository,
    from: Option<Repository>,
    digest: Digest,
) -> Result<bool, Fault> {
    let repository = repository.clone();
    blocking(app, move |storage| storage.writing()?.mount(&repository, from.as_ref(), &digest)).await
}

pub async fn get(app: &Arc<App>, repository: Repository, id: UploadId) -> Result<Response<Body>, Fault> {
    let (owner, upload) = (repository.clone(), id.clone());
    let size = blocking(app, move |storage| storage.writing()?.uploads().size(&owner, &upload)).await?;
    Ok(accepted(StatusCode::NO_CONTENT, &repository, &id, size))
}

pub async fn patch(
    app: &Arc<App>,
    asked: Asked,
    body: &mut Incoming,
    (repository, id): (Repository, UploadId),
) -> Result<Response<Body>, Fault> {
    let session = match resume(app, &asked, &repository, &id).await? {
        Ok(session) => session,
        Err(misplaced) => return refuse_chunk(misplaced, body).await,
    };
    let session = receive::append(session, body).await?;
    Ok(accepted(StatusCode::ACCEPTED, &repository, &id, session.size()))
}

pub async fn put(
    app: &Arc<App>,
    asked: Asked,
    body: &mut Incoming,
    (repository, id): (Repository, UploadId),
) -> Result<Response<Body>, Fault> {
    let missing = || Fault::new(Code::DigestInvalid, "the digest of the blob is missing: add ?digest=".to_owned());
    let digest = name::digest(asked.query.get("digest").ok_or_else(missing)?)?;
    let session = match resume(app, &asked, &repository, &id).await? {
        Ok(session) => session,
        Err(misplaced) => return refuse_chunk(misplaced, body).await,
    };
    complete(app, session, body, (repository, digest)).await
}

pub async fn delete(app: &Arc<App>, repository: Repository, id: UploadId) -> Result<Response<Body>, Fault> {
    blocking(app, move |storage| storage.writing()?.uploads().cancel(&repository, &id)).await?;
    Ok(Answer::new(StatusCode::NO_CONTENT).empty())
}

/// Takes the upload, or tells that a chunk of it begins at the wrong place.
async fn resume(
    app: &Arc<App>,
    asked: &Asked,
    repository: &Repository,
    id: &UploadId,
) -> Result<Result<Session, Response<Body>>, Fault> {
    let start = chunk_start(asked)?;
    let (owner, upload) = (repository.clone(), id.clone());
    let session = blocking(app, move |storage| storage.writing()?.uploads().resume(&owner, &upload)).await?;
    if start.is_some_and(|start| start != session.size()) {
        return Ok(Err(accepted(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, session.size())));
    }
    Ok(Ok(session))
}

async fn refuse_chunk(answer: Response<Body>, body: &mut Incoming) -> Result<Response<Body>, Fault> {
    receive::drain(body).await;
    Ok(answer)
}

/// `Content-Range: FIRST-LAST`, checked against the length of the body.
fn chunk_start(asked: &Asked) -> Result<Option<u64>, Fault> {
    let Some(value) = asked.parts.headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let wrong = |text: &str| Fault::new(Code::BlobUploadInvalid, text.to_owned());
    let malformed = || wrong("invalid Content-Range: expected FIRST-LAST");
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let (first, last) = value.to_str().ok().and_then(|text| text.split_once('-')).ok_or_else(malformed)?;
    let (first, last) = digits(first).zip(digits(last)).ok_or_else(malformed)?;
    let length: Option<u64> =
        asked.parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    // An empty chunk cannot be written as a range; clients then send one byte too many.
    let range = last.checked_sub(first).and_then(|gap| gap.checked_add(1)).ok_or_else(malformed)?;
    match length {
        Some(length) if length != range && length != 0 => {
            Err(Fault::new(Code::SizeInvalid, format!("Content-Range has {range} bytes, the body {length}")))
        }
        _ => Ok(Some(first)),
    }
}

async fn complete(
    app: &Arc<App>,
    session: Session,
    body: &mut Incoming,
    (repository, digest): (Repository, Digest),
) -> Result<Response<Body>, Fault> {
    let session = receive::append(session, body).await?;
    let owner = repository.clone();
    blocking(app, move |storage| storage.writing()?.keep(&owner, session, &digest)).await?;
    Ok(created(&repository, &digest))
}

fn created(repository: &Repository, digest: &Digest) -> Response<Body> {
    let location = format!("/v2/{repository}/blobs/{digest}{}", namespace(repository, '?'));
    Answer::new(StatusCode::CREATED).header(header::LOCATION, location).header(DIGEST, digest).empty()
}

fn accepted(status: StatusCode, repository: &Repository, id: &UploadId, size: u64) -> Response<Body> {
    let location = format!("/v2/{repository}/blobs/uploads/{id}{}", namespace(repository, '?'));
    let answer = Answer::new(status)
        .header(header::LOCATION, location)
        .header(header::RANGE, format!("0-{}", size.saturating_sub(1)))
        .header(UPLOAD_ID, id)
        .header(CHUNK_MIN_LENGTH, 1);
    if status == StatusCode::NO_CONTENT { answer.body(crate::blob_body::full("")) } else { answer.empty() }
}

/// A client of a mirror goes on naming the registry that it means.
fn namespace(repository: &Repository, mark: char) -> String {
    repository.namespace().map(|namespace| format!("{mark}ns={namespace}")).unwrap_or_default()
}

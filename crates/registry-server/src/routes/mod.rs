//! Requests become calls of a storage, and their outcome answers.

mod blobs;
mod lists;
mod manifests;
mod receive;
mod uploads;

use crate::access::Access;
use crate::answer::{self, Answer};
use crate::blob_body::Body;
use crate::fault::{Code, Fault};
use crate::storage::Storage;
use crate::target::{Query, Target};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use std::io;
use std::sync::Arc;

/// What all requests share.
pub struct App {
    pub storage: Arc<dyn Storage>,
    pub access: Access,
}

/// Why an answer is a refusal, for the log.
#[derive(Debug, Clone)]
pub struct Reason(pub String);

/// One request without its body.
pub struct Asked {
    pub parts: Parts,
    pub query: Query,
}

/// Answers one request.
pub async fn answer(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let (parts, mut body) = request.into_parts();
    match route(&app, parts, &mut body).await {
        Ok(response) => response,
        Err(fault) => {
            // A client that still sends would otherwise see a broken connection instead of the answer.
            receive::drain(&mut body).await;
            let mut response = answer::fault(&fault);
            response.extensions_mut().insert(Reason(base::chain(&fault)));
            response
        }
    }
}

async fn route(app: &Arc<App>, parts: Parts, body: &mut Incoming) -> Result<Response<Body>, Fault> {
    app.access.authenticate(&parts.headers).await?;
    let query = Query::of(&parts.uri);
    let target = Target::of(&parts.uri, &query)?;
    app.access.allow(&parts.method, &parts.headers, &target)?;
    let method = parts.method.clone();
    let asked = Asked { parts, query };
    let reads = matches!(method, Method::GET | Method::HEAD);
    match (target, &method) {
        (Target::Base, _) if reads => Ok(Answer::new(StatusCode::OK).json(&serde_json::json!({}))),
        (Target::Catalog, _) if reads => lists::catalog(app, asked).await,
        (Target::Tags(repository), _) if reads => lists::tags(app, asked, repository).await,
        (Target::Referrers(repository, subject), _) if reads => lists::referrers(app, asked, repository, subject).await,
        (Target::Manifest(repository, reference), _) if reads => {
            manifests::get(app, asked, repository, reference).await
        }
        (Target::Manifest(repository, reference), &Method::PUT) => {
            manifests::put(app, asked, body, (repository, reference)).await
        }
        (Target::Manifest(repository, reference), &Method::DELETE) => {
            manifests::delete(app, repository, reference).await
        }
        (Target::Blob(repository, digest), &Method::HEAD) => blobs::head(app, asked, repository, digest).await,
        (Target::Blob(repository, digest), &Method::GET) => blobs::get(app, asked, repository, digest).await,
        (Target::Blob(repository, digest), &Method::DELETE) => blobs::delete(app, repository, digest).await,
        (Target::Uploads(repository), &Method::POST) => uploads::post(app, asked, body, repository).await,
        (Target::Upload(repository, id), &Method::GET) => uploads::get(app, repository, id).await,
        (Target::Upload(repository, id), &Method::PATCH) => uploads::patch(app, asked, body, (repository, id)).await,
        (Target::Upload(repository, id), &Method::PUT) => uploads::put(app, asked, body, (repository, id)).await,
        (Target::Upload(repository, id), &Method::DELETE) => uploads::delete(app, repository, id).await,
        (_, method) => Err(Fault::new(Code::Unsupported, format!("{method} does nothing here"))),
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&dyn Storage) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let storage = Arc::clone(&app.storage);
    let done = tokio::task::spawn_blocking(move || work(storage.as_ref())).await;
    done.unwrap_or_else(|error| Err(Fault::io("do the work")(io::Error::other(error))))
}

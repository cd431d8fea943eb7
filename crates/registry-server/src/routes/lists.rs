//! Lists: repositories, tags, referrers.

use super::{App, Asked, blocking};
use crate::answer::Answer;
use crate::blob_body::{Body, full};
use crate::fault::{Code, Fault};
use crate::name::Repository;
use api::client::encode;
use base::Digest;
use http::header::{self, HeaderName};
use http::{Response, StatusCode};
use oci::image::media;
use serde_json::{Value, json};
use std::sync::Arc;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

pub async fn catalog(app: &Arc<App>, asked: Asked) -> Result<Response<Body>, Fault> {
    let all = blocking(app, |storage| storage.repositories()).await?;
    let (page, more) = page(&asked, all)?;
    let answer = link(Answer::new(StatusCode::OK), "/v2/_catalog", &page, more);
    Ok(answer.json(&json!({ "repositories": page })))
}

pub async fn tags(app: &Arc<App>, asked: Asked, repository: Repository) -> Result<Response<Body>, Fault> {
    let owner = repository.clone();
    let all = blocking(app, move |storage| storage.tags(&owner)).await?;
    let (page, more) = page(&asked, all)?;
    let answer = link(Answer::new(StatusCode::OK), &format!("/v2/{repository}/tags/list"), &page, more);
    Ok(answer.json(&json!({ "name": repository.as_str(), "tags": page })))
}

pub async fn referrers(
    app: &Arc<App>,
    asked: Asked,
    repository: Repository,
    subject: Digest,
) -> Result<Response<Body>, Fault> {
    let mut found: Vec<Value> = blocking(app, move |storage| storage.referrers(&repository, &subject)).await?;
    let mut answer = Answer::new(StatusCode::OK).header(header::CONTENT_TYPE, media::INDEX);
    if let Some(wanted) = asked.query.get("artifactType").filter(|text| !text.is_empty()) {
        found.retain(|entry| entry["artifactType"].as_str() == Some(wanted));
        answer = answer.header(FILTERS_APPLIED, "artifactType");
    }
    let index = json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": found });
    Ok(answer.body(full(index.to_string())))
}

/// The names after `last`, at most `n`, and `n` again if there are more.
fn page(asked: &Asked, mut all: Vec<String>) -> Result<(Vec<String>, Option<usize>), Fault> {
    if let Some(last) = asked.query.get("last").filter(|text| !text.is_empty()) {
        all.retain(|name| name.as_str() > last);
    }
    let Some(text) = asked.query.get("n").filter(|text| !text.is_empty()) else { return Ok((all, None)) };
    let n: usize = text.parse().map_err(|_| {
        let text = "invalid n: expected how many names to list".to_owned();
        Fault::new(Code::Unsupported, text).with_status(StatusCode::BAD_REQUEST)
    })?;
    let more = n > 0 && all.len() > n;
    all.truncate(n);
    Ok((all, more.then_some(n)))
}

/// RFC 8288
fn link(answer: Answer, path: &str, page: &[String], more: Option<usize>) -> Answer {
    match (more, page.last()) {
        (Some(n), Some(last)) => {
            answer.header(header::LINK, format!("<{path}?n={n}&last={}>; rel=\"next\"", encode(last)))
        }
        _ => answer,
    }
}

//! `POST /images/create`: a pull, or the import of a root file system.

use super::{fetch, pull, tag};
use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::body;
use api::types::Progress;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, header};
use image::Import;

pub async fn post(State(app): State<App>, query: Query, headers: HeaderMap, tar: Body) -> Answer {
    // Also of a pull a body is read: only then is it seen that its client goes.
    let mut tar = body::reader(tar);
    if query.text("fromImage").is_some() {
        return pull::post(&app, &query, &headers).await;
    }
    let import = meant(&query)?;
    match query.get("fromSrc") {
        "-" => {}
        url => return fetch::post(&app, url.to_owned(), import).await,
    }
    let id = app.blocking(move |engine| engine.image_import(&mut tar, &import)).await?;
    let line = Progress { status: Some(id.to_string()), ..Progress::default() };
    Ok(([(header::CONTENT_TYPE, "application/json")], body::line(&line)).into_response())
}

fn meant(query: &Query) -> Result<Import, Refusal> {
    let reference = query.text("repo").map(|repository| tag::target(repository, query.get("tag"))).transpose()?;
    Ok(Import {
        reference,
        message: query.text("message").unwrap_or("Imported from -").to_owned(),
        changes: query.all("changes").map(str::to_owned).collect(),
        platform: query.text("platform").map(str::to_owned),
    })
}

//! Images. Names have slashes in them, so that a path's verb is found from its end.

mod create;
mod inspect;
mod list;
mod load;
mod prune;
mod remove;
mod tag;

use super::unsupported::not_yet;
use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::version::ApiVersion;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};

pub fn routes() -> Router<App> {
    Router::new()
        .route("/images/json", get(list::get))
        .route("/images/load", post(load::post))
        .route("/images/create", post(create::post))
        .route("/images/prune", post(prune::post))
        .route("/images/{*rest}", get(look).post(change).delete(remove::delete))
}

async fn look(State(app): State<App>, Path(rest): Path<String>, version: ApiVersion) -> Answer {
    match rest.rsplit_once('/') {
        Some((name, "json")) => inspect::get(&app, name, version).await,
        Some((name, "history")) => inspect::history(&app, name).await,
        Some((_, "get")) => Err(not_yet("saving images")),
        _ if rest == "get" => Err(not_yet("saving images")),
        _ if rest == "search" => Err(not_yet("searching a registry")),
        _ => Err(Refusal::not_found("page not found")),
    }
}

async fn change(State(app): State<App>, Path(rest): Path<String>, query: Query) -> Answer {
    match rest.rsplit_once('/') {
        Some((name, "tag")) => tag::post(&app, name, &query).await,
        Some((_, "push")) => Err(not_yet("pushing images")),
        _ => Err(Refusal::not_found("page not found")),
    }
}

/// A path's name without the slashes that clients double.
fn name(text: &str) -> String {
    text.trim_matches('/').to_owned()
}

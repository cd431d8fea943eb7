//! Images. Names have slashes in them, so that a path's verb is found from its end.

mod create;
mod fetch;
pub(super) mod inspect;
mod list;
mod load;
mod prune;
pub(super) mod pull;
mod push;
mod remove;
mod save;
mod search;
mod tag;

use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::version::ApiVersion;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::HeaderMap;
use oci::image::Platform;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/images/json", get(list::get))
        .route("/images/load", post(load::post))
        .route("/images/create", post(create::post))
        .route("/images/prune", post(prune::post))
        .route("/images/{*rest}", get(look).post(change).delete(remove::delete))
}

async fn look(
    State(app): State<App>,
    Path(rest): Path<String>,
    version: ApiVersion,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    match rest.rsplit_once('/') {
        Some((name, "json")) => inspect::get(&app, name, version, &query).await,
        Some((name, "history")) => inspect::history(&app, name, &query).await,
        Some((name, "get")) => save::one(&app, name, &query).await,
        _ if rest == "get" => save::many(&app, &query).await,
        _ if rest == "search" => search::get(&app, &query, &headers).await,
        _ => Err(Refusal::not_found("page not found")),
    }
}

async fn change(
    State(app): State<App>,
    Path(rest): Path<String>,
    version: ApiVersion,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    match rest.rsplit_once('/') {
        Some((name, "tag")) => tag::post(&app, name, &query).await,
        Some((name, "push")) => push::post(&app, name, version, &query, &headers).await,
        _ => Err(Refusal::not_found("page not found")),
    }
}

/// A path's name without the slashes that clients double.
fn name(text: &str) -> String {
    text.trim_matches('/').to_owned()
}

/// The parameter `platform`: as a text, or since API 1.48 as JSON.
fn platform(query: &Query) -> Result<Option<Platform>, Refusal> {
    query.text("platform").map(one_platform).transpose()
}

fn one_platform(text: &str) -> Result<Platform, Refusal> {
    match text.starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| Refusal::invalid(format!("invalid platform: {error}"))),
        false => image::parse_platform(text).map_err(|error| Refusal::from(engine::Error::from(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_a_text_or_json() {
        let asked = |text: &str| {
            let encoded: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
            let uri = format!("/x?platform={encoded}").parse().expect("a uri");
            platform(&Query::of(&uri).expect("a query")).map(|p| p.map(|p| (p.os, p.architecture)))
        };
        let arm = Some(("linux".to_owned(), "arm64".to_owned()));
        assert_eq!(asked("linux/arm64"), Ok(arm.clone()));
        assert_eq!(asked(r#"{"os":"linux","architecture":"arm64"}"#), Ok(arm));
        assert_eq!(asked(""), Ok(None));
        for text in ["//", "{"] {
            assert!(asked(text).is_err(), "{text}");
        }
    }
}

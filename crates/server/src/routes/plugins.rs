//! Plugins in Docker's sense (images that run as part of the engine): there are none, so that none is found.

use super::page_not_found;
use super::unsupported::not_yet;
use crate::app::App;
use crate::status::{self, Refusal};
use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Method, StatusCode};
use serde_json::json;

pub fn routes() -> Router<App> {
    Router::new().route("/plugins", get(none)).route("/plugins/{*rest}", get(one).post(one).delete(one))
}

async fn none() -> Response {
    status::json(StatusCode::OK, &json!([]))
}

async fn one(method: Method, Path(rest): Path<String>) -> Response {
    match asked(&method, &rest) {
        Asked::Named(name) => Refusal::not_found(format!("plugin {name:?} not found")).into_response(),
        Asked::Installing => not_yet("using plugins").into_response(),
        Asked::Nothing => page_not_found().await,
    }
}

/// What is asked of plugins.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    /// Something about one of this name.
    Named(&'a str),
    /// To fetch or to make one.
    Installing,
    /// Nothing that Docker knows.
    Nothing,
}

fn asked<'a>(method: &Method, rest: &'a str) -> Asked<'a> {
    let before = |words: &[&str]| {
        let (name, verb) = rest.rsplit_once('/')?;
        words.contains(&verb).then_some(name)
    };
    let named = |name: Option<&'a str>| name.map_or(Asked::Nothing, Asked::Named);
    match (method.as_str(), rest) {
        ("GET", "privileges") | ("POST", "pull" | "create") => Asked::Installing,
        ("GET", _) => named(before(&["json"])),
        ("POST", _) => named(before(&["enable", "disable", "set", "push", "upgrade"])),
        ("DELETE", name) => Asked::Named(name),
        _ => Asked::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_name_may_have_slashes() {
        assert_eq!(asked(&Method::GET, "vieux/sshfs:1/json"), Asked::Named("vieux/sshfs:1"));
        assert_eq!(asked(&Method::POST, "x/enable"), Asked::Named("x"));
        assert_eq!(asked(&Method::DELETE, "a/b"), Asked::Named("a/b"));
        assert_eq!(asked(&Method::POST, "pull"), Asked::Installing);
        assert_eq!(asked(&Method::GET, "x/enable"), Asked::Nothing);
    }
}

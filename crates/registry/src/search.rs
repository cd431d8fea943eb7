//! Docker's search for repositories (`GET /v1/search`).

use crate::credentials::{Credentials, is_hub};
use crate::error::Error;
use crate::hosts::Fallback;
use crate::session::Session;
use crate::setup::{self, Setup, Trust};
use crate::token::basic;
use http::Method;
use http::header::AUTHORIZATION;
use reqwest::{Request, Url};
use serde::Deserialize;
use std::sync::Arc;

/// Bytes of an answer at most.
const LARGEST: usize = 8 << 20;
const MOST_HITS: usize = 100;
const USUAL_HITS: usize = 25;

/// One hit of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hit {
    pub name: String,
    pub description: String,
    pub stars: u64,
    pub official: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    results: Vec<WireHit>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct WireHit {
    name: String,
    description: Option<String>,
    star_count: i64,
    is_official: bool,
}

pub(crate) async fn search(
    setup: Arc<Setup>,
    term: String,
    limit: usize,
    credentials: Credentials,
) -> Result<Vec<Hit>, Error> {
    let limit = checked_limit(limit)?;
    let (registry, term) = split(&term)?;
    let url = address(&setup, &registry, &credentials).await?;
    let mut request = Request::new(Method::GET, url.0);
    request.url_mut().query_pairs_mut().append_pair("q", &term).append_pair("n", &limit.to_string());
    if !credentials.username.is_empty() {
        request.headers_mut().insert(AUTHORIZATION, basic(&credentials.username, &credentials.password)?);
    }
    let response = setup.follow(&url.1, request, Trust::ByName).await?;
    let status = response.status();
    if !status.is_success() {
        let text = format!("unexpected status code {}", status.as_u16());
        return Err(match status.as_u16() {
            401 | 403 => Error::Denied(text),
            404 => Error::NotFound(text),
            _ => Error::Unavailable(text),
        });
    }
    let body = setup::body(response, LARGEST, &setup.patience).await?;
    let found: Wire = serde_json::from_slice(&body)
        .map_err(|_| Error::Unavailable(format!("the registry {registry} did not answer with search results")))?;
    Ok(found.results.into_iter().take(limit).map(Hit::from).collect())
}

impl From<WireHit> for Hit {
    fn from(wire: WireHit) -> Hit {
        Hit {
            name: wire.name,
            description: wire.description.unwrap_or_default(),
            stars: u64::try_from(wire.star_count).unwrap_or(0),
            official: wire.is_official,
        }
    }
}

/// 0 asks for as many as usual.
fn checked_limit(limit: usize) -> Result<usize, Error> {
    match limit {
        0 => Ok(USUAL_HITS),
        1..=MOST_HITS => Ok(limit),
        _ => Err(Error::Invalid(format!("limit {limit} is outside the range of [1, {MOST_HITS}]"))),
    }
}

/// The registry that a term's first component names, and the rest of it.
fn split(term: &str) -> Result<(String, String), Error> {
    if term.contains("://") {
        return Err(Error::Invalid(format!(
            "invalid repository name: repository name ({term}) should not have a scheme"
        )));
    }
    let (registry, rest) = match term.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("index.docker.io", term),
    };
    if is_hub(registry) {
        let rest = rest.strip_prefix("library/").unwrap_or(rest);
        return Ok(("index.docker.io".to_owned(), rest.to_owned()));
    }
    Ok((registry.to_owned(), rest.to_owned()))
}

async fn address(
    setup: &Arc<Setup>,
    registry: &str,
    credentials: &Credentials,
) -> Result<(Url, crate::tls::Tls), Error> {
    let endpoint = Arc::new(setup.finder().itself(registry).await?);
    let session =
        Session { setup: Arc::clone(setup), endpoint: Arc::clone(&endpoint), credentials: credentials.clone() };
    let base = match endpoint.fallback {
        Fallback::Never => endpoint.base.clone(),
        Fallback::Http => session.known().await?.base,
    };
    let url = base.join("../v1/search");
    let url = url.map_err(|error| Error::Invalid(format!("cannot search in {registry}: {error}")))?;
    Ok((url, endpoint.tls.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_name_its_registry() {
        for (term, registry, rest) in [
            ("busybox", "index.docker.io", "busybox"),
            ("library/busybox", "index.docker.io", "busybox"),
            ("ann/tool", "index.docker.io", "ann/tool"),
            ("docker.io/ann/tool", "index.docker.io", "ann/tool"),
            ("localhost/tool", "localhost", "tool"),
            ("reg.example:5000/a/b", "reg.example:5000", "a/b"),
        ] {
            assert_eq!(split(term).unwrap(), (registry.to_owned(), rest.to_owned()));
        }
        assert!(split("https://reg.example/a").is_err());
    }

    #[test]
    fn a_limit_is_from_1_to_100() {
        assert_eq!(checked_limit(0).unwrap(), 25);
        assert_eq!(checked_limit(101).unwrap_err().to_string(), "limit 101 is outside the range of [1, 100]");
    }
}

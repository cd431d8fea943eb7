//! What all transfers of one configuration share, and how redirects are followed.

use crate::Error;
use crate::challenge::Challenges;
use crate::hosts::{Finder, same_origin};
use crate::names::Names;
use crate::settings::{Patience, Settings};
use crate::tls::Tls;
use crate::token::Tokens;
use crate::transport::{Failure, Stage, Transport, operation};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::{Request, Response, Url};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Redirects of one request at most.
const MOST_REDIRECTS: usize = 10;
/// What is known of an endpoint is asked again after this.
const KNOWLEDGE_LASTS: Duration = Duration::from_secs(5 * 60);
/// A mirror that does not answer is left out for this long, so that not each layer waits for it.
const DEAD_MIRROR_RESTS: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read only to keep its connection.
const WORTH_DRAINING: usize = 64 * 1024;
/// Longer than this a new connection takes less time.
const LONGEST_DRAINING: Duration = Duration::from_secs(1);

/// Settings and all that grew from them: connections, tokens, what endpoints answered.
pub(crate) struct Setup {
    pub settings: Settings,
    pub patience: Patience,
    pub transport: Transport,
    pub tokens: Tokens,
    names: Names,
    known: Mutex<HashMap<String, Known>>,
    unreachable: Mutex<HashMap<String, Instant>>,
}

/// What an endpoint answered to `GET /v2/`.
#[derive(Clone)]
pub(crate) struct Known {
    /// With the scheme that it speaks.
    pub base: Url,
    pub challenges: Challenges,
    since: Instant,
}

/// What vouches for the content of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Its digest is known beforehand.
    ByDigest,
    /// Only the server's name.
    ByName,
}

impl Known {
    pub(crate) fn new(base: Url, challenges: Challenges) -> Known {
        Known { base, challenges, since: Instant::now() }
    }
}

impl Setup {
    pub(crate) fn new(settings: Settings, patience: Patience) -> Setup {
        let names = Names::default();
        let transport = Transport::new(&settings, &patience, &names);
        Setup {
            settings,
            patience,
            transport,
            tokens: Tokens::default(),
            names,
            known: Mutex::default(),
            unreachable: Mutex::default(),
        }
    }

    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder { settings: &self.settings, names: &self.names }
    }

    pub(crate) fn known(&self, base: &Url) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(base.as_str()).filter(|known| known.since.elapsed() < KNOWLEDGE_LASTS).cloned()
    }

    pub(crate) fn learn(&self, base: &Url, known: Known) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(base.to_string(), known);
    }

    /// An endpoint did not answer at all.
    pub(crate) fn note_unreachable(&self, base: &Url) {
        let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        unreachable.insert(base.to_string(), Instant::now());
    }

    /// Whether an endpoint was found unreachable a short time ago.
    pub(crate) fn is_unreachable(&self, base: &Url) -> bool {
        let unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        unreachable.get(base.as_str()).is_some_and(|since| since.elapsed() < DEAD_MIRROR_RESTS)
    }

    pub(crate) fn forget(&self, base: &Url) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(base.as_str());
    }

    /// Sends a request and follows its redirects. What is secret stays with the first host.
    pub(crate) async fn follow(&self, tls: &Tls, mut request: Request, trust: Trust) -> Result<Response, Failure> {
        let mut tls = tls.clone();
        for _ in 0..MOST_REDIRECTS {
            let again = request.try_clone();
            let response = self.transport.execute(&tls, request).await?;
            let Some(target) = target(&response) else { return Ok(response) };
            let Some(mut next) = again.filter(|again| may_follow(again.method(), response.status())) else {
                return Ok(response);
            };
            let from = next.url().clone();
            if from.scheme() == "https" && target.scheme() != "https" && trust == Trust::ByName {
                return Err(refused(&next, "a redirect from https to http is not followed"));
            }
            if !matches!(target.scheme(), "http" | "https") {
                return Err(refused(&next, "a redirect to another protocol is not followed"));
            }
            if !same_origin(&from, &target) {
                // The body of a POST is a token request, which holds the secret itself.
                if *next.method() == Method::POST && next.body().is_some() {
                    return Err(refused(
                        &next,
                        "a redirect to another host is not followed: the request holds a secret",
                    ));
                }
                *next.headers_mut() = harmless(next.headers());
                tls = tls.toward_strangers();
            }
            drain(response).await;
            *next.url_mut() = target;
            request = next;
        }
        Err(refused(&request, "stopped after 10 redirects"))
    }
}

fn refused(request: &Request, reason: &str) -> Failure {
    Failure::new(Stage::Setup, reason, operation(request.method(), request.url()))
}

fn target(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

/// Other methods follow only where the status says that method and body stay.
fn may_follow(method: &Method, status: StatusCode) -> bool {
    matches!(*method, Method::GET | Method::HEAD) || matches!(status.as_u16(), 307 | 308)
}

/// Headers that may go to a host that the registry, not the configuration, names.
fn harmless(headers: &HeaderMap) -> HeaderMap {
    let kept = [header::ACCEPT, header::RANGE, header::IF_RANGE, CONTENT_TYPE, CONTENT_LENGTH];
    debug_assert!(!kept.contains(&AUTHORIZATION));
    let found = kept.into_iter().filter_map(|name| headers.get(&name).map(|value| (name, value.clone())));
    found.collect()
}

/// Reads a short rest so that the connection can be used again.
pub(crate) async fn drain(mut response: Response) {
    let read = async {
        let mut seen = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            seen += chunk.len();
            if seen > WORTH_DRAINING {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LONGEST_DRAINING, read).await;
}

/// Reads an answer of a bounded size.
pub(crate) async fn body(mut response: Response, limit: usize, patience: &Patience) -> Result<Vec<u8>, Error> {
    let request = operation(&Method::GET, response.url());
    let too_large = || Error::Invalid(format!("{request}: the answer is larger than {limit} bytes"));
    let mut body = Vec::new();
    loop {
        let chunk = tokio::time::timeout(patience.stall, response.chunk()).await;
        let chunk = chunk.map_err(|_| Error::Unavailable(format!("{request}: no further byte in time")))?;
        let chunk = chunk.map_err(|_| Error::Unavailable(format!("{request}: unexpected EOF")))?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
}

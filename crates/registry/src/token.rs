//! Bearer tokens: asked of the server that the registry names, kept until they expire.

use crate::challenge::Bearer;
use crate::credentials::Credentials;
use crate::error::{Error, Refusal};
use crate::hosts::Endpoint;
use crate::setup::{self, Setup, Trust};
use crate::tls::{Tls, Verify};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};
use reqwest::{Request, Url};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Bytes of a token server's answer at most.
const LARGEST_ANSWER: usize = 1 << 20;
/// Tokens kept at most.
const MOST_TOKENS: usize = 1000;
/// A token lives this long unless its server says more.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
/// A token that ends this soon is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// What a token allows: `repository:library/busybox:pull`.
pub(crate) type Scopes = BTreeSet<String>;

/// The tokens that were given, and those that are being asked for.
#[derive(Default)]
pub(crate) struct Tokens {
    given: Mutex<HashMap<Key, Token>>,
    /// Who has the turn asks; the others wait for what he gets.
    turns: Mutex<HashMap<Key, Weak<Turn>>>,
}

type Turn = tokio::sync::Mutex<()>;

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    realm: String,
    service: String,
    scopes: Scopes,
    asker: Credentials,
}

#[derive(Clone)]
struct Token {
    value: String,
    expires: Instant,
}

/// What a token server gave.
pub(crate) struct Grant {
    pub token: String,
    /// Stands for the password from now on.
    pub refresh_token: String,
    life: Duration,
}

/// Whether a refresh token is wanted to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    RefreshToken,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<f64>,
}

impl Key {
    pub(crate) fn new(bearer: &Bearer, scopes: &Scopes, asker: &Credentials) -> Key {
        let asked = bearer.scope.split_whitespace().map(str::to_owned);
        let scopes = if scopes.is_empty() { asked.collect() } else { scopes.clone() };
        Key { realm: bearer.realm.clone(), service: bearer.service.clone(), scopes, asker: asker.clone() }
    }
}

impl Tokens {
    /// A token that is still good, or a new one. Many who want the same at once ask for it once.
    pub(crate) async fn get(&self, setup: &Setup, endpoint: &Endpoint, key: Key) -> Result<String, Error> {
        if let Some(token) = self.known(&key) {
            return Ok(token);
        }
        let turn = self.turn(&key);
        let _turn = turn.lock().await;
        if let Some(token) = self.known(&key) {
            return Ok(token);
        }
        let grant = fetch(setup, endpoint, &key, Keep::Nothing).await?;
        self.keep(key, &grant);
        Ok(grant.token)
    }

    /// Forgets a token that was refused, unless there is another one in the meantime.
    pub(crate) fn forget(&self, key: &Key, refused: &HeaderValue) {
        let mut tokens = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens
            .get(key)
            .is_some_and(|token| refused.as_bytes().strip_prefix(b"Bearer ") == Some(token.value.as_bytes()))
        {
            tokens.remove(key);
        }
    }

    fn turn(&self, key: &Key) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(key.clone(), Arc::downgrade(&turn));
        turn
    }

    fn known(&self, key: &Key) -> Option<String> {
        let tokens = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(key).filter(|token| token.expires > Instant::now() + MARGIN).map(|token| token.value.clone())
    }

    fn keep(&self, key: Key, grant: &Grant) {
        let mut tokens = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MOST_TOKENS {
            let now = Instant::now();
            tokens.retain(|_, token| token.expires > now);
        }
        if tokens.len() < MOST_TOKENS {
            tokens.insert(key, Token { value: grant.token.clone(), expires: Instant::now() + grant.life });
        }
    }
}

/// Asks the token server.
pub(crate) async fn fetch(setup: &Setup, endpoint: &Endpoint, key: &Key, keep: Keep) -> Result<Grant, Error> {
    let realm = checked_realm(&key.realm, &endpoint.base)?;
    let tls = tls_for(setup, endpoint, &realm);
    let request = if key.asker.identity_token.is_empty() { by_basic(realm, key, keep) } else { by_refresh(realm, key) };
    let response = setup.follow(&tls, request?, Trust::ByName).await?;
    if !response.status().is_success() {
        let request = crate::transport::operation(&Method::GET, &endpoint.base);
        let refused = Refusal::read(response).await.into_error_saying(|text| format!("{request}: {text}"));
        // That the token server has no such page does not mean that the registry has no such content.
        return Err(match refused {
            Error::NotFound(text) => Error::Unavailable(text),
            other => other,
        });
    }
    let body = setup::body(response, LARGEST_ANSWER, &setup.patience).await?;
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| no_token(&key.realm))?;
    grant(answer).ok_or_else(|| no_token(&key.realm))
}

fn no_token(realm: &str) -> Error {
    Error::Unavailable(format!("authorization server {realm:?} did not include a token in the response"))
}

fn grant(answer: Answer) -> Option<Grant> {
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token)?;
    // A token with odd letters could not be a header's value.
    HeaderValue::from_str(&token).ok().filter(|_| !token.is_empty())?;
    let life = Duration::try_from_secs_f64(answer.expires_in.unwrap_or_default()).unwrap_or_default();
    let life = life.clamp(SHORTEST_LIFE, Duration::from_secs(24 * 3600));
    Some(Grant { token, refresh_token: answer.refresh_token.unwrap_or_default(), life })
}

/// A registry cannot send secrets over a weaker line than its own.
fn checked_realm(realm: &str, base: &Url) -> Result<Url, Error> {
    let refuse = |why: &str| {
        let registry = crate::hosts::authority(base);
        Error::Denied(format!("the registry {registry} names a token server that cannot be trusted, {realm:?}: {why}"))
    };
    let url = Url::parse(realm).map_err(|_| refuse("it is no address"))?;
    match (url.scheme(), base.scheme()) {
        ("https", _) | ("http", "http") => {}
        ("http", _) => return Err(refuse("secrets would cross the network in the clear")),
        _ => return Err(refuse("expected https")),
    }
    if !url.has_host() || !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("expected a host without a user"));
    }
    Ok(url)
}

/// A token server gets the registry's trust, but its certificate goes unchecked only where the configuration says so.
fn tls_for(setup: &Setup, endpoint: &Endpoint, realm: &Url) -> Tls {
    if realm.host_str() == endpoint.base.host_str() {
        return endpoint.tls.clone();
    }
    let insecure = setup.settings.names_insecure(realm.host_str().unwrap_or_default(), realm.port());
    let verify = if insecure { Verify::Nothing } else { Verify::Chain };
    Tls { verify, ..endpoint.tls.toward_strangers() }
}

fn by_basic(mut realm: Url, key: &Key, keep: Keep) -> Result<Request, Error> {
    let Credentials { username, password, .. } = &key.asker;
    {
        let mut query = realm.query_pairs_mut();
        if !username.is_empty() {
            query.append_pair("account", username);
        }
        if !key.service.is_empty() {
            query.append_pair("service", &key.service);
        }
        for scope in &key.scopes {
            query.append_pair("scope", scope);
        }
        if keep == Keep::RefreshToken {
            query.append_pair("client_id", "docker").append_pair("offline_token", "true");
        }
    }
    let mut request = Request::new(Method::GET, realm);
    if !username.is_empty() {
        request.headers_mut().insert(AUTHORIZATION, basic(username, password)?);
    }
    Ok(request)
}

/// OAuth2 (RFC 6749, 6).
fn by_refresh(realm: Url, key: &Key) -> Result<Request, Error> {
    let scopes = key.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let mut form = realm.clone();
    form.set_query(None);
    form.query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("service", &key.service)
        .append_pair("client_id", "docker")
        .append_pair("scope", &scopes)
        .append_pair("refresh_token", &key.asker.identity_token);
    let mut request = Request::new(Method::POST, realm);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    *request.body_mut() = Some(form.query().unwrap_or_default().to_owned().into());
    Ok(request)
}

/// The value of `Authorization` for a user and a password.
pub(crate) fn basic(username: &str, password: &str) -> Result<HeaderValue, Error> {
    secret(&format!("Basic {}", crate::credentials::join_auth(username, password)))
}

/// A header's value that no log shows.
pub(crate) fn secret(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::Invalid("the token has letters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_server_is_never_reached_over_a_weaker_line() {
        let (tls, plain) = (Url::parse("https://r.example/v2/").unwrap(), Url::parse("http://r.example/v2/").unwrap());
        assert!(checked_realm("https://t.example/token", &tls).is_ok());
        assert!(checked_realm("http://t.example/token", &plain).is_ok());
        for realm in ["http://t.example/token", "file:///etc/passwd", "ftp://t.example", "https://u:p@t.example", "x"] {
            assert!(checked_realm(realm, &tls).is_err(), "{realm}");
        }
        assert!(checked_realm("file:///etc/passwd", &plain).is_err());
    }
}

//! Requests to one endpoint as one asker: its scheme, its challenges, repetition.

use crate::challenge::Challenges;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::hosts::{Endpoint, Fallback, Role, same_origin};
use crate::setup::{Known, Setup, Trust, drain};
use crate::token::{self, Key, Scopes};
use crate::transport::{Failure, Stage, operation};
use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Body, Request, Response, Url};
use std::sync::Arc;
use std::time::Duration;

/// One endpoint, one asker.
#[derive(Clone)]
pub(crate) struct Session {
    pub setup: Arc<Setup>,
    pub endpoint: Arc<Endpoint>,
    pub credentials: Credentials,
}

/// What is asked of an endpoint; can be asked again.
#[derive(Clone)]
pub(crate) struct Ask {
    pub method: Method,
    pub target: Target,
    pub query: Vec<(&'static str, String)>,
    pub headers: HeaderMap,
    pub body: Option<Bytes>,
    pub scopes: Scopes,
    pub trust: Trust,
}

#[derive(Clone)]
pub(crate) enum Target {
    /// Below the endpoint's base.
    Path(String),
    /// Where an answer pointed to.
    Url(Url),
}

/// Why an attempt brought no answer.
enum Trouble {
    /// It may go better at once.
    Broken(Error),
    Final(Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        match failure.stage {
            Stage::Answer => Trouble::Broken(failure.into()),
            Stage::Connect | Stage::Setup => Trouble::Final(failure.into()),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Final(error)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Error {
        let (Trouble::Broken(error) | Trouble::Final(error)) = trouble;
        error
    }
}

impl Ask {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Ask {
        Ask {
            method,
            target: Target::Path(path.into()),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            scopes: Scopes::new(),
            trust: Trust::ByName,
        }
    }

    pub(crate) fn scope(mut self, scope: String) -> Ask {
        self.scopes.insert(scope);
        self
    }

    pub(crate) fn header(mut self, name: http::HeaderName, value: &str) -> Result<Ask, Error> {
        let value =
            HeaderValue::from_str(value).map_err(|_| Error::Invalid(format!("invalid value of {name}: {value:?}")))?;
        self.headers.insert(name, value);
        Ok(self)
    }
}

impl Session {
    /// Asks, and asks again what may go better: 429, 5xx, broken connections.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Response, Error> {
        let mut count = 0;
        loop {
            let outcome = self.attempt(ask, None).await;
            let wait = if self.endpoint.role == Role::Mirror { None } else { self.wait(&outcome, ask, count) };
            let Some(wait) = wait else { return Ok(outcome?) };
            tracing::debug!(method = %ask.method, count, ?wait, "asking again");
            if let Ok(response) = outcome {
                drain(response).await;
            }
            tokio::time::sleep(wait).await;
            count += 1;
        }
    }

    /// Asks once, with a body that cannot be sent twice.
    pub(crate) async fn stream(&self, ask: &Ask, body: Body) -> Result<Response, Error> {
        Ok(self.attempt(ask, Some(body)).await?)
    }

    /// How long to wait before the next attempt; none when the outcome stands.
    fn wait(&self, outcome: &Result<Response, Trouble>, ask: &Ask, count: u32) -> Option<Duration> {
        let patience = &self.setup.patience;
        if count >= patience.repetitions {
            return None;
        }
        let backoff = patience.before(count);
        match outcome {
            Ok(response) => match response.status().as_u16() {
                429 | 503 => match retry_after(response.headers()) {
                    Some(wait) => (wait <= patience.longest_wait).then_some(wait),
                    None => Some(backoff),
                },
                500 | 502 | 504 => Some(backoff),
                _ => None,
            },
            // A POST that broke may have been obeyed, and starting an upload twice does no harm.
            Err(Trouble::Broken(_)) if ask.method != Method::PATCH => Some(backoff),
            Err(_) => None,
        }
    }

    async fn attempt(&self, ask: &Ask, body: Option<Body>) -> Result<Response, Trouble> {
        let known = self.known().await?;
        let url = self.url(&known.base, ask)?;
        let at_home = same_origin(&url, &known.base);
        let authorization = if at_home { self.authorization(&known, &ask.scopes).await? } else { None };
        self.refuse_unknown_asker(&known, ask, &url, authorization.as_ref())?;
        let repeatable = body.is_none();
        let request = self.request(ask, &url, &known, authorization.as_ref());
        let request = with_body(request, ask, body);
        let response = self.execute(request, ask.trust).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !at_home || !same_origin(response.url(), &url) {
            return Ok(response);
        }
        let challenges = Challenges::of(response.headers());
        match self.renewed(&known, &challenges, &ask.scopes, authorization.as_ref()).await? {
            Some(renewed) if repeatable => {
                drain(response).await;
                let request = with_body(self.request(ask, &url, &known, Some(&renewed)), ask, None);
                Ok(self.execute(request, ask.trust).await?)
            }
            _ => Ok(response),
        }
    }

    async fn execute(&self, request: Request, trust: Trust) -> Result<Response, Failure> {
        let outcome = self.setup.follow(&self.endpoint.tls, request, trust).await;
        if matches!(&outcome, Err(failure) if failure.stage == Stage::Connect) {
            self.setup.forget(&self.endpoint.base);
        }
        outcome
    }

    /// What the endpoint speaks and asks for, from `GET /v2/`.
    pub(crate) async fn known(&self) -> Result<Known, Error> {
        if let Some(known) = self.setup.known(&self.endpoint.base) {
            return Ok(known);
        }
        let is_mirror = self.endpoint.role == Role::Mirror;
        if is_mirror && self.setup.is_unreachable(&self.endpoint.base) {
            return Err(Error::Unavailable(format!("the mirror {} did not answer before", self.endpoint.base)));
        }
        let mut base = self.endpoint.base.clone();
        let mut answer = self.ping(&base).await;
        if answer.is_err() && self.endpoint.fallback == Fallback::Http && base.set_scheme("http").is_ok() {
            answer = self.ping(&base).await;
        }
        if is_mirror && answer.is_err() {
            self.setup.note_unreachable(&self.endpoint.base);
        }
        let response = answer?;
        let known = Known::new(base, Challenges::of(response.headers()));
        drain(response).await;
        self.setup.learn(&self.endpoint.base, known.clone());
        Ok(known)
    }

    async fn ping(&self, base: &Url) -> Result<Response, Failure> {
        let mut request = Request::new(Method::GET, base.clone());
        self.add_configured(request.headers_mut());
        self.setup.transport.execute(&self.endpoint.tls, request).await
    }

    fn url(&self, base: &Url, ask: &Ask) -> Result<Url, Error> {
        let mut url = match &ask.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => {
                base.join(path).map_err(|error| Error::Invalid(format!("cannot ask for {path:?}: {error}")))?
            }
        };
        for (name, value) in &ask.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        if let (Some(namespace), Target::Path(_)) = (&self.endpoint.namespace, &ask.target) {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    fn request(&self, ask: &Ask, url: &Url, known: &Known, authorization: Option<&HeaderValue>) -> Request {
        let mut request = Request::new(ask.method.clone(), url.clone());
        *request.headers_mut() = ask.headers.clone();
        if same_origin(url, &known.base) {
            if let Some(value) = authorization {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            self.add_configured(request.headers_mut());
        }
        request
    }

    fn add_configured(&self, headers: &mut HeaderMap) {
        for (name, _) in &self.endpoint.headers {
            headers.remove(name);
        }
        for (name, value) in &self.endpoint.headers {
            headers.append(name.clone(), value.clone());
        }
    }

    /// A mirror is not the registry whose secrets these are.
    pub(crate) fn asker(&self) -> Credentials {
        match self.endpoint.role {
            Role::Registry => self.credentials.clone(),
            Role::Mirror => Credentials::default(),
        }
    }

    async fn authorization(&self, known: &Known, scopes: &Scopes) -> Result<Option<HeaderValue>, Error> {
        let asker = self.asker();
        if !asker.registry_token.is_empty() {
            return Ok(Some(token::secret(&format!("Bearer {}", asker.registry_token))?));
        }
        if let Some(bearer) = known.challenges.bearer() {
            let endpoint = self.endpoint.at(&known.base);
            let key = Key::new(&bearer, scopes, &asker);
            let token = self.setup.tokens.get(&self.setup, &endpoint, key).await?;
            return Ok(Some(token::secret(&format!("Bearer {token}"))?));
        }
        if known.challenges.has_basic() && !asker.username.is_empty() {
            return Ok(Some(token::basic(&asker.username, &asker.password)?));
        }
        Ok(None)
    }

    /// After a 401: another authorization than the one that was refused, if there is one.
    async fn renewed(
        &self,
        known: &Known,
        challenges: &Challenges,
        scopes: &Scopes,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Error> {
        if challenges.is_empty() {
            return Ok(None);
        }
        let known = Known::new(known.base.clone(), challenges.clone());
        self.setup.learn(&self.endpoint.base, known.clone());
        let mut wanted = scopes.clone();
        if let Some(bearer) = challenges.bearer() {
            let forget = |scopes| {
                let key = Key::new(&bearer, scopes, &self.asker());
                refused.into_iter().for_each(|refused| self.setup.tokens.forget(&key, refused));
            };
            forget(scopes);
            wanted.extend(bearer.scope.split_whitespace().map(str::to_owned));
            forget(&wanted);
        }
        let renewed = self.authorization(&known, &wanted).await?;
        Ok(renewed.filter(|renewed| Some(renewed) != refused))
    }

    fn refuse_unknown_asker(
        &self,
        known: &Known,
        ask: &Ask,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<(), Error> {
        let configured = self.endpoint.headers.iter().any(|(name, _)| name == AUTHORIZATION);
        let asked = known.challenges.has_basic() && known.challenges.bearer().is_none();
        if authorization.is_some() || configured || !asked || !same_origin(url, &known.base) {
            return Ok(());
        }
        Err(Error::Denied(format!("{}: no basic auth credentials", operation(&ask.method, url))))
    }
}

fn with_body(mut request: Request, ask: &Ask, stream: Option<Body>) -> Request {
    let given = ask.body.clone().map(Body::from);
    *request.body_mut() = stream.or(given);
    request
}

/// `Retry-After` in seconds. A date is taken as a wait of unknown length.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

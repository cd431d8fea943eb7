//! Whether a registry knows somebody.

use crate::credentials::{Credentials, HUB, host_of, is_hub};
use crate::error::{Error, Refusal};
use crate::session::{Ask, Session};
use crate::setup::{Known, Setup, Trust};
use crate::token::{self, Keep, Key, Scopes};
use http::Method;
use http::header::AUTHORIZATION;
use reqwest::{Request, Response};
use std::sync::Arc;

/// What a login brought.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// `Login Succeeded`
    pub status: String,
    /// To keep instead of the password, when the registry gave one.
    pub identity_token: String,
}

pub(crate) async fn login(setup: Arc<Setup>, credentials: Credentials) -> Result<Login, Error> {
    let address = if credentials.server_address.is_empty() { HUB } else { &credentials.server_address };
    let host = host_of(address);
    let endpoint = setup.finder().itself(if is_hub(host) { "docker.io" } else { host }).await?;
    let session = Session { setup, endpoint: Arc::new(endpoint), credentials };
    let known = session.known().await?;
    let (response, identity_token) = match known.challenges.bearer() {
        Some(bearer) => {
            let key = Key::new(&bearer, &Scopes::new(), &session.credentials);
            by_token(&session, &known, key).await?
        }
        None => (session.send(&Ask::new(Method::GET, "")).await?, String::new()),
    };
    if response.status().is_success() {
        return Ok(Login { status: "Login Succeeded".to_owned(), identity_token });
    }
    let (base, status) = (known.base, response.status());
    Err(Refusal::read(response)
        .await
        .into_error_saying(|_| format!("login attempt to {base} failed with status: {status}")))
}

async fn by_token(session: &Session, known: &Known, key: Key) -> Result<(Response, String), Error> {
    let endpoint = session.endpoint.at(&known.base);
    let grant = token::fetch(&session.setup, &endpoint, &key, Keep::RefreshToken).await?;
    let mut request = Request::new(Method::GET, known.base.clone());
    request.headers_mut().insert(AUTHORIZATION, token::secret(&format!("Bearer {}", grant.token))?);
    let response = session.setup.follow(&endpoint.tls, request, Trust::ByName).await?;
    Ok((response, grant.refresh_token))
}

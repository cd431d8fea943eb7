//! Who a client is to registries: it is asked for each of them once.

use super::channel::Metadata;
use super::sessions::Session;
use bollard_buildkit_proto::moby::filesync::v1::{CredentialsRequest, CredentialsResponse};
use build::Keys;
use image::Reference;
use registry::{Cancel, Credentials};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::{Code, Status};

const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
/// Programs that keep passwords may ask their user.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client's keys.
#[derive(Debug)]
pub struct ClientKeys {
    session: Arc<Session>,
    cancel: Cancel,
    known: Mutex<HashMap<String, Credentials>>,
}

impl ClientKeys {
    pub(super) fn new(session: Arc<Session>, cancel: Cancel) -> ClientKeys {
        ClientKeys { session, cancel, known: Mutex::default() }
    }

    fn ask(&self, host: &str) -> Result<Credentials, Status> {
        let question = CredentialsRequest { host: host.to_owned() };
        let asked = async {
            let answer = self.session.channel.ask(CREDENTIALS, question, Metadata::default());
            let late = |_| Status::deadline_exceeded("it takes too long");
            tokio::time::timeout(PATIENCE, answer).await.map_err(late)?
        };
        let answer: CredentialsResponse = match self.session.wait(&self.cancel, asked) {
            Ok(answer) => answer?,
            Err(_) => return Err(Status::cancelled("the build was cancelled")),
        };
        // A secret without a name is a token that stands for a password.
        let mut credentials = Credentials { server_address: host.to_owned(), ..Credentials::default() };
        if answer.username.is_empty() {
            credentials.identity_token = answer.secret;
        } else {
            credentials.username = answer.username;
            credentials.password = answer.secret;
        }
        Ok(credentials)
    }
}

impl Keys for ClientKeys {
    fn of(&self, reference: &Reference) -> Credentials {
        // A client knows Docker Hub by the name of its registry.
        let host = match reference.domain.as_str() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(host) {
            return found.clone();
        }
        let found = self.ask(host).unwrap_or_else(|status| {
            // One that has no keys says so like this; the registry tells whether any are needed.
            match status.code() {
                Code::Unimplemented | Code::NotFound => tracing::debug!("no credentials for {host}"),
                _ => tracing::warn!("a client gives no credentials for {host}: {}", status.message()),
            }
            Credentials::default()
        });
        let found = if found.is_empty() { Credentials::default() } else { found };
        known.insert(host.to_owned(), found.clone());
        found
    }
}

//! Credential helpers: programs `docker-credential-NAME` that speak JSON over stdin and stdout.

use super::{KeyringError, TOKEN_USER};
use crate::Credentials;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// A helper may ask its person for a password.
const LONGEST_RUN: Duration = Duration::from_secs(120);
/// Bytes of an answer at most.
const LARGEST_ANSWER: u64 = 1 << 20;
/// What helpers say on stdout when they have nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

pub(super) struct Helper {
    pub name: String,
    /// Instead of `$PATH`.
    pub search: Option<OsString>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

impl Helper {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Credentials>, KeyringError> {
        let (status, answer) = self.run("get", key.as_bytes())?;
        if !status.success() {
            let nothing = answer.trim() == NOT_FOUND;
            return if nothing { Ok(None) } else { Err(self.failed(&answer)) };
        }
        let wire: Wire = serde_json::from_str(&answer).map_err(|_| self.failed("its answer is no JSON as expected"))?;
        let mut credentials = Credentials { server_address: key.to_owned(), ..Credentials::default() };
        if wire.username == TOKEN_USER {
            credentials.identity_token = wire.secret;
        } else {
            (credentials.username, credentials.password) = (wire.username, wire.secret);
        }
        Ok(Some(credentials))
    }

    pub(super) fn store(&self, key: &str, credentials: &Credentials) -> Result<(), KeyringError> {
        let (username, secret) = match credentials.identity_token.as_str() {
            "" => (credentials.username.clone(), credentials.password.clone()),
            token => (TOKEN_USER.to_owned(), token.to_owned()),
        };
        let wire = serde_json::json!(Wire { server_url: key.to_owned(), username, secret });
        self.run_well("store", wire.to_string().as_bytes()).map(drop)
    }

    pub(super) fn erase(&self, key: &str) -> Result<(), KeyringError> {
        let (status, answer) = self.run("erase", key.as_bytes())?;
        if status.success() || answer.trim() == NOT_FOUND { Ok(()) } else { Err(self.failed(&answer)) }
    }

    /// The registries that it knows.
    pub(super) fn list(&self) -> Result<Vec<String>, KeyringError> {
        let answer = self.run_well("list", b"")?;
        let users: BTreeMap<String, String> =
            serde_json::from_str(&answer).map_err(|_| self.failed("its list is no JSON as expected"))?;
        Ok(users.into_keys().collect())
    }

    fn run_well(&self, verb: &str, input: &[u8]) -> Result<String, KeyringError> {
        let (status, answer) = self.run(verb, input)?;
        if status.success() { Ok(answer) } else { Err(self.failed(&answer)) }
    }

    fn run(&self, verb: &str, input: &[u8]) -> Result<(ExitStatus, String), KeyringError> {
        // The name comes from a file that other programs write; it is a name, not a path.
        if self.name.contains('/') {
            return Err(self.failed("its name holds a slash"));
        }
        let fail = |source| KeyringError::Run { name: self.name.clone(), source };
        let mut command = Command::new(format!("docker-credential-{}", self.name));
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        if let Some(search) = &self.search {
            command.env("PATH", search);
        }
        let mut child = command.spawn().map_err(fail)?;
        let outcome = talk(&mut child, input);
        if outcome.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(fail)?;
        outcome.map(|answer| (status, answer)).map_err(fail)
    }

    fn failed(&self, reason: &str) -> KeyringError {
        let reason = reason.trim().chars().take(500).collect();
        KeyringError::Helper { name: self.name.clone(), reason }
    }
}

/// Writes the input and reads the answer until the program closes it.
fn talk(child: &mut Child, input: &[u8]) -> io::Result<String> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (mut stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::BrokenPipe)?;
    let input = input.to_vec();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        // A helper that does not read its input tells the reason on stdout.
        let _ = stdin.write_all(&input);
        drop(stdin);
        let mut answer = String::new();
        let read = stdout.take(LARGEST_ANSWER).read_to_string(&mut answer);
        let _ = tell.send(read.map(|_| answer));
    });
    match told.recv_timeout(LONGEST_RUN) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 120 s")),
        Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

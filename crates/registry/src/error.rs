//! Why a registry did not do what was asked, and what its error documents say.

use crate::challenge::Challenges;
use http::StatusCode;
use serde::Deserialize;
use std::time::Duration;

/// Bytes of an error document that are looked at.
const LONGEST_DOCUMENT: usize = 64 * 1024;
/// How long the rest of an error document is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// Letters of one message that are shown.
const LONGEST_MESSAGE: usize = 1000;

/// Why a registry did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404, or a repository that may only seem to be missing.
    #[error("{0}")]
    NotFound(String),
    /// 401 or 403 after all credentials were tried.
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("the transfer was cancelled")]
    Cancelled,
    #[error("cannot {action}")]
    Io { action: String, source: std::io::Error },
}

impl base::Kinded for Error {
    fn kind(&self) -> base::Kind {
        match self {
            Error::NotFound(_) => base::Kind::NotFound,
            Error::Denied(_) => base::Kind::Denied,
            Error::Invalid(_) => base::Kind::Invalid,
            Error::Unavailable(_) | Error::Cancelled => base::Kind::Unavailable,
            Error::Io { source, .. } => base::Kinded::kind(source),
        }
    }
}

impl Error {
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let action = action.into();
        move |source| Error::Io { action, source }
    }
}

/// An answer that is no success, with what its body says.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    errors: Vec<Entry>,
    /// Docker Hub's token server.
    details: Option<String>,
    /// OAuth2 (RFC 6749, 5.2).
    error_description: Option<String>,
    message: Option<String>,
}

impl Refusal {
    /// Reads the body of an answer that is no success.
    pub(crate) async fn read(response: reqwest::Response) -> Refusal {
        let status = response.status();
        let challenges = Challenges::of(response.headers());
        let body = first_bytes(response).await;
        Refusal::new(status, &challenges, &body)
    }

    fn new(status: StatusCode, challenges: &Challenges, body: &[u8]) -> Refusal {
        if status == StatusCode::UNAUTHORIZED && challenges.bearer_error() == Some("insufficient_scope") {
            return Refusal { status, entries: vec![Entry::standard("DENIED")] };
        }
        let document: Document = serde_json::from_slice(body).unwrap_or_default();
        let mut entries = document.errors;
        let lone = document.details.or(document.error_description).or(document.message);
        if let (true, Some(message), Some(code)) = (entries.is_empty(), lone, code_of(status)) {
            entries.push(Entry { code: code.to_owned(), message });
        }
        if let (true, Some(code)) = (entries.is_empty(), code_of(status)) {
            entries.push(Entry::standard(code));
        }
        Refusal { status, entries }
    }

    pub(crate) fn is(&self, code: &str) -> bool {
        self.entries.iter().any(|entry| entry.code == code)
    }

    /// As Docker says it: `manifest unknown: manifest unknown`.
    pub(crate) fn text(&self) -> String {
        match self.entries.as_slice() {
            [] => format!("received unexpected HTTP status: {}", self.status),
            [entry] => entry.text(),
            several => format!("errors:\n{}", several.iter().map(|entry| entry.text() + "\n").collect::<String>()),
        }
    }

    /// The error by the sort of the status alone.
    pub(crate) fn into_error(self) -> Error {
        self.into_error_saying(|text| text)
    }

    pub(crate) fn into_error_saying(self, say: impl FnOnce(String) -> String) -> Error {
        let text = say(self.text());
        match self.status.as_u16() {
            401 | 403 => Error::Denied(text),
            404 => Error::NotFound(text),
            408 | 425 | 429 => Error::Unavailable(text),
            400..=499 => Error::Invalid(text),
            _ => Error::Unavailable(text),
        }
    }
}

impl Entry {
    fn standard(code: &str) -> Entry {
        Entry { code: code.to_owned(), message: String::new() }
    }

    fn text(&self) -> String {
        let code = clean(&self.code.to_lowercase().replace('_', " "));
        match (clean(&self.message), standard_message(&self.code)) {
            (message, Some(standard)) if message.is_empty() => format!("{code}: {standard}"),
            (message, None) if message.is_empty() => code,
            (message, _) => format!("{code}: {message}"),
        }
    }
}

/// The code for an answer whose body has none.
fn code_of(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        401 => Some("UNAUTHORIZED"),
        403 => Some("DENIED"),
        429 => Some("TOOMANYREQUESTS"),
        _ => None,
    }
}

/// OCI distribution-spec 1.1, "Error codes", in Docker's words.
fn standard_message(code: &str) -> Option<&'static str> {
    Some(match code {
        "UNAUTHORIZED" => "authentication required",
        "DENIED" => "requested access to the resource is denied",
        "MANIFEST_UNKNOWN" => "manifest unknown",
        "NAME_UNKNOWN" => "repository name not known to registry",
        "BLOB_UNKNOWN" => "blob unknown to registry",
        "UNSUPPORTED" => "The operation is unsupported.",
        "TOOMANYREQUESTS" => "too many requests",
        _ => return None,
    })
}

/// Control characters of a stranger do not reach a terminal.
fn clean(text: &str) -> String {
    text.chars()
        .take(LONGEST_MESSAGE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// What came of a document in time; its status tells the most.
async fn first_bytes(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= LONGEST_DOCUMENT {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LONGEST_WAIT, read).await;
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::new(StatusCode::from_u16(status).unwrap(), &Challenges::default(), body.as_bytes())
    }

    #[test]
    fn errors_read_as_docker_says_them() {
        let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"y"}}]}"#;
        assert_eq!(refusal(404, unknown).text(), "manifest unknown: manifest unknown");
        assert_eq!(refusal(401, "").text(), "unauthorized: authentication required");
        assert_eq!(refusal(403, "<html>").text(), "denied: requested access to the resource is denied");
        let hub = r#"{"details":"incorrect username or password"}"#;
        assert_eq!(refusal(401, hub).text(), "unauthorized: incorrect username or password");
        assert_eq!(refusal(500, "").text(), "received unexpected HTTP status: 500 Internal Server Error");
        let two = r#"{"errors":[{"code":"A_B","message":"x"},{"code":"C"}]}"#;
        assert_eq!(refusal(400, two).text(), "errors:\na b: x\nc\n");
    }

    #[test]
    fn a_strangers_message_is_bounded_and_has_no_control_characters() {
        let body = serde_json::json!({"errors":[{"code":"X","message": format!("\u{1b}[31m{}", "a".repeat(5000))}]});
        let text = refusal(400, &body.to_string()).text();
        assert!(!text.contains('\u{1b}') && text.len() < 1100);
    }
}

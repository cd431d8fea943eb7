//! The version of the API that a request speaks: `/v1.NN` before the path, or the newest.

use crate::status::Refusal;
use http::StatusCode;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// A version of the API; `ApiVersion(1, 44)` is 1.44.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32, pub u32);

/// The newest one spoken here, [`api::types::MAX_VERSION`].
pub const MAX: ApiVersion = ApiVersion(1, 51);
/// The oldest one, [`api::types::MIN_VERSION`].
pub const MIN: ApiVersion = ApiVersion(1, 24);

/// The minor number of the oldest one that is served; an engine may be told to leave some out.
static OLDEST: AtomicU32 = AtomicU32::new(MIN.1);

/// Serves nothing older than 1.`minor`.
pub fn serve_from(minor: u32) {
    OLDEST.store(minor.clamp(MIN.1, MAX.1), Ordering::Relaxed);
}

/// The oldest one that is served.
pub fn oldest() -> ApiVersion {
    ApiVersion(1, OLDEST.load(Ordering::Relaxed))
}

impl ApiVersion {
    /// Whether the request speaks 1.`minor` or newer.
    pub fn has(self, minor: u32) -> bool {
        self >= ApiVersion(1, minor)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Takes `/v1.NN` off `path`. A path without one speaks the newest version.
pub fn split(path: &str) -> Result<(ApiVersion, &str), Refusal> {
    let Some((text, rest)) = prefix(path) else { return Ok((MAX, path)) };
    let version = parse(text);
    if version < oldest() {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!(
                "client version {text} is too old. Minimum supported API version is {}, please upgrade your client to a newer version",
                oldest()
            ),
        ));
    }
    if version > MAX {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            format!("client version {text} is too new. Maximum supported API version is {}", api::types::MAX_VERSION),
        ));
    }
    Ok((version, rest))
}

/// `/v1.41/info` is `1.41` and `/info`.
fn prefix(path: &str) -> Option<(&str, &str)> {
    let after = path.strip_prefix("/v")?;
    let end = after.find('/')?;
    let (text, rest) = after.split_at(end);
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits.then_some((text, rest))
}

fn parse(text: &str) -> ApiVersion {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(u32::MAX));
    ApiVersion(parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_optional() {
        assert_eq!(split("/_ping").ok(), Some((MAX, "/_ping")));
        assert_eq!(split("/v1.41/containers/json").ok(), Some((ApiVersion(1, 41), "/containers/json")));
        assert_eq!(split("/volumes").ok(), Some((MAX, "/volumes")));
        assert_eq!(split("/v/x").ok(), Some((MAX, "/v/x")));
    }

    #[test]
    fn other_versions_are_refused_in_dockers_words() {
        let old = split("/v1.23/info").err().map(|r| r.message).unwrap_or_default();
        assert_eq!(
            old,
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"
        );
        let new = split("/v1.52/info").err().map(|r| r.message).unwrap_or_default();
        assert_eq!(new, "client version 1.52 is too new. Maximum supported API version is 1.51");
        assert!(split("/v99999999999999999999.1/info").is_err());
        assert!(split("/v2/info").is_err());
    }

    #[test]
    fn the_texts_of_both_ends_are_these_versions() {
        assert_eq!(parse(api::types::MAX_VERSION), MAX);
        assert_eq!(parse(api::types::MIN_VERSION), MIN);
    }
}

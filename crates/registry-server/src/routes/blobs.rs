//! Blobs on their way out, whole or a part.

use super::{App, Asked, blocking};
use crate::answer::{Answer, DIGEST};
use crate::blob_body::{self, Body};
use crate::fault::Fault;
use crate::name::Repository;
use crate::storage::Content;
use base::Digest;
use http::header;
use http::{HeaderMap, Response, StatusCode};
use std::ops::Range;
use std::sync::Arc;

/// What has a digest never changes.
const FOR_EVER: &str = "max-age=31536000";

/// What part of a blob is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Bytes(Range<u64>),
    Nothing,
}

pub async fn head(
    app: &Arc<App>,
    asked: Asked,
    repository: Repository,
    digest: Digest,
) -> Result<Response<Body>, Fault> {
    let size = blocking(app, move |storage| storage.blob_size(&repository, &digest)).await?;
    if is_known(&asked.parts.headers, &digest) {
        return Ok(about(StatusCode::NOT_MODIFIED, &digest).body(blob_body::full("")));
    }
    let answer = about(StatusCode::OK, &digest).header(header::CONTENT_LENGTH, size);
    Ok(answer.body(blob_body::full("")))
}

pub async fn get(
    app: &Arc<App>,
    asked: Asked,
    repository: Repository,
    digest: Digest,
) -> Result<Response<Body>, Fault> {
    let content = blocking(app, move |storage| storage.blob(&repository, &digest)).await?;
    if is_known(&asked.parts.headers, &digest) {
        return Ok(about(StatusCode::NOT_MODIFIED, &digest).body(blob_body::full("")));
    }
    let size = match &content {
        Content::Whole { size, .. } => *size,
        Content::Arriving(growing) => {
            growing.started().await?;
            growing.size
        }
    };
    let (status, range) = match part(&asked.parts.headers, &digest, size) {
        Part::Whole => (StatusCode::OK, 0..size),
        Part::Bytes(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Nothing => {
            let answer = about(StatusCode::RANGE_NOT_SATISFIABLE, &digest);
            return Ok(answer.header(header::CONTENT_RANGE, format!("bytes */{size}")).empty());
        }
    };
    let mut answer = about(status, &digest).header(header::CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let shown = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        answer = answer.header(header::CONTENT_RANGE, shown);
    }
    Ok(answer.body(blob_body::blob(content, range)))
}

pub async fn delete(app: &Arc<App>, repository: Repository, digest: Digest) -> Result<Response<Body>, Fault> {
    blocking(app, move |storage| storage.writing()?.delete_blob(&repository, &digest)).await?;
    Ok(Answer::new(StatusCode::ACCEPTED).header(DIGEST, digest).empty())
}

fn about(status: StatusCode, digest: &Digest) -> Answer {
    Answer::new(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(DIGEST, digest)
        .header(header::ETAG, etag(digest))
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CACHE_CONTROL, FOR_EVER)
}

pub fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether the client has it already (If-None-Match).
pub fn is_known(headers: &HeaderMap, digest: &Digest) -> bool {
    let own = etag(digest);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|text| text.split(',')).map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == own)
}

/// RFC 9110, section 14: one range is honoured; of several, and of what cannot be read, the whole is sent.
fn part(headers: &HeaderMap, digest: &Digest, size: u64) -> Part {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|tag| tag != etag(digest)) {
        return Part::Whole;
    }
    let Some(spec) = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (first, last) {
        ("", last) => number(last).map(|count| size.saturating_sub(count)..size),
        (first, "") => number(first).map(|first| first..size),
        (first, last) => number(first)
            .zip(number(last))
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| first..last.saturating_add(1).min(size)),
    };
    match range {
        None => Part::Whole,
        Some(range) if range.start >= range.end => Part::Nothing,
        Some(range) => Part::Bytes(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn asked(range: &'static str) -> Part {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static(range));
        part(&headers, &Digest::from_bytes([0; 32]), 100)
    }

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        assert_eq!(asked("bytes=0-0"), Part::Bytes(0..1));
        assert_eq!(asked("bytes=90-"), Part::Bytes(90..100));
        assert_eq!(asked("bytes=-10"), Part::Bytes(90..100));
        assert_eq!(asked("bytes=-1000"), Part::Bytes(0..100));
        assert_eq!(asked("bytes=50-1000"), Part::Bytes(50..100));
        assert_eq!(asked("bytes=100-"), Part::Nothing);
        assert_eq!(asked("bytes=-0"), Part::Nothing);
        for whole in ["bytes=5-1", "bytes=x-", "bytes=0-1,3-4", "lines=0-1", "bytes=", "bytes=-"] {
            assert_eq!(asked(whole), Part::Whole, "{whole}");
        }
    }
}

//! What a request asks for: its path and query, read once.

use crate::fault::{Code, Fault};
use crate::folder::uploads::UploadId;
use crate::name::{self, Reference, Repository};
use base::Digest;
use http::{StatusCode, Uri};

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    Tags(Repository),
    Manifest(Repository, Reference),
    Blob(Repository, Digest),
    /// `/v2/NAME/blobs/uploads/`
    Uploads(Repository),
    Upload(Repository, UploadId),
    Referrers(Repository, Digest),
}

/// The pairs of a query, decoded.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(uri: &Uri) -> Query {
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect(),
        )
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == key).map(|(_, value)| value.as_str())
    }
}

/// Percent-decoding (RFC 3986), with `+` as a space; what is no escape stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Target {
    pub fn of(uri: &Uri, query: &Query) -> Result<Target, Fault> {
        let path = decode_path(uri.path());
        let nothing = || {
            let text = "this is a registry: its API is below /v2/".to_owned();
            Fault::new(Code::Unsupported, text).with_status(StatusCode::NOT_FOUND)
        };
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Target::Base),
            Some(rest) => rest.strip_prefix('/').ok_or_else(nothing)?,
            None => return Err(nothing()),
        };
        if rest == "_catalog" {
            return Ok(Target::Catalog);
        }
        let repository = |name: &str| namespaced(name, query);
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return repository(name).map(Target::Tags);
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads").or_else(|| rest.strip_suffix("/blobs/uploads/")) {
            return repository(name).map(Target::Uploads);
        }
        let (front, last) = rest.rsplit_once('/').ok_or_else(nothing)?;
        if let Some(name) = front.strip_suffix("/blobs/uploads") {
            return Ok(Target::Upload(repository(name)?, UploadId::parse(last)?));
        }
        if let Some(name) = front.strip_suffix("/manifests") {
            return Ok(Target::Manifest(repository(name)?, Reference::parse(last)?));
        }
        if let Some(name) = front.strip_suffix("/blobs") {
            return Ok(Target::Blob(repository(name)?, name::digest(last)?));
        }
        if let Some(name) = front.strip_suffix("/referrers") {
            return Ok(Target::Referrers(repository(name)?, name::digest(last)?));
        }
        Err(nothing())
    }
}

/// In a path `+` is itself.
fn decode_path(path: &str) -> String {
    if path.contains('%') { decode(&path.replace('+', "%2B")) } else { path.to_owned() }
}

/// A repository, within the registry that a mirror's client names.
fn namespaced(name: &str, query: &Query) -> Result<Repository, Fault> {
    let repository = Repository::parse(name)?;
    let Some(namespace) = query.get("ns").filter(|text| !text.is_empty()) else { return Ok(repository) };
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if namespace.len() > 255 || !namespace.bytes().all(inside) {
        return Err(Fault::new(Code::NameInvalid, "invalid registry in ns: expected HOST or HOST:PORT".to_owned()));
    }
    Ok(repository.within(Some(namespace.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<Target, Fault> {
        let uri: Uri = text.parse().unwrap();
        Target::of(&uri, &Query::of(&uri))
    }

    #[test]
    fn paths_are_read_from_their_end() {
        let repository = |name: &str| Repository::parse(name).unwrap();
        assert_eq!(target("/v2/").unwrap(), Target::Base);
        assert_eq!(target("/v2/_catalog?n=1").unwrap(), Target::Catalog);
        assert_eq!(target("/v2/a/b/tags/list").unwrap(), Target::Tags(repository("a/b")));
        assert_eq!(target("/v2/blobs/uploads/blobs/uploads/").unwrap(), Target::Uploads(repository("blobs/uploads")));
        let digest = format!("sha256:{}", "a".repeat(64));
        let escaped = digest.replace(':', "%3A");
        assert_eq!(
            target(&format!("/v2/a/blobs/{escaped}")).unwrap(),
            target(&format!("/v2/a/blobs/{digest}")).unwrap()
        );
        assert!(matches!(target("/v2/a/manifests/latest?ns=docker.io").unwrap(), Target::Manifest(..)));
    }

    #[test]
    fn no_path_leads_out() {
        for path in [
            "/",
            "/v1/x",
            "/v2/../etc/manifests/x",
            "/v2/a/../../b/manifests/x",
            "/v2/%2e%2e/manifests/x",
            "/v2/a%2f..%2fb/tags/list",
            "/v2/a/blobs/uploads/..",
            "/v2/a/blobs/uploads/%2e%2e%2f%2e%2e",
            "/v2/a/blobs/sha256:..",
            "/v2/a/manifests/..",
            "/v2/a/manifests/x?ns=/etc",
            "/v2//manifests/x",
        ] {
            assert!(target(path).is_err(), "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let uri: Uri = "/v2/?digest=sha256%3Aab&tag=a&tag=b&x=%zz+1".parse().unwrap();
        let query = Query::of(&uri);
        assert_eq!(query.get("digest"), Some("sha256:ab"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.get("x"), Some("%zz 1"));
    }
}

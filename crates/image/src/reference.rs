//! Names of images: the grammar of github.com/distribution/reference, with Docker's familiar short forms.
//!
//! ```text
//!   reference       := name [":" tag] ["@" digest]
//!   name            := [domain "/"] path
//!   domain          := (host | "[" IPv6 "]") [":" port]
//!   path            := component {"/" component}
//!   component       := alphanumeric {separator alphanumeric}        lower case
//!   separator       := "." | "_" | "__" | "-" {"-"}
//!   tag             := word character, then up to 127 of word character, "." and "-"
//! ```
//!
//! `busybox` means `docker.io/library/busybox`; a first component with a dot or a port, or `localhost`, is a domain.

use crate::Error;
use base::Digest;
use std::fmt;

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const MAX_PATH: usize = 255;
const MAX_TAG: usize = 128;

/// A parsed name. Its text is the full one: `docker.io/library/busybox:latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    pub domain: String,
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads a full or a familiar name. Error texts are Docker's.
    pub fn parse(text: &str) -> Result<Reference, Error> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return refuse(format!("invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"));
        }
        let (domain, rest) = split_domain(text);
        let repository = rest.split(':').next().unwrap_or_default();
        if repository.bytes().any(|b| b.is_ascii_uppercase()) {
            return refuse(format!("invalid reference format: repository name ({repository}) must be lowercase"));
        }
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(digest)?)),
            None => (rest.as_str(), None),
        };
        let (path, tag) = match name.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name, None),
        };
        if !is_domain(&domain) || !path.split('/').all(is_component) || !tag.is_none_or(is_tag) {
            return refuse("invalid reference format".to_owned());
        }
        if path.len() > MAX_PATH {
            return refuse(format!("repository name must not be more than {MAX_PATH} characters"));
        }
        Ok(Reference { domain, path: path.to_owned(), tag: tag.map(str::to_owned), digest })
    }

    /// The full name without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name as people type it: `busybox`, `user/app`, `example.org/app`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(official) if !official.contains('/') => official.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The familiar name with tag and digest.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    /// With the tag `latest` when there is neither tag nor digest.
    pub fn or_latest(mut self) -> Reference {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

fn refuse<T>(text: String) -> Result<T, Error> {
    Err(Error::Reference(text))
}

/// The domain, and the rest with `library/` where it was left out.
fn split_domain(text: &str) -> (String, String) {
    let (domain, rest) = match text.split_once('/') {
        Some((first, rest)) if looks_like_domain(first) => (first, rest),
        _ => (DEFAULT_DOMAIN, text),
    };
    let domain = if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain };
    let official = domain == DEFAULT_DOMAIN && !rest.contains('/');
    (domain.to_owned(), if official { format!("{OFFICIAL}{rest}") } else { rest.to_owned() })
}

fn looks_like_domain(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let inside = !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or("?")) };
            (inside, port)
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            (host.split('.').all(is_label), port)
        }
    };
    host && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_label(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !text.is_empty() && text.bytes().all(inside) && !text.starts_with('-') && !text.ends_with('-')
}

/// One component of a repository's name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
pub fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    let separators = bytes.split(|b| alphanumeric(*b)).filter(|run| !run.is_empty());
    separators.into_iter().all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

/// A tag: a word character, then up to 127 of word character, `.` and `-`.
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn parse_digest(text: &str) -> Result<Digest, Error> {
    let hex = text.strip_prefix("sha256:");
    match hex {
        Some(hex) if hex.len() >= 32 && hex.len() != 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            refuse("invalid checksum digest length".to_owned())
        }
        Some(_) => text.parse().or_else(|_| refuse("invalid reference format".to_owned())),
        None if text.starts_with("sha512:") || text.starts_with("sha384:") => {
            refuse("unsupported digest algorithm".to_owned())
        }
        None => refuse("invalid reference format".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        Reference::parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string()
    }

    fn words(text: &str) -> String {
        Reference::parse(text).map(|r| r.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn familiar_names_become_full_and_back() {
        let hex = "a".repeat(64);
        for (familiar, expected) in [
            ("busybox", "docker.io/library/busybox"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("user/app", "docker.io/user/app"),
            ("localhost/app:x", "localhost/app:x"),
            ("localhost:5000/app", "localhost:5000/app"),
            ("example.org/a/b__c/d-e.f:T_1.x-y", "example.org/a/b__c/d-e.f:T_1.x-y"),
            ("[::1]:5000/app", "[::1]:5000/app"),
            ("Host/app", "Host/app"),
            (&format!("busybox@sha256:{hex}"), &format!("docker.io/library/busybox@sha256:{hex}")),
            (&format!("busybox:x@sha256:{hex}"), &format!("docker.io/library/busybox:x@sha256:{hex}")),
        ] {
            assert_eq!(full(familiar), expected);
            assert_eq!(Reference::parse(expected).unwrap().familiar(), familiar);
        }
        assert_eq!(full("docker.io/busybox"), "docker.io/library/busybox");
        assert_eq!(full("index.docker.io/library/busybox"), "docker.io/library/busybox");
        assert_eq!(Reference::parse("library/busybox").unwrap().familiar(), "busybox");
        assert_eq!(Reference::parse("busybox").unwrap().or_latest().familiar(), "busybox:latest");
    }

    #[test]
    fn refusals_have_the_words_of_docker() {
        for text in [
            "",
            ":",
            "@",
            "/",
            "a:",
            "a:-x",
            "a//b",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            "a b",
            "é",
            "a@",
            "a@sha256:zz",
            "a@md5:00",
            "ex ample.org/a",
            "a.b:x/c",
            "-a.org/x",
            "[::1/x",
            "[]/x",
            "[::1]x/y",
            "a:b:c",
            "../etc",
            "a/../b",
            "a\0b",
            &format!("a:{}", "t".repeat(129)),
        ] {
            assert_eq!(words(text), "invalid reference format", "{text:?}");
        }
        assert_eq!(words("Busybox"), "invalid reference format: repository name (library/Busybox) must be lowercase");
        assert_eq!(words("user/App:x"), "invalid reference format: repository name (user/App) must be lowercase");
        assert_eq!(
            words(&"a".repeat(64)),
            format!("invalid repository name ({}), cannot specify 64-byte hexadecimal strings", "a".repeat(64))
        );
        assert_eq!(
            words(&format!("x.org/{}", "a".repeat(256))),
            "repository name must not be more than 255 characters"
        );
        assert_eq!(words(&format!("a@sha256:{}", "a".repeat(40))), "invalid checksum digest length");
        assert_eq!(words(&format!("a@sha512:{}", "a".repeat(128))), "unsupported digest algorithm");
    }

    #[test]
    fn lengths_at_the_limit_are_fine() {
        full(&format!("a:{}", "t".repeat(128)));
        full(&format!("x.org/{}", "a".repeat(255)));
    }
}

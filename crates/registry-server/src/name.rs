//! Names that come from the network, checked once: what is a value of these types can be part of a path.

use crate::fault::{Code, Fault};
use base::Digest;
use image::reference::{is_component, is_tag};
use std::fmt;

/// distribution-spec, "Pulling manifests": most characters of a name here.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// The name of a repository: components of lower-case letters and digits with single separators between, so never
/// `..`, never empty and never beginning with `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    name: String,
    /// The registry that a client means when it asks a mirror (containerd's `?ns=docker.io`).
    namespace: Option<String>,
}

/// A tag. Begins with a letter, a digit or `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// How a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Tag(Tag),
    Digest(Digest),
}

impl Repository {
    pub fn parse(name: &str) -> Result<Repository, Fault> {
        if name.len() > MAX_NAME || !name.split('/').all(is_component) {
            let shown: String = name.chars().take(MAX_NAME).collect();
            let text = format!("invalid repository name {shown:?}: components of a-z and 0-9, with . _ - between");
            return Err(Fault::new(Code::NameInvalid, text));
        }
        Ok(Repository { name: name.to_owned(), namespace: None })
    }

    /// The same, as asked of a mirror of the registry `namespace`.
    pub fn within(self, namespace: Option<String>) -> Repository {
        Repository { namespace, ..self }
    }

    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Tag {
    pub fn parse(text: &str) -> Result<Tag, Fault> {
        if is_tag(text) {
            return Ok(Tag(text.to_owned()));
        }
        let shown: String = text.chars().take(MAX_TAG).collect();
        let text = format!("invalid tag {shown:?}: at most {MAX_TAG} letters, digits, '.', '_' and '-'");
        Err(Fault::new(Code::ManifestInvalid, text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Reference {
    pub fn parse(text: &str) -> Result<Reference, Fault> {
        if text.contains(':') { digest(text).map(Reference::Digest) } else { Tag::parse(text).map(Reference::Tag) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A digest of a request.
pub fn digest(text: &str) -> Result<Digest, Fault> {
    if text.starts_with("sha512:") {
        return Err(Fault::new(Code::DigestInvalid, "this registry keeps sha256 digests only".to_owned()));
    }
    text.parse().map_err(|e: base::DigestError| Fault::new(Code::DigestInvalid, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar_and_cannot_leave_a_folder() {
        for good in ["busybox", "library/busybox", "ghcr.io/a/b", "a-b_c__d.e", "a--b", "a/b/c/d"] {
            assert!(Repository::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in
            ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".a", "_tags", "a..b", "A", "a___b", "a:b", "a\0", &long]
        {
            assert!(Repository::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reference_is_a_tag_or_a_digest() {
        assert!(matches!(Reference::parse("v1.0-x_y"), Ok(Reference::Tag(_))));
        assert!(matches!(Reference::parse(&format!("sha256:{}", "a".repeat(64))), Ok(Reference::Digest(_))));
        for bad in ["", ".", "..", "-a", "a/b", "sha256:x", "sha512:00", &"a".repeat(129)] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}

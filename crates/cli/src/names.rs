//! Names of images as people type them, and what docker takes them to mean.

use crate::failure::Failure;

/// The registry of names that name none.
const DOCKER_HUB: &str = "docker.io";
/// Docker Hub's folder of names without a slash.
const OFFICIAL: &str = "library/";
const LONGEST_TAG: usize = 128;
const LONGEST_NAME: usize = 255;

/// A name of an image in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The registry: `docker.io`, `localhost:5000`.
    pub domain: String,
    /// The repository in it: `library/busybox`.
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Named {
    /// Reads a name.
    ///
    /// # Errors
    /// docker's sentence for what is no name.
    pub fn parse(text: &str) -> Result<Named, Failure> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Failure::said(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )));
        }
        let (domain, rest) = domain(text);
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (rest, None),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let official = if domain == DOCKER_HUB && !path.contains('/') { OFFICIAL } else { "" };
        let path = format!("{official}{path}");
        if path.chars().any(char::is_uppercase) {
            return Err(Failure::said(format!("invalid reference format: repository name ({path}) must be lowercase")));
        }
        let good = is_domain(domain) && is_path(&path) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        if !good {
            return Err(Failure::said("invalid reference format"));
        }
        if path.len() > LONGEST_NAME {
            return Err(Failure::said(format!("repository name must not be more than {LONGEST_NAME} characters")));
        }
        Ok(Named { domain: domain.to_owned(), path, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }

    /// Neither tag nor digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The digest, else the tag: what stands behind the name in a request.
    pub fn version(&self) -> Option<&str> {
        self.digest.as_deref().or(self.tag.as_deref())
    }

    /// `docker.io/library/busybox`: the name in full, as it stands in requests.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The name in full, with tag and digest.
    pub fn full(&self) -> String {
        self.name() + &self.suffix()
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

/// The registry that a name begins with, and the rest.
pub fn domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first != first.to_lowercase() => {
            (if first == "index.docker.io" { DOCKER_HUB } else { first }, rest)
        }
        _ => (DOCKER_HUB, text),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            if !address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
                return false;
            }
            ("", port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_is_good = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    port_is_good && (text.starts_with('[') || host.split('.').all(part))
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_path_part)
}

/// Lower-case letters and digits; between them `.`, `_`, `__` or any number of `-`.
fn is_path_part(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !word(*first) || !word(*last) {
        return false;
    }
    let mut separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    separators.all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= LONGEST_TAG
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, digits)) = text.split_once(':') else { return false };
    let named = algorithm.split(['-', '_', '+', '.']).all(|part| {
        part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    let enough = if algorithm == "sha256" { digits.len() == 64 } else { digits.len() >= 32 };
    named && enough && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_docker_says_they_mean() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let with_digest = format!("a/b:c@{digest}");
        let with_digest_in_full = format!("docker.io/a/b:c@{digest}");
        for (typed, full) in [
            ("busybox", "docker.io/library/busybox"),
            ("docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("index.docker.io/a/b", "docker.io/a/b"),
            ("localhost/a", "localhost/a"),
            ("localhost:5000/a/b_c__d--e.f:T.1-x", "localhost:5000/a/b_c__d--e.f:T.1-x"),
            ("[::1]:5000/a", "[::1]:5000/a"),
            (&with_digest, &with_digest_in_full),
        ] {
            assert_eq!(Named::parse(typed).expect(typed).full(), full);
        }
        assert_eq!(Named::parse(&with_digest).expect("a name").version(), Some(digest.as_str()));
    }

    #[test]
    fn what_is_no_name_is_said_in_dockers_words() {
        for text in
            ["", ":x", "a:", "a//b", "a/", "-a", "a___b", "a..b", "a:b:c", "x.y:port/a", "a@sha256:1", "a b", "é"]
        {
            assert_eq!(Named::parse(text).expect_err(text).to_string(), "invalid reference format", "{text}");
        }
        assert_eq!(
            Named::parse("Foo").expect_err("capitals").to_string(),
            "invalid reference format: repository name (library/Foo) must be lowercase"
        );
        assert!(Named::parse(&"0".repeat(64)).expect_err("an id").to_string().contains("64-byte hexadecimal"));
    }
}

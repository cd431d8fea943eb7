//! The registry behind a cache.

use crate::name::Repository;
use oci::image::Descriptor;
use registry::{Cancel, Client, Credentials, Document, Error, Settings};
use std::io::Read;

/// What a cache asks another registry. Everything blocks.
pub trait Upstream: Send + Sync {
    fn manifest(&self, path: &str, reference: &str) -> Result<Document, Error>;

    fn find_manifest(&self, path: &str, reference: &str) -> Result<Option<Descriptor>, Error>;

    fn blob(&self, path: &str, blob: &Descriptor) -> Result<Box<dyn Read + Send>, Error>;

    /// How many bytes a blob has, if it is there.
    fn find_blob(&self, path: &str, digest: &base::Digest) -> Result<Option<u64>, Error>;

    fn tags(&self, path: &str) -> Result<Vec<String>, Error>;

    fn referrers(&self, path: &str, subject: &base::Digest) -> Result<Vec<base::Digest>, Error>;
}

/// An address that cannot be a registry's.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {0:?} as a registry: give https://HOST[:PORT], http://HOST[:PORT] or HOST[:PORT], without a path")]
pub struct AddressError(String);

/// Which registry a cache is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// As it stands in names of images: `docker.io`, `ghcr.io`, `127.0.0.1:5000`.
    pub domain: String,
    is_plain: bool,
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let (rest, is_plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => (text, false),
        };
        let host = rest.strip_suffix("/v2").or(rest.strip_suffix("/v2/")).unwrap_or(rest).trim_end_matches('/');
        let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        if host.is_empty() || !host.bytes().all(inside) {
            return Err(AddressError(text.to_owned()));
        }
        let hub = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"];
        let domain = if hub.contains(&host) { "docker.io" } else { host };
        Ok(Address { domain: domain.to_owned(), is_plain })
    }
}

impl Address {
    /// The path of a repository there: Docker Hub's own images are below `library/`.
    pub fn path(&self, repository: &Repository) -> String {
        if self.domain == "docker.io" && !repository.as_str().contains('/') {
            return format!("library/{repository}");
        }
        repository.to_string()
    }
}

/// The registry over the network.
#[derive(Debug)]
pub struct Remote {
    client: Client,
    domain: String,
    credentials: Credentials,
}

impl Remote {
    pub fn new(address: &Address, credentials: Credentials) -> Remote {
        let client = Client::new(settings(address, |name| std::env::var(name).ok()));
        Remote { client, domain: address.domain.clone(), credentials }
    }

    fn repository(&self, path: &str) -> registry::Repository {
        self.client.repository(&self.domain, path, &self.credentials, &Cancel::default())
    }
}

/// The proxies of the environment count; the machine's mirrors do not, one of which may be this cache.
fn settings(address: &Address, environment: impl Fn(&str) -> Option<String>) -> Settings {
    let set = |name: &str| environment(name).or_else(|| environment(&name.to_lowercase()));
    Settings {
        insecure: if address.is_plain { vec![address.domain.clone()] } else { Vec::new() },
        http_proxy: set("HTTP_PROXY"),
        https_proxy: set("HTTPS_PROXY"),
        no_proxy: set("NO_PROXY"),
        ..Settings::default()
    }
}

impl Upstream for Remote {
    fn manifest(&self, path: &str, reference: &str) -> Result<Document, Error> {
        self.repository(path).manifest(reference)
    }

    fn find_manifest(&self, path: &str, reference: &str) -> Result<Option<Descriptor>, Error> {
        self.repository(path).find_manifest(reference)
    }

    fn blob(&self, path: &str, blob: &Descriptor) -> Result<Box<dyn Read + Send>, Error> {
        self.repository(path).blob(blob)
    }

    fn find_blob(&self, path: &str, digest: &base::Digest) -> Result<Option<u64>, Error> {
        self.repository(path).find_blob(digest)
    }

    fn tags(&self, path: &str) -> Result<Vec<String>, Error> {
        self.repository(path).tags()
    }

    fn referrers(&self, path: &str, subject: &base::Digest) -> Result<Vec<base::Digest>, Error> {
        let index = self.repository(path).referrers(subject, None)?;
        Ok(index.manifests.into_iter().map(|entry| entry.digest).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_domains() {
        let domain = |text: &str| text.parse::<Address>().ok().map(|address| (address.domain, address.is_plain));
        assert_eq!(domain("https://registry-1.docker.io"), Some(("docker.io".to_owned(), false)));
        assert_eq!(domain("http://127.0.0.1:5000/"), Some(("127.0.0.1:5000".to_owned(), true)));
        assert_eq!(domain("ghcr.io"), Some(("ghcr.io".to_owned(), false)));
        for bad in ["", "https://", "https://a/b", "ftp://x", "a b"] {
            assert_eq!(domain(bad), None, "{bad}");
        }
    }

    #[test]
    fn proxies_come_from_the_environment_and_mirrors_from_nowhere() {
        let environment = |name: &str| (name == "https_proxy").then(|| "http://proxy:3128".to_owned());
        let settings = settings(&"http://a:1".parse().unwrap(), environment);
        assert_eq!((settings.https_proxy.as_deref(), settings.http_proxy), (Some("http://proxy:3128"), None));
        assert_eq!(settings.insecure, ["a:1"]);
        assert!(settings.mirrors.is_empty() && settings.hosts_folders.is_empty());
    }

    #[test]
    fn official_images_are_below_library() {
        let hub: Address = "https://registry-1.docker.io".parse().unwrap();
        let path = |name: &str| hub.path(&Repository::parse(name).unwrap());
        assert_eq!((path("busybox").as_str(), path("a/b").as_str()), ("library/busybox", "a/b"));
    }
}

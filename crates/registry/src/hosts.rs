//! Which endpoints a registry has: its mirrors, then itself.

use crate::credentials::is_hub;
use crate::hosts_file::{Host, HostsFile};
use crate::names::Names;
use crate::settings::Settings;
use crate::tls::{Identity, Tls, Verify};
use crate::{Error, certs};
use http::{HeaderName, HeaderValue};
use reqwest::Url;
use std::path::{Path, PathBuf};

/// A place that speaks the distribution protocol for a registry.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// Ends with `/v2/`, unless the configuration overrides the path.
    pub base: Url,
    pub role: Role,
    pub tls: Tls,
    pub fallback: Fallback,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// `?ns=` of requests to a mirror that serves several registries.
    pub namespace: Option<String>,
    capabilities: Vec<Capability>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Mirror,
    Registry,
}

/// Whether an endpoint that does not answer over https may be asked over http.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    Never,
    Http,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capability {
    /// Content by digest.
    Pull,
    /// What a tag means.
    Resolve,
    Push,
}

impl Endpoint {
    /// The same endpoint by the address that it answers to.
    pub(crate) fn at(&self, base: &Url) -> Endpoint {
        Endpoint { base: base.clone(), ..self.clone() }
    }

    pub(crate) fn can(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }
}

/// What the configuration knows, while the endpoints of one registry are found.
pub(crate) struct Finder<'a> {
    pub settings: &'a Settings,
    pub names: &'a Names,
}

impl Finder<'_> {
    /// The endpoints of a registry in the order in which they are asked.
    pub(crate) async fn endpoints(&self, domain: &str) -> Result<Vec<Endpoint>, Error> {
        let registry = registry_host(domain)?;
        let folder = self.folder(&[domain, &registry]);
        let file = match folder.as_ref().map(|folder| folder.join("hosts.toml")).filter(|path| path.is_file()) {
            Some(path) => HostsFile::read(&path)?,
            None => HostsFile::default(),
        };
        let mut endpoints = Vec::new();
        let mirrors = if is_hub(domain) { self.settings.mirrors.as_slice() } else { &[] };
        for mirror in mirrors {
            endpoints.push(self.mirror(mirror).await?);
        }
        for (url, host) in &file.hosts {
            endpoints.push(self.listed(url, host, domain).await?);
        }
        let server = file.server.clone().unwrap_or_else(|| format!("https://{registry}"));
        endpoints.push(self.registry(&server, &file.registry, folder.as_deref()).await?);
        Ok(endpoints)
    }

    /// The registry's own address outside of `/v2/`.
    pub(crate) async fn itself(&self, domain: &str) -> Result<Endpoint, Error> {
        let endpoints = self.endpoints(domain).await?;
        let registry = endpoints.into_iter().find(|endpoint| endpoint.role == Role::Registry);
        registry.ok_or_else(|| Error::Invalid(format!("the registry {domain} has no address")))
    }

    async fn registry(&self, server: &str, host: &Host, folder: Option<&Path>) -> Result<Endpoint, Error> {
        let mut endpoint = self.endpoint(server, host, Role::Registry).await?;
        if let Some(folder) = folder {
            certs::add(folder, &mut endpoint.tls)?;
        }
        endpoint.capabilities = vec![Capability::Pull, Capability::Resolve, Capability::Push];
        Ok(endpoint)
    }

    /// A mirror of Docker Hub by the engine's settings.
    async fn mirror(&self, url: &str) -> Result<Endpoint, Error> {
        let mut endpoint = self.endpoint(url, &Host::default(), Role::Mirror).await?;
        let authority = authority(&endpoint.base);
        if let Some(folder) = self.folder(&[&authority]) {
            certs::add(&folder, &mut endpoint.tls)?;
        }
        Ok(endpoint)
    }

    /// A host that a hosts file lists.
    async fn listed(&self, url: &str, host: &Host, domain: &str) -> Result<Endpoint, Error> {
        let mut endpoint = self.endpoint(url, host, Role::Mirror).await?;
        if authority(&endpoint.base) != domain {
            endpoint.namespace = Some(domain.to_owned());
        }
        Ok(endpoint)
    }

    async fn endpoint(&self, url: &str, host: &Host, role: Role) -> Result<Endpoint, Error> {
        let base = base(url, host.override_path)?;
        let insecure = self.is_insecure(&base).await;
        let tls = Tls {
            verify: if insecure || host.skip_verify { Verify::Nothing } else { Verify::Chain },
            roots: host.ca.iter().map(|path| certs::read(path)).collect::<Result<_, _>>()?,
            identity: identity(host)?,
        };
        let fallback = if insecure && base.scheme() == "https" { Fallback::Http } else { Fallback::Never };
        let capabilities = capabilities(host);
        Ok(Endpoint { base, role, tls, fallback, headers: host.headers.clone(), namespace: None, capabilities })
    }

    async fn is_insecure(&self, base: &Url) -> bool {
        let host = base.host_str().unwrap_or_default();
        if self.settings.names_insecure(host, base.port()) {
            return true;
        }
        self.settings.has_insecure_networks()
            && self.names.lookup(host).await.is_ok_and(|found| found.iter().any(|&ip| self.settings.holds_insecure(ip)))
    }

    /// The first folder that has one of these names, or `_default`.
    fn folder(&self, names: &[&str]) -> Option<PathBuf> {
        let named = names.iter().flat_map(|name| spellings(name));
        let named = named.collect::<Vec<_>>();
        let specific =
            self.settings.hosts_folders.iter().flat_map(|root| named.iter().map(move |name| root.join(name)));
        let default = self.settings.hosts_folders.iter().map(|root| root.join("_default"));
        specific.chain(default).find(|folder| folder.is_dir())
    }
}

/// A folder's name may have underscores instead of the colon.
fn spellings(name: &str) -> Vec<String> {
    match name.rsplit_once(':') {
        Some((host, port)) => vec![name.to_owned(), format!("{host}_{port}_")],
        None => vec![name.to_owned()],
    }
}

/// The host of the registry that a reference's domain names.
pub(crate) fn registry_host(domain: &str) -> Result<String, Error> {
    if matches!(domain, "docker.io" | "registry-1.docker.io") {
        return Ok("registry-1.docker.io".to_owned());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let parsed = Url::parse(&format!("https://{domain}/")).ok();
    let plain = parsed.is_some_and(|url| url.has_host() && url.path() == "/");
    if domain.is_empty() || domain.starts_with('.') || !domain.chars().all(allowed) || !plain {
        return Err(Error::Invalid(format!("invalid registry {domain:?}: expected host or host:port")));
    }
    Ok(domain.to_owned())
}

/// `host[:port]` of an address.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether two addresses are of the same scheme, host and port.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

fn base(text: &str, override_path: bool) -> Result<Url, Error> {
    let wrong = |reason: &str| Error::Invalid(format!("invalid registry address {:?}: {reason}", masked(text)));
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&full).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("expected http:// or https:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("username/password not allowed in URI"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("query or fragment at the end of the URI"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let path = if override_path || path.ends_with("/v2") { format!("{path}/") } else { format!("{path}/v2/") };
    url.set_path(&path);
    Ok(url)
}

/// Without what stands before an `@`.
fn masked(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, after)| after)
}

fn identity(host: &Host) -> Result<Option<Identity>, Error> {
    let Some((chain, key)) = &host.client else { return Ok(None) };
    let key = key.as_ref().unwrap_or(chain);
    Ok(Some(Identity { chain: certs::read(chain)?, key: certs::read(key)? }))
}

/// A mirror takes pushes only when it is told to.
fn capabilities(host: &Host) -> Vec<Capability> {
    let Some(names) = &host.capabilities else { return vec![Capability::Pull, Capability::Resolve] };
    let known = |name: &String| match name.as_str() {
        "pull" => Some(Capability::Pull),
        "resolve" => Some(Capability::Resolve),
        "push" => Some(Capability::Push),
        _ => None,
    };
    names.iter().filter_map(known).collect()
}

#[cfg(test)]
#[path = "tests/hosts.rs"]
mod tests;

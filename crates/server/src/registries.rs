//! Options about registries: read from flags and file, checked in dockerd's words.

use crate::options::OptionsError;
use std::path::PathBuf;

/// Folders that say how single registries are reached, the strongest first.
const HOSTS_FOLDERS: [&str; 3] = ["/etc/dhow/certs.d", "/etc/docker/certs.d", "/etc/containerd/certs.d"];

/// How registries are reached, as flags and file say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryOptions {
    pub mirrors: Vec<String>,
    pub insecure: Vec<String>,
    /// Layers at once; `None` is Docker's number.
    pub downloads: Option<i64>,
    pub uploads: Option<i64>,
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
}

impl RegistryOptions {
    /// What the engine is told. Proxies that nobody named are those of this process's environment.
    pub fn meant(&self) -> Result<engine::Registries, OptionsError> {
        let usual = engine::Registries::default();
        Ok(engine::Registries {
            access: registry::Settings {
                mirrors: self.mirrors.iter().map(|mirror| checked_mirror(mirror)).collect::<Result<_, _>>()?,
                insecure: self.insecure.iter().map(|host| checked_insecure(host)).collect::<Result<_, _>>()?,
                hosts_folders: HOSTS_FOLDERS.iter().map(PathBuf::from).collect(),
                http_proxy: or_environment(self.http_proxy.as_ref(), "HTTP_PROXY"),
                https_proxy: or_environment(self.https_proxy.as_ref(), "HTTPS_PROXY"),
                no_proxy: or_environment(self.no_proxy.as_ref(), "NO_PROXY"),
            },
            downloads: at_once("max-concurrent-downloads", self.downloads, usual.downloads)?,
            uploads: at_once("max-concurrent-uploads", self.uploads, usual.uploads)?,
        })
    }
}

/// Those of the folders that are there: their keys are nothing for the `host` image.
pub fn hosts_folders() -> impl Iterator<Item = PathBuf> {
    HOSTS_FOLDERS.iter().map(PathBuf::from).filter(|folder| folder.is_dir())
}

fn or_environment(told: Option<&String>, name: &str) -> Option<String> {
    let set = |name: &str| std::env::var(name).ok();
    let found = told.cloned().or_else(|| set(name)).or_else(|| set(&name.to_lowercase()));
    found.filter(|value| !value.is_empty())
}

fn at_once(key: &'static str, asked: Option<i64>, usual: usize) -> Result<usize, OptionsError> {
    let Some(asked) = asked else { return Ok(usual) };
    let fits = usize::try_from(asked).ok().filter(|number| *number > 0);
    fits.ok_or_else(|| OptionsError::Value { key, value: format!("{asked} is not a number of layers, 1 or more") })
}

/// moby, registry/config.go, ValidateMirror.
fn checked_mirror(text: &str) -> Result<String, OptionsError> {
    let wrong = |why: String| OptionsError::Value { key: "registry-mirrors", value: why };
    let uri: http::Uri = text.parse().map_err(|_| wrong(format!("invalid mirror: {text:?} is not a valid URI")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        let scheme = uri.scheme_str().unwrap_or_default();
        return Err(wrong(format!("invalid mirror: unsupported scheme {scheme:?} in {text:?}")));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(wrong(format!("invalid mirror: query or fragment at end of the URI {text:?}")));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong(format!("invalid mirror: username/password not allowed in URI {:?}", masked(text))));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A host with or without a port, or a network.
fn checked_insecure(text: &str) -> Result<String, OptionsError> {
    let wrong = |why: String| OptionsError::Value { key: "insecure-registries", value: why };
    if text.parse::<ipnet::IpNet>().is_ok() {
        return Ok(text.to_owned());
    }
    if text.contains("://") {
        return Err(wrong(format!("insecure registry {text} should not contain '://'")));
    }
    match text.parse::<http::uri::Authority>() {
        Ok(host) if !host.as_str().contains('@') => Ok(text.to_owned()),
        _ => Err(wrong(format!("insecure registry {text} is not valid: invalid host {text:?}"))),
    }
}

/// An address without the password in it.
pub fn masked(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://xxxxx:xxxxx@{host}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(options: RegistryOptions) -> Result<engine::Registries, String> {
        options.meant().map_err(|error| base::chain(&error))
    }

    #[test]
    fn numbers_are_dockers_unless_told() {
        let usual = meant(RegistryOptions::default()).expect("settings");
        assert_eq!((usual.downloads, usual.uploads), (3, 5));
        let told = RegistryOptions { downloads: Some(9), uploads: Some(1), ..RegistryOptions::default() };
        assert_eq!(meant(told).map(|told| (told.downloads, told.uploads)), Ok((9, 1)));
        assert!(meant(RegistryOptions { downloads: Some(0), ..RegistryOptions::default() }).is_err());
    }

    #[test]
    fn mirrors_are_addresses_without_secrets() {
        let mirror = |text: &str| checked_mirror(text).map_err(|error| error.to_string());
        assert_eq!(mirror("https://m.example/"), Ok("https://m.example".into()));
        assert_eq!(mirror("http://m.example:5000/p"), Ok("http://m.example:5000/p".into()));
        for text in ["m.example", "ftp://m.example", "https://m.example?x=1", "https://u:secret@m.example", ""] {
            assert!(mirror(text).is_err_and(|words| !words.contains("secret")), "{text}");
        }
    }

    #[test]
    fn insecure_registries_are_hosts_or_networks() {
        for text in ["r.example", "r.example:5000", "10.0.0.0/8", "[::1]:5000"] {
            assert!(checked_insecure(text).is_ok(), "{text}");
        }
        for text in ["http://r.example", "a b", "u@r.example"] {
            assert!(checked_insecure(text).is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        assert_eq!(masked("http://me:pw@p.example:1"), "http://xxxxx:xxxxx@p.example:1");
        assert_eq!(masked("http://p.example:1"), "http://p.example:1");
    }
}

//! `hosts.toml`, containerd's description of where a registry's content comes from.

use crate::Error;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// One file, its hosts in the order of the file.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct HostsFile {
    pub server: Option<String>,
    /// What the file says of the server itself.
    pub registry: Host,
    pub hosts: Vec<(String, Host)>,
}

/// How one host is spoken to.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Host {
    pub capabilities: Option<Vec<String>>,
    pub ca: Vec<PathBuf>,
    /// Certificate, and key unless it is in the same file.
    pub client: Option<(PathBuf, Option<PathBuf>)>,
    pub skip_verify: bool,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub override_path: bool,
}

#[derive(Deserialize)]
struct Wire {
    server: Option<String>,
    #[serde(default)]
    host: BTreeMap<String, Spanned<WireHost>>,
    #[serde(flatten)]
    registry: WireHost,
}

#[derive(Deserialize, Default)]
struct WireHost {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMany>,
    client: Option<Clients>,
    #[serde(default)]
    skip_verify: bool,
    #[serde(default)]
    header: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    override_path: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Clients {
    One(String),
    Many(Vec<OneOrMany>),
}

impl HostsFile {
    pub(crate) fn read(path: &Path) -> Result<HostsFile, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())))?;
        let wrong = |reason: String| Error::Invalid(format!("cannot read {}: {reason}", path.display()));
        let folder = path.parent().unwrap_or(Path::new("/"));
        HostsFile::parse(&text, folder).map_err(wrong)
    }

    fn parse(text: &str, folder: &Path) -> Result<HostsFile, String> {
        let wire: Wire = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let mut hosts: Vec<_> = wire.host.into_iter().collect();
        hosts.sort_by_key(|(_, host)| host.span().start);
        let hosts = hosts.into_iter().map(|(url, host)| Ok((url, host.into_inner().into_host(folder)?)));
        Ok(HostsFile {
            server: wire.server,
            registry: wire.registry.into_host(folder)?,
            hosts: hosts.collect::<Result<_, String>>()?,
        })
    }
}

impl WireHost {
    fn into_host(self, folder: &Path) -> Result<Host, String> {
        Ok(Host {
            capabilities: self.capabilities,
            ca: self.ca.map(OneOrMany::into_vec).unwrap_or_default().iter().map(|path| folder.join(path)).collect(),
            client: self.client.and_then(|client| client.first(folder)),
            skip_verify: self.skip_verify,
            headers: headers(self.header)?,
            override_path: self.override_path,
        })
    }
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        }
    }
}

impl Clients {
    fn first(self, folder: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
        let pair = match self {
            Clients::One(path) => vec![path],
            Clients::Many(pairs) => pairs.into_iter().next()?.into_vec(),
        };
        let mut paths = pair.into_iter().filter(|path| !path.is_empty()).map(|path| folder.join(path));
        Some((paths.next()?, paths.next()))
    }
}

fn headers(wire: BTreeMap<String, OneOrMany>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let mut headers = Vec::new();
    for (name, values) in wire {
        let key: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header name"))?;
        for value in values.into_vec() {
            let mut value: HeaderValue = value.parse().map_err(|_| format!("a value of the header {name} is none"))?;
            value.set_sensitive(true);
            headers.push((key.clone(), value));
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_keep_the_order_of_the_file_and_paths_start_at_its_folder() {
        let text = r#"
            server = "https://reg.example"
            skip_verify = true
            [host."https://z.example"]
              capabilities = ["pull", "resolve"]
              ca = ["z.crt", "/abs/z.crt"]
              client = [["c.cert", "c.key"]]
              [host."https://z.example".header]
                x-one = "1"
                x-two = ["2", "3"]
            [host."http://a.example/prefix"]
              override_path = true
              ca = "a.crt"
              client = "both.pem"
        "#;
        let file = HostsFile::parse(text, Path::new("/f")).unwrap();
        assert_eq!(file.server.as_deref(), Some("https://reg.example"));
        assert!(file.registry.skip_verify);
        let names: Vec<_> = file.hosts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["https://z.example", "http://a.example/prefix"]);
        let first = &file.hosts[0].1;
        assert_eq!(first.ca, [PathBuf::from("/f/z.crt"), PathBuf::from("/abs/z.crt")]);
        assert_eq!(first.client, Some(("/f/c.cert".into(), Some("/f/c.key".into()))));
        assert_eq!(first.headers.len(), 3);
        assert_eq!(file.hosts[1].1.client, Some(("/f/both.pem".into(), None)));
        assert!(file.hosts[1].1.override_path);
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        let error = HostsFile::parse("server = ", Path::new("/f")).unwrap_err();
        assert!(error.contains("line 1"), "{error}");
    }
}

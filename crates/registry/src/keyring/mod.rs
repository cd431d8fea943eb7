//! Where people's credentials are kept: `~/.docker/config.json`, and the helpers that it names.

mod file;
mod program;

use crate::Credentials;
use crate::credentials::{HUB, host_of, is_hub, join_auth, split_auth};
use file::ConfigFile;
use program::Helper;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// What a helper calls an identity token's user.
const TOKEN_USER: &str = "<token>";

/// The credentials of one person. Each call reads the file anew, so that logins of others are seen.
#[derive(Debug, Clone)]
pub struct Keyring {
    path: PathBuf,
    /// Where helpers are looked for, instead of `$PATH`.
    search: Option<OsString>,
}

/// Where credentials went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A file, where everybody who can read it can read them.
    File(PathBuf),
    /// The helper of this name.
    Helper(String),
}

/// Why the keyring did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("cannot find the folder of config.json: set HOME or DOCKER_CONFIG")]
    NoFolder,
    #[error("cannot {action} {path}", path = path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot read {path}: {reason}", path = path.display())]
    Format { path: PathBuf, reason: String },
    #[error("cannot run the credential helper docker-credential-{name}")]
    Run { name: String, source: io::Error },
    #[error("the credential helper docker-credential-{name} failed: {reason}")]
    Helper { name: String, reason: String },
}

impl base::Kinded for KeyringError {
    fn kind(&self) -> base::Kind {
        match self {
            KeyringError::NoFolder | KeyringError::Format { .. } => base::Kind::Invalid,
            KeyringError::File { source, .. } | KeyringError::Run { source, .. } => base::Kinded::kind(source),
            KeyringError::Helper { .. } => base::Kind::Unavailable,
        }
    }
}

impl Keyring {
    /// The keyring in a folder, else in `$DOCKER_CONFIG`, else in `$HOME/.docker`. It need not exist yet.
    pub fn open(folder: Option<&Path>) -> Result<Keyring, KeyringError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = folder.map(Path::to_path_buf).or_else(|| set("DOCKER_CONFIG"));
        let folder = folder.or_else(|| Some(set("HOME")?.join(".docker"))).ok_or(KeyringError::NoFolder)?;
        Ok(Keyring { path: folder.join("config.json"), search: None })
    }

    /// The credentials for a registry by a reference's domain. Nobody, when there are none.
    pub fn get(&self, domain: &str) -> Result<Credentials, KeyringError> {
        let file = ConfigFile::read(&self.path)?;
        let key = key(domain);
        if let Some(helper) = self.helper_for(&file, &key) {
            return Ok(helper.get(&key)?.unwrap_or_default());
        }
        let exact = file.auth(&key);
        let similar = || file.auths().into_iter().find(|(other, _)| same_registry(other, &key)).map(|(_, auth)| auth);
        Ok(exact.or_else(similar).map(|auth| credentials(&key, auth)).unwrap_or_default())
    }

    /// All credentials by registry, as a build sends them.
    pub fn all(&self) -> Result<BTreeMap<String, Credentials>, KeyringError> {
        let file = ConfigFile::read(&self.path)?;
        let mut all = BTreeMap::new();
        for (key, auth) in file.auths() {
            all.insert(key.clone(), credentials(&key, auth));
        }
        if let Some(helper) = file.store().map(|name| self.helper(name)) {
            for key in helper.list()? {
                all.extend(helper.get(&key)?.map(|credentials| (key, credentials)));
            }
        }
        for (key, name) in file.helpers() {
            all.extend(self.helper(name).get(&key)?.map(|credentials| (key, credentials)));
        }
        all.retain(|_, credentials| !credentials.is_empty());
        Ok(all)
    }

    /// Keeps credentials for the registry of their server address; an identity token is kept instead of a password.
    pub fn store(&self, credentials: &Credentials) -> Result<Stored, KeyringError> {
        let mut file = ConfigFile::read(&self.path)?;
        let key = key(&credentials.server_address);
        if let Some(helper) = self.helper_for(&file, &key) {
            helper.store(&key, credentials)?;
            file.set_auth(&key, serde_json::Map::new());
            file.write()?;
            return Ok(Stored::Helper(helper.name().to_owned()));
        }
        file.set_auth(&key, entry(credentials));
        file.write()?;
        Ok(Stored::File(self.path.clone()))
    }

    /// Forgets the credentials for a registry. Whether there were any does not matter.
    pub fn erase(&self, domain: &str) -> Result<(), KeyringError> {
        let mut file = ConfigFile::read(&self.path)?;
        let key = key(domain);
        if let Some(helper) = self.helper_for(&file, &key) {
            helper.erase(&key)?;
        }
        let known = file.auths().into_iter().map(|(other, _)| other).filter(|other| same_registry(other, &key));
        let known: Vec<String> = known.collect();
        if known.is_empty() {
            return Ok(());
        }
        known.iter().for_each(|other| file.remove_auth(other));
        file.write()
    }

    fn helper_for(&self, file: &ConfigFile, key: &str) -> Option<Helper> {
        let helpers = file.helpers();
        let exact = helpers.iter().find(|(registry, _)| registry == key);
        let named = exact.or_else(|| helpers.iter().find(|(registry, _)| same_registry(registry, key)));
        named.map(|(_, name)| name.clone()).or_else(|| file.store()).map(|name| self.helper(name))
    }

    fn helper(&self, name: String) -> Helper {
        Helper { name, search: self.search.clone() }
    }
}

/// The name of a registry in the file: its host, but Docker Hub's long address.
fn key(domain: &str) -> String {
    let host = host_of(domain);
    if host.is_empty() || is_hub(host) { HUB.to_owned() } else { host.to_owned() }
}

fn same_registry(one: &str, other: &str) -> bool {
    key(one) == key(other)
}

fn credentials(key: &str, auth: &serde_json::Map<String, serde_json::Value>) -> Credentials {
    let text = |name: &str| auth.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let (username, password) = split_auth(&text("auth")).unwrap_or_else(|| (text("username"), text("password")));
    Credentials {
        username,
        password,
        identity_token: text("identitytoken"),
        registry_token: text("registrytoken"),
        server_address: key.to_owned(),
    }
}

fn entry(credentials: &Credentials) -> serde_json::Map<String, serde_json::Value> {
    let with_token = !credentials.identity_token.is_empty();
    let password = if with_token { "" } else { &credentials.password };
    let mut entry = serde_json::Map::new();
    if !credentials.username.is_empty() {
        entry.insert("auth".to_owned(), join_auth(&credentials.username, password).into());
    }
    for (name, value) in
        [("identitytoken", &credentials.identity_token), ("registrytoken", &credentials.registry_token)]
    {
        if !value.is_empty() {
            entry.insert(name.to_owned(), value.clone().into());
        }
    }
    entry
}

#[cfg(test)]
#[path = "../tests/keyring.rs"]
mod tests;

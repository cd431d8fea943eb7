//! `config.json`: read, changed and written with all the keys that are not ours.

use super::KeyringError;
use base::atomic::{self, Durability};
use serde_json::{Map, Value};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Bytes of a configuration at most.
const LARGEST: u64 = 16 << 20;

pub(super) struct ConfigFile {
    path: PathBuf,
    content: Map<String, Value>,
}

impl ConfigFile {
    /// A file that is not there, or is empty, says nothing.
    pub(super) fn read(path: &Path) -> Result<ConfigFile, KeyringError> {
        let content = match fs::metadata(path).map(|found| found.len()) {
            Ok(size) if size > LARGEST => return Err(broken(path, "it is too large".to_owned())),
            Ok(_) => fs::read(path).map_err(failed("read", path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("read", path)(error)),
        };
        let content = match content.trim_ascii() {
            [] => Map::new(),
            text => serde_json::from_slice(text).map_err(|error| {
                broken(path, format!("no JSON object as expected at line {} column {}", error.line(), error.column()))
            })?,
        };
        Ok(ConfigFile { path: path.to_owned(), content })
    }

    /// Replaces the file at once; where it is a link, what it points to.
    pub(super) fn write(&self) -> Result<(), KeyringError> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make", folder))?;
        let mut text = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, tabs);
        serde::Serialize::serialize(&self.content, &mut writer)
            .map_err(|error| failed("write", &path)(error.into()))?;
        atomic::write(&path, &text, 0o600, Durability::PowerCut).map_err(failed("write", &path))
    }

    pub(super) fn auths(&self) -> Vec<(String, &Map<String, Value>)> {
        let entries = self.content.get("auths").and_then(Value::as_object).into_iter().flatten();
        entries.filter_map(|(key, entry)| Some((key.clone(), entry.as_object()?))).collect()
    }

    pub(super) fn auth(&self, key: &str) -> Option<&Map<String, Value>> {
        self.content.get("auths")?.get(key)?.as_object()
    }

    pub(super) fn set_auth(&mut self, key: &str, entry: Map<String, Value>) {
        let auths = self.content.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        auths[key] = Value::Object(entry);
    }

    pub(super) fn remove_auth(&mut self, key: &str) {
        if let Some(auths) = self.content.get_mut("auths").and_then(Value::as_object_mut) {
            auths.remove(key);
        }
    }

    /// The helper for all registries that have none of their own.
    pub(super) fn store(&self) -> Option<String> {
        let name = self.content.get("credsStore")?.as_str()?;
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// Registries with their own helper.
    pub(super) fn helpers(&self) -> Vec<(String, String)> {
        let entries = self.content.get("credHelpers").and_then(Value::as_object).into_iter().flatten();
        let named = entries.filter_map(|(key, name)| Some((key.clone(), name.as_str()?.to_owned())));
        named.filter(|(_, name)| !name.is_empty()).collect()
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyringError {
    let path = path.to_owned();
    move |source| KeyringError::File { action, path, source }
}

fn broken(path: &Path, reason: String) -> KeyringError {
    KeyringError::Format { path: path.to_owned(), reason }
}

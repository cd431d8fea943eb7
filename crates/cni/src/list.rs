//! The configuration of a network: `*.conflist`, or `*.conf` of a single plugin.

use crate::Error;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Versions of configurations and results, the oldest first. Those before have results of another shape.
pub(crate) const VERSIONS: [&str; 6] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.0.1", "1.1.0"];
const MOST_BYTES: u64 = 1 << 20;

/// A network's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    pub name: String,
    /// What is spoken with the plugins.
    pub version: String,
    pub(crate) disable_check: bool,
    pub(crate) disable_gc: bool,
    /// In order; each has its `type`.
    pub(crate) plugins: Vec<Map<String, Value>>,
}

impl List {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<List, Error> {
        let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let size = fs::metadata(path).map_err(io)?.len();
        let wrong = |why: String| Error::Configuration { path: path.to_owned(), why };
        if size > MOST_BYTES {
            return Err(wrong(format!("{size} bytes are too many")));
        }
        let value: Value = serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(|e| wrong(e.to_string()))?;
        List::of(&value).map_err(wrong)
    }

    /// The file in a folder that has the network of this name; of several the first by their own names.
    pub fn find(folder: &Path, name: &str) -> Result<List, Error> {
        let io = |source| Error::Io { action: "read", path: folder.to_owned(), source };
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            let is_one = path.extension().is_some_and(|ext| ext == "conflist" || ext == "conf" || ext == "json");
            paths.extend(is_one.then_some(path));
        }
        paths.sort();
        // Lists before single plugins, as libcni.
        paths.sort_by_key(|path| path.extension().is_none_or(|ext| ext != "conflist"));
        let mut fault = None;
        for path in paths {
            match List::read(&path) {
                Ok(list) if list.name == name => return Ok(list),
                Ok(_) => {}
                // One that is none may be another network's.
                Err(e) => fault = Some(e),
            }
        }
        if let Some(fault) = fault {
            tracing::warn!("left out: {}", base::chain(&fault));
        }
        Err(Error::NoList { name: name.to_owned(), folder: folder.to_owned() })
    }

    /// Reads a configuration back that [`List::to_value`] made, or a file has.
    pub(crate) fn of(value: &Value) -> Result<List, String> {
        let fields = value.as_object().ok_or("it is no object")?;
        let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
        if !is_name(name) {
            return Err(format!("its name {name:?} is none: letters and digits first, then also '_', '.' and '-'"));
        }
        let plugins = match fields.get("plugins") {
            Some(list) => {
                list.as_array().ok_or("its plugins are no list")?.iter().map(plugin).collect::<Result<_, _>>()?
            }
            None => vec![plugin(value)?],
        };
        let flag = |key: &str| match fields.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            // As libcni takes it, too.
            Some(Value::String(text)) if text == "true" || text == "false" => Ok(text == "true"),
            Some(_) => Err(format!("its {key} is neither true nor false")),
        };
        if plugins.is_empty() {
            return Err("it has no plugins".to_owned());
        }
        Ok(List {
            name: name.to_owned(),
            version: version(fields)?,
            disable_check: flag("disableCheck")?,
            disable_gc: flag("disableGC")?,
            plugins,
        })
    }

    pub(crate) fn to_value(&self) -> Value {
        json!({
            "name": self.name,
            "cniVersion": self.version,
            "disableCheck": self.disable_check,
            "disableGC": self.disable_gc,
            "plugins": self.plugins,
        })
    }

    /// The types of its plugins, in order.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.plugins.iter().map(type_of)
    }

    /// Whether any of its plugins has this capability.
    pub fn has(&self, capability: &str) -> bool {
        self.plugins.iter().any(|plugin| declares(plugin, capability))
    }

    /// Whether it is of this version or a later one.
    pub(crate) fn is_at_least(&self, version: &str) -> bool {
        let place = |version: &str| VERSIONS.iter().position(|one| *one == version);
        place(&self.version) >= place(version)
    }
}

pub(crate) fn type_of(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn declares(plugin: &Map<String, Value>, capability: &str) -> bool {
    plugin.get("capabilities").and_then(|all| all.get(capability)).and_then(Value::as_bool).unwrap_or(false)
}

fn plugin(value: &Value) -> Result<Map<String, Value>, String> {
    let fields = value.as_object().ok_or("a plugin is no object")?;
    let name = type_of(fields);
    // It becomes a path.
    if !is_name(name) {
        return Err(format!("the type {name:?} of a plugin is no name of a program"));
    }
    Ok(fields.clone())
}

/// The version of the list; the highest of several that is spoken here (1.1.0 has `cniVersions`).
fn version(fields: &Map<String, Value>) -> Result<String, String> {
    let one = fields.get("cniVersion").and_then(Value::as_str);
    let several = fields.get("cniVersions").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let asked: Vec<&str> = one.into_iter().chain(several).collect();
    let best = VERSIONS.iter().rev().find(|version| asked.contains(*version));
    match (best, asked.first()) {
        (Some(version), _) => Ok((*version).to_owned()),
        (None, None) => Err(format!("it has no cniVersion: one of {}", VERSIONS.join(", "))),
        (None, Some(asked)) => Err(format!("its cniVersion {asked:?} is none of {}", VERSIONS.join(", "))),
    }
}

/// As the specification has names of networks.
pub(crate) fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && text.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<List, String> {
        List::of(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_list_and_a_single_plugin_are_read() {
        let list = of(r#"{"name":"n","cniVersion":"1.0.0","plugins":[{"type":"bridge","capabilities":{"ips":true}},{"type":"portmap"}]}"#).unwrap();
        assert_eq!(list.types().collect::<Vec<_>>(), ["bridge", "portmap"]);
        assert!(list.has("ips") && !list.has("portMappings"));
        assert_eq!(List::of(&list.to_value()).unwrap(), list);
        let single = of(r#"{"name":"one","cniVersion":"0.4.0","type":"bridge"}"#).unwrap();
        assert_eq!(single.types().collect::<Vec<_>>(), ["bridge"]);
        assert!(single.is_at_least("0.4.0") && !single.is_at_least("1.0.0"));
        let many = of(r#"{"name":"n","cniVersion":"9.0.0","cniVersions":["0.4.0","1.1.0"],"type":"x"}"#).unwrap();
        assert_eq!(many.version, "1.1.0");
    }

    #[test]
    fn what_could_lead_to_another_program_or_is_of_no_known_version_is_refused() {
        for text in [
            "[]",
            "{}",
            r#"{"name":"../n","cniVersion":"1.0.0","type":"x"}"#,
            r#"{"name":"n","cniVersion":"1.0.0","type":"../../bin/sh"}"#,
            r#"{"name":"n","cniVersion":"1.0.0","type":".."}"#,
            r#"{"name":"n","cniVersion":"1.0.0","plugins":[]}"#,
            r#"{"name":"n","cniVersion":"1.0.0","plugins":[{"type":""}]}"#,
            r#"{"name":"n","cniVersion":"0.2.0","type":"x"}"#,
            r#"{"name":"n","type":"x"}"#,
            r#"{"name":"n","cniVersion":"1.0.0","disableCheck":7,"type":"x"}"#,
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_is_found_by_its_name_and_lists_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put("10-a.conf", r#"{"name":"n","cniVersion":"1.0.0","type":"single"}"#);
        put("20-b.conflist", r#"{"name":"n","cniVersion":"1.0.0","plugins":[{"type":"listed"}]}"#);
        put("30-broken.conf", "{");
        put("README", "{");
        let found = List::find(folder.path(), "n").unwrap();
        assert_eq!(found.types().collect::<Vec<_>>(), ["listed"]);
        assert!(matches!(List::find(folder.path(), "m"), Err(Error::NoList { .. })));
    }
}

//! Packages of Python and Node.

use super::Package;
use crate::attest::escaped;
use serde_json::Value;

/// `METADATA` of an installed distribution: headers up to the first empty line (PEP 566).
pub(super) fn python(text: &str, place: &str) -> Vec<Package> {
    let headers = || text.lines().take_while(|line| !line.is_empty());
    let field = |name: &str| {
        let value = headers().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let (Some(name), Some(version)) = (field("Name"), field("Version")) else { return Vec::new() };
    let plain = name.to_lowercase().replace('_', "-");
    let url = format!("pkg:pypi/{}@{}", escaped(&plain, ""), escaped(&version, ""));
    let license = field("License-Expression").or_else(|| field("License"));
    vec![Package { kind: "pypi", name, version, url, license, place: place.to_owned() }]
}

/// `package.json` of an installed package.
pub(super) fn node(text: &str, place: &str) -> Vec<Package> {
    let Ok(read) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let text = |key: &str| read.get(key).and_then(Value::as_str);
    match (text("name"), text("version")) {
        (Some(name), Some(version)) => vec![npm((name, version), text("license"), place)],
        _ => Vec::new(),
    }
}

/// `package-lock.json` of the versions 1 to 3.
pub(super) fn node_lock(text: &str, place: &str) -> Vec<Package> {
    let Ok(read) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    let mut found = Vec::new();
    let version = |entry: &Value| entry.get("version").and_then(Value::as_str).map(str::to_owned);
    if let Some(packages) = read.get("packages").and_then(Value::as_object) {
        for (path, entry) in packages {
            let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
            let name = entry.get("name").and_then(Value::as_str).unwrap_or(name);
            let license = entry.get("license").and_then(Value::as_str);
            found.extend(version(entry).map(|version| npm((name, &version), license, place)));
        }
    } else if let Some(packages) = read.get("dependencies").and_then(Value::as_object) {
        for (name, entry) in packages {
            found.extend(version(entry).map(|version| npm((name, &version), None, place)));
        }
    }
    found
}

fn npm((name, version): (&str, &str), license: Option<&str>, place: &str) -> Package {
    let url = format!("pkg:npm/{}@{}", escaped(&name.to_lowercase(), "/"), escaped(version, ""));
    let license = license.map(str::to_owned);
    Package { kind: "npm", name: name.to_owned(), version: version.to_owned(), url, license, place: place.to_owned() }
}

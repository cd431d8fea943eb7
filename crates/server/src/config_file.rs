//! `daemon.json` and the flags, joined: the same names and values, as dockerd has it. A name in both places is refused.

use crate::flags::{Flags, Told};
use crate::keys::{self, KEYS, Kind, Meaning};
use crate::options::{self, Options, OptionsError, Usual};
use serde_json::{Map, Value};
use std::path::Path;

/// Joins flags and file.
pub fn load(flags: &Flags) -> Result<Options, OptionsError> {
    let usual = Usual::of_this_user(flags)?;
    let path = flags.config_file.clone().unwrap_or_else(|| usual.config_file.clone());
    let file = match std::fs::read(&path) {
        Ok(bytes) => Some(read(&path, &bytes)?),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && flags.config_file.is_none() => None,
        Err(source) => return Err(OptionsError::Read { path, source }),
    };
    let read_from = file.as_ref().map(|_| path.clone());
    let mut told = file.unwrap_or_default();
    refuse_both(&path, &flags.told, &told)?;
    for (key, value) in &flags.told {
        merge(&mut told, key, value);
    }
    check(&told)?;
    options::of(&told, &usual, read_from)
}

/// Runtimes may be named in both places (moby, daemon/config, skipDuplicates).
const MERGED: &str = "runtimes";

fn merge(told: &mut Told, key: &str, value: &Value) {
    match (told.get_mut(key), value) {
        (Some(Value::Object(before)), Value::Object(more)) if key == MERGED => before.extend(more.clone()),
        _ => drop(told.insert(key.to_owned(), value.clone())),
    }
}

/// Text with a byte order mark, as editors of another system write it, is read, too.
fn decoded(bytes: &[u8]) -> Option<String> {
    if let Some(rest) = bytes.strip_prefix(&[0xff, 0xfe]) {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        return String::from_utf16(&units).ok();
    }
    let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    String::from_utf8(bytes.to_vec()).ok()
}

fn read(path: &Path, bytes: &[u8]) -> Result<Told, OptionsError> {
    let text = decoded(bytes).ok_or_else(|| OptionsError::Encoding { path: path.to_owned() })?;
    if text.trim().is_empty() {
        return Ok(Told::new());
    }
    let file: Map<String, Value> =
        serde_json::from_str(&text).map_err(|source| OptionsError::Json { path: path.to_owned(), source })?;
    let mut told = Told::new();
    for (key, value) in file {
        match value {
            // They stand in an object of their own (`proxies`), by the names of the flags.
            Value::Object(inner) if !keys::is_flat(&key) => told.extend(inner),
            value => drop(told.insert(key, value)),
        }
    }
    let unknown: Vec<&str> = told.keys().map(String::as_str).filter(|key| keys::find(key).is_none()).collect();
    if unknown.is_empty() {
        return Ok(told);
    }
    Err(OptionsError::Unknown { path: path.to_owned(), keys: unknown.join(", ") })
}

fn refuse_both(path: &Path, flags: &Told, file: &Told) -> Result<(), OptionsError> {
    let both = KEYS.iter().filter(|key| key.file != MERGED).filter_map(|key| {
        let (flag, value) = (flags.get(key.file)?, file.get(key.file)?);
        Some(format!("{}: (from flag: {}, from file: {})", key.file, shown(key.file, flag), shown(key.file, value)))
    });
    let both = both.collect::<Vec<_>>().join(", ");
    if both.is_empty() { Ok(()) } else { Err(OptionsError::Both { path: path.to_owned(), keys: both }) }
}

/// A value as Go prints it, a proxy without its password.
fn shown(key: &str, value: &Value) -> String {
    let text = plain(value);
    if key.ends_with("-proxy") { crate::registries::masked(&text) } else { text }
}

/// A value as Go prints it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", plain(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

/// Refuses what would be a promise that is not kept, and values of another kind.
fn check(told: &Told) -> Result<(), OptionsError> {
    for (key, value) in told.iter().filter(|(_, value)| !value.is_null()) {
        let Some(key) = keys::find(key) else { continue };
        let is_kind = match key.kind {
            Kind::Switch => value.is_boolean(),
            Kind::Text => value.is_string(),
            Kind::Number => value.is_i64() || value.is_u64(),
            Kind::Size => value.is_string() || value.is_u64(),
            Kind::List | Kind::Pool => value.is_array(),
            Kind::Object => true,
            Kind::Pairs | Kind::Feature | Kind::UlimitPair | Kind::RuntimePath | Kind::NetworkOption => {
                value.is_object()
            }
        };
        if !is_kind {
            return Err(OptionsError::Value { key: key.file, value: value.to_string() });
        }
        if let Meaning::Only(values, why) = key.meaning
            && !values.contains(&plain(value).as_str())
        {
            return Err(OptionsError::NotKept { key: key.file, value: plain(value), why });
        }
    }
    Ok(())
}

/// Says of each setting of which nothing comes why that is so.
pub fn say_what_is_idle(idle: &[&'static str]) {
    for name in idle {
        if let Some(Meaning::Idle(why)) = keys::find(name).map(|key| key.meaning) {
            tracing::info!("the setting {name} changes nothing: {why}");
        }
    }
}

/// The settings of which nothing comes.
pub fn idle(told: &Told) -> Vec<&'static str> {
    let is_idle = |key: &&keys::Key| matches!(key.meaning, Meaning::Idle(_));
    KEYS.iter().filter(is_idle).map(|key| key.file).filter(|file| told.contains_key(*file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str], file: &str) -> Result<Options, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("daemon.json");
        std::fs::write(&path, file).expect("a file");
        let words =
            ["engine", "--config-file", path.to_str().expect("a path")].into_iter().chain(arguments.iter().copied());
        let flags = Flags::read(words).expect("flags");
        load(&flags).map_err(|e| e.to_string().replace(path.to_str().expect("a path"), "FILE"))
    }

    #[test]
    fn flags_and_file_are_joined() {
        let file = r#"{"data-root": "/d", "hosts": ["unix:///a"], "bip": "10.1.0.1/24", "debug": true, "mtu": 1400, "labels": []}"#;
        let options = options(&["--exec-root", "/e"], file).expect("options");
        assert_eq!((options.data_root, options.exec_root), ("/d".into(), "/e".into()));
        assert_eq!((options.hosts, options.debug, options.mtu), (vec!["unix:///a".to_owned()], true, 1400));
        assert_eq!(options.bip, "10.1.0.1/24".parse().ok());
    }

    #[test]
    fn the_socket_is_in_the_exec_root_unless_told() {
        assert_eq!(options(&["--exec-root", "/e"], "").expect("options").hosts, ["unix:///e/dhow.sock"]);
    }

    #[test]
    fn registries_are_told_by_flags_or_file() {
        let file = r#"{"registry-mirrors": ["https://m"], "max-concurrent-downloads": 7, "disk-budget": "1g",
            "proxies": {"http-proxy": "http://p", "no-proxy": "a,b"}}"#;
        let options = options(&["--insecure-registry", "r:1", "--max-concurrent-uploads", "2"], file).expect("options");
        let told = options.registries;
        assert_eq!((told.mirrors, told.insecure), (vec!["https://m".to_owned()], vec!["r:1".to_owned()]));
        assert_eq!((told.downloads, told.uploads), (Some(7), Some(2)));
        assert_eq!((told.http_proxy.as_deref(), told.no_proxy.as_deref()), (Some("http://p"), Some("a,b")));
        assert_eq!(options.disk_budget, Some(1 << 30));
    }

    #[test]
    fn all_that_dockerd_knows_is_known_here() {
        let file = r#"{"experimental": true, "features": {"buildkit": true}, "storage-driver": "overlay2", "icc": true,
            "builder": {"gc": {"enabled": true}}, "exec-opts": ["native.cgroupdriver=systemd"], "iptables": true,
            "log-driver": "json-file", "log-opts": {"max-size": "10m"}, "live-restore": true, "userland-proxy": false,
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 64000, "Soft": 64000}}, "selinux-enabled": false,
            "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "runtimes": {"x": {"path": "/x"}}}"#;
        let options = options(&["--add-runtime", "y=/y"], file).expect("options");
        assert_eq!(options.runtimes.keys().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(options.idle, ["userland-proxy", "features"]);
        assert!(options.live_restore && options.experimental);
    }

    #[test]
    fn files_of_other_systems_are_read() {
        let text: Vec<u8> =
            [0xff, 0xfe].into_iter().chain("{\"a\": 1}".encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(decoded(&text).as_deref(), Some("{\"a\": 1}"));
        assert_eq!(decoded(b"\xef\xbb\xbf{}").as_deref(), Some("{}"));
        assert_eq!(decoded(b"\xf8"), None);
    }

    #[test]
    fn faults_are_told_as_dockerd_does() {
        for (arguments, file, words) in [
            (
                &[][..],
                r#"{"nope": 1}"#,
                "unable to configure the engine with file FILE: the following directives don't match any configuration option: nope",
            ),
            (
                &["--bip", "10.0.0.1/8"],
                r#"{"bip": "10.1.0.1/24"}"#,
                "unable to configure the engine with file FILE: the following directives are specified both as a flag and in the configuration file: bip: (from flag: 10.0.0.1/8, from file: 10.1.0.1/24)",
            ),
            (
                &["-H", "fd://"],
                r#"{"hosts": ["unix:///a", "fd://"]}"#,
                "unable to configure the engine with file FILE: the following directives are specified both as a flag and in the configuration file: hosts: (from flag: [fd://], from file: [unix:///a fd://])",
            ),
            (&["--bip", "x"], "{}", "invalid value for bip: invalid CIDR address: x"),
            (&["--label", "x"], "{}", "bad attribute format: x"),
            (&["--label", "a=1", "--label", "a=2"], "{}", "conflict labels for a=2 and a=1"),
            (&["--log-format", "xml"], "{}", "invalid log format: xml"),
            (&[], r#"{"mtu": "x"}"#, "invalid value for mtu: \"x\""),
            (
                &[],
                r#"{"labels": {"a": "b"}}"#,
                "unable to configure the engine with file FILE: the following directives don't match any configuration option: a",
            ),
            (&[], r#"{"debug": "yes"}"#, "invalid value for debug: \"yes\""),
            (&["--disk-budget", "much"], "{}", "invalid value for disk-budget: \"much\" is no size, as 20GB is"),
            (
                &["--authorization-plugin", "opa"],
                "{}",
                "cannot set authorization-plugins to [opa]: there are no plugins: nothing would be authorized",
            ),
            (
                &["--http-proxy", "http://u:secret@a"],
                r#"{"proxies": {"http-proxy": "http://b"}}"#,
                "unable to configure the engine with file FILE: the following directives are specified both as a flag and in the configuration file: http-proxy: (from flag: http://xxxxx:xxxxx@a, from file: http://b)",
            ),
        ] {
            assert_eq!(options(arguments, file), Err(words.to_owned()));
        }
        assert!(options(&[], "{").is_err());
        let missing = Flags { config_file: Some("/nowhere/daemon.json".into()), ..Flags::default() };
        assert!(matches!(load(&missing), Err(OptionsError::Read { .. })));
    }

    #[test]
    fn a_path_of_the_file_is_kept() {
        assert!(options(&[], "{}").expect("options").file.is_some_and(|path| path.ends_with("daemon.json")));
    }
}

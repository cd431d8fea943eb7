//! `daemon.json`: the flags' names and values in a file, as dockerd has it. A name in both places is refused.

use crate::flags::Flags;
use crate::registries::RegistryOptions;
use rootless::Folders;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What is not told.
struct Usual {
    /// Read when there is one and no other is named.
    config_file: PathBuf,
    data_root: PathBuf,
    exec_root: PathBuf,
    /// In the exec root when that is told.
    socket: PathBuf,
}

impl Usual {
    /// Root has the machine's folders, everybody else his own.
    fn of_this_user(flags: &Flags) -> Result<Usual, OptionsError> {
        if !rootless::is_ordinary_user() {
            return Ok(Usual {
                config_file: "/etc/dhow/daemon.json".into(),
                data_root: "/var/lib/dhow".into(),
                exec_root: "/run/dhow".into(),
                socket: "/run/dhow/dhow.sock".into(),
            });
        }
        let folders = Folders::find();
        let data_root = if flags.data_root.is_some() { Ok(PathBuf::new()) } else { Folders::data_root() };
        Ok(Usual {
            config_file: Folders::config().unwrap_or_default().join("daemon.json"),
            data_root: data_root?,
            exec_root: folders.exec_root(),
            socket: folders.socket(),
        })
    }
}

/// All that an engine is told, by flags and file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
    /// Never empty.
    pub hosts: Vec<String>,
    pub insecure_tcp: bool,
    pub bip: Option<ipnet::Ipv4Net>,
    pub bridge: Option<String>,
    /// Bytes; 0 is the default.
    pub mtu: u32,
    pub log_level: String,
    pub debug: bool,
    pub pidfile: Option<PathBuf>,
    pub labels: Vec<String>,
    pub registries: RegistryOptions,
    /// Bytes.
    pub disk_budget: Option<u64>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
}

/// Why the options cannot be used. Texts after dockerd's (moby, daemon/config/config.go).
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("unable to configure the engine with file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("unable to configure the engine with file {path}")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error(
        "unable to configure the engine with file {path}: the following directives don't match any configuration option: {keys}"
    )]
    Unknown { path: PathBuf, keys: String },
    #[error(
        "unable to configure the engine with file {path}: the following directives are specified both as a flag and in the configuration file: {keys}"
    )]
    Both { path: PathBuf, keys: String },
    #[error(transparent)]
    Folders(#[from] rootless::Error),
    #[error("invalid value for {key}: {value}")]
    Value { key: &'static str, value: String },
}

/// Joins flags and file.
pub fn load(flags: &Flags) -> Result<Options, OptionsError> {
    let usual = Usual::of_this_user(flags)?;
    let path = flags.config_file.clone().unwrap_or_else(|| usual.config_file.clone());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && flags.config_file.is_none() => None,
        Err(source) => return Err(OptionsError::Read { path, source }),
    };
    let file = text.as_deref().map(|text| read(&path, text)).transpose()?;
    if let Some(file) = &file {
        refuse_both(&path, flags, file)?;
    }
    join(flags, &file.clone().unwrap_or_default(), &usual, file.map(|_| path))
}

type File = Map<String, Value>;

fn read(path: &Path, text: &str) -> Result<File, OptionsError> {
    if text.trim().is_empty() {
        return Ok(File::new());
    }
    let mut file: File =
        serde_json::from_str(text).map_err(|source| OptionsError::Json { path: path.to_owned(), source })?;
    // They stand in an object of their own, by the names of the flags.
    if let Some(Value::Object(proxies)) = file.get("proxies").cloned() {
        file.remove("proxies");
        file.extend(proxies);
    }
    let known = flag_values(&Flags::default());
    let is_known = |key: &str| known.iter().any(|(name, _)| *name == key);
    let unknown: Vec<&str> = file.keys().map(String::as_str).filter(|key| !is_known(key)).collect();
    if unknown.is_empty() {
        return Ok(file);
    }
    Err(OptionsError::Unknown { path: path.to_owned(), keys: unknown.join(", ") })
}

/// What each flag was set to, by its name in the file.
fn flag_values(flags: &Flags) -> Vec<(&'static str, Option<String>)> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string());
    let list = |list: &[String]| Some(format!("[{}]", list.join(" "))).filter(|_| !list.is_empty());
    let flag = |set: bool| set.then(|| "true".to_owned());
    vec![
        ("data-root", path(&flags.data_root)),
        ("exec-root", path(&flags.exec_root)),
        ("hosts", list(&flags.hosts)),
        ("insecure-tcp", flag(flags.insecure_tcp)),
        ("bip", flags.bip.clone()),
        ("bridge", flags.bridge.clone()),
        ("mtu", flags.mtu.map(|mtu| mtu.to_string())),
        ("log-level", flags.log_level.clone()),
        ("debug", flag(flags.debug)),
        ("pidfile", path(&flags.pidfile)),
        ("labels", list(&flags.labels)),
        ("registry-mirrors", list(&flags.registry_mirrors)),
        ("insecure-registries", list(&flags.insecure_registries)),
        ("max-concurrent-downloads", flags.max_concurrent_downloads.map(|number| number.to_string())),
        ("max-concurrent-uploads", flags.max_concurrent_uploads.map(|number| number.to_string())),
        ("http-proxy", flags.http_proxy.clone()),
        ("https-proxy", flags.https_proxy.clone()),
        ("no-proxy", flags.no_proxy.clone()),
        ("disk-budget", flags.disk_budget.clone()),
    ]
}

fn refuse_both(path: &Path, flags: &Flags, file: &File) -> Result<(), OptionsError> {
    let both = flag_values(flags).into_iter().filter_map(|(key, flag)| {
        let (flag, value) = (flag?, file.get(key)?);
        Some(format!("{key}: (from flag: {flag}, from file: {})", plain(value)))
    });
    let keys = both.collect::<Vec<_>>().join(", ");
    if keys.is_empty() { Ok(()) } else { Err(OptionsError::Both { path: path.to_owned(), keys }) }
}

/// A value as Go prints it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

fn join(flags: &Flags, file: &File, usual: &Usual, path: Option<PathBuf>) -> Result<Options, OptionsError> {
    let text = |key: &'static str| of_file(file, key, |value| value.as_str().map(str::to_owned));
    let is_set = |key: &'static str| of_file(file, key, Value::as_bool).map(|set| set.unwrap_or(false));
    let list = |key: &'static str| of_file(file, key, texts).map(Option::unwrap_or_default);
    let folder = |flag: &Option<PathBuf>, key, usual: &Path| -> Result<PathBuf, OptionsError> {
        Ok(flag.clone().or(text(key)?.map(PathBuf::from)).unwrap_or_else(|| usual.to_owned()))
    };
    let exec_root = folder(&flags.exec_root, "exec-root", &usual.exec_root)?;
    let mut hosts = if flags.hosts.is_empty() { list("hosts")? } else { flags.hosts.clone() };
    if hosts.is_empty() {
        let told = exec_root != usual.exec_root;
        let socket = if told { exec_root.join("dhow.sock") } else { usual.socket.clone() };
        hosts.push(format!("unix://{}", socket.display()));
    }
    let mtu = of_file(file, "mtu", |value| value.as_u64().and_then(|mtu| u32::try_from(mtu).ok()))?;
    let bip = flags.bip.clone().or(text("bip")?);
    let log_level = flags.log_level.clone().or(text("log-level")?).unwrap_or_else(|| "info".to_owned());
    let labels = if flags.labels.is_empty() { list("labels")? } else { flags.labels.clone() };
    if let Some(label) = labels.iter().find(|label| !label.contains('=')) {
        return Err(OptionsError::Value { key: "label", value: format!("{label:?} is no key=value") });
    }
    Ok(Options {
        data_root: folder(&flags.data_root, "data-root", &usual.data_root)?,
        exec_root,
        hosts,
        insecure_tcp: flags.insecure_tcp || is_set("insecure-tcp")?,
        bip: bip.map(|bip| subnet(&bip)).transpose()?,
        bridge: flags.bridge.clone().or(text("bridge")?),
        mtu: flags.mtu.or(mtu).unwrap_or(0),
        log_level,
        debug: flags.debug || is_set("debug")?,
        pidfile: flags.pidfile.clone().or(text("pidfile")?.map(PathBuf::from)),
        labels,
        registries: registries(flags, file)?,
        disk_budget: disk_budget(flags, file)?,
        file: path,
    })
}

fn registries(flags: &Flags, file: &File) -> Result<RegistryOptions, OptionsError> {
    let text = |flag: &Option<String>, key: &'static str| -> Result<Option<String>, OptionsError> {
        let told = of_file(file, key, |value| value.as_str().map(str::to_owned))?;
        Ok(flag.clone().or(told))
    };
    let list = |flag: &[String], key: &'static str| -> Result<Vec<String>, OptionsError> {
        let told = of_file(file, key, texts)?.unwrap_or_default();
        Ok(if flag.is_empty() { told } else { flag.to_vec() })
    };
    let number = |flag: Option<i64>, key: &'static str| -> Result<Option<i64>, OptionsError> {
        Ok(flag.or(of_file(file, key, Value::as_i64)?))
    };
    Ok(RegistryOptions {
        mirrors: list(&flags.registry_mirrors, "registry-mirrors")?,
        insecure: list(&flags.insecure_registries, "insecure-registries")?,
        downloads: number(flags.max_concurrent_downloads, "max-concurrent-downloads")?,
        uploads: number(flags.max_concurrent_uploads, "max-concurrent-uploads")?,
        http_proxy: text(&flags.http_proxy, "http-proxy")?,
        https_proxy: text(&flags.https_proxy, "https-proxy")?,
        no_proxy: text(&flags.no_proxy, "no-proxy")?,
    })
}

/// A size with a unit, or in the file also a number of bytes.
fn disk_budget(flags: &Flags, file: &File) -> Result<Option<u64>, OptionsError> {
    const KEY: &str = "disk-budget";
    let told = of_file(file, KEY, |value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => number.as_u64().map(|number| number.to_string()),
        _ => None,
    })?;
    let Some(text) = flags.disk_budget.clone().or(told) else { return Ok(None) };
    let wrong = || OptionsError::Value { key: KEY, value: format!("{text:?} is no size, as 20GB is") };
    base::size::bytes(&text).map(Some).ok_or_else(wrong)
}

fn of_file<T>(file: &File, key: &'static str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, OptionsError> {
    let Some(value) = file.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    read(value).map(Some).ok_or_else(|| OptionsError::Value { key, value: value.to_string() })
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

fn subnet(text: &str) -> Result<ipnet::Ipv4Net, OptionsError> {
    text.parse().map_err(|_| OptionsError::Value { key: "bip", value: format!("invalid CIDR address: {text}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn options(arguments: &[&str], file: &str) -> Result<Options, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("daemon.json");
        std::fs::write(&path, file).expect("a file");
        let words =
            ["engine", "--config-file", path.to_str().expect("a path")].into_iter().chain(arguments.iter().copied());
        let flags = Flags::try_parse_from(words).expect("flags");
        load(&flags).map_err(|error| base::chain(&error).replace(path.to_str().expect("a path"), "FILE"))
    }

    #[test]
    fn flags_and_file_are_joined() {
        let file = r#"{"data-root": "/d", "hosts": ["unix:///a"], "debug": true, "mtu": 1400, "labels": ["a=b"], "bip": "10.1.0.1/24"}"#;
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
            (&["--label", "x"], "{}", "invalid value for label: \"x\" is no key=value"),
            (&[], r#"{"mtu": "x"}"#, "invalid value for mtu: \"x\""),
            (&["--disk-budget", "much"], "{}", "invalid value for disk-budget: \"much\" is no size, as 20GB is"),
            (
                &["--http-proxy", "http://a"],
                r#"{"proxies": {"http-proxy": "http://b"}}"#,
                "unable to configure the engine with file FILE: the following directives are specified both as a flag and in the configuration file: http-proxy: (from flag: http://a, from file: http://b)",
            ),
        ] {
            assert_eq!(options(arguments, file), Err(words.to_owned()));
        }
        assert!(options(&[], "{").is_err());
        let missing = Flags { config_file: Some("/nowhere/daemon.json".into()), ..Flags::default() };
        assert!(matches!(load(&missing), Err(OptionsError::Read { .. })));
    }
}

//! All that an engine is told, typed: read out of what flags and file say.

use crate::config_file;
use crate::defaults::Defaults;
use crate::flags::{Flags, Told};
use crate::registries::RegistryOptions;
use crate::tls::TlsOptions;
use rootless::Folders;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is not told.
pub struct Usual {
    /// Read when there is one and no other is named.
    pub config_file: PathBuf,
    data_root: PathBuf,
    exec_root: PathBuf,
    /// In the exec root when that is told.
    socket: PathBuf,
}

impl Usual {
    /// Root has the machine's folders, everybody else his own.
    pub fn of_this_user(flags: &Flags) -> Result<Usual, OptionsError> {
        if !rootless::is_ordinary_user() {
            return Ok(Usual {
                config_file: "/etc/dhow/daemon.json".into(),
                data_root: "/var/lib/dhow".into(),
                exec_root: "/run/dhow".into(),
                socket: "/run/dhow/dhow.sock".into(),
            });
        }
        let folders = Folders::find();
        let data_root = if flags.told.contains_key("data-root") { Ok(PathBuf::new()) } else { Folders::data_root() };
        Ok(Usual {
            config_file: Folders::config().unwrap_or_default().join("daemon.json"),
            data_root: data_root?,
            exec_root: folders.exec_root(),
            socket: folders.socket(),
        })
    }
}

/// How the engine writes about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// All that an engine is told, by flags and file.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub data_root: PathBuf,
    pub exec_root: PathBuf,
    /// Never empty.
    pub hosts: Vec<String>,
    /// Who may use unix sockets besides root, when that was told: a name or a number.
    pub group: Option<String>,
    pub tls: TlsOptions,
    /// Whether tcp without asking who a client is was asked for in so many words.
    pub insecure_tcp: bool,
    pub bip: Option<ipnet::Ipv4Net>,
    pub bridge: Option<String>,
    /// Bytes; 0 is the default.
    pub mtu: u32,
    pub log_level: String,
    pub log_format: LogFormat,
    pub debug: bool,
    pub pidfile: Option<PathBuf>,
    pub metrics: Option<std::net::SocketAddr>,
    pub labels: Vec<String>,
    pub registries: RegistryOptions,
    /// Bytes.
    pub disk_budget: Option<u64>,
    /// What of the build cache goes by itself.
    pub upkeep: build::Upkeep,
    /// Which rights a build may be given at all.
    pub rights: build::request::Entitlements,
    /// Whether containers go on when the engine ends.
    pub live_restore: bool,
    /// Seconds that they have to stop if they do not; negative: as long as they take.
    pub shutdown_timeout: i64,
    pub defaults: Defaults,
    /// `native.cgroupdriver` and the like.
    pub exec_options: BTreeMap<String, String>,
    /// Further names that `--runtime` may say, and their programs.
    pub runtimes: BTreeMap<String, String>,
    /// Where subnets of new networks are taken from, and how large they are.
    pub address_pools: Vec<(ipnet::IpNet, u8)>,
    /// Options of every new network, by driver.
    pub network_options: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether containers of the default bridge reach each other.
    pub icc: bool,
    pub publish_firewall: network::Firewall,
    pub cdi_folders: Vec<PathBuf>,
    /// Whether clients are told that this engine has experimental features.
    pub experimental: bool,
    /// The minor number of the oldest version of the API that is spoken.
    pub oldest_version: Option<u32>,
    /// Settings of which nothing comes.
    pub idle: Vec<&'static str>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
}

/// Why the options cannot be used. Texts after dockerd's (moby, daemon/config/config.go).
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    #[error("unable to configure the engine with file {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("unable to configure the engine with file {path}: invalid JSON")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("unable to configure the engine with file {path}: it is not text in UTF-8")]
    Encoding { path: PathBuf },
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
    #[error("cannot set {key} to {value}: {why}")]
    NotKept { key: &'static str, value: String, why: &'static str },
    /// In dockerd's words.
    #[error("{0}")]
    Words(String),
}

fn words<T>(text: String) -> Result<T, OptionsError> {
    Err(OptionsError::Words(text))
}

/// Reads the settings; those of the file have been checked for their kinds.
pub fn of(told: &Told, usual: &Usual, file: Option<PathBuf>) -> Result<Options, OptionsError> {
    let told = Settings(told);
    let exec_root = told.path("exec-root").unwrap_or_else(|| usual.exec_root.clone());
    let tls = TlsOptions::read(&told);
    let insecure = told.switch("insecure-tcp") == Some(true) || tls.is_declined(&told);
    Ok(Options {
        data_root: told.path("data-root").unwrap_or_else(|| usual.data_root.clone()),
        hosts: hosts(&told, usual, &exec_root, &tls)?,
        group: told.text("group"),
        insecure_tcp: insecure,
        bip: told.text("bip").map(|text| subnet(&text)).transpose()?,
        bridge: told.text("bridge").filter(|name| !name.is_empty()),
        mtu: mtu(&told)?,
        log_level: told.text("log-level").unwrap_or_else(|| "info".to_owned()),
        log_format: log_format(&told)?,
        debug: told.switch("debug").unwrap_or(false),
        pidfile: told.path("pidfile"),
        metrics: metrics(&told)?,
        labels: labels(told.list("labels")?)?,
        registries: registries(&told)?,
        disk_budget: told.size("disk-budget")?,
        upkeep: told.value("builder").map(crate::upkeep::read).transpose()?.unwrap_or_default(),
        rights: told.value("builder").map_or(Ok(build::request::Entitlements::ALL), crate::upkeep::rights)?,
        live_restore: told.switch("live-restore").unwrap_or(true),
        shutdown_timeout: told.number("shutdown-timeout").unwrap_or(SHUTDOWN_TIMEOUT_S),
        defaults: Defaults::read(&told)?,
        exec_options: exec_options(&told)?,
        runtimes: runtimes(&told)?,
        address_pools: address_pools(&told)?,
        network_options: told.nested("default-network-opts")?,
        icc: told.switch("icc").unwrap_or(true),
        publish_firewall: publish_firewall(&told)?,
        experimental: told.switch("experimental").unwrap_or(false),
        cdi_folders: told
            .list("cdi-spec-dirs")?
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(PathBuf::from)
            .collect(),
        oldest_version: oldest_version(&told)?,
        idle: config_file::idle(told.0),
        tls,
        exec_root,
        file,
    })
}

fn publish_firewall(told: &Settings<'_>) -> Result<network::Firewall, OptionsError> {
    match told.text("publish-firewall").as_deref() {
        None | Some("" | "open") => Ok(network::Firewall::Open),
        Some("host") => Ok(network::Firewall::Host),
        Some(other) => words(format!("invalid publish-firewall: {other} (open or host)")),
    }
}

/// Seconds; dockerd's number.
const SHUTDOWN_TIMEOUT_S: i64 = 15;
/// The port of tcp with TLS when none is told.
const TLS_HOST: &str = "tcp://localhost:2376";

fn hosts(told: &Settings<'_>, usual: &Usual, exec_root: &Path, tls: &TlsOptions) -> Result<Vec<String>, OptionsError> {
    let hosts = told.list("hosts")?;
    if !hosts.is_empty() {
        return Ok(hosts);
    }
    if tls.mode.is_some() {
        return Ok(vec![TLS_HOST.to_owned()]);
    }
    let is_told = exec_root != usual.exec_root;
    let socket = if is_told { exec_root.join("dhow.sock") } else { usual.socket.clone() };
    Ok(vec![format!("unix://{}", socket.display())])
}

fn mtu(told: &Settings<'_>) -> Result<u32, OptionsError> {
    let number = told.number("mtu").unwrap_or(0);
    u32::try_from(number).or_else(|_| words(format!("invalid default MTU: {number}")))
}

fn log_format(told: &Settings<'_>) -> Result<LogFormat, OptionsError> {
    match told.text("log-format").as_deref() {
        None | Some("" | "text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        Some(other) => words(format!("invalid log format: {other}")),
    }
}

fn metrics(told: &Settings<'_>) -> Result<Option<std::net::SocketAddr>, OptionsError> {
    let Some(text) = told.text("metrics-addr").filter(|text| !text.is_empty()) else { return Ok(None) };
    let full = text.replace("localhost", "127.0.0.1");
    let full = if full.starts_with(':') { format!("0.0.0.0{full}") } else { full };
    let wrong = || OptionsError::Value { key: "metrics-addr", value: format!("{text:?} is no ADDRESS:PORT") };
    full.parse().map(Some).map_err(|_| wrong())
}

/// Each key has one value; the same twice counts once.
fn labels(all: Vec<String>) -> Result<Vec<String>, OptionsError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut kept = Vec::new();
    for label in &all {
        let Some((key, value)) = label.split_once('=') else { return words(format!("bad attribute format: {label}")) };
        match seen.insert(key, value) {
            None => kept.push(label.clone()),
            Some(before) if before != value => {
                return words(format!("conflict labels for {key}={value} and {key}={before}"));
            }
            Some(_) => {}
        }
    }
    Ok(kept)
}

fn registries(told: &Settings<'_>) -> Result<RegistryOptions, OptionsError> {
    Ok(RegistryOptions {
        mirrors: told.list("registry-mirrors")?,
        insecure: told.list("insecure-registries")?,
        downloads: told.number("max-concurrent-downloads"),
        uploads: told.number("max-concurrent-uploads"),
        http_proxy: told.text("http-proxy"),
        https_proxy: told.text("https-proxy"),
        no_proxy: told.text("no-proxy"),
    })
}

fn exec_options(told: &Settings<'_>) -> Result<BTreeMap<String, String>, OptionsError> {
    let mut all = BTreeMap::new();
    for option in told.list("exec-opts")? {
        match option.split_once('=') {
            Some(("native.cgroupdriver", driver @ ("cgroupfs" | "systemd"))) => {
                all.insert("native.cgroupdriver".to_owned(), driver.to_owned());
            }
            Some(("native.cgroupdriver", other)) => {
                return words(format!("native.cgroupdriver option {other} is not supported"));
            }
            _ => return words(format!("invalid exec option: {option}")),
        }
    }
    Ok(all)
}

fn runtimes(told: &Settings<'_>) -> Result<BTreeMap<String, String>, OptionsError> {
    let mut all = BTreeMap::new();
    for (name, runtime) in told.0.get("runtimes").and_then(Value::as_object).into_iter().flatten() {
        let program = ["path", "runtimeType"].iter().find_map(|field| runtime.get(*field)?.as_str());
        let Some(program) = program else {
            return words(format!("runtime {name}: either a runtimeType or a path must be configured"));
        };
        all.insert(name.clone(), program.to_owned());
    }
    Ok(all)
}

fn address_pools(told: &Settings<'_>) -> Result<Vec<(ipnet::IpNet, u8)>, OptionsError> {
    let wrong = |pool: &Value| OptionsError::Value { key: "default-address-pools", value: pool.to_string() };
    let pools = told.0.get("default-address-pools").and_then(Value::as_array).into_iter().flatten();
    let read = |pool: &Value| {
        let base: ipnet::IpNet = pool.get("base")?.as_str()?.parse().ok()?;
        let range = (base.trunc(), u8::try_from(pool.get("size")?.as_u64()?).ok()?);
        network::Pools::new(&[range]).map(|_| range)
    };
    pools.map(|pool| read(pool).ok_or_else(|| wrong(pool))).collect()
}

/// `DOCKER_MIN_API_VERSION` wins over the file.
fn oldest_version(told: &Settings<'_>) -> Result<Option<u32>, OptionsError> {
    let set = std::env::var("DOCKER_MIN_API_VERSION").ok().filter(|text| !text.is_empty());
    let Some(text) = set.or_else(|| told.text("min-api-version")) else { return Ok(None) };
    let minor = text.strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        None => words(format!("invalid min-api-version {text:?}: expected a version such as 1.44")),
        Some(minor) if minor < crate::version::MIN.1 => {
            words(format!("minimum supported API version is {}: {text}", api::types::MIN_VERSION))
        }
        Some(minor) if minor > crate::version::MAX.1 => {
            words(format!("maximum supported API version is {}: {text}", api::types::MAX_VERSION))
        }
        Some(minor) => Ok(Some(minor)),
    }
}

fn subnet(text: &str) -> Result<ipnet::Ipv4Net, OptionsError> {
    text.parse().map_err(|_| OptionsError::Value { key: "bip", value: format!("invalid CIDR address: {text}") })
}

/// What was told, by the names in the file. Null is nothing told.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a>(pub &'a Told);

impl Settings<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.value(key)?.as_str().map(str::to_owned)
    }

    pub fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    pub fn switch(&self, key: &str) -> Option<bool> {
        self.value(key)?.as_bool()
    }

    pub fn number(&self, key: &str) -> Option<i64> {
        self.value(key)?.as_i64()
    }

    pub fn list(&self, key: &'static str) -> Result<Vec<String>, OptionsError> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let texts =
            || value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        texts().ok_or_else(|| OptionsError::Value { key, value: value.to_string() })
    }

    pub fn texts(&self, key: &'static str) -> Result<BTreeMap<String, String>, OptionsError> {
        let Some(value) = self.value(key) else { return Ok(BTreeMap::new()) };
        serde_json::from_value(value.clone()).map_err(|_| OptionsError::Value { key, value: value.to_string() })
    }

    fn nested(&self, key: &'static str) -> Result<BTreeMap<String, BTreeMap<String, String>>, OptionsError> {
        let Some(value) = self.value(key) else { return Ok(BTreeMap::new()) };
        serde_json::from_value(value.clone()).map_err(|_| OptionsError::Value { key, value: value.to_string() })
    }

    /// Bytes, from a size with a unit or a number.
    pub fn size(&self, key: &'static str) -> Result<Option<u64>, OptionsError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(number.as_u64()),
            Some(value) => {
                let text = value.as_str().unwrap_or_default();
                let wrong = || OptionsError::Value { key, value: format!("{text:?} is no size, as 20GB is") };
                base::size::bytes(text).map(Some).ok_or_else(wrong)
            }
        }
    }
}

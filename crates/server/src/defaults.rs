//! What containers get that do not say otherwise: daemon-wide settings, put into a request before it is read.

use crate::options::{OptionsError, Settings};
use api::types::{CreateRequest, HostConfig, Ulimit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Settings of the engine about containers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Defaults {
    pub log_driver: Option<String>,
    log_options: BTreeMap<String, String>,
    /// (name, soft, hard)
    ulimits: Vec<(String, i64, i64)>,
    /// Bytes.
    shm_size: Option<i64>,
    ipc_mode: Option<String>,
    cgroupns_mode: Option<String>,
    /// Seconds.
    stop_timeout: Option<i64>,
    init: bool,
    no_new_privileges: bool,
    /// `unconfined`, or the text of a profile.
    pub seccomp: Option<String>,
    cgroup_parent: Option<String>,
    /// Where ports are published.
    publish_at: Option<IpAddr>,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    host_gateways: Vec<String>,
}

impl Defaults {
    /// Reads the settings, in dockerd's words where they are wrong.
    pub fn read(told: &Settings<'_>) -> Result<Defaults, OptionsError> {
        let gateways = told.list("host-gateway-ips")?;
        let (log_driver, log_options) = log(told)?;
        Ok(Defaults {
            log_driver,
            log_options,
            ulimits: ulimits(told)?,
            shm_size: told.size("default-shm-size")?.and_then(|bytes| i64::try_from(bytes).ok()),
            ipc_mode: one_of(told, "default-ipc-mode", &["private", "shareable"], "IPC")?,
            cgroupns_mode: one_of(told, "default-cgroupns-mode", &["private", "host"], "cgroup namespace")?,
            stop_timeout: told.number("default-stop-timeout"),
            init: told.switch("init").unwrap_or(false),
            no_new_privileges: told.switch("no-new-privileges").unwrap_or(false),
            seccomp: seccomp(told)?,
            cgroup_parent: told.text("cgroup-parent").filter(|text| !text.is_empty()),
            publish_at: publish_at(told)?,
            dns: addresses("dns", told.list("dns")?)?,
            dns_options: told.list("dns-opts")?,
            dns_search: told.list("dns-search")?,
            host_gateways: addresses(
                "host-gateway-ips",
                gateways.into_iter().chain(told.text("host-gateway-ip")).collect(),
            )?,
        })
    }

    /// Where ports are published when a request does not say it.
    pub fn publish_at(&self) -> Option<IpAddr> {
        self.publish_at
    }

    /// Fills in what a request leaves open. What inspect shows as asked is the request as it came.
    pub fn fill(&self, request: &mut CreateRequest) {
        if request.config.stop_timeout.is_none() {
            request.config.stop_timeout = self.stop_timeout;
        }
        let host = &mut request.host_config;
        self.fill_log(host);
        self.fill_namespaces(host);
        self.fill_names(host);
        self.fill_security(host);
        for (name, soft, hard) in &self.ulimits {
            let ulimits = host.ulimits.get_or_insert_default();
            if ulimits.iter().all(|own| own.name != *name) {
                ulimits.push(Ulimit { name: name.clone(), soft: *soft, hard: *hard });
            }
        }
        if let Some(at) = self.publish_at {
            let bindings = host.port_bindings.iter_mut().flat_map(BTreeMap::values_mut).flatten().flatten();
            bindings.filter(|binding| binding.host_ip.is_empty()).for_each(|binding| binding.host_ip = at.to_string());
        }
    }

    /// Options of the engine's driver are for containers of the engine's driver only.
    fn fill_log(&self, host: &mut HostConfig) {
        if host.log_config.kind.is_empty() {
            host.log_config.kind = self.log_driver.clone().unwrap_or_default();
        }
        let of_engine = self.log_driver.as_deref().unwrap_or("json-file");
        if host.log_config.kind == of_engine || host.log_config.kind.is_empty() {
            for (key, value) in &self.log_options {
                host.log_config.config.entry(key.clone()).or_insert_with(|| api::types::Text(value.clone()));
            }
        }
    }

    fn fill_namespaces(&self, host: &mut HostConfig) {
        let fill = |field: &mut String, told: &Option<String>| {
            if field.is_empty() {
                told.as_deref().unwrap_or_default().clone_into(field);
            }
        };
        fill(&mut host.ipc_mode, &self.ipc_mode);
        if !host.privileged {
            fill(&mut host.cgroupns_mode, &self.cgroupns_mode);
        }
        fill(&mut host.cgroup_parent, &self.cgroup_parent);
        if host.shm_size == 0 {
            host.shm_size = self.shm_size.unwrap_or(0);
        }
        host.init = host.init.or(self.init.then_some(true));
    }

    /// Containers with the host's or another's network have its names.
    fn fill_names(&self, host: &mut HostConfig) {
        let fill = |field: &mut Option<Vec<String>>, told: &[String]| {
            if field.as_ref().is_none_or(Vec::is_empty) && !told.is_empty() {
                *field = Some(told.to_vec());
            }
        };
        if host.network_mode != "host" && !host.network_mode.starts_with("container:") {
            fill(&mut host.dns, &self.dns);
            fill(&mut host.dns_options, &self.dns_options);
            fill(&mut host.dns_search, &self.dns_search);
        }
        for entry in host.extra_hosts.iter_mut().flatten() {
            let name = entry.strip_suffix(":host-gateway").or_else(|| entry.strip_suffix("=host-gateway"));
            if let (Some(name), Some(gateway)) = (name, self.host_gateways.first()) {
                *entry = format!("{name}:{gateway}");
            }
        }
    }

    fn fill_security(&self, host: &mut HostConfig) {
        let options = host.security_opt.get_or_insert_default();
        let says = |options: &[String], key: &str| options.iter().any(|option| option.starts_with(key));
        if self.no_new_privileges && !says(options, "no-new-privileges") {
            options.push("no-new-privileges".to_owned());
        }
        if let Some(profile) = self.seccomp.as_ref().filter(|_| !host.privileged && !says(options, "seccomp")) {
            options.push(format!("seccomp={profile}"));
        }
    }
}

/// The driver and its options: checked before any container needs them.
/// `publish-default`, and dockerd's word for it.
fn publish_at(told: &Settings<'_>) -> Result<Option<IpAddr>, OptionsError> {
    let read = |key: &'static str| -> Result<Option<IpAddr>, OptionsError> {
        let all = addresses(key, told.text(key).into_iter().filter(|text| !text.is_empty()).collect())?;
        Ok(all.first().and_then(|text| text.parse().ok()))
    };
    match (read("publish-default")?, read("ip")?) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(OptionsError::Words(format!(
            "publish-default ({ours}) and ip ({theirs}) mean the same: tell one of them"
        ))),
        (ours, theirs) => Ok(ours.or(theirs)),
    }
}

fn log(told: &Settings<'_>) -> Result<(Option<String>, BTreeMap<String, String>), OptionsError> {
    let driver = told.text("log-driver").filter(|text| !text.is_empty());
    let options = told.texts("log-opts")?;
    let checked = driver.as_deref().unwrap_or(engine::logging::DEFAULT_DRIVER);
    engine::logging::check(checked, &options)
        .map_err(|why| OptionsError::Words(format!("failed to set log opts: {why}")))?;
    Ok((driver, options))
}

fn one_of(told: &Settings<'_>, key: &'static str, values: &[&str], what: &str) -> Result<Option<String>, OptionsError> {
    let text = told.text(key).filter(|text| !text.is_empty());
    match text.as_deref() {
        Some(other) if !values.contains(&other) => {
            Err(OptionsError::Words(format!("default {what} mode ({other}) is invalid, use {}", values.join(" or "))))
        }
        _ => Ok(text),
    }
}

/// The text of the profile, read once: containers made later get what the engine was started with.
fn seccomp(told: &Settings<'_>) -> Result<Option<String>, OptionsError> {
    match told.text("seccomp-profile").as_deref() {
        None | Some("" | "builtin") => Ok(None),
        Some("unconfined") => Ok(Some("unconfined".to_owned())),
        Some(path) => {
            let fail = |why: String| OptionsError::Words(format!("opening seccomp profile ({path}) failed: {why}"));
            let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
            serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|e| fail(e.to_string()))?;
            Ok(Some(text))
        }
    }
}

fn ulimits(told: &Settings<'_>) -> Result<Vec<(String, i64, i64)>, OptionsError> {
    let wrong = |limit: &Value| OptionsError::Value { key: "default-ulimits", value: limit.to_string() };
    let limits = told.0.get("default-ulimits").and_then(Value::as_object).into_iter().flatten();
    let read = |(name, limit): (&String, &Value)| {
        let number = |field: &str| limit.get(field).and_then(Value::as_i64);
        match (number("Soft"), number("Hard")) {
            (Some(soft), Some(hard)) => Ok((name.clone(), soft, hard)),
            _ => Err(wrong(limit)),
        }
    };
    limits.map(read).collect()
}

fn addresses(key: &'static str, texts: Vec<String>) -> Result<Vec<String>, OptionsError> {
    let wrong = |text: &String| OptionsError::Value { key, value: format!("{text} is no IP address") };
    match texts.iter().find(|text| text.parse::<IpAddr>().is_err()) {
        Some(text) => Err(wrong(text)),
        None => Ok(texts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(settings: Value, request: Value) -> HostConfig {
        let told = settings.as_object().expect("an object").clone();
        let mut request: CreateRequest = serde_json::from_value(request).expect("a request");
        Defaults::read(&Settings(&told)).expect("good settings").fill(&mut request);
        request.host_config
    }

    #[test]
    fn what_a_request_leaves_open_is_the_engines() {
        let settings = json!({"log-driver": "local", "log-opts": {"max-size": "1m"}, "default-shm-size": "1m", "init": true,
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}, "dns": ["9.9.9.9"], "ip": "127.0.0.1",
            "no-new-privileges": true, "seccomp-profile": "unconfined", "default-ipc-mode": "shareable", "host-gateway-ips": ["10.9.9.9"]});
        let host = filled(
            settings.clone(),
            json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "1"}]}, "ExtraHosts": ["h:host-gateway"]}}),
        );
        assert_eq!((host.log_config.kind.as_str(), host.log_config.config["max-size"].0.as_str()), ("local", "1m"));
        assert_eq!((host.shm_size, host.init, host.ipc_mode.as_str()), (1 << 20, Some(true), "shareable"));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned(), "seccomp=unconfined".to_owned()]));
        assert_eq!(host.port_bindings.expect("ports")["80/tcp"].as_ref().expect("one")[0].host_ip, "127.0.0.1");
        assert_eq!(host.extra_hosts, Some(vec!["h:10.9.9.9".to_owned()]));
        let own = json!({"HostConfig": {"LogConfig": {"Type": "none"}, "ShmSize": 7, "Init": false, "Dns": ["1.1.1.1"],
            "Ulimits": [{"Name": "nofile", "Soft": 9, "Hard": 9}], "SecurityOpt": ["seccomp=builtin", "no-new-privileges=false"]}});
        let host = filled(settings, own);
        assert_eq!((host.log_config.kind.as_str(), host.log_config.config.len()), ("none", 0));
        assert_eq!((host.shm_size, host.init, host.dns), (7, Some(false), Some(vec!["1.1.1.1".to_owned()])));
        assert_eq!(host.ulimits.map(|limits| (limits.len(), limits[0].soft)), Some((1, 9)));
        assert_eq!(host.security_opt.map(|options| options.len()), Some(2));
    }

    #[test]
    fn wrong_settings_are_refused() {
        for settings in [
            json!({"dns": ["x"]}),
            json!({"default-ipc-mode": "host"}),
            json!({"seccomp-profile": "/nowhere/profile.json"}),
            json!({"default-ulimits": {"nofile": 5}}),
            json!({"default-shm-size": "big"}),
            json!({"log-opts": {"max-sise": "1m"}}),
            json!({"log-driver": "nope"}),
        ] {
            let told = settings.as_object().expect("an object").clone();
            assert!(Defaults::read(&Settings(&told)).is_err(), "{settings}");
        }
    }
}

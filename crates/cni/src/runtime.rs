//! Calls the plugins of a list in turn, as the specification has a runtime do.

use crate::list::{List, VERSIONS, declares, type_of};
use crate::program::Call;
use crate::{Cache, Cached, Error, Outcome};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Calls plugins.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Where programs are looked for, in order.
    pub folders: Vec<PathBuf>,
    /// How long one call may take.
    pub patience: Duration,
}

/// A link of a container on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Letters and digits first, then also `_`, `.` and `-`.
    pub container: String,
    /// The path of its network namespace; empty when it is gone.
    pub netns: String,
    pub link: String,
    /// `CNI_ARGS`.
    pub arguments: Vec<(String, String)>,
    pub ports: Vec<PortMapping>,
    /// Addresses that are asked for.
    pub ips: Vec<IpNet>,
    pub mac: Option<String>,
    pub dns_servers: Vec<IpAddr>,
    pub dns_searches: Vec<String>,
    /// Bits in a second, in and out of the container; bursts in bits.
    pub bandwidth: Option<Bandwidth>,
    pub aliases: Vec<String>,
}

/// As the capability `portMappings` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    pub host_port: u16,
    pub container_port: u16,
    pub protocol: String,
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
}

/// As the capability `bandwidth` has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Bandwidth {
    pub ingress_rate: u64,
    pub ingress_burst: u64,
    pub egress_rate: u64,
    pub egress_burst: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Versions {
    supported_versions: Vec<String>,
}

impl Runtime {
    /// Whether all plugins are there and speak the list's version; and, of one of 1.1.0, whether they are ready.
    pub fn verify(&self, list: &List) -> Result<(), Error> {
        for plugin in &list.plugins {
            let name = type_of(plugin);
            let answer = self.call(name, "VERSION", Vec::new(), &json!({ "cniVersion": list.version }))?;
            let versions: Versions = parse(name, &answer)?;
            if !versions.supported_versions.contains(&list.version) {
                let speaks = versions.supported_versions.join(", ");
                return Err(Error::Version { plugin: name.to_owned(), speaks, wanted: list.version.clone() });
            }
        }
        self.status(list)
    }

    /// Whether plugins can attach now (specification 1.1.0; of an older list it is not known).
    pub fn status(&self, list: &List) -> Result<(), Error> {
        if !list.is_at_least("1.1.0") {
            return Ok(());
        }
        list.plugins.iter().try_for_each(|plugin| {
            self.call(type_of(plugin), "STATUS", Vec::new(), &configuration(list, plugin, None, None)).map(drop)
        })
    }

    /// Attaches. When a plugin fails, those before are told to take back what they did, and nothing is kept.
    pub fn add(&self, list: &List, attachment: Attachment, cache: &Cache) -> Result<Outcome, Error> {
        self.check_capabilities(list, &attachment)?;
        let mut cached = Cached { attachment, list: list.clone(), result: None };
        // First what is about to be: whoever comes after a crash takes back what may be there.
        cache.put(&cached)?;
        match self.add_all(&mut cached).and_then(|outcome| cache.put(&cached).map(|()| outcome)) {
            Ok(outcome) => Ok(outcome),
            Err(e) => {
                if let Err(e) = self.delete(&cached, cache) {
                    tracing::warn!("cannot take back a half made attachment: {}", base::chain(&e));
                }
                Err(e)
            }
        }
    }

    fn add_all(&self, cached: &mut Cached) -> Result<Outcome, Error> {
        let list = cached.list.clone();
        for plugin in &list.plugins {
            let name = type_of(plugin);
            let stdin = configuration(&list, plugin, cached.result.as_ref(), Some(&cached.attachment));
            let answer = self.call(name, "ADD", variables(&cached.attachment), &stdin)?;
            let result: Value = parse(name, &answer)?;
            let version = result.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
            if !VERSIONS.contains(&version) {
                let why = format!("its result is of version {version:?}");
                return Err(Error::Garbled { plugin: name.to_owned(), why });
            }
            parse::<Outcome>(name, &answer)?;
            cached.result = Some(result);
        }
        let last = list.plugins.last().map(type_of).unwrap_or_default();
        let result = cached.result.clone().unwrap_or_default();
        serde_json::from_value(result).map_err(|e| Error::Garbled { plugin: last.to_owned(), why: e.to_string() })
    }

    /// Takes an attachment back, by the list it was made with, and forgets it. All plugins are called, the last first; the first
    /// failure is told, and then it is not forgotten.
    pub fn delete(&self, cached: &Cached, cache: &Cache) -> Result<(), Error> {
        let Cached { attachment, list, result } = cached;
        // The specification's older versions have no result with DEL.
        let result = result.as_ref().filter(|_| list.is_at_least("0.4.0"));
        let mut done = Ok(());
        for plugin in list.plugins.iter().rev() {
            let stdin = configuration(list, plugin, result, Some(attachment));
            let called = self.call(type_of(plugin), "DEL", variables(attachment), &stdin);
            done = done.and(called.map(drop));
        }
        done?;
        cache.forget(attachment)
    }

    /// Whether an attachment is as it was made; of lists that know no such question it is.
    pub fn check(&self, cached: &Cached) -> Result<(), Error> {
        let Cached { attachment, list, result } = cached;
        if list.disable_check || !list.is_at_least("0.4.0") {
            return Ok(());
        }
        list.plugins.iter().try_for_each(|plugin| {
            let stdin = configuration(list, plugin, result.as_ref(), Some(attachment));
            self.call(type_of(plugin), "CHECK", variables(attachment), &stdin).map(drop)
        })
    }

    /// Has plugins remove what belongs to none of these attachments (specification 1.1.0). All are called; the first failure is told.
    pub fn collect(&self, list: &List, valid: &[Attachment]) -> Result<(), Error> {
        if list.disable_gc || !list.is_at_least("1.1.0") {
            return Ok(());
        }
        let valid: Vec<Value> = valid
            .iter()
            .map(|attachment| json!({ "containerID": attachment.container, "ifname": attachment.link }))
            .collect();
        let mut done = Ok(());
        for plugin in &list.plugins {
            let mut stdin = configuration(list, plugin, None, None);
            stdin["cni.dev/valid-attachments"] = Value::Array(valid.clone());
            let called = self.call(type_of(plugin), "GC", Vec::new(), &stdin);
            done = done.and(called.map(drop));
        }
        done
    }

    /// What is asked for and no plugin would see is refused.
    fn check_capabilities(&self, list: &List, attachment: &Attachment) -> Result<(), Error> {
        let wanted = [
            ("portMappings", !attachment.ports.is_empty(), "publishes ports"),
            ("ips", !attachment.ips.is_empty(), "asks for addresses"),
            ("mac", attachment.mac.is_some(), "asks for a MAC address"),
            ("bandwidth", attachment.bandwidth.is_some(), "limits its bandwidth"),
        ];
        match wanted.iter().find(|(capability, asked, _)| *asked && !list.has(capability)) {
            None => Ok(()),
            Some((capability, _, what)) => Err(Error::Unsupported(format!(
                "the container {what}, and no plugin of the CNI network {:?} has the capability {capability:?}",
                list.name
            ))),
        }
    }

    fn call(
        &self,
        plugin: &str,
        command: &'static str,
        variables: Vec<(&'static str, String)>,
        configuration: &Value,
    ) -> Result<Vec<u8>, Error> {
        let (folders, patience) = (self.folders.as_slice(), self.patience);
        Call { plugin, folders, command, variables, configuration, patience }.run()
    }
}

/// One that has nothing to say says nothing (DEL, CHECK).
fn parse<T: serde::de::DeserializeOwned>(plugin: &str, answer: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(answer).map_err(|e| Error::Garbled { plugin: plugin.to_owned(), why: e.to_string() })
}

fn variables(attachment: &Attachment) -> Vec<(&'static str, String)> {
    let arguments: Vec<String> = attachment.arguments.iter().map(|(key, value)| format!("{key}={value}")).collect();
    vec![
        ("CNI_CONTAINERID", attachment.container.clone()),
        ("CNI_NETNS", attachment.netns.clone()),
        ("CNI_IFNAME", attachment.link.clone()),
        ("CNI_ARGS", arguments.join(";")),
    ]
}

/// What a plugin reads: its part of the list, with what the whole list has, what the runtime adds by the plugin's capabilities, and
/// the result so far.
fn configuration(
    list: &List,
    plugin: &Map<String, Value>,
    result: Option<&Value>,
    attachment: Option<&Attachment>,
) -> Value {
    let mut fields = plugin.clone();
    fields.insert("name".to_owned(), list.name.clone().into());
    fields.insert("cniVersion".to_owned(), list.version.clone().into());
    fields.remove("capabilities");
    // These are the runtime's to set.
    for key in ["prevResult", "runtimeConfig", "plugins", "cniVersions", "disableCheck", "disableGC"] {
        fields.remove(key);
    }
    let extra = attachment.map(|attachment| extra(plugin, attachment)).unwrap_or_default();
    if !extra.is_empty() {
        fields.insert("runtimeConfig".to_owned(), Value::Object(extra));
    }
    if let Some(result) = result {
        fields.insert("prevResult".to_owned(), result.clone());
    }
    Value::Object(fields)
}

fn extra(plugin: &Map<String, Value>, attachment: &Attachment) -> Map<String, Value> {
    let Attachment { ports, ips, mac, bandwidth, aliases, dns_servers, dns_searches, .. } = attachment;
    let dns = !dns_servers.is_empty() || !dns_searches.is_empty();
    let all = [
        ("portMappings", (!ports.is_empty()).then(|| json!(ports))),
        ("ips", (!ips.is_empty()).then(|| json!(ips))),
        ("mac", mac.as_ref().map(|mac| json!(mac))),
        ("bandwidth", bandwidth.map(|bandwidth| json!(bandwidth))),
        ("aliases", (!aliases.is_empty()).then(|| json!(aliases))),
        ("dns", dns.then(|| json!({ "servers": dns_servers, "searches": dns_searches }))),
    ];
    let wanted = all.into_iter().filter(|(capability, _)| declares(plugin, capability));
    wanted.filter_map(|(capability, value)| Some((capability.to_owned(), value?))).collect()
}

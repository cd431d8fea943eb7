//! `--network`: a name, or `name=...,alias=...,ip=...`; and the older flags that say the same of the first network.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Object, put_list, put_number, put_text};
use crate::grammar::container::ContainerFlags;

/// One network to join.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub aliases: Vec<String>,
    pub links: Vec<String>,
    pub ip: Option<String>,
    pub ip6: Option<String>,
    pub link_local: Vec<String>,
    pub mac: Option<String>,
    pub driver_options: BTreeMap<String, String>,
    pub gateway_priority: Option<i64>,
}

/// Reads one `--network`.
pub fn parse(text: &str) -> Result<Attachment, String> {
    let mut attachment = Attachment::default();
    if !text.contains('=') {
        attachment.name = text.to_owned();
        return Ok(attachment);
    }
    for field in super::mount::fields(text)? {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        match key.trim().to_lowercase().as_str() {
            "name" => attachment.name = value.to_owned(),
            "alias" => attachment.aliases.push(value.to_owned()),
            "ip" => attachment.ip = Some(ip(value)?),
            "ip6" => attachment.ip6 = Some(ip(value)?),
            "link-local-ip" => attachment.link_local.push(ip(value)?),
            "mac-address" => attachment.mac = Some(value.to_owned()),
            "driver-opt" => {
                let (key, value) = value.split_once('=').ok_or("invalid key value pair format in driver options")?;
                attachment.driver_options.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            "gw-priority" => {
                let number = value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
                attachment.gateway_priority = Some(number);
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if attachment.name.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(attachment)
}

fn ip(text: &str) -> Result<String, String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(ip) => Ok(ip.to_string()),
        Err(_) => Err(format!("invalid IP address: {text}")),
    }
}

/// Networks that a person made: they know aliases and links of their own.
fn is_user_defined(name: &str) -> bool {
    !matches!(name, "" | "default" | "bridge" | "host" | "none") && !name.starts_with("container:")
}

pub(super) fn write(flags: &ContainerFlags, body: &mut Object) -> Result<(), String> {
    let mut all = flags.network.clone();
    if all.is_empty() {
        all.push(Attachment { name: "default".to_owned(), ..Attachment::default() });
    }
    let (user_defined, built_in): (Vec<_>, Vec<_>) = all.iter().partition(|network| is_user_defined(&network.name));
    if !user_defined.is_empty() && !built_in.is_empty() {
        let why = "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
        return Err(why.to_owned());
    }
    let mode = all.first().map(|first| first.name.clone()).unwrap_or_default();
    if let Some(Value::Object(host)) = body.get_mut("HostConfig") {
        host.insert("NetworkMode".to_owned(), json!(mode));
    }
    if let Some(first) = all.first_mut() {
        older_flags(flags, first)?;
    }
    let alone = all.len() == 1;
    let mut endpoints = Object::new();
    for network in all {
        let name = network.name.clone();
        let endpoint = endpoint(network)?;
        if alone && endpoint.is_empty() {
            break;
        }
        if endpoints.insert(name.clone(), Value::Object(endpoint)).is_some() {
            return Err(format!("network {name:?} is specified multiple times"));
        }
    }
    if !endpoints.is_empty() {
        body.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": endpoints }));
    }
    Ok(())
}

/// `--ip`, `--network-alias` and the like speak of the first network.
fn older_flags(flags: &ContainerFlags, first: &mut Attachment) -> Result<(), String> {
    let both =
        |old: &str, new: &str| Err(format!("conflicting options: cannot specify both {old} and per-network {new}"));
    if !flags.network_alias.is_empty() {
        if !first.aliases.is_empty() {
            return both("--network-alias", "alias");
        }
        first.aliases.clone_from(&flags.network_alias);
    }
    // On the default bridge a link is the container's own.
    if is_user_defined(&first.name) && !flags.link.is_empty() {
        first.links.clone_from(&flags.link);
    }
    for (typed, slot, flag, words) in [
        (&flags.ip, &mut first.ip, "--ip", "IPv4 address"),
        (&flags.ip6, &mut first.ip6, "--ip6", "IPv6 address"),
        (&flags.mac_address, &mut first.mac, "--mac-address", "MAC address"),
    ] {
        let Some(text) = typed.as_ref().filter(|text| !text.is_empty()) else { continue };
        if slot.is_some() {
            return both(flag, words);
        }
        *slot = Some(if words == "MAC address" { text.clone() } else { ip(text)? });
    }
    if !flags.link_local_ip.is_empty() {
        if !first.link_local.is_empty() {
            return both("--link-local-ip", "link-local IP addresses");
        }
        first.link_local = flags.link_local_ip.iter().map(|text| ip(text)).collect::<Result<_, _>>()?;
    }
    Ok(())
}

fn endpoint(network: Attachment) -> Result<Object, String> {
    if network.name.trim().is_empty() {
        return Err("no name set for network".to_owned());
    }
    if !is_user_defined(&network.name) && !network.aliases.is_empty() {
        return Err("network-scoped aliases are only supported for user-defined networks".to_owned());
    }
    let mut endpoint = Object::new();
    put_list(&mut endpoint, "Aliases", &network.aliases);
    put_list(&mut endpoint, "Links", &network.links);
    let mut addresses = Object::new();
    put_text(&mut addresses, "IPv4Address", &network.ip);
    put_text(&mut addresses, "IPv6Address", &network.ip6);
    put_list(&mut addresses, "LinkLocalIPs", &network.link_local);
    if !addresses.is_empty() {
        endpoint.insert("IPAMConfig".to_owned(), Value::Object(addresses));
    }
    if let Some(mac) = &network.mac {
        if !is_mac(mac.trim()) {
            return Err(format!("{mac} is not a valid mac address"));
        }
        put_text(&mut endpoint, "MacAddress", &Some(mac.trim().to_owned()));
    }
    if !network.driver_options.is_empty() {
        endpoint.insert("DriverOpts".to_owned(), json!(network.driver_options));
    }
    put_number(&mut endpoint, "GwPriority", network.gateway_priority);
    Ok(endpoint)
}

fn is_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

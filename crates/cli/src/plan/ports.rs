//! `--publish` and `--expose`: `[ip:][host[-range]]:container[-range][/protocol]`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Object;
use crate::grammar::container::ContainerFlags;

/// One published port: of the container, and where on the host (an empty port is any free one).
struct Binding {
    port: String,
    host_ip: String,
    host_port: String,
}

pub(super) fn write(flags: &ContainerFlags, config: &mut Object, host: &mut Object) -> Result<(), String> {
    let mut exposed = Object::new();
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for text in &flags.publish {
        for binding in published(text)? {
            exposed.insert(binding.port.clone(), json!({}));
            let address = json!({ "HostIp": binding.host_ip, "HostPort": binding.host_port });
            bindings.entry(binding.port).or_default().push(address);
        }
    }
    for text in &flags.expose {
        let (ports, protocol) = protocol(text);
        let (first, last) =
            range(ports).map_err(|why| format!("invalid range format for --expose: {ports}, error: {why}"))?;
        for port in first..=last {
            exposed.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    if !exposed.is_empty() {
        config.insert("ExposedPorts".to_owned(), Value::Object(exposed));
    }
    if !bindings.is_empty() {
        host.insert("PortBindings".to_owned(), json!(bindings));
    }
    Ok(())
}

/// `--publish` as the API has it: by port of the container.
pub fn bindings(publish: &[String]) -> Result<Value, String> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for text in publish {
        for binding in published(text)? {
            let address = json!({ "HostIp": binding.host_ip, "HostPort": binding.host_port });
            all.entry(binding.port).or_default().push(address);
        }
    }
    Ok(json!(all))
}

fn published(text: &str) -> Result<Vec<Binding>, String> {
    let short = if text.contains('=') { long_form(text)? } else { text.to_owned() };
    let (addresses, protocol) = protocol(&short);
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let (address, container) = addresses.rsplit_once(':').unwrap_or(("", addresses));
    let (ip, host) = address.rsplit_once(':').unwrap_or(("", address));
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address: {ip}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {short}<empty>"));
    }
    let inner = range(container).map_err(|_| format!("invalid containerPort: {container}"))?;
    let outer = match host {
        "" => None,
        host => Some(range(host).map_err(|_| format!("invalid hostPort: {host}"))?),
    };
    let one_inside = inner.0 == inner.1;
    if outer.is_some_and(|outer| outer.1 - outer.0 != inner.1 - inner.0) && !one_inside {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    let host_port = |port: u16| match outer {
        None => String::new(),
        Some((first, last)) if one_inside && first != last => format!("{first}-{last}"),
        Some((first, _)) => (first + (port - inner.0)).to_string(),
    };
    let binding =
        |port: u16| Binding { port: format!("{port}/{protocol}"), host_ip: ip.to_owned(), host_port: host_port(port) };
    Ok((inner.0..=inner.1).map(binding).collect())
}

/// `published=8080,target=80,protocol=tcp` in the short form.
fn long_form(text: &str) -> Result<String, String> {
    let (mut published, mut target, mut protocol) = ("", "", "tcp");
    for field in text.split(',') {
        let (key, value) = field
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("invalid publish opts format (should be name=value but got '{field}')"))?;
        match key {
            "published" => published = value,
            "target" => target = value,
            "protocol" => protocol = value,
            _ => {}
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn protocol(text: &str) -> (&str, String) {
    match text.split_once('/') {
        Some((rest, protocol)) if !protocol.is_empty() => (rest, protocol.to_lowercase()),
        Some((rest, _)) => (rest, "tcp".to_owned()),
        None => (text, "tcp".to_owned()),
    }
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port =
        |text: &str| text.parse::<u16>().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: invalid syntax"));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(format!("invalid range specified for port: {text}"));
    }
    Ok((first, last))
}

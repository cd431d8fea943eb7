//! How a bridge network meets the world, by Docker's options.

use super::plan::{HOST_BINDING, flag};
use crate::{Error, Result};
use network::{Gateway, Manners, Network, Subnet};
use std::collections::BTreeMap;
use std::net::IpAddr;

const GATEWAY_MODE_4: &str = "com.docker.network.bridge.gateway_mode_ipv4";
const GATEWAY_MODE_6: &str = "com.docker.network.bridge.gateway_mode_ipv6";
const INHIBIT: &str = "com.docker.network.bridge.inhibit_ipv4";
const TRUSTED: &str = "com.docker.network.bridge.trusted_host_interfaces";
/// IFNAMSIZ without the end.
const LONGEST_LINK: usize = 15;

/// What the options of a network say; in Docker's words where they are wrong.
pub(super) fn manners(record: &Network) -> Result<Manners> {
    let (v4, v6) = (gateway(&record.options, GATEWAY_MODE_4)?, gateway(&record.options, GATEWAY_MODE_6)?);
    if [v4, v6].contains(&Gateway::Isolated) && !record.internal {
        return Err(Error::Invalid("gateway mode 'isolated' can only be used for an internal network".into()));
    }
    if let Some(text) = record.options.get(HOST_BINDING)
        && text.parse::<IpAddr>().is_err()
    {
        return Err(Error::Invalid(format!("failed to parse {HOST_BINDING} value: {text} (nil ip)")));
    }
    let names = record.options.get(TRUSTED).map_or("", String::as_str).split(':').filter(|name| !name.is_empty());
    let trusted: Vec<String> = names.map(str::to_owned).collect();
    if let Some(name) = trusted.iter().find(|name| name.len() > LONGEST_LINK) {
        return Err(Error::Invalid(format!("failed to parse {TRUSTED} value: {name} (no link has such a name)")));
    }
    let inhibit_ipv4 = record.options.contains_key(INHIBIT) && flag(record, INHIBIT)?;
    Ok(Manners { v4, v6, trusted, inhibit_ipv4 })
}

fn gateway(options: &BTreeMap<String, String>, key: &str) -> Result<Gateway> {
    match options.get(key).map_or("", String::as_str) {
        "" | "nat" => Ok(Gateway::Nat),
        "nat-unprotected" => Ok(Gateway::Unprotected),
        "routed" => Ok(Gateway::Routed),
        "isolated" => Ok(Gateway::Isolated),
        mode => Err(Error::Invalid(format!("failed to parse {key} value: {mode} (unknown gateway mode {mode})"))),
    }
}

/// Where the host is not on a network nobody is its gateway, unless one was asked for.
pub(super) fn drop_gateways(subnets: &mut [Subnet], options: &BTreeMap<String, String>, asked: &[IpAddr]) {
    for subnet in subnets {
        let key = if subnet.subnet.addr().is_ipv4() { GATEWAY_MODE_4 } else { GATEWAY_MODE_6 };
        if options.get(key).is_some_and(|mode| mode == "isolated") {
            subnet.gateway = subnet.gateway.filter(|gateway| asked.contains(gateway));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(options: &[(&str, &str)], internal: bool) -> Network {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Network { options, internal, ..Network::default() }
    }

    #[test]
    fn options_are_read_and_wrong_ones_refused_as_by_docker() {
        let told = [(GATEWAY_MODE_6, "routed"), (TRUSTED, "wg0::eth1"), (INHIBIT, "1")];
        let trusted = vec!["wg0".to_owned(), "eth1".to_owned()];
        let wanted = Manners { v4: Gateway::Nat, v6: Gateway::Routed, trusted, inhibit_ipv4: true };
        assert_eq!(manners(&network(&told, false)).unwrap(), wanted);
        let refused = |options: &[(&str, &str)]| manners(&network(options, false)).unwrap_err().to_string();
        for (options, text) in [
            (
                [(GATEWAY_MODE_4, "open")],
                format!("failed to parse {GATEWAY_MODE_4} value: open (unknown gateway mode open)"),
            ),
            (
                [(GATEWAY_MODE_6, "isolated")],
                "gateway mode 'isolated' can only be used for an internal network".to_owned(),
            ),
            ([(HOST_BINDING, "bad")], format!("failed to parse {HOST_BINDING} value: bad (nil ip)")),
            (
                [(INHIBIT, "maybe")],
                format!(
                    "failed to parse {INHIBIT} value: maybe (strconv.ParseBool: parsing \"maybe\": invalid syntax)"
                ),
            ),
        ] {
            assert_eq!(refused(&options), text);
        }
        assert!(manners(&network(&[(GATEWAY_MODE_4, "isolated")], true)).is_ok());
    }
}

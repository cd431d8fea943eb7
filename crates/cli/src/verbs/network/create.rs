//! `network create`: a new network.

use api::client::Payload;
use clap::Args;
use http::Method;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

use super::map;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, print};
use crate::words::{Outcome, Verb};

/// Makes a network.
#[derive(Debug, Args)]
pub struct Create {
    /// Enable manual container attachment
    #[arg(long)]
    attachable: bool,
    /// Auxiliary IPv4 or IPv6 addresses used by Network driver
    #[arg(long, value_name = "map")]
    aux_address: Vec<String>,
    /// The network from which to copy the configuration
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    config_from: String,
    /// Create a configuration only network
    #[arg(long)]
    config_only: bool,
    /// Driver to manage the Network
    #[arg(short, long, value_name = "string", default_value = "bridge")]
    driver: String,
    /// What becomes of connections to the outside that no list speaks of (deny|allow)
    #[arg(long, value_name = "string", value_parser = ["deny", "allow"])]
    egress: Option<String>,
    /// Names, addresses and ports outside that its containers may reach (*.example.org:443,10.0.0.0/8,tcp/5432)
    #[arg(long, value_name = "list")]
    egress_allow: Vec<String>,
    /// Those that they may not reach, whatever is allowed
    #[arg(long, value_name = "list")]
    egress_deny: Vec<String>,
    /// IPv4 or IPv6 Gateway for the master subnet
    #[arg(long, value_name = "strings")]
    gateway: Vec<String>,
    /// Create swarm routing-mesh network
    #[arg(long)]
    ingress: bool,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container ip from a sub-range
    #[arg(long, value_name = "strings")]
    ip_range: Vec<String>,
    /// IP Address Management Driver
    #[arg(long, value_name = "string", default_value = "default")]
    ipam_driver: String,
    /// Set IPAM driver specific options
    #[arg(long, value_name = "map")]
    ipam_opt: Vec<String>,
    /// Enable or disable IPv4 address assignment
    #[arg(long, value_name = "", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::grammar::values::switch)]
    ipv4: Option<bool>,
    /// Enable or disable IPv6 address assignment
    #[arg(long, value_name = "", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::grammar::values::switch)]
    ipv6: Option<bool>,
    /// Set metadata on a network
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// Set driver specific options
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    /// Control the network's scope
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    scope: String,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "strings")]
    subnet: Vec<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Created {
    id: String,
    warning: String,
}

impl Verb for Create {
    const ABOUT: About = About {
        name: "network create",
        usage: "[OPTIONS] NETWORK",
        does: "Create a network",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let body = self.body().map_err(Failure::said)?;
        let created: Created = session
            .client()
            .call(Method::POST, "/networks/create", Payload::Json(body.to_string().into()))
            .await?
            .json()
            .await?;
        if !created.warning.is_empty() {
            complain(&format!("WARNING: {}", created.warning));
        }
        print(created.id + "\n")?;
        Ok(0)
    }
}

impl Create {
    fn body(&self) -> Result<Value, String> {
        let mut body = json!({
            "Name": self.operands[0],
            "Driver": self.driver,
            "Options": self.options(),
            "IPAM": { "Driver": self.ipam_driver, "Config": self.subnets()?, "Options": map(&self.ipam_opt) },
            "Internal": self.internal,
            "Ingress": self.ingress,
            "Attachable": self.attachable,
            "ConfigOnly": self.config_only,
            "Scope": self.scope,
            "Labels": map(&self.label),
        });
        if let Some(on) = self.ipv4 {
            body["EnableIPv4"] = on.into();
        }
        if let Some(on) = self.ipv6 {
            body["EnableIPv6"] = on.into();
        }
        if !self.config_from.is_empty() {
            body["ConfigFrom"] = json!({ "Network": self.config_from });
        }
        Ok(body)
    }

    /// Options of the driver; lists of what may be reached are some of ours.
    fn options(&self) -> Map<String, Value> {
        let mut options = map(&self.opt);
        let default = self.egress.as_ref().map(|default| ("dhow.egress".to_owned(), default.as_str().into()));
        options.extend(default);
        for (key, list) in [("dhow.egress.allow", &self.egress_allow), ("dhow.egress.deny", &self.egress_deny)] {
            if !list.is_empty() {
                options.insert(key.to_owned(), list.join(",").into());
            }
        }
        options
    }

    /// Each range, gateway and auxiliary address goes to the subnet that has it.
    fn subnets(&self) -> Result<Vec<Value>, String> {
        let few = "every ip-range or gateway must have a corresponding subnet";
        if self.subnet.len() < self.ip_range.len() || self.subnet.len() < self.gateway.len() {
            return Err(few.to_owned());
        }
        let mut all: Vec<(IpNet, Map<String, Value>)> = Vec::new();
        for text in &self.subnet {
            let net: IpNet = text.parse().map_err(|_| format!("invalid CIDR address: {text}"))?;
            if all.iter().any(|(other, _)| other.contains(&net.network()) || net.contains(&other.network())) {
                return Err("multiple overlapping subnet configuration is not supported".to_owned());
            }
            all.push((net, Map::from_iter([("Subnet".to_owned(), text.as_str().into())])));
        }
        for text in &self.ip_range {
            let range: IpNet = text.parse().map_err(|_| format!("invalid CIDR address: {text}"))?;
            put(&mut all, range.addr(), ("IPRange", text), "range")?;
        }
        for text in &self.gateway {
            let address: IpAddr = text.parse().map_err(|_| format!("invalid gateway address: {text}"))?;
            put(&mut all, address, ("Gateway", text), "gateway")?;
        }
        for text in &self.aux_address {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            let address: IpAddr = value.parse().map_err(|_| format!("invalid auxiliary address: {text}"))?;
            let subnet = all.iter_mut().find(|(net, _)| net.contains(&address));
            let (_, fields) = subnet.ok_or_else(|| format!("no matching subnet for aux-address {value}"))?;
            let auxiliary = fields.entry("AuxiliaryAddresses").or_insert_with(|| json!({}));
            auxiliary[name] = value.into();
        }
        Ok(all.into_iter().map(|(_, fields)| Value::Object(fields)).collect())
    }
}

fn put(
    all: &mut [(IpNet, Map<String, Value>)],
    address: IpAddr,
    (key, text): (&str, &str),
    what: &str,
) -> Result<(), String> {
    let subnet = all.iter_mut().find(|(net, _)| net.contains(&address));
    let (_, fields) = subnet.ok_or_else(|| format!("no matching subnet for {what} {text}"))?;
    if fields.contains_key(key) {
        return Err(format!("cannot configure multiple {what}s ({text}) on the same subnet"));
    }
    fields.insert(key.to_owned(), text.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::parse;

    fn body(line: &str) -> Result<Value, String> {
        let words: Vec<std::ffi::OsString> = line.split_whitespace().map(Into::into).collect();
        parse::<Create>(&Create::ABOUT, &words).expect("good flags").body()
    }

    #[test]
    fn what_belongs_to_a_subnet_is_sent_with_it() {
        let line = "--subnet 10.1.0.0/16 --subnet fd00::/64 --gateway 10.1.0.9 --gateway fd00::9 --ip-range 10.1.4.0/24 --aux-address r=10.1.0.3 --ipv6 n";
        let body = body(line).expect("a body");
        let config = json!([
            { "Subnet": "10.1.0.0/16", "Gateway": "10.1.0.9", "IPRange": "10.1.4.0/24", "AuxiliaryAddresses": { "r": "10.1.0.3" } },
            { "Subnet": "fd00::/64", "Gateway": "fd00::9" },
        ]);
        assert_eq!((&body["IPAM"]["Config"], &body["EnableIPv6"]), (&config, &json!(true)));
    }

    #[test]
    fn what_belongs_to_none_is_refused() {
        for (line, words) in [
            ("--gateway 10.0.0.1 n", "every ip-range or gateway must have a corresponding subnet"),
            ("--subnet 10.0.0.0/8 --gateway 11.0.0.1 n", "no matching subnet for gateway 11.0.0.1"),
            (
                "--subnet 10.0.0.0/8 --subnet 10.1.0.0/16 n",
                "multiple overlapping subnet configuration is not supported",
            ),
            ("--subnet x n", "invalid CIDR address: x"),
        ] {
            assert_eq!(body(line).expect_err(line), words);
        }
    }
}

//! What came of an attachment: the specification's result of success.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The links, addresses, routes and name servers of an attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Outcome {
    pub interfaces: Vec<Interface>,
    pub ips: Vec<Address>,
    pub routes: Vec<Route>,
    pub dns: Dns,
}

/// A link, of the host or (with a sandbox) of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Interface {
    pub name: String,
    pub mac: String,
    pub mtu: u32,
    pub sandbox: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub address: IpNet,
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Of `interfaces`.
    #[serde(default)]
    pub interface: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub dst: IpNet,
    #[serde(default)]
    pub gw: Option<IpAddr>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    pub nameservers: Vec<IpAddr>,
    pub domain: String,
    pub search: Vec<String>,
    pub options: Vec<String>,
}

impl Outcome {
    /// The container's end.
    pub fn inside(&self, link: &str) -> Option<&Interface> {
        let mut inside = self.interfaces.iter().filter(|interface| !interface.sandbox.is_empty());
        inside.clone().find(|interface| interface.name == link).or_else(|| inside.next())
    }

    /// The first address of a family, on a link of the container's.
    pub fn address(&self, is_v4: bool) -> Option<&Address> {
        let is_inside = |address: &&Address| {
            let link = address.interface.and_then(|at| self.interfaces.get(at));
            link.is_none_or(|link| !link.sandbox.is_empty())
        };
        self.ips.iter().filter(is_inside).find(|address| address.address.addr().is_ipv4() == is_v4)
    }

    /// Where what has no better route goes, of a family: by the route, or by the address' gateway where that is left open.
    pub fn gateway(&self, is_v4: bool) -> Option<IpAddr> {
        let of_address = || self.address(is_v4).and_then(|address| address.gateway);
        let is_default = |route: &&Route| route.dst.prefix_len() == 0 && route.dst.addr().is_ipv4() == is_v4;
        self.routes.iter().find(is_default).and_then(|route| route.gw.or_else(of_address))
    }

    /// Whether something leads out.
    pub fn leads_out(&self, is_v4: bool) -> bool {
        self.routes.iter().any(|route| route.dst.prefix_len() == 0 && route.dst.addr().is_ipv4() == is_v4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_of_the_bridge_plugin_is_understood() {
        let text = r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cni0","mac":"aa"},{"name":"veth1","mac":"bb"},
            {"name":"eth0","mac":"cc","sandbox":"/run/n"}],"ips":[{"interface":0,"address":"10.9.0.1/16"},
            {"interface":2,"address":"10.1.0.2/16","gateway":"10.1.0.1"},{"address":"fd00::2/64"}],
            "routes":[{"dst":"0.0.0.0/0"}],"dns":{"nameservers":["10.1.0.1"]}}"#;
        let outcome: Outcome = serde_json::from_str(text).unwrap();
        assert_eq!(outcome.inside("eth0").unwrap().mac, "cc");
        assert_eq!(outcome.address(true).unwrap().address.to_string(), "10.1.0.2/16");
        assert_eq!(outcome.address(false).unwrap().address.to_string(), "fd00::2/64");
        assert_eq!(outcome.gateway(true), Some("10.1.0.1".parse().unwrap()));
        assert_eq!((outcome.gateway(false), outcome.leads_out(true), outcome.leads_out(false)), (None, true, false));
    }
}

//! `network connect` and `network disconnect`.

use api::client::{Payload, encode};
use clap::Args;
use serde_json::{Value, json};

use super::map;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::words::{Outcome, Verb};

/// Puts a container on a network.
#[derive(Debug, Args)]
pub struct Connect {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "strings")]
    alias: Vec<String>,
    /// driver options for the network
    #[arg(long, value_name = "strings")]
    driver_opt: Vec<String>,
    /// Highest gw-priority provides the default gateway. Accepts positive and negative values
    #[arg(long, value_name = "int", default_value_t = 0, hide_default_value = true)]
    gw_priority: i64,
    /// IPv4 address (e.g., "172.30.100.104")
    #[arg(long, value_name = "ip", value_parser = crate::grammar::values::address)]
    ip: Option<String>,
    /// IPv6 address (e.g., "2001:db8::33")
    #[arg(long, value_name = "ip", value_parser = crate::grammar::values::address)]
    ip6: Option<String>,
    /// Add link to another container
    #[arg(long, value_name = "list")]
    link: Vec<String>,
    /// Add a link-local address for the container
    #[arg(long, value_name = "strings")]
    link_local_ip: Vec<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Takes a container off a network.
#[derive(Debug, Args)]
pub struct Disconnect {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Connect {
    const ABOUT: About = About {
        name: "network connect",
        usage: "[OPTIONS] NETWORK CONTAINER",
        does: "Connect a container to a network",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = format!("/networks/{}/connect", encode(&self.operands[0]));
        session.client().post(&path, Payload::Json(self.body().to_string().into())).await?;
        Ok(0)
    }
}

impl Connect {
    fn body(&self) -> Value {
        let mut ipam = serde_json::Map::new();
        ipam.extend(self.ip.as_ref().map(|ip| ("IPv4Address".to_owned(), ip.as_str().into())));
        ipam.extend(self.ip6.as_ref().map(|ip| ("IPv6Address".to_owned(), ip.as_str().into())));
        if !self.link_local_ip.is_empty() {
            ipam.insert("LinkLocalIPs".to_owned(), json!(self.link_local_ip));
        }
        json!({
            "Container": self.operands[1],
            "EndpointConfig": {
                "IPAMConfig": ipam,
                "Links": self.link,
                "Aliases": self.alias,
                "DriverOpts": map(&self.driver_opt),
                "GwPriority": self.gw_priority,
            },
        })
    }
}

impl Verb for Disconnect {
    const ABOUT: About = About {
        name: "network disconnect",
        usage: "[OPTIONS] NETWORK CONTAINER",
        does: "Disconnect a container from a network",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = format!("/networks/{}/disconnect", encode(&self.operands[0]));
        let body = json!({ "Container": self.operands[1], "Force": self.force });
        session.client().post(&path, Payload::Json(body.to_string().into())).await?;
        Ok(0)
    }
}

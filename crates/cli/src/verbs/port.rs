//! `port`: where the ports of a container are published.

use std::collections::BTreeMap;

use api::client::encode;
use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Lists published ports.
#[derive(Debug, Args)]
pub struct Port {
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Inspected {
    network_settings: Settings,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Settings {
    ports: Option<BTreeMap<String, Option<Vec<Binding>>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Binding {
    host_ip: String,
    host_port: String,
}

impl Verb for Port {
    const ABOUT: About = About {
        name: "port",
        usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
        does: "List port mappings or a specific mapping for the container",
        needs: Needs::Between(1, 2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let name = &self.operands[0];
        let inspected: Inspected = session.client().get(&format!("/containers/{}/json", encode(name))).await?;
        let ports = inspected.network_settings.ports.unwrap_or_default();
        let mut lines = match self.operands.get(1) {
            None => all(&ports),
            Some(port) => one(&ports, port, name)?,
        };
        lines.sort_by_key(|(key, text)| (*key, text.contains('['), text.clone()));
        print(lines.into_iter().map(|(_, text)| text + "\n").collect::<String>())?;
        Ok(0)
    }
}

type Ports = BTreeMap<String, Option<Vec<Binding>>>;

/// The lines and the number they are sorted by.
fn all(ports: &Ports) -> Vec<(u16, String)> {
    let mut lines = Vec::new();
    for (port, bindings) in ports {
        let number = port.split('/').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        lines.extend(bindings.iter().flatten().map(|binding| (number, format!("{port} -> {}", address(binding)))));
    }
    lines
}

fn one(ports: &Ports, wanted: &str, name: &str) -> Result<Vec<(u16, String)>, Failure> {
    let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    if number.parse::<u16>().is_err() {
        return Err(Failure::said(format!(
            "Error: invalid port ({number}): strconv.ParseUint: parsing {number:?}: invalid syntax"
        )));
    }
    match ports.get(&format!("{number}/{protocol}")) {
        Some(Some(bindings)) if !bindings.is_empty() => {
            Ok(bindings.iter().map(|binding| (0, address(binding))).collect())
        }
        _ => Err(Failure::said(format!("Error: No public port '{wanted}' published for {name}"))),
    }
}

fn address(binding: &Binding) -> String {
    match binding.host_ip.contains(':') {
        true => format!("[{}]:{}", binding.host_ip, binding.host_port),
        false => format!("{}:{}", binding.host_ip, binding.host_port),
    }
}

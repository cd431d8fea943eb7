//! `network firewall explain`: why a port is reached, or is not.

use std::fmt::Write;

use api::client::query;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Explains a port.
#[derive(Debug, Args)]
pub struct Firewall {
    /// Format of the answer (text|json)
    #[arg(long, value_name = "string", default_value = "text", hide_default_value = true, value_parser = ["text", "json"])]
    format: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct View {
    port: String,
    publish_firewall: String,
    ways: Vec<Way>,
    listener: Option<String>,
    input: Option<Input>,
    legacy_rules: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Way {
    from: String,
    at: String,
    container: Target,
    bridge: String,
    rule: String,
    reaches: String,
    stage: Option<String>,
    stopped_by: Option<Stop>,
    advice: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Target {
    name: Option<String>,
    address: String,
    port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Input {
    reaches: String,
    stopped_by: Option<Stop>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Stop {
    family: String,
    table: String,
    chain: String,
    handle: Option<u64>,
    comment: Option<String>,
    how: String,
}

impl Verb for Firewall {
    const ABOUT: About = About {
        name: "network firewall",
        usage: "explain [OPTIONS] PORT[/PROTOCOL]",
        does: "Explain what becomes of packets to a port of the machine\n\nNothing is sent: the rules of this machine are read, those of other \
               programs too, and followed from outside,\nfrom the machine itself and from another container.",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let [word, asked] = &self.operands[..] else { return Err(Failure::said("a port is to be named")) };
        if word != "explain" {
            return Err(Failure::said(format!(
                "dhow: unknown command: dhow network firewall {word} (there is explain)"
            )));
        }
        let (port, protocol) = asked.split_once('/').unwrap_or((asked, "tcp"));
        let path = query("/system/firewall", &[("port", Some(port)), ("protocol", Some(protocol))]);
        let answer: Value = session.client().get(&path).await?;
        if self.format == "json" {
            print(format!("{answer:#}\n"))?;
            return Ok(0);
        }
        print(View::deserialize(&answer).map_err(|e| Failure::said(e.to_string()))?.text())?;
        Ok(0)
    }
}

impl View {
    fn text(&self) -> String {
        let mut text = String::new();
        if self.ways.is_empty() {
            let _ = writeln!(text, "Port {}: no container has it", self.port);
            if let Some(listener) = &self.listener {
                let _ = writeln!(text, "  a program of this machine listens: {listener}");
            }
            if let Some(input) = &self.input {
                let _ = writeln!(
                    text,
                    "  from outside: {}",
                    reached(&input.reaches, input.stopped_by.as_ref(), Some("input"))
                );
            }
        }
        let mut last = String::new();
        for way in &self.ways {
            let name = way.container.name.as_deref().unwrap_or("an unknown container");
            let target = format!("{} -> {name} ({}, port {})", way.at, way.container.address, way.container.port);
            if target != last {
                let _ = writeln!(text, "Port {}: {target}", self.port);
                let _ = writeln!(text, "  by {}, over the bridge {}", way.rule, way.bridge);
                last = target;
            }
            let stage = way.stage.as_deref();
            let _ =
                writeln!(text, "  {}: {}", sender(&way.from), reached(&way.reaches, way.stopped_by.as_ref(), stage));
            if let Some(advice) = &way.advice {
                let _ = writeln!(text, "    to do: {advice}");
            }
        }
        let who = if self.publish_firewall == "host" {
            "the machine's own rules for what comes to itself decide about published ports, too"
        } else {
            "the machine's own rules for what comes to itself (INPUT, ufw, zones of firewalld) do not apply to published ports; \
             `dhow engine --publish-firewall host` makes them"
        };
        let _ = writeln!(text, "publish-firewall is {}: {who}", self.publish_firewall);
        if self.legacy_rules {
            let _ = writeln!(text, "There are rules of iptables-legacy, which are not read here: iptables-legacy -S");
        }
        text
    }
}

fn sender(from: &str) -> &'static str {
    match from {
        "outside" => "from other machines",
        "machine" => "from this machine",
        _ => "from other containers",
    }
}

fn reached(reaches: &str, stop: Option<&Stop>, stage: Option<&str>) -> String {
    let Some(stop) = stop else {
        return if reaches == "yes" { "reached".to_owned() } else { "not reached".to_owned() };
    };
    let rule = stop.handle.map_or_else(String::new, |handle| format!(", rule with handle {handle}"));
    let comment = stop.comment.as_ref().map_or_else(String::new, |comment| format!(" ({comment})"));
    let verdict = if reaches == "maybe" { "depends on the packet: it may be stopped" } else { "stopped" };
    let stage = stage.map_or_else(String::new, |stage| format!(" at the hook {stage}"));
    let Stop { family, table, chain, how, .. } = stop;
    format!("{verdict}{stage} by table {family} {table}, chain {chain}{rule}{comment}: {how}")
}

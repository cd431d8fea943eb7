//! `network egress`: what a container may reach outside, what it was not let to, and what it used.

use std::fmt::Write;

use api::client::encode;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Shows the egress of a container.
#[derive(Debug, Args)]
pub struct Egress {
    /// Format of the answer (text|json)
    #[arg(long, value_name = "string", default_value = "text", hide_default_value = true, value_parser = ["text", "json"])]
    format: String,
    /// Print what was learned as flags that can be given to run
    #[arg(long)]
    lesson: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct View {
    policy: Option<Policy>,
    denied: u64,
    denied_destinations: Vec<Tried>,
    denied_names: Vec<Name>,
    open: Vec<Open>,
    used: Vec<Tried>,
    lesson: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Policy {
    default: Option<String>,
    allow: Vec<String>,
    deny: Vec<String>,
    learn: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Tried {
    address: String,
    protocol: String,
    port: u16,
    name: Option<String>,
    packets: u64,
    last_seen: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Name {
    name: String,
    count: u64,
    last_seen: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Open {
    name: String,
    address: String,
    seconds: u64,
}

impl Verb for Egress {
    const ABOUT: About = About {
        name: "network egress",
        usage: "[OPTIONS] CONTAINER",
        does: "Show what a container may reach outside, and what it tried",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = format!("/containers/{}/egress", encode(&self.operands[0]));
        let answer: Value = session.client().get(&path).await?;
        if self.format == "json" {
            print(format!("{answer:#}\n"))?;
            return Ok(0);
        }
        let view = View::deserialize(&answer).map_err(|e| Failure::said(e.to_string()))?;
        if self.lesson {
            let lesson = view.lesson.ok_or_else(|| Failure::said("nothing is learned: run it with --egress-learn"))?;
            print(flags(&lesson) + "\n")?;
            return Ok(0);
        }
        print(view.text())?;
        Ok(0)
    }
}

/// What was learned, to be given back.
fn flags(lesson: &[String]) -> String {
    let allow = if lesson.is_empty() { String::new() } else { format!(" --egress-allow '{}'", lesson.join(",")) };
    format!("--egress deny{allow}")
}

impl View {
    fn text(&self) -> String {
        let mut text = String::new();
        self.policy_text(&mut text);
        let _ = writeln!(text, "Denied: {}", self.denied);
        for tried in &self.denied_destinations {
            let _ = writeln!(text, "  {}", tried.text());
        }
        for name in &self.denied_names {
            let _ = writeln!(text, "  {} (name)  {} times, last {}", name.name, name.count, name.last_seen);
        }
        if !self.open.is_empty() {
            text.push_str("Open by name:\n");
        }
        for open in &self.open {
            let _ = writeln!(text, "  {}  {}  {} s", open.name, open.address, open.seconds);
        }
        if let Some(lesson) = &self.lesson {
            text.push_str("Used:\n");
            for tried in &self.used {
                let _ = writeln!(text, "  {}", tried.text());
            }
            let _ = writeln!(text, "As flags:\n  {}", flags(lesson));
        }
        text
    }

    fn policy_text(&self, text: &mut String) {
        let Some(policy) = &self.policy else {
            text.push_str("Policy: none\n");
            return;
        };
        let implied = if policy.allow.is_empty() { "allow" } else { "deny" };
        let learns = if policy.learn { ", learning" } else { "" };
        let _ = writeln!(text, "Policy: {}{learns}", policy.default.as_deref().unwrap_or(implied));
        for (word, list) in [("allow", &policy.allow), ("deny", &policy.deny)] {
            if !list.is_empty() {
                let _ = writeln!(text, "  {word} {}", list.join(","));
            }
        }
    }
}

impl Tried {
    fn text(&self) -> String {
        let address = if self.address.contains(':') { format!("[{}]", self.address) } else { self.address.clone() };
        let port = if self.port > 0 { format!(":{}", self.port) } else { String::new() };
        let name = self.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        format!("{address}{port}/{}{name}  {} packets, last {}", self.protocol, self.packets, self.last_seen)
    }
}

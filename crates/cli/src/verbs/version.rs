//! `version`: this program's and the engine's.

use clap::Args;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::show::template::{Functions, Template};
use crate::words::{Outcome, Verb};

/// Shows versions.
#[derive(Debug, Args)]
pub struct Version {
    /// 'json' or a Go template
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
}

impl Verb for Version {
    const ABOUT: About =
        About { name: "version", usage: "[OPTIONS]", does: "Show the Dhow version information", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let server: Value = session.client().get("/version").await?;
        match self.format.as_str() {
            "" => print(layout(&client(), &server))?,
            "json" => print(format!("{}\n", json!({ "Client": client(), "Server": server })))?,
            source => {
                let template = Template::parse(source, Functions::Working, true).map_err(Failure::Said)?;
                let data = json!({ "Client": client(), "Server": server });
                print(template.render_json(&data).map_err(Failure::Said)? + "\n")?;
            }
        }
        Ok(0)
    }
}

fn client() -> Value {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": api::types::MAX_VERSION,
        "DefaultAPIVersion": api::types::MAX_VERSION,
        "Os": std::env::consts::OS,
        "Arch": arch,
        "Context": "default",
    })
}

fn layout(client: &Value, server: &Value) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let line = |out: &mut String, indent: usize, key: &str, value: &str| {
        if !value.is_empty() {
            let label = format!("{}{key}:", " ".repeat(indent));
            out.push_str(&format!("{label:<20}{value}\n"));
        }
    };
    let mut out = "Client: Dhow\n".to_owned();
    line(&mut out, 1, "Version", &text(client, "Version"));
    line(&mut out, 1, "API version", &text(client, "ApiVersion"));
    line(&mut out, 1, "OS/Arch", &format!("{}/{}", text(client, "Os"), text(client, "Arch")));
    line(&mut out, 1, "Context", &text(client, "Context"));
    let platform = server["Platform"]["Name"].as_str().unwrap_or_default();
    out.push_str(&format!("\nServer: {platform}\n"));
    let components = server["Components"].as_array().cloned().unwrap_or_default();
    for component in &components {
        out.push_str(&format!(" {}:\n", text(component, "Name")));
        line(&mut out, 2, "Version", &text(component, "Version"));
        let details = &component["Details"];
        let api = text(details, "ApiVersion");
        if !api.is_empty() {
            line(&mut out, 2, "API version", &format!("{api} (minimum version {})", text(details, "MinAPIVersion")));
        }
        line(&mut out, 2, "Git commit", &text(details, "GitCommit"));
        line(&mut out, 2, "Built", &text(details, "BuildTime"));
        if !text(details, "Os").is_empty() {
            line(&mut out, 2, "OS/Arch", &format!("{}/{}", text(details, "Os"), text(details, "Arch")));
        }
    }
    if components.is_empty() {
        line(&mut out, 1, "Version", &text(server, "Version"));
        line(&mut out, 1, "API version", &text(server, "ApiVersion"));
    }
    out
}

//! `info`: what the engine and its machine are like.

use clap::Args;
use serde_json::Value;
use std::path::Path;

use crate::connect::default_socket;
use crate::failure::Failure;
use crate::grammar::{About, Needs, help};
use crate::session::Session;
use crate::show::template::{Functions, Template};
use crate::show::{complain, human, print};
use crate::words::{Outcome, Verb};

/// Shows the engine's state.
#[derive(Debug, Args)]
pub struct Info {
    #[arg(short, long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
}

impl Verb for Info {
    const ABOUT: About =
        About { name: "info", usage: "[OPTIONS]", does: "Display system-wide information", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let info: Value = session.client().get("/info").await?;
        match self.format.as_str() {
            "" => print(layout(&info))?,
            "json" => print(format!("{info}\n"))?,
            source => {
                let template = Template::parse(source, Functions::Working, true).map_err(Failure::Said)?;
                print(template.render_json(&info).map_err(Failure::Said)? + "\n")?;
            }
        }
        if self.format.is_empty() {
            if info["SecurityOptions"].as_array().is_some_and(|all| all.iter().any(|option| option == "name=rootless"))
            {
                print(for_docker(&default_socket()))?;
            }
            for warning in info["Warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                complain(warning);
            }
        }
        Ok(0)
    }
}

/// Docker's own command line asks for an engine's address once.
fn for_docker(socket: &Path) -> String {
    format!(" For docker: docker context create dhow --docker host=unix://{}\n", socket.display())
}

/// The lines of docker's page, in its order; what the engine does not say is left out.
const LINES: &[(&str, &str)] = &[
    (" Containers", "Containers"),
    ("  Running", "ContainersRunning"),
    ("  Paused", "ContainersPaused"),
    ("  Stopped", "ContainersStopped"),
    (" Images", "Images"),
    (" Server Version", "ServerVersion"),
    (" Storage Driver", "Driver"),
    (" Logging Driver", "LoggingDriver"),
    (" Cgroup Driver", "CgroupDriver"),
    (" Cgroup Version", "CgroupVersion"),
    (" Default Runtime", "DefaultRuntime"),
    (" Init Binary", "InitBinary"),
    (" Security Options", "SecurityOptions"),
    (" Kernel Version", "KernelVersion"),
    (" Operating System", "OperatingSystem"),
    (" OSType", "OSType"),
    (" Architecture", "Architecture"),
    (" CPUs", "NCPU"),
    (" Total Memory", "MemTotal"),
    (" Name", "Name"),
    (" ID", "ID"),
    (" Docker Root Dir", "DockerRootDir"),
    (" Debug Mode", "Debug"),
    (" Experimental", "ExperimentalBuild"),
    (" Live Restore Enabled", "LiveRestoreEnabled"),
];

fn layout(info: &Value) -> String {
    let mut out =
        format!("Client: Dhow\n Version:    {}\n Context:    default\n\nServer:\n", env!("CARGO_PKG_VERSION"));
    for (label, key) in LINES {
        match &info[*key] {
            Value::Null => {}
            Value::Array(items) => {
                out.push_str(&format!("{label}:\n"));
                for item in items.iter().filter_map(Value::as_str) {
                    out.push_str(&format!("  {}\n", item.strip_prefix("name=").unwrap_or(item)));
                }
            }
            value if *key == "MemTotal" => {
                out.push_str(&format!("{label}: {}\n", human::size_binary(value.as_i64().unwrap_or(0))));
            }
            Value::String(text) => out.push_str(&format!("{label}: {text}\n")),
            value => out.push_str(&format!("{label}: {value}\n")),
        }
        if *key == "Driver" {
            driver_status(&mut out, &info["DriverStatus"]);
        }
    }
    out
}

fn driver_status(out: &mut String, status: &Value) {
    for pair in status.as_array().into_iter().flatten() {
        if let (Some(key), Some(value)) = (pair[0].as_str(), pair[1].as_str()) {
            out.push_str(&format!("  {key}: {value}\n"));
        }
    }
}

//! `start`: containers that were made or have ended.

use clap::Args;
use serde::Deserialize;

use super::run::{Attachment, detach_keys, foreground, start};
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::plan::Attached;
use crate::session::Session;
use crate::show::{complain, print};
use crate::words::{Outcome, Verb};

/// Starts containers.
#[derive(Debug, Args)]
pub struct Start {
    /// Attach STDOUT and STDERR and pass signals on
    #[arg(short, long)]
    attach: bool,
    /// Keys that leave the container running
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Attach the container's STDIN
    #[arg(short, long)]
    interactive: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// What attaching needs to know of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Known {
    pub id: String,
    pub config: KnownConfig,
    pub host_config: KnownHostConfig,
    pub state: KnownState,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct KnownConfig {
    pub tty: bool,
    pub open_stdin: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct KnownHostConfig {
    pub auto_remove: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct KnownState {
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
}

/// Asks for a container's state and settings.
pub(super) async fn known(session: &Session, name: &str) -> Result<Known, Failure> {
    Ok(session.client().get(&format!("/containers/{}/json", api::client::encode(name))).await?)
}

impl Verb for Start {
    const ABOUT: About = About {
        name: "start",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        does: "Start one or more stopped containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        if !self.attach && !self.interactive {
            return start_all(session, &self.operands).await;
        }
        let [name] = self.operands.as_slice() else {
            return Err(Failure::said("you cannot start and attach multiple containers at once"));
        };
        let detach = detach_keys(self.detach_keys.as_deref())?;
        let known = known(session, name).await?;
        let stdin = self.interactive && known.config.open_stdin;
        let attachment = Attachment {
            id: &known.id,
            attached: Attached { stdin, stdout: true, stderr: true },
            tty: known.config.tty,
            remove: known.host_config.auto_remove,
            keys: self.detach_keys.as_deref(),
        };
        foreground(session, &attachment, detach, true).await
    }
}

async fn start_all(session: &Session, names: &[String]) -> Outcome {
    let mut failed = Vec::new();
    for name in names {
        match start(session.client(), name).await {
            Ok(()) => print(format!("{name}\n"))?,
            Err(failure) => {
                complain(&failure.to_string());
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    Err(Failure::said(format!("Error: failed to start containers: {}", failed.join(", "))))
}

//! `start`: containers that were made or have ended.

use clap::Args;
use serde::Deserialize;

use super::run::{Attachment, Beginning, detach_keys, foreground, start};
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
    /// Restore from this checkpoint
    #[arg(long, value_name = "string")]
    checkpoint: Option<String>,
    /// Use a custom checkpoint storage directory
    #[arg(long, value_name = "string")]
    checkpoint_dir: Option<String>,
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
        let from = Beginning {
            checkpoint: self.checkpoint.as_deref().filter(|name| !name.is_empty()),
            folder: self.checkpoint_dir.as_deref(),
        };
        if !self.attach && !self.interactive {
            return match from.checkpoint {
                Some(_) => restore(session, &self.operands, from).await,
                None => start_all(session, &self.operands).await,
            };
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
            from,
        };
        foreground(session, &attachment, detach, true).await
    }
}

async fn restore(session: &Session, names: &[String], from: Beginning<'_>) -> Outcome {
    let [name] = names else { return Err(Failure::said("you cannot restore multiple containers at once")) };
    start(session.client(), name, from).await?;
    Ok(0)
}

async fn start_all(session: &Session, names: &[String]) -> Outcome {
    let mut failed = Vec::new();
    for name in names {
        match start(session.client(), name, Beginning::default()).await {
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

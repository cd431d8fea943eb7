//! `run`: create, attach, wait, start, and stay with it until it ends.

use api::client::{Answer, Client, Payload, query};
use clap::Args;
use http::Method;

use super::create;
use crate::failure::Failure;
use crate::grammar::container::ContainerFlags;
use crate::grammar::values::switch;
use crate::grammar::{About, Needs};
use crate::plan::Attached;
use crate::session::Session;
use crate::show::print;
use crate::stream::detach::Detach;
use crate::stream::foreground::{Ended, Foreground, Running, killed};
use crate::stream::terminal;
use crate::words::{Outcome, Verb};

/// Makes and starts a container.
#[derive(Debug, Args)]
pub struct Run {
    /// Run the container in the background and print its ID
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the container running
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Pass signals on to the process (default true)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "")]
    sig_proxy: Option<bool>,
    #[command(flatten)]
    flags: ContainerFlags,
}

impl Verb for Run {
    const ABOUT: About = About {
        name: "run",
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        does: "Create and run a new container from an image",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let plan = create::planned("run", &self.flags, self.detach)?;
        if self.detach && !self.flags.attach.is_empty() {
            return Err(Failure::said("conflicting options: cannot specify both --attach and --detach"));
        }
        check_terminal(plan.attached.stdin, plan.tty)?;
        let detach = detach_keys(self.detach_keys.as_deref())?;
        let id = create::make(session, &self.flags, &plan).await.map_err(|failure| failure.of_container("run"))?;
        if !plan.attached.any() {
            start(session.client(), &id, Beginning::default()).await.map_err(|failure| failure.of_container("run"))?;
            print(format!("{id}\n"))?;
            return Ok(0);
        }
        let keys = self.detach_keys.as_deref();
        let (attached, tty, remove, from) = (plan.attached, plan.tty, plan.remove, Beginning::default());
        let attachment = Attachment { id: &id, attached, tty, remove, keys, from };
        let proxy = self.sig_proxy.unwrap_or(true);
        foreground(session, &attachment, detach, proxy).await.map_err(|failure| failure.of_container("run"))
    }
}

/// docker's check before it attaches a terminal that is none.
pub(super) fn check_terminal(stdin: bool, tty: bool) -> Result<(), Failure> {
    if stdin && tty && !terminal::stdin_is_terminal() {
        return Err(Failure::said("the input device is not a TTY"));
    }
    Ok(())
}

/// The keys to watch for.
pub(super) fn detach_keys(typed: Option<&str>) -> Result<Detach, Failure> {
    Detach::parse(typed.unwrap_or_default()).map_err(Failure::Said)
}

/// What to attach to.
pub(super) struct Attachment<'a> {
    pub id: &'a str,
    pub attached: Attached,
    pub tty: bool,
    /// The container removes itself, so waiting is for that.
    pub remove: bool,
    pub keys: Option<&'a str>,
    /// What it is started from.
    pub from: Beginning<'a>,
}

/// What a start begins with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beginning<'a> {
    /// A checkpoint; `None`: its program.
    pub checkpoint: Option<&'a str>,
    /// Where that is, if not with the container.
    pub folder: Option<&'a str>,
}

/// Attaches, starts and stays until the end; the container's exit code.
pub(super) async fn foreground(session: &Session, to: &Attachment<'_>, detach: Detach, proxy: bool) -> Outcome {
    let client = session.client();
    let condition = if to.remove { "removed" } else { "next-exit" };
    let (taken, wait) = tokio::join!(attach(client, to), wait(client, to.id, condition));
    let taken = taken?;
    let streams =
        Foreground { path: format!("/containers/{}", to.id), tty: to.tty, stdin: to.attached.stdin, proxy, detach };
    let running = streams.start(taken)?;
    let wait = wait?;
    if let Err(failure) = start(client, to.id, to.from).await {
        // The terminal is itself again before anything is said.
        drop(running);
        if to.remove {
            let _ = wait.bytes().await;
        }
        return Err(failure);
    }
    running.resize(client).await;
    until_end(client, running, wait).await
}

/// Stays until the output has ended and the exit code is known.
pub(super) async fn until_end(client: &Client, mut running: Running, wait: Answer<'_>) -> Outcome {
    match running.ended(client).await? {
        Ended::Output(_) => exit_code(wait).await,
        Ended::Detached => Ok(0),
        Ended::Killed(number) => Ok(killed(number)),
    }
}

async fn attach(client: &Client, to: &Attachment<'_>) -> Result<api::client::Hijacked, Failure> {
    let path = query(
        &format!("/containers/{}/attach", to.id),
        &[
            ("stream", Some("1")),
            ("stdin", super::switch(to.attached.stdin)),
            ("stdout", super::switch(to.attached.stdout)),
            ("stderr", super::switch(to.attached.stderr)),
            ("detachKeys", to.keys),
        ],
    );
    Ok(client.hijack(&path, Payload::Empty).await?)
}

/// Attaches to a container that already runs, or is started by someone else.
pub(super) async fn attach_only(client: &Client, to: &Attachment<'_>) -> Result<api::client::Hijacked, Failure> {
    attach(client, to).await
}

/// Starts waiting: the answer's head comes at once, its body when the container ends.
pub(super) async fn wait<'c>(client: &'c Client, id: &str, condition: &str) -> Result<Answer<'c>, Failure> {
    let path = query(&format!("/containers/{}/wait", api::client::encode(id)), &[("condition", Some(condition))]);
    Ok(client.call(Method::POST, &path, Payload::Empty).await?)
}

/// Starts a container by name or id.
pub(super) async fn start(client: &Client, id: &str, from: Beginning<'_>) -> Result<(), Failure> {
    let path = format!("/containers/{}/start", api::client::encode(id));
    let path = query(&path, &[("checkpoint", from.checkpoint), ("checkpoint-dir", from.folder)]);
    Ok(client.post(&path, Payload::Empty).await?)
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Exit {
    status_code: i64,
    #[serde(default)]
    error: Option<ExitError>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExitError {
    #[serde(default)]
    message: String,
}

/// The exit code out of a wait's answer.
pub(super) async fn exit_code(wait: Answer<'_>) -> Outcome {
    let exit: Exit = wait.json().await?;
    if let Some(error) = exit.error.filter(|error| !error.message.is_empty()) {
        crate::show::complain(&format!("Error waiting for container: {}", error.message));
        return Ok(125);
    }
    Ok(u8::try_from(exit.status_code & 0xff).unwrap_or(u8::MAX))
}

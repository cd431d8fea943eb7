//! `attach`: the streams of a container that runs.

use clap::Args;

use super::run::{Attachment, Beginning, attach_only, check_terminal, detach_keys, until_end, wait};
use super::start::{Known, known};
use crate::failure::Failure;
use crate::grammar::values::switch;
use crate::grammar::{About, Needs};
use crate::plan::Attached;
use crate::session::Session;
use crate::stream::foreground::Foreground;
use crate::words::{Outcome, Verb};

/// Attaches to a running container.
#[derive(Debug, Args)]
pub struct Attach {
    /// Keys that leave the container running
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the process (default true)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "")]
    sig_proxy: Option<bool>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Attach {
    const ABOUT: About = About {
        name: "attach",
        usage: "[OPTIONS] CONTAINER",
        does: "Attach local standard input, output, and error streams to a running container",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let detach = detach_keys(self.detach_keys.as_deref())?;
        let client = session.client();
        let known = known(session, &self.operands[0]).await?;
        check_state(&known)?;
        check_terminal(!self.no_stdin, known.config.tty)?;
        let stdin = !self.no_stdin && known.config.open_stdin;
        let to = Attachment {
            id: &known.id,
            attached: Attached { stdin, stdout: true, stderr: true },
            tty: known.config.tty,
            remove: false,
            keys: self.detach_keys.as_deref(),
            from: Beginning::default(),
        };
        // Not "next-exit": a container that ends right now has an exit code all the same.
        let (taken, wait) = tokio::join!(attach_only(client, &to), wait(client, &known.id, "not-running"));
        let streams = Foreground {
            path: format!("/containers/{}", known.id),
            tty: to.tty,
            stdin,
            proxy: self.sig_proxy.unwrap_or(true),
            detach,
        };
        let running = streams.start(taken?)?;
        running.resize(client).await;
        until_end(client, running, wait?).await
    }
}

fn check_state(known: &Known) -> Result<(), Failure> {
    let state = &known.state;
    let why = match () {
        () if !state.running => "cannot attach to a stopped container, start it first",
        () if state.paused => "cannot attach to a paused container, unpause it first",
        () if state.restarting => "cannot attach to a restarting container, wait until it is running",
        () => return Ok(()),
    };
    Err(Failure::said(why))
}

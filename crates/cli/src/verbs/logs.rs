//! `logs`: what a container has said.

use api::client::{Payload, encode, query};
use clap::Args;
use http::Method;

use super::start::known;
use super::switch;
use crate::grammar::{About, Needs};
use crate::session::{Session, point_in_time};
use crate::show::write_all;
use crate::stream::frames::{Frames, Target};
use crate::words::{Outcome, Verb};

/// Prints a container's logs.
#[derive(Debug, Args)]
pub struct Logs {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since a time stamp or a duration ago (e.g. "2013-01-02T13:23:37Z" or "42m")
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show time stamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a time stamp or a duration ago
    #[arg(long, value_name = "string")]
    until: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Logs {
    const ABOUT: About = About {
        name: "logs",
        usage: "[OPTIONS] CONTAINER",
        does: "Fetch the logs of a container",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let name = &self.operands[0];
        let since = self.since.as_deref().map(point_in_time).transpose()?;
        let until = self.until.as_deref().map(point_in_time).transpose()?;
        let path = query(
            &format!("/containers/{}/logs", encode(name)),
            &[
                ("stdout", Some("1")),
                ("stderr", Some("1")),
                ("details", switch(self.details)),
                ("follow", switch(self.follow)),
                ("since", since.as_deref()),
                ("until", until.as_deref()),
                ("timestamps", switch(self.timestamps)),
                ("tail", Some(&self.tail)),
            ],
        );
        let mut answer = session.client().call(Method::GET, &path, Payload::Empty).await?;
        let framed = match answer.header("content-type") {
            Some("application/vnd.docker.multiplexed-stream") => true,
            // Engines before API 1.42 call both kinds raw; only the container's settings tell.
            _ => !known(session, name).await?.config.tty,
        };
        let mut frames = Frames::default();
        while let Some(bytes) = answer.chunk().await? {
            match framed {
                false => write_all(rustix::stdio::stdout(), &bytes)?,
                true => frames.feed(&bytes, |target, payload| match target {
                    Target::Stdout => write_all(rustix::stdio::stdout(), payload),
                    Target::Stderr => write_all(rustix::stdio::stderr(), payload),
                })?,
            }
        }
        Ok(0)
    }
}

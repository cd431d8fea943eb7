//! `pull`: an image from a registry, through the engine.

use api::client::{Payload, query};
use clap::Args;
use http::Method;

use super::tag::split;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::human;
use crate::show::print;
use crate::show::progress::{Progress, To};
use crate::words::{Outcome, Verb};

/// Pulls an image.
#[derive(Debug, Args)]
pub struct Pull {
    /// Platform of the image
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Pull {
    const ABOUT: About = About {
        name: "pull",
        usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
        does: "Download an image from a registry",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let to = if self.quiet { To::Nowhere } else { To::Stdout };
        pull(session, &self.operands[0], self.platform.as_deref(), to).await?;
        print(format!("{}\n", human::familiar_name(&self.operands[0])))?;
        Ok(0)
    }
}

/// Pulls for a command whose stdout is for something else.
pub(super) async fn to_stderr(
    session: &Session,
    image: &str,
    platform: Option<&str>,
    quiet: bool,
) -> Result<(), Failure> {
    pull(session, image, platform, if quiet { To::Nowhere } else { To::Stderr }).await
}

async fn pull(session: &Session, image: &str, platform: Option<&str>, to: To) -> Result<(), Failure> {
    let (name, tag) = split(image);
    let path = query(
        "/images/create",
        &[("fromImage", Some(name)), ("tag", Some(tag.unwrap_or("latest"))), ("platform", platform)],
    );
    let mut answer = session.client().call(Method::POST, &path, Payload::Empty).await?;
    let mut progress = Progress::new(to);
    while let Some(line) = answer.line().await? {
        progress.line(&line)?;
    }
    progress.clear();
    Ok(())
}

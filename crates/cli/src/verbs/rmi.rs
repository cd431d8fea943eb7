//! `rmi`: images and their names go away.

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::switch;
use super::tag::in_path;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, print};
use crate::words::{Outcome, Verb};

/// Removes images.
#[derive(Debug, Args)]
pub struct Rmi {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    /// Remove only this platform of the image
    #[arg(long, value_name = "string", hide = true)]
    platform: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Removed {
    untagged: String,
    deleted: String,
}

impl Removed {
    pub(super) fn line(&self) -> String {
        match self.deleted.is_empty() {
            true => format!("Untagged: {}\n", self.untagged),
            false => format!("Deleted: {}\n", self.deleted),
        }
    }
}

impl Verb for Rmi {
    const ABOUT: About = About {
        name: "rmi",
        usage: "[OPTIONS] IMAGE [IMAGE...]",
        does: "Remove one or more images",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let mut code = 0;
        for name in &self.operands {
            let path = query(
                &format!("/images/{}", in_path(name)),
                &[("force", switch(self.force)), ("noprune", switch(self.no_prune))],
            );
            match remove(session, &path).await {
                Ok(text) => print(text)?,
                Err(failure) => {
                    complain(&failure.to_string());
                    // As docker: with --force an image that is not there is not an error.
                    code = if self.force && failure.status() == Some(404) { code } else { 1 };
                }
            }
        }
        Ok(code)
    }
}

async fn remove(session: &Session, path: &str) -> Result<String, Failure> {
    let removed: Vec<Removed> = session.client().call(Method::DELETE, path, Payload::Empty).await?.json().await?;
    Ok(removed.iter().map(Removed::line).collect())
}

//! `rmi`: images and their names go away.

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::switch;
use super::tag::in_path;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::platform::Platform;
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
    /// Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    platform: Vec<String>,
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

    /// As a prune shows it.
    pub(super) fn pruned_line(&self) -> String {
        match self.untagged.is_empty() {
            true => format!("deleted: {}\n", self.deleted),
            false => format!("untagged: {}\n", self.untagged),
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
        let platforms: Vec<String> =
            self.platform.iter().map(|text| Ok(Platform::parse(text)?.json())).collect::<Result<_, Failure>>()?;
        let mut pairs = vec![("force", switch(self.force)), ("noprune", switch(self.no_prune))];
        pairs.extend(platforms.iter().map(|json| ("platforms", Some(json.as_str()))));
        let mut failures = Vec::new();
        for name in &self.operands {
            match remove(session, &query(&format!("/images/{}", in_path(name)), &pairs)).await {
                Ok(text) => print(text)?,
                Err(failure) => failures.push(failure),
            }
        }
        failures.iter().for_each(|failure| complain(&failure.to_string()));
        // As docker: with --force an image that is not there is not an error.
        let forgiven = |failure: &Failure| self.force && failure.status() == Some(404);
        Ok(u8::from(!failures.iter().all(forgiven)))
    }
}

async fn remove(session: &Session, path: &str) -> Result<String, Failure> {
    let removed: Vec<Removed> = session.client().call(Method::DELETE, path, Payload::Empty).await?.json().await?;
    Ok(removed.iter().map(Removed::line).collect())
}

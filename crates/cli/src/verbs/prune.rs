//! `container prune` and `image prune`: what nobody uses goes away.

use std::io::BufRead;

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::filters;
use super::rmi::Removed;
use crate::failure::Failure;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{human, print};
use crate::words::{Outcome, Verb};

/// Removes stopped containers.
#[derive(Debug, Args)]
pub struct Containers {
    /// Only remove what matches (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes unused images.
#[derive(Debug, Args)]
pub struct Images {
    /// Remove all unused images, not just those without a name
    #[arg(short, long)]
    all: bool,
    /// Only remove what matches (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    force: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Pruned {
    containers_deleted: Option<Vec<String>>,
    images_deleted: Option<Vec<Removed>>,
    space_reclaimed: i64,
}

impl Verb for Containers {
    const ABOUT: About = About {
        name: "container prune",
        usage: "[OPTIONS]",
        does: "Remove all stopped containers",
        needs: Needs::None,
    };

    async fn run(self, session: &Session) -> Outcome {
        confirm("This will remove all stopped containers.", self.force)?;
        let pruned = prune(session, "/containers/prune", &self.filter).await?;
        let deleted = pruned.containers_deleted.unwrap_or_default();
        let mut text = String::new();
        if !deleted.is_empty() {
            text = format!("Deleted Containers:\n{}\n\n", deleted.join("\n"));
        }
        print(text + &reclaimed(pruned.space_reclaimed))?;
        Ok(0)
    }
}

impl Verb for Images {
    const ABOUT: About =
        About { name: "image prune", usage: "[OPTIONS]", does: "Remove unused images", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let warning = match self.all {
            true => "This will remove all images without at least one container associated to them.",
            false => "This will remove all dangling images.",
        };
        confirm(warning, self.force)?;
        let mut typed = self.filter;
        typed.push(("dangling".to_owned(), (!self.all).to_string()));
        let pruned = prune(session, "/images/prune", &typed).await?;
        let deleted = pruned.images_deleted.unwrap_or_default();
        let mut text = String::new();
        if !deleted.is_empty() {
            text = format!("Deleted Images:\n{}\n", deleted.iter().map(Removed::line).collect::<String>());
        }
        print(text + &reclaimed(pruned.space_reclaimed))?;
        Ok(0)
    }
}

async fn prune(session: &Session, path: &str, typed: &[(String, String)]) -> Result<Pruned, Failure> {
    let filters = filters(typed);
    let path = query(path, &[("filters", filters.as_deref())]);
    Ok(session.client().call(Method::POST, &path, Payload::Empty).await?.json().await?)
}

fn reclaimed(bytes: i64) -> String {
    format!("Total reclaimed space: {}\n", human::size(bytes, 4))
}

/// Asks before anything goes away.
fn confirm(warning: &str, force: bool) -> Result<(), Failure> {
    if force {
        return Ok(());
    }
    print(format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    match line.trim().to_lowercase().as_str() {
        "y" => Ok(()),
        _ => Err(Failure::Code(0)),
    }
}

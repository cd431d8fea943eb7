//! `network rm` and `network prune`.

use api::client::{Payload, encode};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::super::filters;
use crate::failure::Failure;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, print};
use crate::stream::prompt;
use crate::words::{Outcome, Verb};

/// Removes networks.
#[derive(Debug, Args)]
pub struct Remove {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Removes the networks that nobody uses.
#[derive(Debug, Args)]
pub struct Prune {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Report {
    networks_deleted: Option<Vec<String>>,
}

impl Verb for Remove {
    const ABOUT: About = About {
        name: "network rm",
        usage: "NETWORK [NETWORK...]",
        does: "Remove one or more networks",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let mut failed = false;
        for name in &self.operands {
            let path = format!("/networks/{}", encode(name));
            match session.client().call(Method::DELETE, &path, Payload::Empty).await {
                Ok(_) => print(format!("{name}\n"))?,
                Err(error) => {
                    let failure = Failure::from(error);
                    if self.force && failure.status() == Some(404) {
                        continue;
                    }
                    complain(&failure.to_string());
                    failed = true;
                }
            }
        }
        Ok(u8::from(failed))
    }
}

impl Verb for Prune {
    const ABOUT: About =
        About { name: "network prune", usage: "[OPTIONS]", does: "Remove all unused networks", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let warning = "WARNING! This will remove all custom networks not used by at least one container.";
        if !self.force && !prompt::confirmed(&format!("{warning}\nAre you sure you want to continue?"))? {
            return Err(Failure::Code(0));
        }
        let filters = filters(&self.filter);
        let path = api::client::query("/networks/prune", &[("filters", filters.as_deref())]);
        let report: Report = session.client().call(Method::POST, &path, Payload::Empty).await?.json().await?;
        if let Some(names) = report.networks_deleted.filter(|names| !names.is_empty()) {
            print(format!("Deleted Networks:\n{}\n\n", names.join("\n")))?;
        }
        Ok(0)
    }
}

//! `network rm` and `network prune`.

use api::client::{Payload, encode};
use clap::Args;
use http::Method;

use super::super::prune::{Pruned, ask, confirm};
use crate::failure::Failure;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, print};
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
        confirm("This will remove all custom networks not used by at least one container.", self.force)?;
        print(Pruned::of(ask(session, "/networks/prune", &self.filter).await?).text())?;
        Ok(0)
    }
}

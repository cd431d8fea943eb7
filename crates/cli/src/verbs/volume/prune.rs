//! `volume prune`

use clap::Args;

use super::super::prune::{Pruned, ask, confirm, reclaimed};
use crate::failure::Failure;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Removes volumes that nobody uses.
#[derive(Debug, Args)]
pub struct Prune {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<label>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

impl Verb for Prune {
    const ABOUT: About =
        About { name: "volume prune", usage: "[OPTIONS]", does: "Remove unused local volumes", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let mut filters = self.filter;
        if self.all && filters.iter().any(|(key, _)| key == "all") {
            return Err(Failure::said("conflicting options: cannot specify both --all and --filter all=1"));
        }
        let which = if self.all { "all" } else { "anonymous" };
        confirm(&format!("This will remove {which} local volumes not used by at least one container."), self.force)?;
        filters.extend(self.all.then(|| ("all".to_owned(), "true".to_owned())));
        let pruned = Pruned::of(ask(session, "/volumes/prune", &filters).await?);
        print(pruned.text() + &reclaimed(pruned.bytes()))?;
        Ok(0)
    }
}

//! `top`: the processes of a container; without one, what all containers use.

use api::client::{encode, query};
use clap::Args;
use serde::Deserialize;

use super::monitor::Monitor;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::listing::aligned_to;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Lists the processes of a container.
#[derive(Debug, Args)]
pub struct Top {
    /// Show what all containers use, again and again, as 'dhow monitor' does
    #[arg(long)]
    live: bool,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    operands: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Processes {
    #[serde(default)]
    titles: Vec<String>,
    #[serde(default)]
    processes: Option<Vec<Vec<String>>>,
}

impl Verb for Top {
    const ABOUT: About = About {
        name: "top",
        usage: "[CONTAINER [ps OPTIONS]]",
        does: "Display the running processes of a container\nWithout one, what all containers use is shown, as 'dhow monitor' does.",
        needs: Needs::AtLeast(0),
    };

    async fn run(self, session: &Session) -> Outcome {
        if self.live || self.operands.is_empty() {
            return Monitor::default().run(session).await;
        }
        let options = (self.operands.len() > 1).then(|| self.operands[1..].join(" "));
        let path = query(&format!("/containers/{}/top", encode(&self.operands[0])), &[("ps_args", options.as_deref())]);
        let answer: Processes = session.client().get(&path).await?;
        let mut text = answer.titles.join("\t") + "\n";
        for process in answer.processes.iter().flatten() {
            text.push_str(&process.join("\t"));
            text.push('\n');
        }
        // docker sets wider columns here.
        print(aligned_to(&text, 20))?;
        Ok(0)
    }
}

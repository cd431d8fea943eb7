//! `checkpoint create`, `ls` and `rm`: a container's processes in files, from which `start --checkpoint` goes on.

use api::client::{Payload, encode, query};
use api::types::{CheckpointCreate, CheckpointSummary};
use clap::Args;
use http::Method;

use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Makes a checkpoint.
#[derive(Debug, Args)]
pub struct Create {
    /// Use a custom checkpoint storage directory
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    checkpoint_dir: String,
    /// Leave the container running after checkpoint
    #[arg(long)]
    leave_running: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Lists checkpoints.
#[derive(Debug, Args)]
pub struct List {
    /// Use a custom checkpoint storage directory
    #[arg(long, value_name = "string")]
    checkpoint_dir: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Deletes a checkpoint.
#[derive(Debug, Args)]
pub struct Remove {
    /// Use a custom checkpoint storage directory
    #[arg(long, value_name = "string")]
    checkpoint_dir: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

fn path(container: &str) -> String {
    format!("/containers/{}/checkpoints", encode(container))
}

impl Verb for Create {
    const ABOUT: About = About {
        name: "checkpoint create",
        usage: "[OPTIONS] CONTAINER CHECKPOINT",
        does: "Create a checkpoint from a running container",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let [container, name] = [&self.operands[0], &self.operands[1]];
        let asked = CheckpointCreate {
            checkpoint_id: name.clone(),
            checkpoint_dir: self.checkpoint_dir.clone(),
            exit: !self.leave_running,
        };
        session.client().post(&path(container), api::client::json(&asked)?).await?;
        print(format!("{name}\n"))?;
        Ok(0)
    }
}

impl Verb for List {
    const ABOUT: About = About {
        name: "checkpoint ls",
        usage: "[OPTIONS] CONTAINER",
        does: "List checkpoints for a container",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = query(&path(&self.operands[0]), &[("dir", self.checkpoint_dir.as_deref())]);
        let all: Vec<CheckpointSummary> = session.client().get(&path).await?;
        let rows: Vec<Row> = all
            .into_iter()
            .map(|one| Row { fields: [("Name", one.name)].into(), labels: Default::default() })
            .collect();
        let columns = Columns { headings: &[("Name", "CHECKPOINT NAME")], shown: vec!["Name"], quiet: "Name" };
        print(render(&columns, &rows, "", false)?)?;
        Ok(0)
    }
}

impl Verb for Remove {
    const ABOUT: About = About {
        name: "checkpoint rm",
        usage: "[OPTIONS] CONTAINER CHECKPOINT",
        does: "Remove a checkpoint",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = format!("{}/{}", path(&self.operands[0]), encode(&self.operands[1]));
        let path = query(&path, &[("dir", self.checkpoint_dir.as_deref())]);
        session.client().call(Method::DELETE, &path, Payload::Empty).await?;
        Ok(0)
    }
}

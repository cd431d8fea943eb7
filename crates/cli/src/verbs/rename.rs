//! `rename`: another name for a container.

use api::client::{Payload, encode, query};
use clap::Args;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::words::{Outcome, Verb};

/// Renames a container.
#[derive(Debug, Args)]
pub struct Rename {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Rename {
    const ABOUT: About =
        About { name: "rename", usage: "CONTAINER NEW_NAME", does: "Rename a container", needs: Needs::Exactly(2) };

    async fn run(self, session: &Session) -> Outcome {
        let [old, new] = [self.operands[0].trim(), self.operands[1].trim()];
        if old.is_empty() || new.is_empty() {
            return Err(Failure::said("Error: Neither old nor new names may be empty"));
        }
        let path = query(&format!("/containers/{}/rename", encode(old)), &[("name", Some(new))]);
        session.client().post(&path, Payload::Empty).await?;
        Ok(0)
    }
}

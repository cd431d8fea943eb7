//! `volume rm`

use api::client::{Payload, encode, query};
use clap::Args;
use http::Method;

use super::super::switch;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{complain, print};
use crate::words::{Outcome, Verb};

/// Removes volumes.
#[derive(Debug, Args)]
pub struct Remove {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Remove {
    const ABOUT: About = About {
        name: "volume rm",
        usage: "[OPTIONS] VOLUME [VOLUME...]",
        does: "Remove one or more volumes\n\nYou cannot remove a volume that is in use by a container.",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let mut code = 0;
        for name in &self.operands {
            let path = query(&format!("/volumes/{}", encode(name)), &[("force", switch(self.force))]);
            match session.client().call(Method::DELETE, &path, Payload::Empty).await {
                Ok(answer) => {
                    answer.bytes().await?;
                    print(format!("{name}\n"))?;
                }
                Err(cause) => {
                    complain(&Failure::from(cause).to_string());
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}

//! `volume create`, and this engine's own `volume clone` and `volume rename`.

use api::client::{Payload, encode, query};
use api::types::{Texts, VolumeCreate, VolumeSummary};
use clap::Args;
use http::Method;

use crate::failure::Failure;
use crate::grammar::values::label;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Makes a volume.
#[derive(Debug, Args)]
pub struct Create {
    /// Specify volume driver name
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list", value_parser = label)]
    label: Vec<String>,
    #[arg(long, hide = true, default_value = "", hide_default_value = true)]
    name: String,
    /// Set driver specific options
    #[arg(short = 'o', long = "opt", value_name = "map")]
    opt: Vec<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Copies a volume.
#[derive(Debug, Args)]
pub struct Clone {
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Renames a volume.
#[derive(Debug, Args)]
pub struct Rename {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Create {
    const ABOUT: About = About {
        name: "volume create",
        usage: "[OPTIONS] [VOLUME]",
        does: "Create a volume",
        needs: Needs::Between(0, 1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let name = match self.operands.into_iter().next() {
            Some(_) if !self.name.is_empty() => {
                let text =
                    "conflicting options: cannot specify a volume-name through both --name and as a positional arg";
                return Err(Failure::said(text));
            }
            Some(name) => name,
            None => self.name,
        };
        let asked = VolumeCreate {
            name,
            driver: self.driver,
            driver_opts: pairs(&self.opt),
            labels: pairs(&self.label),
            cluster_volume_spec: None,
        };
        let payload = api::client::json(&asked)?;
        let made: VolumeSummary = session.client().call(Method::POST, "/volumes/create", payload).await?.json().await?;
        print(format!("{}\n", made.name))?;
        Ok(0)
    }
}

impl Verb for Clone {
    const ABOUT: About = About {
        name: "volume clone",
        usage: "VOLUME NEW_NAME",
        does: "Copy a volume, sharing its blocks where the file system can\n\n\
               Files that a container writes meanwhile are copied in the state they have at that moment:\n\
               stop it for a copy of one instant.",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        name_anew(session, &self.operands, "clone").await
    }
}

impl Verb for Rename {
    const ABOUT: About = About {
        name: "volume rename",
        usage: "VOLUME NEW_NAME",
        does: "Rename a volume; containers that have it keep it",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        name_anew(session, &self.operands, "rename").await
    }
}

async fn name_anew(session: &Session, words: &[String], verb: &str) -> Outcome {
    let [name, new] = words else { return Ok(1) };
    let path = query(&format!("/volumes/{}/{verb}", encode(name)), &[("name", Some(new))]);
    let made: VolumeSummary = session.client().call(Method::POST, &path, Payload::Empty).await?.json().await?;
    print(format!("{}\n", made.name))?;
    Ok(0)
}

/// `KEY=VALUE`, or `KEY` with an empty value.
fn pairs(texts: &[String]) -> Texts {
    let split = |text: &String| match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    };
    texts.iter().map(split).collect()
}

//! `create`, and the making of a container that `run` shares.

use std::fs::File;
use std::io::Write;

use api::client::{Payload, query};
use clap::Args;
use http::Method;

use super::pull;
use crate::failure::Failure;
use crate::grammar::container::ContainerFlags;
use crate::grammar::{About, Needs};
use crate::plan::{Plan, Surroundings, plan};
use crate::session::Session;
use crate::show::{complain, human, print};
use crate::stream::terminal;
use crate::words::{Outcome, Verb};

/// Makes a container without starting it.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    flags: ContainerFlags,
}

impl Verb for Create {
    const ABOUT: About = About {
        name: "create",
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        does: "Create a new container",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let plan = planned("create", &self.flags, false)?;
        let id = make(session, &self.flags, &plan).await?;
        print(format!("{id}\n"))?;
        Ok(0)
    }
}

/// The plan for what was typed here.
pub(super) fn planned(verb: &'static str, flags: &ContainerFlags, detach: bool) -> Result<Plan, Failure> {
    let around = Surroundings {
        variable: &|name| std::env::var(name).ok(),
        folder: std::env::current_dir().unwrap_or_default(),
        console: terminal::size(),
    };
    plan(flags, detach, &around).map_err(|cause| Failure::Container { verb, cause, code: 125 })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

/// Asks for the container, after a pull if the image is missing; says the engine's warnings; returns the id.
pub(super) async fn make(session: &Session, flags: &ContainerFlags, plan: &Plan) -> Result<String, Failure> {
    let mut id_file = flags.cidfile.as_deref().filter(|path| !path.is_empty()).map(IdFile::new).transpose()?;
    if flags.pull == "always" {
        pull::to_stderr(session, &plan.image, plan.platform.as_deref(), flags.quiet).await?;
    }
    let created = match request(session, plan).await {
        Err(failure) if flags.pull == "missing" && is_missing_image(&failure) => {
            if !flags.quiet {
                complain(&format!("Unable to find image '{}' locally", human::familiar_name(&plan.image)));
            }
            pull::to_stderr(session, &plan.image, plan.platform.as_deref(), flags.quiet).await?;
            request(session, plan).await?
        }
        other => other?,
    };
    for warning in created.warnings.iter().flatten() {
        complain(&format!("WARNING: {warning}"));
    }
    if let Some(file) = &mut id_file {
        file.write(&created.id)?;
    }
    Ok(created.id)
}

fn is_missing_image(failure: &Failure) -> bool {
    failure.status() == Some(404) && failure.to_string().to_lowercase().contains("no such image")
}

async fn request(session: &Session, plan: &Plan) -> Result<Created, Failure> {
    let path = query("/containers/create", &[("name", plan.name.as_deref()), ("platform", plan.platform.as_deref())]);
    let body = Payload::Json(plan.body.to_string().into());
    Ok(session.client().call(Method::POST, &path, body).await?.json().await?)
}

/// The file of `--cidfile`: made before the container, removed again unless an id was written.
struct IdFile {
    path: String,
    file: File,
    written: bool,
}

impl IdFile {
    fn new(path: &str) -> Result<IdFile, Failure> {
        match File::create_new(path) {
            Ok(file) => Ok(IdFile { path: path.to_owned(), file, written: false }),
            Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::said(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            ))),
            Err(cause) => Err(Failure::said(format!("failed to create the container ID file: {cause}"))),
        }
    }

    fn write(&mut self, id: &str) -> Result<(), Failure> {
        let path = &self.path;
        self.file.write_all(id.as_bytes()).map_err(|cause| {
            Failure::said(format!("failed to write the container ID ({id}) to file {path}: {cause}"))
        })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

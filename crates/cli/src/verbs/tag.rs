//! `tag`: another name for an image.

use api::client::{Payload, query};
use clap::Args;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::names::Named;
use crate::session::Session;
use crate::words::{Outcome, Verb};

/// Names an image.
#[derive(Debug, Args)]
pub struct Tag {
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Tag {
    const ABOUT: About = About {
        name: "tag",
        usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        does: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        needs: Needs::Exactly(2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = self.path()?;
        session.client().post(&path, Payload::Empty).await?;
        Ok(0)
    }
}

impl Tag {
    fn path(&self) -> Result<String, Failure> {
        // docker's sentences begin with what is wrong and where.
        let wrong = |typed: &str, why: Failure| {
            Failure::said(format!("Error parsing reference: {typed:?} is not a valid repository/tag: {why}"))
        };
        let (source, target) = (self.operands[0].as_str(), self.operands[1].as_str());
        let named = Named::parse(target).map_err(|why| wrong(target, why))?;
        if named.digest.is_some() {
            return Err(Failure::said("refusing to create a tag with a digest reference"));
        }
        let tag = named.tag.as_deref().unwrap_or("latest");
        Ok(query(&format!("/images/{}/tag", in_path(source)), &[("repo", Some(&named.name())), ("tag", Some(tag))]))
    }
}

/// A reference's name and its tag or digest, if it has one.
pub(super) fn split(reference: &str) -> (&str, Option<&str>) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, Some(digest));
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference, None),
    }
}

/// A reference in a request's path: its slashes and colons stay as they are.
pub(super) fn in_path(reference: &str) -> String {
    reference
        .split('/')
        .map(|part| api::client::encode(part).replace("%3A", ":").replace("%40", "@"))
        .collect::<Vec<_>>()
        .join("/")
}

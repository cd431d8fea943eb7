//! `commit`: an image out of a container's changes.

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use crate::failure::Failure;
use crate::grammar::values::switch;
use crate::grammar::{About, Needs};
use crate::names::Named;
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Commits a container.
#[derive(Debug, Args)]
pub struct Commit {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string")]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Pause container during commit (default true)
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "")]
    pause: Option<bool>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Committed {
    id: String,
}

impl Verb for Commit {
    const ABOUT: About = About {
        name: "commit",
        usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        does: "Create a new image from a container's changes",
        needs: Needs::Between(1, 2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = self.path()?;
        let committed: Committed = session.client().call(Method::POST, &path, Payload::Empty).await?.json().await?;
        print(format!("{}\n", committed.id))?;
        Ok(0)
    }
}

impl Commit {
    fn path(&self) -> Result<String, Failure> {
        let container = self.operands[0].as_str();
        if container.trim_matches('/').is_empty() {
            return Err(Failure::said("invalid container name or ID: value is empty"));
        }
        let target = match self.operands.get(1).filter(|name| !name.is_empty()) {
            Some(name) => target(name)?,
            None => (String::new(), String::new()),
        };
        let mut pairs = vec![
            ("container", Some(container)),
            ("repo", Some(target.0.as_str())),
            ("tag", Some(target.1.as_str())),
            ("comment", Some(self.message.as_deref().unwrap_or_default())),
            ("author", Some(self.author.as_deref().unwrap_or_default())),
        ];
        pairs.extend(self.change.iter().map(|change| ("changes", Some(change.as_str()))));
        pairs.push(("pause", (self.pause == Some(false)).then_some("0")));
        Ok(query("/commit", &pairs))
    }
}

/// Repository and tag of the new image.
fn target(name: &str) -> Result<(String, String), Failure> {
    let named = Named::parse(name)?;
    if named.digest.is_some() {
        return Err(Failure::said("refusing to create a tag with a digest reference"));
    }
    Ok((named.name(), named.tag.unwrap_or_else(|| "latest".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<String, Failure> {
        let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        crate::grammar::parse::<Commit>(&Commit::ABOUT, &words)?.path()
    }

    #[test]
    fn a_commit_is_asked_for_as_docker_asks() {
        assert_eq!(
            asked(&["c", "localhost:5000/a/b"]).expect("a path"),
            "/commit?container=c&repo=localhost%3A5000%2Fa%2Fb&tag=latest&comment=&author="
        );
        assert_eq!(
            asked(&["-m", "m", "-a", "me", "-c", "CMD x", "-c", "ENV a=b", "--pause=false", "c", "x:1"])
                .expect("a path"),
            "/commit?container=c&repo=docker.io%2Flibrary%2Fx&tag=1&comment=m&author=me&changes=CMD%20x&changes=ENV%20a%3Db&pause=0"
        );
        assert_eq!(asked(&["-p", "c"]).expect("a path"), "/commit?container=c&repo=&tag=&comment=&author=");
        let digest = format!("x@sha256:{}", "0".repeat(64));
        assert_eq!(
            asked(&["c", &digest]).expect_err("a digest").to_string(),
            "refusing to create a tag with a digest reference"
        );
    }
}

//! `pull`: an image from a registry, through the engine.

use api::client::{Payload, query};
use clap::Args;
use http::Method;

use crate::credentials;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::names::Named;
use crate::session::Session;
use crate::show::print;
use crate::show::progress::{Progress, To};
use crate::words::{Outcome, Verb};

/// Pulls an image.
#[derive(Debug, Args)]
pub struct Pull {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Pull {
    const ABOUT: About = About {
        name: "pull",
        usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
        does: "Download an image from a registry",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let named = wanted(&self.operands[0], self.all_tags, self.quiet)?;
        let to = if self.quiet { To::Nowhere } else { To::Stdout };
        let default = std::env::var("DOCKER_DEFAULT_PLATFORM").ok();
        pull(session, &named, self.platform.as_deref().or(default.as_deref()), to).await?;
        print(format!("{}\n", named.full()))?;
        Ok(0)
    }
}

/// The name that a pull or push is about: all tags of a repository, or one, which is `latest` unless said otherwise.
pub(super) fn wanted(typed: &str, all_tags: bool, quiet: bool) -> Result<Named, Failure> {
    let mut named = Named::parse(typed)?;
    match (all_tags, named.is_name_only()) {
        (true, false) => return Err(Failure::said("tag can't be used with --all-tags/-a")),
        (false, true) => {
            named.tag = Some("latest".to_owned());
            if !quiet {
                print("Using default tag: latest\n")?;
            }
        }
        _ => {}
    }
    Ok(named)
}

/// Pulls for a command whose stdout is for something else.
pub(super) async fn to_stderr(
    session: &Session,
    image: &str,
    platform: Option<&str>,
    quiet: bool,
) -> Result<(), Failure> {
    let mut named = Named::parse(image)?;
    if named.is_name_only() {
        named.tag = Some("latest".to_owned());
    }
    pull(session, &named, platform, if quiet { To::Nowhere } else { To::Stderr }).await
}

/// Pulls one image, or all of a repository if the name has no tag. Ending this program cancels it.
async fn pull(session: &Session, named: &Named, platform: Option<&str>, to: To) -> Result<(), Failure> {
    let name = named.name();
    let platform = platform.filter(|text| !text.is_empty()).map(str::to_lowercase);
    let path = query(
        "/images/create",
        &[("fromImage", Some(&name)), ("tag", named.version()), ("platform", platform.as_deref())],
    );
    let header = credentials::header(session, &named.domain);
    let mut progress = Progress::new(to);
    let headers = [(credentials::HEADER, header.as_str())];
    let call = session.client().call_with(Method::POST, &path, Payload::Empty, &headers);
    let answer = progress.during(call).await?;
    progress.follow(answer).await?;
    Ok(())
}

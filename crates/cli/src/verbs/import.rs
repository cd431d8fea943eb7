//! `import`: an image out of a tarball of a root file system.

use api::client::{Payload, query};
use clap::Args;
use http::Method;

use super::load::{Shown, Source, send};
use super::tag::split;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::progress::{Progress, To};
use crate::stream::terminal;
use crate::words::{Outcome, Verb};

/// Imports a root file system.
#[derive(Debug, Args)]
pub struct Import {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Import {
    const ABOUT: About = About {
        name: "import",
        usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        does: "Import the contents from a tarball to create a filesystem image",
        needs: Needs::Between(1, 2),
    };

    async fn run(self, session: &Session) -> Outcome {
        let origin = self.operands[0].as_str();
        let source = match origin {
            "-" if terminal::stdin_is_terminal() => {
                return Err(Failure::said("requested import from stdin, but stdin is a terminal"));
            }
            "-" => Some(Source::stdin()),
            // The engine fetches it.
            url if url.starts_with("http://") || url.starts_with("https://") => None,
            path => Some(Source::file(path)?),
        };
        let (repository, tag) = self.operands.get(1).map_or((None, None), |name| {
            let (repository, tag) = split(name);
            (Some(repository), tag)
        });
        let mut pairs = vec![
            ("fromSrc", Some(if source.is_some() { "-" } else { origin })),
            ("repo", repository),
            ("tag", tag),
            ("message", self.message.as_deref()),
            ("platform", self.platform.as_deref()),
        ];
        pairs.extend(self.change.iter().map(|change| ("changes", Some(change.as_str()))));
        let path = query("/images/create", &pairs);
        match source {
            Some(source) => send(session, &path, source, Shown::Yes).await,
            None => {
                let mut progress = Progress::new(To::Stdout);
                let call = session.client().call(Method::POST, &path, Payload::Empty);
                let answer = progress.during(call).await?;
                progress.follow(answer).await?;
                Ok(0)
            }
        }
    }
}

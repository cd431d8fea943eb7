//! `push`: an image to a registry, through the engine.

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde_json::Value;

use super::pull::wanted;
use super::tag::in_path;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::progress::{Progress, To};
use crate::show::{note, print};
use crate::words::{Outcome, Verb};
use crate::{credentials, platform};

/// Pushes an image.
#[derive(Debug, Args)]
pub struct Push {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    #[arg(long, hide = true)]
    disable_content_trust: bool,
    #[arg(long, help = PLATFORM_HELP, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

const PLATFORM_HELP: &str = "\
Push a platform-specific manifest as a single-platform image to the registry.
Image index won't be pushed, meaning that other manifests, including attestations won't be preserved.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)";

const ONE_PLATFORM: &str =
    "Using --platform pushes only the specified platform manifest of a multi-platform image index.
Other components, like attestations, will not be included.
To push the complete multi-platform image, remove the --platform flag.
";

impl Verb for Push {
    const ABOUT: About = About {
        name: "push",
        usage: "[OPTIONS] NAME[:TAG]",
        does: "Upload an image to a registry",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let platform = platform::asked(self.platform.as_deref())?;
        if platform.is_some() {
            print(note(ONE_PLATFORM))?;
        }
        let named = wanted(&self.operands[0], self.all_tags, self.quiet)?;
        let path = query(
            &format!("/images/{}/push", in_path(&named.name())),
            &[("tag", named.tag.as_deref()), ("platform", platform.as_deref())],
        );
        let header = credentials::header(session, &named.domain);
        let mut progress = Progress::new(if self.quiet { To::Nowhere } else { To::Stdout });
        let headers = [(credentials::HEADER, header.as_str())];
        let call = session.client().call_with(Method::POST, &path, Payload::Empty, &headers);
        let answer = progress.during(call).await?;
        let aux = progress.follow(answer).await?;
        if self.quiet {
            print(format!("{}\n", named.full()))?;
        }
        for text in aux.iter().filter_map(left_out) {
            print(note(&text))?;
        }
        Ok(0)
    }
}

/// What a push did not do, if the engine said so.
fn left_out(aux: &Value) -> Option<String> {
    if aux["manifestPushedInsteadOfIndex"] == true {
        let digest = |which: &str| aux[which]["digest"].as_str().unwrap_or_default().to_owned();
        return Some(format!(
            "Not all multiplatform-content is present and only the available single-platform image was pushed\n{} -> {}",
            digest("originalIndex"),
            digest("selectedManifest")
        ));
    }
    (aux["contentMissing"] == true).then(|| {
        "You're trying to push a manifest list/index whose platforms are not all available here or in the registry.\n\
         Pull what is missing and try again, or push one platform alone with the --platform flag."
            .to_owned()
    })
}

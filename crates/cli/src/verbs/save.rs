//! `save` and `export`: images, or the files of a container, as an archive.

use api::client::{Payload, encode, query};
use clap::Args;
use http::Method;

use super::sink::Sink;
use crate::grammar::{About, Needs};
use crate::platform;
use crate::session::Session;
use crate::words::{Outcome, Verb};

/// Saves images.
#[derive(Debug, Args)]
pub struct Save {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<String>,
    /// Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Exports a container.
#[derive(Debug, Args)]
pub struct Export {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Save {
    const ABOUT: About = About {
        name: "save",
        usage: "[OPTIONS] IMAGE [IMAGE...]",
        does: "Save one or more images to a tar archive (streamed to STDOUT by default)",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let platform = platform::asked(self.platform.as_deref())?;
        let sink = Sink::open(self.output.as_deref(), "failed to save image")?;
        let mut pairs: Vec<(&str, Option<&str>)> =
            self.operands.iter().map(|name| ("names", Some(name.as_str()))).collect();
        pairs.push(("platform", platform.as_deref()));
        let path = query("/images/get", &pairs);
        sink.take(session.client().call(Method::GET, &path, Payload::Empty).await?).await?;
        Ok(0)
    }
}

impl Verb for Export {
    const ABOUT: About = About {
        name: "export",
        usage: "[OPTIONS] CONTAINER",
        does: "Export a container's filesystem as a tar archive",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let sink = Sink::open(self.output.as_deref(), "failed to export container")?;
        let path = format!("/containers/{}/export", encode(&self.operands[0]));
        sink.take(session.client().call(Method::GET, &path, Payload::Empty).await?).await?;
        Ok(0)
    }
}

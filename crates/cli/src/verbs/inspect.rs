//! `inspect`: everything the engine knows of a thing, as JSON or through a template.

use api::client::{Payload, encode, query};
use clap::Args;
use futures_util::StreamExt;
use http::Method;

use super::switch;
use crate::failure::Failure;
use crate::grammar::{About, Needs, help};
use crate::platform;
use crate::session::Session;
use crate::show::template::{Functions, Template};
use crate::show::{complain, json, print};
use crate::words::{Outcome, Verb};

/// Shows things of any kind.
#[derive(Debug, Args)]
pub struct Inspect {
    #[arg(short, long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Only inspect things of this type
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    r#type: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Shows containers.
#[derive(Debug, Args)]
pub struct Container {
    #[arg(short, long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Shows images.
#[derive(Debug, Args)]
pub struct Image {
    #[arg(short, long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[arg(long, help = PLATFORM_HELP, value_name = "string")]
    platform: Option<String>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Shows networks.
#[derive(Debug, Args)]
pub struct Network {
    #[arg(short, long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Verbose output for diagnostics
    #[arg(short, long)]
    verbose: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

/// Shows volumes.
#[derive(Debug, Args)]
pub struct Volume {
    #[arg(short, long, help = help::FORMAT_ONE, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

const PLATFORM_HELP: &str = "\
Inspect a specific platform of the multi-platform image.
If the image or the server is not multi-platform capable, the command will error out if the platform does not match.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)";

/// Requests at once, each on a connection of its own: as many as keep the engine at work while answers are read.
const AT_ONCE: usize = 8;

/// A kind of thing: its name, where it is asked for, and docker's words for one that is not there.
struct Kind {
    name: &'static str,
    before: &'static str,
    after: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { name: "container", before: "/containers/", after: "/json" },
    Kind { name: "image", before: "/images/", after: "/json" },
    Kind { name: "network", before: "/networks/", after: "" },
    Kind { name: "volume", before: "/volumes/", after: "" },
];

impl Verb for Inspect {
    const ABOUT: About = About {
        name: "inspect",
        usage: "[OPTIONS] NAME|ID [NAME|ID...]",
        does: "Return low-level information on objects",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let kinds: Vec<&Kind> =
            KINDS.iter().filter(|kind| self.r#type.is_empty() || kind.name == self.r#type).collect();
        if kinds.is_empty() {
            return Err(Failure::said(format!(
                "unknown type: {:?}: must be one of \"container\", \"image\", \"network\", \"volume\"",
                self.r#type
            )));
        }
        show(session, &self.operands, &kinds, &self.format, &[("size", switch(self.size))]).await
    }
}

impl Verb for Container {
    const ABOUT: About = About {
        name: "container inspect",
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        does: "Display detailed information on one or more containers",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        show(session, &self.operands, &[&KINDS[0]], &self.format, &[("size", switch(self.size))]).await
    }
}

impl Verb for Image {
    const ABOUT: About = About {
        name: "image inspect",
        usage: "[OPTIONS] IMAGE [IMAGE...]",
        does: "Display detailed information on one or more images",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let platform = platform::asked(self.platform.as_deref())?;
        let more = [("platform", platform.as_deref())];
        show(session, &self.operands, &[&KINDS[1]], &self.format, &more).await
    }
}

impl Verb for Network {
    const ABOUT: About = About {
        name: "network inspect",
        usage: "[OPTIONS] NETWORK [NETWORK...]",
        does: "Display detailed information on one or more networks",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        show(session, &self.operands, &[&KINDS[2]], &self.format, &[("verbose", switch(self.verbose))]).await
    }
}

impl Verb for Volume {
    const ABOUT: About = About {
        name: "volume inspect",
        usage: "[OPTIONS] VOLUME [VOLUME...]",
        does: "Display detailed information on one or more volumes",
        needs: Needs::AtLeast(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        show(session, &self.operands, &[&KINDS[3]], &self.format, &[]).await
    }
}

/// What else is asked of a kind of thing.
type More<'a> = [(&'a str, Option<&'a str>)];

/// Prints all that was found, then what was not.
async fn show(session: &Session, names: &[String], kinds: &[&Kind], format: &str, more: &More<'_>) -> Outcome {
    let template = match format {
        "" | "json" => None,
        source => {
            let source = source.replace("\\t", "\t").replace("\\n", "\n");
            Some(Template::parse(&source, Functions::Working, true).map_err(Failure::Template)?)
        }
    };
    let mut found = Vec::new();
    let mut failures = Vec::new();
    let asked = futures_util::stream::iter(names).map(|name| find(session, name, kinds, more));
    let mut answers = std::pin::pin!(asked.buffered(AT_ONCE));
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(raw) => found.push(raw),
            Err(failure) => failures.push(failure),
        }
    }
    match &template {
        Some(template) => {
            for raw in &found {
                let value: serde_json::Value = serde_json::from_str(raw).map_err(api::client::Error::Malformed)?;
                print(template.render_json(&value).map_err(Failure::Said)? + "\n")?;
            }
        }
        None if format == "json" => print(json::compact(&format!("[{}]", found.join(","))) + "\n")?,
        None => print(json::indented(&format!("[{}]", found.join(",")), "    ", 0) + "\n")?,
    }
    for failure in &failures {
        complain(&failure.to_string());
    }
    Ok(u8::from(!failures.is_empty()))
}

/// The raw JSON of the first kind of thing that has this name.
async fn find(session: &Session, name: &str, kinds: &[&Kind], more: &More<'_>) -> Result<String, Failure> {
    let mut last = None;
    for kind in kinds {
        let more: Vec<_> = more.iter().filter(|(key, _)| *key != "size" || kind.name == "container").copied().collect();
        let path = query(&format!("{}{}{}", kind.before, encode(name), kind.after), &more);
        match session.client().call(Method::GET, &path, Payload::Empty).await {
            Ok(answer) => return Ok(String::from_utf8_lossy(&answer.bytes().await?).trim().to_owned()),
            Err(cause) if matches!(cause.status(), Some(404 | 501)) => last = Some(cause),
            Err(cause) => return Err(cause.into()),
        }
    }
    match (kinds, last) {
        ([_], Some(cause)) => Err(cause.into()),
        _ => Err(Failure::said(format!("Error: No such object: {name}"))),
    }
}

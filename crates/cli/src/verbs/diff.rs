//! `diff`: what a container changed in its image's files.

use api::client::encode;
use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Shows changes.
#[derive(Debug, Args)]
pub struct Diff {
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Change {
    path: String,
    kind: u8,
}

impl Verb for Diff {
    const ABOUT: About = About {
        name: "diff",
        usage: "CONTAINER",
        does: "Inspect changes to files or directories on a container's filesystem",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        if self.operands[0].is_empty() {
            return Err(Failure::said("Container name cannot be empty"));
        }
        let path = format!("/containers/{}/changes", encode(&self.operands[0]));
        let changes: Option<Vec<Change>> = session.client().get(&path).await?;
        print(changes.iter().flatten().map(Change::line).collect::<String>())?;
        Ok(0)
    }
}

impl Change {
    fn line(&self) -> String {
        let letter = match self.kind {
            0 => "C",
            1 => "A",
            2 => "D",
            _ => "",
        };
        format!("{letter} {}\n", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_letter_and_a_path() {
        let changes: Vec<Change> =
            serde_json::from_str(r#"[{"Path":"/etc","Kind":0},{"Path":"/a b","Kind":1},{"Path":"/c","Kind":2}]"#)
                .expect("changes");
        assert_eq!(changes.iter().map(Change::line).collect::<String>(), "C /etc\nA /a b\nD /c\n");
    }
}

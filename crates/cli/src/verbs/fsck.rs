//! `system fsck`: every blob and layer is read and verified again.

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::switch;
use crate::failure::Failure;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{human, print};
use crate::words::{Outcome, Verb};

/// Checks what the engine keeps.
#[derive(Debug, Args)]
pub struct Fsck {
    /// Repair what can be repaired, and drop what cannot
    #[arg(long)]
    mend: bool,
}

/// One line of the answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    status: String,
    report: Option<Report>,
    error: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    blobs: usize,
    layers: usize,
    bytes: i64,
    faults: Vec<Fault>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fault {
    what: String,
    wrong: String,
    mended: bool,
}

impl Verb for Fsck {
    const ABOUT: About = About {
        name: "system fsck",
        usage: "[OPTIONS]",
        does: "Verify every blob and layer that the engine keeps",
        needs: Needs::None,
    };

    async fn run(self, session: &Session) -> Outcome {
        let path = query("/system/fsck", &[("mend", switch(self.mend))]);
        let mut answer = session.client().call(Method::POST, &path, Payload::Empty).await?;
        let mut report = None;
        while let Some(line) = answer.line().await? {
            let line: Line = serde_json::from_slice(&line).map_err(api::client::Error::Malformed)?;
            if !line.error.is_empty() {
                return Err(Failure::said(line.error));
            }
            if !line.status.is_empty() {
                print(format!("{}\n", line.status))?;
            }
            report = line.report.or(report);
        }
        let report = report.ok_or_else(|| Failure::said("the engine ended the check without a report"))?;
        print(report.text())?;
        Ok(u8::from(report.faults.iter().any(|fault| !fault.mended)))
    }
}

impl Report {
    fn text(&self) -> String {
        let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let mut text: String = self.faults.iter().map(Fault::line).collect();
        let mended = self.faults.iter().filter(|fault| fault.mended).count();
        text.push_str(&format!(
            "Checked {}, {} and {}: ",
            counted(self.blobs, "blob"),
            counted(self.layers, "layer"),
            human::size(self.bytes, 4)
        ));
        text.push_str(&match (self.faults.len(), mended) {
            (0, _) => "no faults\n".to_owned(),
            (all, mended) if all == mended => format!("{} mended\n", counted(mended, "fault")),
            (all, 0) => format!("{}; 'dhow system fsck --mend' repairs what it can\n", counted(all, "fault")),
            (all, mended) => format!("{}, {mended} of them mended\n", counted(all, "fault")),
        });
        text
    }
}

impl Fault {
    fn line(&self) -> String {
        format!("{}: {}{}\n", self.what, self.wrong, if self.mended { " (mended)" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_and_what_was_done() {
        let read = |json: &str| serde_json::from_str::<Line>(json).expect("a line").report.expect("a report").text();
        assert_eq!(
            read(r#"{"report":{"blobs":3,"layers":1,"bytes":1500000,"faults":[]}}"#),
            "Checked 3 blobs, 1 layer and 1.5MB: no faults\n"
        );
        assert_eq!(
            read(
                r#"{"report":{"blobs":1,"layers":2,"bytes":10,"faults":[
                {"what":"blob sha256:00","wrong":"its content has another digest","mended":false},
                {"what":"layer sha256:11","wrong":"a file is missing","mended":true}]}}"#
            ),
            "blob sha256:00: its content has another digest\nlayer sha256:11: a file is missing (mended)\n\
             Checked 1 blob, 2 layers and 10B: 2 faults, 1 of them mended\n"
        );
    }
}

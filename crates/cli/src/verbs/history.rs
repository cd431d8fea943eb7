//! `history`: the steps an image was made in.

use api::client::query;
use clap::Args;
use serde::Deserialize;

use super::tag::in_path;
use crate::grammar::values::switch;
use crate::grammar::{About, Needs, help};
use crate::platform;
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::{human, print};
use crate::words::{Outcome, Verb};

/// Shows an image's history.
#[derive(Debug, Args)]
pub struct History {
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Print sizes and dates in human readable format (default true)
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "")]
    human: Option<bool>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Step {
    id: String,
    created: i64,
    created_by: String,
    size: i64,
    comment: String,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

impl Verb for History {
    const ABOUT: About = About {
        name: "history",
        usage: "[OPTIONS] IMAGE",
        does: "Show the history of an image",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let platform = platform::asked(self.platform.as_deref())?;
        let path =
            query(&format!("/images/{}/history", in_path(&self.operands[0])), &[("platform", platform.as_deref())]);
        let steps: Vec<Step> = session.client().get(&path).await?;
        let human = self.human.unwrap_or(true);
        let now = human::now();
        let rows: Vec<Row> = steps.iter().map(|step| step.row(human, !self.no_trunc, now)).collect();
        let since = if human { "CreatedSince" } else { "CreatedAt" };
        let columns =
            Columns { headings: HEADINGS, shown: vec!["ID", since, "CreatedBy", "Size", "Comment"], quiet: "ID" };
        print(render(&columns, &rows, &self.format, self.quiet)?)?;
        Ok(0)
    }
}

impl Step {
    fn row(&self, human: bool, truncate: bool, now: i64) -> Row {
        let id = if truncate { human::short_id(&self.id) } else { &self.id };
        let by = self.created_by.replace('\t', " ");
        let fields = [
            ("ID", id.to_owned()),
            ("CreatedSince", format!("{} ago", human::duration(now - self.created))),
            ("CreatedAt", human::stamp(self.created)),
            ("CreatedBy", if truncate { human::ellipsis(&by, 45) } else { by }),
            ("Size", if human { human::size(self.size, 3) } else { self.size.to_string() }),
            ("Comment", self.comment.clone()),
        ];
        Row { fields: fields.into(), ..Row::default() }
    }
}

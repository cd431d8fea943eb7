//! `images`: the list of images.

use std::collections::BTreeMap;

use api::client::query;
use clap::Args;
use serde::Deserialize;

use super::{filters, switch, tree};
use crate::failure::Failure;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs, help};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::{human, print};
use crate::words::{Outcome, Verb};

/// Lists images.
#[derive(Debug, Args)]
pub struct Images {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// List multi-platform images as a tree (EXPERIMENTAL)
    #[arg(long)]
    tree: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Summary {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: i64,
    pub(super) size: i64,
    pub(super) shared_size: i64,
    pub(super) containers: i64,
    labels: Option<BTreeMap<String, String>>,
}

pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

impl Verb for Images {
    const ABOUT: About = About {
        name: "images",
        usage: "[OPTIONS] [REPOSITORY[:TAG]]",
        does: "List images",
        needs: Needs::Between(0, 1),
    };

    async fn run(self, session: &Session) -> Outcome {
        let mut typed = self.filter;
        typed.extend(self.operands.into_iter().map(|name| ("reference".to_owned(), name)));
        let filters = filters(&typed);
        let mut pairs = vec![("all", switch(self.all)), ("filters", filters.as_deref())];
        if self.tree {
            alone(&[("--quiet", self.quiet), ("--no-trunc", self.no_trunc), ("--show-digest", self.digests)])?;
            alone(&[("--format", !self.format.is_empty())])?;
            pairs.push(("manifests", Some("1")));
            let found = session.client().get(&query("/images/json", &pairs)).await?;
            print(tree::render(found, self.all, tree::Paper::here()))?;
            return Ok(0);
        }
        let path = query("/images/json", &pairs);
        let found: Vec<Summary> = session.client().get(&path).await?;
        let digests = self.digests || self.format.contains(".Digest");
        let now = human::now();
        let mut rows: Vec<Row> = Vec::new();
        for summary in &found {
            rows.extend(summary.rows(digests, !self.no_trunc, now));
        }
        let shown = match self.digests {
            true => vec!["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"],
            false => vec!["Repository", "Tag", "ID", "CreatedSince", "Size"],
        };
        let columns = Columns { headings: HEADINGS, shown, quiet: "ID" };
        print(render(&columns, &rows, &self.format, self.quiet)?)?;
        Ok(0)
    }
}

/// Refuses the first flag that is set.
fn alone(flags: &[(&str, bool)]) -> Result<(), Failure> {
    match flags.iter().find(|(_, set)| *set) {
        Some((flag, _)) => Err(Failure::said(format!("{flag} is not yet supported with --tree"))),
        None => Ok(()),
    }
}

const NONE: &str = "<none>";

impl Summary {
    /// One row for each name; without any, one for each digest, or one that has none.
    fn rows(&self, digests: bool, truncate: bool, now: i64) -> Vec<Row> {
        let tags: Vec<&str> =
            self.repo_tags.iter().flatten().map(String::as_str).filter(|tag| *tag != "<none>:<none>").collect();
        let known: Vec<(&str, &str)> = self
            .repo_digests
            .iter()
            .flatten()
            .filter_map(|text| text.split_once('@'))
            .filter(|(name, _)| *name != NONE)
            .collect();
        let mut names: Vec<(String, String, String)> = Vec::new();
        for tag in &tags {
            let (repository, tag) = tag.rsplit_once(':').unwrap_or((tag, NONE));
            let of_it: Vec<&str> = known.iter().filter(|(name, _)| *name == repository).map(|(_, d)| *d).collect();
            let shown = if digests && !of_it.is_empty() { of_it } else { vec![NONE] };
            names.extend(shown.into_iter().map(|d| (repository.to_owned(), tag.to_owned(), d.to_owned())));
        }
        if names.is_empty() {
            names.extend(known.iter().map(|(name, d)| ((*name).to_owned(), NONE.to_owned(), (*d).to_owned())));
        }
        if names.is_empty() {
            names.push((NONE.to_owned(), NONE.to_owned(), NONE.to_owned()));
        }
        names.into_iter().map(|name| self.row(name, truncate, now)).collect()
    }

    /// The row of its first name alone.
    pub(super) fn first_row(&self, truncate: bool, now: i64) -> Row {
        let tag = self.repo_tags.iter().flatten().find(|tag| *tag != "<none>:<none>");
        let (repository, tag) = tag.and_then(|tag| tag.rsplit_once(':')).unwrap_or((NONE, NONE));
        self.row((repository.to_owned(), tag.to_owned(), String::new()), truncate, now)
    }

    fn row(&self, (repository, tag, digest): (String, String, String), truncate: bool, now: i64) -> Row {
        let known = |size: i64| if size < 0 { "N/A".to_owned() } else { human::size(size, 4) };
        let unique = if self.shared_size < 0 { -1 } else { self.size - self.shared_size };
        let created = match self.created {
            0 => "N/A".to_owned(),
            created => format!("{} ago", human::duration(now - created)),
        };
        let fields = [
            ("ID", if truncate { human::short_id(&self.id).to_owned() } else { self.id.clone() }),
            ("Repository", repository),
            ("Tag", tag),
            ("Digest", digest),
            ("CreatedSince", created),
            ("CreatedAt", human::moment(self.created)),
            ("Size", human::size(self.size, 3)),
            ("Containers", if self.containers < 0 { "N/A".to_owned() } else { self.containers.to_string() }),
            ("VirtualSize", human::size(self.size, 4)),
            ("SharedSize", known(self.shared_size)),
            ("UniqueSize", known(unique)),
        ];
        Row { fields: fields.into(), labels: self.labels.clone().unwrap_or_default() }
    }
}

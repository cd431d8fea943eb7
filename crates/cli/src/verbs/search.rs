//! `search`: images that a registry knows.

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::filters;
use crate::grammar::values::{filter, integer};
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::{complain, human, print};
use crate::words::{Outcome, Verb};
use crate::{credentials, names};

/// Searches a registry.
#[derive(Debug, Args)]
pub struct Search {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Pretty-print search using a Go template
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Max number of search results
    #[arg(long, value_name = "int", value_parser = integer)]
    limit: Option<i64>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Hit {
    name: String,
    description: String,
    star_count: i64,
    is_official: bool,
}

const HEADINGS: &[(&str, &str)] =
    &[("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL")];

impl Verb for Search {
    const ABOUT: About = About {
        name: "search",
        usage: "[OPTIONS] TERM",
        does: "Search Docker Hub for images",
        needs: Needs::Exactly(1),
    };

    async fn run(self, session: &Session) -> Outcome {
        if self.filter.iter().any(|(key, _)| key == "is-automated") {
            complain(
                "WARNING: the \"is-automated\" filter is deprecated, and searching for \"is-automated=true\" will not \
                 yield any results in future.",
            );
        }
        let term = self.operands[0].as_str();
        let limit = self.limit.filter(|limit| *limit > 0).map(|limit| limit.to_string());
        let filters = filters(&self.filter);
        let path = query(
            "/images/search",
            &[("term", Some(term)), ("limit", limit.as_deref()), ("filters", filters.as_deref())],
        );
        let header = credentials::header(session, names::domain(term).0);
        let headers = [(credentials::HEADER, header.as_str())];
        let call = session.client().call_with(Method::GET, &path, Payload::Empty, &headers);
        let hits: Vec<Hit> = call.await?.json().await?;
        print(self.table(&hits)?)?;
        Ok(0)
    }
}

impl Search {
    fn table(&self, hits: &[Hit]) -> Result<String, crate::failure::Failure> {
        let rows: Vec<Row> = hits.iter().map(|hit| hit.row(!self.no_trunc, self.format.contains("json"))).collect();
        let shown = vec!["Name", "Description", "StarCount", "IsOfficial"];
        render(&Columns { headings: HEADINGS, shown, quiet: "Name" }, &rows, &self.format, false)
    }
}

impl Hit {
    fn row(&self, truncate: bool, json: bool) -> Row {
        let description = self.description.replace(['\n', '\r'], " ");
        let official = match (json, self.is_official) {
            (true, official) => official.to_string(),
            (false, true) => "[OK]".to_owned(),
            (false, false) => String::new(),
        };
        let fields = [
            ("Name", self.name.clone()),
            ("Description", if truncate { human::ellipsis(&description, 45) } else { description }),
            ("StarCount", self.star_count.to_string()),
            ("IsOfficial", official),
        ];
        Row { fields: fields.into(), ..Row::default() }
    }
}

//! `network ls`.

use std::collections::BTreeMap;

use api::client::query;
use clap::Args;
use serde::Deserialize;

use super::super::filters;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs, help};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Lists networks.
#[derive(Debug, Args)]
pub struct List {
    /// Provide filter values (e.g. "driver=bridge")
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Summary {
    name: String,
    id: String,
    created: String,
    scope: String,
    driver: String,
    #[serde(rename = "EnableIPv4")]
    ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    ipv6: bool,
    internal: bool,
    labels: Option<BTreeMap<String, String>>,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

impl Verb for List {
    const ABOUT: About = About { name: "network ls", usage: "[OPTIONS]", does: "List networks", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let filters = filters(&self.filter);
        let path = query("/networks", &[("filters", filters.as_deref())]);
        let mut found: Vec<Summary> = session.client().get(&path).await?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let rows: Vec<Row> = found.into_iter().map(|summary| summary.row(!self.no_trunc)).collect();
        let columns = Columns { headings: HEADINGS, shown: vec!["ID", "Name", "Driver", "Scope"], quiet: "ID" };
        print(render(&columns, &rows, &self.format, self.quiet)?)?;
        Ok(0)
    }
}

impl Summary {
    fn row(self, truncate: bool) -> Row {
        let labels = self.labels.unwrap_or_default();
        let listed: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let id = if truncate { self.id.get(..12).unwrap_or(&self.id).to_owned() } else { self.id };
        let fields = [
            ("ID", id),
            ("Name", self.name),
            ("Driver", self.driver),
            ("Scope", self.scope),
            ("IPv4", self.ipv4.to_string()),
            ("IPv6", self.ipv6.to_string()),
            ("Internal", self.internal.to_string()),
            ("Labels", listed.join(",")),
            ("CreatedAt", self.created),
        ];
        Row { fields: fields.into(), labels }
    }
}

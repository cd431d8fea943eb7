//! `volume ls`

use api::client::query;
use api::types::{VolumeList, VolumeSummary};
use clap::Args;

use super::super::filters;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs, help};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::print;
use crate::words::{Outcome, Verb};

/// Lists volumes.
#[derive(Debug, Args)]
pub struct List {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

const HEADINGS: &[(&str, &str)] = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Group", "GROUP"),
    ("Availability", "AVAILABILITY"),
    ("Status", "STATUS"),
];

impl Verb for List {
    const ABOUT: About = About { name: "volume ls", usage: "[OPTIONS]", does: "List volumes", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let filters = filters(&self.filter);
        let path = query("/volumes", &[("filters", filters.as_deref())]);
        let mut list: VolumeList = session.client().get(&path).await?;
        list.volumes.sort_by(|one, other| one.name.cmp(&other.name));
        let rows: Vec<Row> = list.volumes.into_iter().map(row).collect();
        let columns = Columns { headings: HEADINGS, shown: vec!["Driver", "Name"], quiet: "Name" };
        print(render(&columns, &rows, &self.format, self.quiet)?)?;
        Ok(0)
    }
}

fn row(volume: VolumeSummary) -> Row {
    let unknown = || "N/A".to_owned();
    let fields = [
        ("Name", volume.name),
        ("Driver", volume.driver),
        ("Scope", volume.scope),
        ("Mountpoint", volume.mountpoint),
        ("Links", unknown()),
        ("Size", unknown()),
        ("Group", unknown()),
        ("Availability", unknown()),
        ("Status", unknown()),
    ];
    Row { fields: fields.into(), labels: volume.labels.unwrap_or_default() }
}

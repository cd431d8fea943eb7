//! `stats`: what containers use, once or as a table that is drawn again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use api::client::{Client, Payload, encode, query};
use api::types::{CpuStats, MemoryStats, Stats as Sample};
use clap::Args;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use http::Method;
use rustix::stdio::stdout;
use serde::Deserialize;

use super::{filters, switch};
use crate::failure::Failure;
use crate::grammar::{About, Needs, help};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::{complain, human, print};
use crate::words::{Outcome, Verb};

/// Shows what containers use.
#[derive(Debug, Args)]
pub struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

const HEADINGS: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("ID", "CONTAINER ID"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// Between two drawings of the table.
const REDRAW: Duration = Duration::from_millis(500);

/// The containers of the table by how they are called, with what is known of each.
type Known = BTreeMap<usize, (String, Option<Sample>)>;

/// What happens while the table is shown.
enum News {
    Told(usize, Box<Sample>),
    /// Nothing more comes of it.
    Ended(usize),
    Began(String),
    Went(String),
    Nothing,
}

type Coming<'a> = LocalBoxFuture<'a, (News, Option<Source<'a>>)>;

/// Where news come from.
enum Source<'a> {
    Container(usize, api::client::Answer<'a>),
    Events(api::client::Answer<'a>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Listed {
    id: String,
}

impl Verb for Stats {
    const ABOUT: About = About {
        name: "stats",
        usage: "[OPTIONS] [CONTAINER...]",
        does: "Display a live stream of container(s) resource usage statistics",
        needs: Needs::AtLeast(0),
    };

    async fn run(self, session: &Session) -> Outcome {
        let names = match self.operands.is_empty() {
            true => self.listed(session.client()).await?,
            false => self.operands.clone(),
        };
        match self.no_stream {
            true => self.once(session.client(), &names).await,
            false => self.live(session.client(), names).await,
        }
    }
}

impl Stats {
    async fn listed(&self, client: &Client) -> Result<Vec<String>, Failure> {
        let path = query("/containers/json", &[("all", switch(self.all))]);
        let found: Vec<Listed> = client.get(&path).await?;
        Ok(found.into_iter().map(|one| one.id).collect())
    }

    async fn once(&self, client: &Client, names: &[String]) -> Outcome {
        let asked = names.iter().map(|name| async {
            let path = query(&format!("/containers/{}/stats", encode(name)), &[("stream", Some("0"))]);
            client.get::<Sample>(&path).await
        });
        let mut code = 0;
        let mut known = Known::new();
        for (index, told) in futures_util::future::join_all(asked).await.into_iter().enumerate() {
            match told {
                Ok(sample) => drop(known.insert(index, (names[index].clone(), Some(sample)))),
                Err(cause) => {
                    complain(&Failure::from(cause).to_string());
                    code = 1;
                }
            }
        }
        if code == 0 || !known.is_empty() {
            print(self.table(&known)?)?;
        }
        Ok(code)
    }

    /// Until it is interrupted. Without names containers come and go.
    async fn live(&self, client: &Client, names: Vec<String>) -> Outcome {
        let mut known = Known::new();
        let mut coming: FuturesUnordered<Coming<'_>> = FuturesUnordered::new();
        if self.operands.is_empty() {
            coming.push(next(Source::Events(events(client, self.all).await?)));
        }
        for name in names {
            let index = known.len();
            let source = watch(client, index, &name).await?;
            known.insert(index, (name, None));
            coming.push(next(source));
        }
        let mut redraw = tokio::time::interval(REDRAW);
        redraw.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = redraw.tick() => self.draw(&known)?,
                Some((news, source)) = coming.next() => {
                    coming.extend(source.map(next));
                    if let Some(begun) = note(&mut known, news) {
                        let index = known.keys().last().map_or(0, |last| last + 1);
                        // One that is gone again is not shown.
                        if let Ok(source) = watch(client, index, &begun).await {
                            known.insert(index, (begun, None));
                            coming.push(next(source));
                        }
                    }
                }
            }
        }
    }

    /// Over what was drawn before, on a terminal.
    fn draw(&self, known: &Known) -> Result<(), Failure> {
        let text = self.table(known)?;
        if rustix::termios::isatty(stdout()) {
            return print(format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")));
        }
        print(text)
    }

    fn table(&self, known: &Known) -> Result<String, Failure> {
        let shown = vec!["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
        let columns = Columns { headings: HEADINGS, shown, quiet: "ID" };
        let rows: Vec<Row> = known.values().map(|(name, sample)| row(name, sample.as_ref(), !self.no_trunc)).collect();
        render(&columns, &rows, &self.format, false)
    }
}

/// Puts news into the table; a container to be watched from now on is given back.
fn note(known: &mut Known, news: News) -> Option<String> {
    match news {
        News::Told(index, sample) => {
            if let Some((_, place)) = known.get_mut(&index) {
                *place = Some(*sample);
            }
        }
        News::Ended(index) => {
            if let Some((_, place)) = known.get_mut(&index) {
                *place = None;
            }
        }
        News::Began(id) => return Some(id).filter(|id| !known.values().any(|(name, _)| name == id)),
        News::Went(id) => known.retain(|_, (name, _)| *name != id),
        News::Nothing => {}
    }
    None
}

async fn watch<'a>(client: &'a Client, index: usize, name: &str) -> Result<Source<'a>, Failure> {
    let path = query(&format!("/containers/{}/stats", encode(name)), &[("stream", Some("1"))]);
    Ok(Source::Container(index, client.call(Method::GET, &path, Payload::Empty).await?))
}

/// Containers that come and go: with `all` those that are made and removed, else those that start and end.
async fn events(client: &Client, all: bool) -> Result<api::client::Answer<'_>, Failure> {
    let wanted = if all { ["create", "destroy"] } else { ["start", "die"] };
    let mut asked = vec![("type".to_owned(), "container".to_owned())];
    asked.extend(wanted.map(|event| ("event".to_owned(), event.to_owned())));
    let path = query("/events", &[("filters", filters(&asked).as_deref())]);
    Ok(client.call(Method::GET, &path, Payload::Empty).await?)
}

/// The next news of a source, and the source if more may come.
fn next(source: Source<'_>) -> Coming<'_> {
    Box::pin(async move {
        match source {
            Source::Container(index, mut answer) => match answer.line().await {
                Ok(Some(line)) => {
                    let sample = serde_json::from_slice(&line).unwrap_or_default();
                    (News::Told(index, Box::new(sample)), Some(Source::Container(index, answer)))
                }
                _ => (News::Ended(index), None),
            },
            Source::Events(mut answer) => match answer.line().await {
                Ok(Some(line)) => (news(&line), Some(Source::Events(answer))),
                _ => (News::Nothing, None),
            },
        }
    })
}

fn news(line: &[u8]) -> News {
    let event: Event = serde_json::from_slice(line).unwrap_or_default();
    match event.action.as_str() {
        "create" | "start" => News::Began(event.actor.id),
        "destroy" | "die" => News::Went(event.actor.id),
        _ => News::Nothing,
    }
}

/// A line of the table. Of what is not known there are dashes.
fn row(container: &str, sample: Option<&Sample>, truncate: bool) -> Row {
    let unknown = || "--".to_owned();
    let fields = match sample {
        None => [
            ("Container", container.to_owned()),
            ("Name", unknown()),
            ("ID", unknown()),
            ("CPUPerc", unknown()),
            ("MemUsage", "-- / --".to_owned()),
            ("MemPerc", unknown()),
            ("NetIO", unknown()),
            ("BlockIO", unknown()),
            ("PIDs", unknown()),
        ],
        Some(sample) => {
            let (used, limit) = (memory(&sample.memory_stats), sample.memory_stats.limit);
            let name = sample.name.strip_prefix('/').unwrap_or(&sample.name);
            let id = if truncate { human::short_id(&sample.id) } else { &sample.id };
            let (read, written) = block_io(sample);
            let (came, went) = traffic(sample);
            [
                ("Container", container.to_owned()),
                ("Name", if name.is_empty() { unknown() } else { name.to_owned() }),
                ("ID", id.to_owned()),
                ("CPUPerc", format!("{:.2}%", processors(&sample.cpu_stats, &sample.precpu_stats))),
                ("MemUsage", format!("{} / {}", human::size_binary(signed(used)), human::size_binary(signed(limit)))),
                ("MemPerc", format!("{:.2}%", share(used, limit))),
                ("NetIO", format!("{} / {}", human::size(signed(came), 3), human::size(signed(went), 3))),
                ("BlockIO", format!("{} / {}", human::size(signed(read), 3), human::size(signed(written), 3))),
                ("PIDs", sample.pids_stats.current.to_string()),
            ]
        }
    };
    Row { fields: fields.into(), labels: BTreeMap::new() }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Percent; 0 of nothing.
#[allow(clippy::cast_precision_loss)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// Percent of one processor between two looks.
#[allow(clippy::cast_precision_loss)]
fn processors(now: &CpuStats, before: &CpuStats) -> f64 {
    let used = now.cpu_usage.total_usage.saturating_sub(before.cpu_usage.total_usage);
    let all = now.system_cpu_usage.saturating_sub(before.system_cpu_usage);
    let count = match now.online_cpus {
        0 => now.cpu_usage.percpu_usage.len() as u64,
        count => count,
    };
    share(used, all) * count as f64
}

/// Without page cache that nobody looked at lately: the kernel takes it back when it is needed.
fn memory(stats: &MemoryStats) -> u64 {
    // v1's, v2's.
    let idle = stats.stats.get("total_inactive_file").or_else(|| stats.stats.get("inactive_file"));
    match idle {
        Some(idle) if *idle < stats.usage => stats.usage - idle,
        _ => stats.usage,
    }
}

/// Bytes read and written.
fn block_io(sample: &Sample) -> (u64, u64) {
    let entries = sample.blkio_stats.io_service_bytes_recursive.as_deref().unwrap_or_default();
    let sum = |letter: char| {
        let of_sort = entries.iter().filter(|entry| entry.op.to_ascii_lowercase().starts_with(letter));
        of_sort.map(|entry| entry.value).sum()
    };
    (sum('r'), sum('w'))
}

/// Bytes received and sent, by all links.
fn traffic(sample: &Sample) -> (u64, u64) {
    let links = || sample.networks.iter().flatten().map(|(_, link)| link);
    (links().map(|link| link.rx_bytes).sum(), links().map(|link| link.tx_bytes).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        serde_json::from_str(
            r#"{"name":"/web","id":"0123456789abcdef","pids_stats":{"current":3},
                "cpu_stats":{"cpu_usage":{"total_usage":300},"system_cpu_usage":2000,"online_cpus":2},
                "precpu_stats":{"cpu_usage":{"total_usage":100},"system_cpu_usage":1000},
                "memory_stats":{"usage":3145728,"limit":10485760,"stats":{"inactive_file":1048576}},
                "networks":{"eth0":{"rx_bytes":1000,"tx_bytes":1},"eth1":{"rx_bytes":500}},
                "blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":2000},{"op":"write","value":7},{"op":"Total","value":9}]}}"#,
        )
        .expect("a sample")
    }

    #[test]
    fn a_line_says_what_docker_says() {
        let fields = row("web", Some(&sample()), true).fields;
        for (field, text) in [
            ("Container", "web"),
            ("Name", "web"),
            ("ID", "0123456789ab"),
            ("CPUPerc", "40.00%"),
            ("MemUsage", "2MiB / 10MiB"),
            ("MemPerc", "20.00%"),
            ("NetIO", "1.5kB / 1B"),
            ("BlockIO", "2kB / 7B"),
            ("PIDs", "3"),
        ] {
            assert_eq!(fields[field], text, "{field}");
        }
    }

    #[test]
    fn of_the_unknown_there_are_dashes() {
        let fields = row("web", None, true).fields;
        assert_eq!((fields["Name"].as_str(), fields["MemUsage"].as_str()), ("--", "-- / --"));
        let stopped = row("web", Some(&Sample::default()), true).fields;
        assert_eq!((stopped["CPUPerc"].as_str(), stopped["MemUsage"].as_str()), ("0.00%", "0B / 0B"));
    }

    #[test]
    fn containers_come_and_go() {
        let mut known = Known::from([(0, ("a".to_owned(), None))]);
        assert_eq!(note(&mut known, News::Began("a".into())), None);
        assert_eq!(note(&mut known, News::Began("b".into())), Some("b".into()));
        note(&mut known, News::Told(0, Box::new(sample())));
        assert!(known[&0].1.is_some());
        note(&mut known, News::Ended(0));
        assert!(known[&0].1.is_none());
        note(&mut known, News::Went("a".into()));
        assert!(known.is_empty());
    }
}

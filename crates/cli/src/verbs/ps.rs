//! `ps`: the list of containers.

use std::collections::BTreeMap;

use api::client::query;
use clap::Args;
use serde::Deserialize;

use super::{filters, switch};
use crate::grammar::values::{filter, integer};
use crate::grammar::{About, Needs, help};
use crate::session::Session;
use crate::show::listing::{Columns, Row, render};
use crate::show::{human, print};
use crate::words::{Outcome, Verb};

/// Lists containers.
#[derive(Debug, Args)]
pub struct Ps {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter by a condition (key=value)
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    #[arg(long, help = help::FORMAT, value_name = "string", default_value = "", hide_default_value = true)]
    format: String,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "int", value_parser = integer)]
    last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Summary {
    id: String,
    names: Option<Vec<String>>,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    command: String,
    created: i64,
    ports: Option<Vec<Port>>,
    pub(super) size_rw: i64,
    size_root_fs: i64,
    labels: Option<BTreeMap<String, String>>,
    state: String,
    status: String,
    network_settings: Option<Networks>,
    mounts: Option<Vec<Mount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Networks {
    networks: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mount {
    name: String,
    source: String,
    driver: String,
}

/// One port of a container.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Port {
    #[serde(rename = "IP")]
    ip: String,
    private_port: u16,
    public_port: u16,
    r#type: String,
}

pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
];

impl Verb for Ps {
    const ABOUT: About = About { name: "ps", usage: "[OPTIONS]", does: "List containers", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let size = self.size || self.format.contains(".Size");
        let limit = match self.latest {
            true => Some("1".to_owned()),
            false => self.last.filter(|n| *n > 0).map(|n| n.to_string()),
        };
        let filters = filters(&self.filter);
        let path = query(
            "/containers/json",
            &[
                ("all", switch(self.all || limit.is_some())),
                ("limit", limit.as_deref()),
                ("size", switch(size)),
                ("filters", filters.as_deref()),
            ],
        );
        let found: Vec<Summary> = session.client().get(&path).await?;
        let now = human::now();
        let rows: Vec<Row> = found.into_iter().map(|summary| summary.row(!self.no_trunc, now)).collect();
        let mut shown = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
        if self.size {
            shown.push("Size");
        }
        let columns = Columns { headings: HEADINGS, shown, quiet: "ID" };
        print(render(&columns, &rows, &self.format, self.quiet)?)?;
        Ok(0)
    }
}

impl Summary {
    /// Whether its files are in use.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "restarting")
    }

    /// The size of its own files alone.
    pub(super) fn without_root(self) -> Summary {
        Summary { size_root_fs: 0, ..self }
    }

    pub(super) fn row(self, truncate: bool, now: i64) -> Row {
        let short = |text: &str, width| if truncate { human::ellipsis(text, width) } else { text.to_owned() };
        let mounts = self.mounts.unwrap_or_default();
        let mount_name = |mount: &Mount| short(if mount.name.is_empty() { &mount.source } else { &mount.name }, 15);
        let networks = self.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let labels = self.labels.unwrap_or_default();
        let fields = [
            ("ID", if truncate { human::short_id(&self.id).to_owned() } else { self.id }),
            ("Names", names(&self.names.unwrap_or_default(), truncate)),
            ("Image", image(&self.image, &self.image_id, truncate)),
            ("Command", human::quote(&short(&self.command, 20))),
            ("CreatedAt", human::moment(self.created)),
            ("RunningFor", format!("{} ago", human::duration(now - self.created))),
            ("Ports", ports(self.ports.unwrap_or_default())),
            ("State", self.state),
            ("Status", self.status),
            ("Size", size(self.size_rw, self.size_root_fs)),
            ("Labels", labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")),
            ("Mounts", mounts.iter().map(mount_name).collect::<Vec<_>>().join(",")),
            ("LocalVolumes", mounts.iter().filter(|mount| mount.driver == "local").count().to_string()),
            ("Networks", networks.into_keys().collect::<Vec<_>>().join(",")),
        ];
        Row { fields: fields.into(), labels }
    }
}

/// All names without their slash; truncated, only the first that is no link's.
fn names(names: &[String], truncate: bool) -> String {
    let mut bare = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    match truncate {
        true => bare.find(|name| !name.contains('/')).unwrap_or_default().to_owned(),
        false => bare.collect::<Vec<_>>().join(","),
    }
}

fn image(image: &str, id: &str, truncate: bool) -> String {
    if image.is_empty() {
        return "<no image>".to_owned();
    }
    if !truncate {
        return image.to_owned();
    }
    let short = human::short_id(id);
    if !short.is_empty() && short == human::short_id(image) {
        return short.to_owned();
    }
    image.split_once('@').map_or(image, |(name, _)| name).to_owned()
}

fn size(rw: i64, root: i64) -> String {
    match root > 0 {
        true => format!("{} (virtual {})", human::size(rw, 3), human::size(root, 3)),
        false => human::size(rw, 3),
    }
}

/// `0.0.0.0:80->80/tcp, 9000-9001/udp`: neighbours that map to themselves are one range.
pub(super) fn ports(mut ports: Vec<Port>) -> String {
    ports.sort_by(|a, b| {
        (a.private_port, &a.ip, a.public_port, &a.r#type).cmp(&(b.private_port, &b.ip, b.public_port, &b.r#type))
    });
    let mut mapped = Vec::new();
    let mut done = Vec::new();
    // By address and protocol in the order they appear: the range under way.
    let mut groups: Vec<(String, u16, u16)> = Vec::new();
    for port in ports {
        if !port.ip.is_empty() && port.public_port != port.private_port {
            mapped.push(format!(
                "{}->{}/{}",
                joined(&port.ip, &port.public_port.to_string()),
                port.private_port,
                port.r#type
            ));
            continue;
        }
        let key = if port.ip.is_empty() { port.r#type } else { format!("{}/{}", port.ip, port.r#type) };
        match groups.iter_mut().find(|(name, _, _)| *name == key) {
            None => groups.push((key, port.private_port, port.private_port)),
            Some((_, _, last)) if u32::from(port.private_port) <= u32::from(*last) + 1 => *last = port.private_port,
            Some((_, first, last)) => {
                done.push(group(&key, *first, *last));
                (*first, *last) = (port.private_port, port.private_port);
            }
        }
    }
    done.extend(groups.iter().map(|(key, first, last)| group(key, *first, *last)));
    done.extend(mapped);
    done.join(", ")
}

fn group(key: &str, first: u16, last: u16) -> String {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    match key.rsplit_once('/') {
        Some((ip, protocol)) => format!("{}->{range}/{protocol}", joined(ip, &range)),
        None => format!("{range}/{key}"),
    }
}

fn joined(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, public: u16, private: u16, kind: &str) -> Port {
        Port { ip: ip.to_owned(), public_port: public, private_port: private, r#type: kind.to_owned() }
    }

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        for (given, shown) in [
            (vec![], ""),
            (vec![port("", 0, 80, "tcp")], "80/tcp"),
            (vec![port("0.0.0.0", 8080, 80, "tcp")], "0.0.0.0:8080->80/tcp"),
            (vec![port("::", 8080, 80, "tcp")], "[::]:8080->80/tcp"),
            (vec![port("", 0, 82, "tcp"), port("", 0, 80, "tcp"), port("", 0, 81, "tcp")], "80-82/tcp"),
            (vec![port("0.0.0.0", 80, 80, "tcp"), port("0.0.0.0", 81, 81, "tcp")], "0.0.0.0:80-81->80-81/tcp"),
            (vec![port("", 0, 90, "udp"), port("", 0, 92, "udp")], "90/udp, 92/udp"),
            (vec![port("", 0, 65535, "udp")], "65535/udp"),
        ] {
            assert_eq!(ports(given), shown);
        }
    }

    #[test]
    fn names_of_links_are_left_out() {
        let given = ["/other/link".to_owned(), "/web".to_owned()];
        assert_eq!(names(&given, true), "web");
        assert_eq!(names(&given, false), "other/link,web");
    }
}

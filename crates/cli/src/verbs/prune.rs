//! `container prune`, `image prune` and `system prune`: what nobody uses goes away.

use api::client::{Payload, query};
use clap::Args;
use http::Method;
use serde::Deserialize;

use super::rmi::Removed;
use super::{filters, switch};
use crate::failure::Failure;
use crate::grammar::values::filter;
use crate::grammar::{About, Needs};
use crate::session::Session;
use crate::show::{human, print};
use crate::stream::prompt;
use crate::words::{Outcome, Verb};

/// Removes stopped containers.
#[derive(Debug, Args)]
pub struct Containers {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes unused images.
#[derive(Debug, Args)]
pub struct Images {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes what builds keep for the next ones.
#[derive(Debug, Args)]
pub struct Builder {
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g., "until=24h")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Amount of disk space to keep for cache
    #[arg(long, value_name = "bytes")]
    keep_storage: Option<String>,
}

/// Removes everything unused.
#[derive(Debug, Args)]
pub struct System {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=<key>=<value>")
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Report {
    containers_deleted: Option<Vec<String>>,
    networks_deleted: Option<Vec<String>>,
    volumes_deleted: Option<Vec<String>>,
    caches_deleted: Option<Vec<String>>,
    images_deleted: Option<Vec<Removed>>,
    space_reclaimed: i64,
}

/// What one prune did: a list with its heading, empty if nothing went, and bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    list: String,
    bytes: i64,
}

impl Verb for Containers {
    const ABOUT: About = About {
        name: "container prune",
        usage: "[OPTIONS]",
        does: "Remove all stopped containers",
        needs: Needs::None,
    };

    async fn run(self, session: &Session) -> Outcome {
        confirm("This will remove all stopped containers.", self.force)?;
        let pruned = Pruned::of(ask(session, "/containers/prune", &self.filter).await?);
        print(pruned.text() + &reclaimed(pruned.bytes))?;
        Ok(0)
    }
}

impl Verb for Images {
    const ABOUT: About =
        About { name: "image prune", usage: "[OPTIONS]", does: "Remove unused images", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let warning = match self.all {
            true => "This will remove all images without at least one container associated to them.",
            false => "This will remove all dangling images.",
        };
        confirm(warning, self.force)?;
        let pruned = Pruned::of(ask(session, "/images/prune", &of_images(self.filter, self.all)).await?);
        print(pruned.text() + &reclaimed(pruned.bytes))?;
        Ok(0)
    }
}

impl Verb for Builder {
    const ABOUT: About =
        About { name: "builder prune", usage: "[OPTIONS]", does: "Remove build cache", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        let kept = self
            .keep_storage
            .as_deref()
            .map(|typed| base::size::bytes(typed).ok_or_else(|| Failure::said(format!("invalid size: '{typed}'"))));
        let kept = kept.transpose()?.map(|bytes| bytes.to_string());
        let warning = match self.all {
            true => "This will remove all build cache.",
            false => "This will remove all dangling build cache.",
        };
        confirm(warning, self.force)?;
        let path = query("/build/prune", &[("all", switch(self.all)), ("keep-storage", kept.as_deref())]);
        let pruned = Pruned::of(ask(session, &path, &self.filter).await?);
        print(pruned.text() + &reclaimed(pruned.bytes))?;
        Ok(0)
    }
}

impl Verb for System {
    const ABOUT: About =
        About { name: "system prune", usage: "[OPTIONS]", does: "Remove unused data", needs: Needs::None };

    async fn run(self, session: &Session) -> Outcome {
        if self.volumes && self.filter.iter().any(|(key, _)| key == "until") {
            return Err(Failure::said("ERROR: The \"until\" filter is not supported with \"--volumes\""));
        }
        if !self.force && !prompt::confirmed(&self.warning())? {
            return Err(Failure::Code(0));
        }
        let build = query("/build/prune", &[("all", switch(self.all))]);
        let images = of_images(self.filter.clone(), self.all);
        let mut asked = vec![("/containers/prune", &self.filter), ("/networks/prune", &self.filter)];
        if self.volumes {
            asked.push(("/volumes/prune", &self.filter));
        }
        asked.extend([("/images/prune", &images), (build.as_str(), &self.filter)]);
        let mut bytes = 0;
        for (path, typed) in asked {
            match ask(session, path, typed).await {
                Ok(report) => {
                    let pruned = Pruned::of(report);
                    bytes += pruned.bytes;
                    print(pruned.text())?;
                }
                // This engine has none of these.
                Err(failure) if failure.status() == Some(501) => {}
                Err(failure) => return Err(failure),
            }
        }
        print(reclaimed(bytes))?;
        Ok(0)
    }
}

impl System {
    fn warning(&self) -> String {
        let mut lines = vec!["all stopped containers", "all networks not used by at least one container"];
        if self.volumes {
            lines.push("all anonymous volumes not used by at least one container");
        }
        lines.extend(match self.all {
            true => ["all images without at least one container associated to them", "all build cache"],
            false => ["all dangling images", "unused build cache"],
        });
        let listed = |lines: &[String]| lines.iter().map(|line| format!("\n  - {line}")).collect::<String>();
        let mut text = String::from("WARNING! This will remove:");
        text.push_str(&listed(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()));
        let shown = |key: &str| matches!(key, "label" | "label!" | "until");
        let mut filters: Vec<String> =
            self.filter.iter().filter(|(key, _)| shown(key)).map(|(key, value)| format!("{key}={value}")).collect();
        filters.sort();
        text.push('\n');
        if !filters.is_empty() {
            text.push_str(&format!("\n  Items to be pruned will be filtered with:{}\n", listed(&filters)));
        }
        text + "\nAre you sure you want to continue?"
    }
}

impl Pruned {
    pub(super) fn of(report: Report) -> Pruned {
        let plain = |heading: &str, names: Option<Vec<String>>| {
            let names = names.unwrap_or_default();
            (!names.is_empty()).then(|| format!("{heading}:\n{}\n", names.join("\n")))
        };
        let images = report.images_deleted.unwrap_or_default();
        let images = (!images.is_empty())
            .then(|| format!("Deleted Images:\n{}", images.iter().map(Removed::pruned_line).collect::<String>()));
        let list = plain("Deleted Containers", report.containers_deleted)
            .or_else(|| plain("Deleted Networks", report.networks_deleted))
            .or_else(|| plain("Deleted Volumes", report.volumes_deleted))
            .or_else(|| plain("Deleted build cache objects", report.caches_deleted))
            .or(images);
        Pruned { list: list.unwrap_or_default(), bytes: report.space_reclaimed }
    }

    pub(super) fn bytes(&self) -> i64 {
        self.bytes
    }

    /// The list and an empty line after it.
    pub(super) fn text(&self) -> String {
        if self.list.is_empty() { String::new() } else { format!("{}\n", self.list) }
    }
}

/// Images without a name, or all of them.
fn of_images(mut typed: Vec<(String, String)>, all: bool) -> Vec<(String, String)> {
    typed.push(("dangling".to_owned(), (!all).to_string()));
    typed
}

pub(super) async fn ask(session: &Session, path: &str, typed: &[(String, String)]) -> Result<Report, Failure> {
    let filters = filters(typed);
    let mark = if path.contains('?') { "&" } else { "?" };
    let filters = filters.map(|json| format!("{mark}filters={}", api::client::encode(&json))).unwrap_or_default();
    Ok(session.client().call(Method::POST, &format!("{path}{filters}"), Payload::Empty).await?.json().await?)
}

pub(super) fn reclaimed(bytes: i64) -> String {
    format!("Total reclaimed space: {}\n", human::size(bytes, 4))
}

/// Asks before anything goes away.
pub(super) fn confirm(warning: &str, force: bool) -> Result<(), Failure> {
    match force || prompt::confirmed(&format!("WARNING! {warning}\nAre you sure you want to continue?"))? {
        true => Ok(()),
        false => Err(Failure::Code(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_listed_as_docker_lists_it() {
        let read = |json: &str| Pruned::of(serde_json::from_str(json).expect("a report"));
        let images = read(r#"{"ImagesDeleted":[{"Untagged":"a:1"},{"Deleted":"sha256:0"}],"SpaceReclaimed":1500000}"#);
        assert_eq!(images.text(), "Deleted Images:\nuntagged: a:1\ndeleted: sha256:0\n\n");
        assert_eq!(reclaimed(images.bytes), "Total reclaimed space: 1.5MB\n");
        assert_eq!(
            read(r#"{"NetworksDeleted":["a","b"]}"#),
            Pruned { list: "Deleted Networks:\na\nb\n".to_owned(), bytes: 0 }
        );
        assert_eq!(read(r#"{"ContainersDeleted":null,"SpaceReclaimed":0}"#), Pruned::default());
    }

    #[test]
    fn the_warning_names_everything_that_goes() {
        let filter = vec![("until".to_owned(), "1h".to_owned()), ("label".to_owned(), "a".to_owned())];
        let system = System { all: true, filter, force: false, volumes: true };
        assert_eq!(
            system.warning(),
            "\
WARNING! This will remove:
  - all stopped containers
  - all networks not used by at least one container
  - all anonymous volumes not used by at least one container
  - all images without at least one container associated to them
  - all build cache

  Items to be pruned will be filtered with:
  - label=a
  - until=1h

Are you sure you want to continue?"
        );
    }
}

//! A container's changes become an image.

use super::told::Subject;
use crate::shelf::Cell;
use crate::{Engine, Error, Result};
use base::Digest;
use container::{Protocol, Status};
use image::Reference;
use oci::image::{Config, Empty};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is committed, and as what.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    pub container: String,
    pub reference: Option<Reference>,
    pub author: String,
    pub comment: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// What of the container's configuration is to be otherwise.
    pub overrides: Config,
    pub pausing: Pausing,
}

/// Whether the container is frozen while its files are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pausing {
    /// What it writes meanwhile may be there in part.
    No,
    #[default]
    Yes,
}

impl Engine {
    /// Makes an image of what a container changed.
    pub fn commit(&self, commit: &Commit) -> Result<Digest> {
        if commit.container.is_empty() {
            return Err(Error::Invalid("invalid name or ID supplied: \"\"".into()));
        }
        let cell = self.house.shelf.find(&commit.container)?;
        self.refuse_dying(&cell, "commit")?;
        let wanted = self.image_commit(&cell, commit);
        let thaw = match commit.pausing {
            Pausing::Yes => self.frozen(&cell),
            Pausing::No => None,
        };
        let made = self.house.images.commit(&wanted);
        drop(thaw);
        let id = made?;
        let image = self.house.images.get(&id.to_string())?;
        self.house.images.touch(&id);
        let name = commit.reference.as_ref().map(Reference::familiar).unwrap_or_default();
        self.tell_image("create", Subject::of(&image));
        if !name.is_empty() {
            self.tell_image("tag", Subject::of(&image).named(name.clone()));
        }
        let more = [("comment", commit.comment.clone()), ("imageID", id.to_string()), ("imageRef", name)];
        self.house.tell(&cell, "commit", &more);
        self.keep_budget(&[id]);
        Ok(id)
    }

    /// One that is being removed has no files to speak of.
    pub(crate) fn refuse_dying(&self, cell: &Cell, verb: &str) -> Result<()> {
        match cell.status() {
            Status::Dead => Err(Error::Conflict(format!("You cannot {verb} container {} which is Dead", cell.id))),
            Status::Removing => {
                Err(Error::Conflict(format!("You cannot {verb} container {} which is being removed", cell.id)))
            }
            _ => Ok(()),
        }
    }

    /// Freezes a container that runs, for as long as the answer lives.
    fn frozen(&self, cell: &Arc<Cell>) -> Option<Thaw<'_>> {
        if cell.status() != Status::Running {
            return None;
        }
        let id = cell.id.to_string();
        match self.pause(&id) {
            Ok(()) => Some(Thaw { engine: self, id }),
            // It has ended meanwhile, or somebody else has paused it.
            Err(Error::NotRunning(_) | Error::AlreadyPaused(_)) => None,
            Err(error) => {
                tracing::warn!("cannot pause {id} for its commit: {}", base::chain(&error));
                None
            }
        }
    }

    fn image_commit(&self, cell: &Cell, commit: &Commit) -> image::Commit {
        let record = cell.record();
        let own = of_container(&record.config);
        let words = record.config.entrypoint.iter().chain(&record.config.cmd).flatten();
        image::Commit {
            parent: record.image_id,
            rw: self.house.roots.container(&cell.id),
            owner: self.owner(&record),
            config: merged(commit.overrides.clone(), own),
            changes: commit.changes.clone(),
            author: commit.author.clone(),
            comment: commit.comment.clone(),
            created_by: words.cloned().collect::<Vec<_>>().join(" "),
            reference: commit.reference.clone(),
        }
    }

    /// The host's id of the root user of a container's files.
    pub(crate) fn owner(&self, record: &container::Container) -> u32 {
        if record.own_user_namespace { self.house.settings.id_base } else { 0 }
    }
}

/// Lets a container go on when it is dropped, whatever happened.
struct Thaw<'a> {
    engine: &'a Engine,
    id: String,
}

impl Drop for Thaw<'_> {
    fn drop(&mut self) {
        match self.engine.unpause(&self.id) {
            // Somebody else was faster, or it is gone.
            Ok(()) | Err(Error::NotPaused(_) | Error::NoContainer(_)) => {}
            Err(error) => tracing::error!("cannot unpause {} after its commit: {}", self.id, base::chain(&error)),
        }
    }
}

/// How the container runs, as an image says it.
fn of_container(config: &container::Config) -> Config {
    let port = |port: &container::PortProtocol| {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        (format!("{}/{protocol}", port.port), Empty {})
    };
    let anonymous = config.mounts.iter().filter(|mount| is_anonymous(&mount.source));
    Config {
        user: config.user.clone(),
        exposed_ports: config.exposed_ports.iter().map(port).collect(),
        // `KEY` alone took something away, and it is away.
        env: config.env.iter().filter(|entry| entry.contains('=')).cloned().collect(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: anonymous.map(|mount| (mount.target.clone(), Empty {})).collect(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone().unwrap_or_default(),
        args_escaped: false,
        healthcheck: config.healthcheck.clone(),
        shell: None,
        on_build: None,
    }
}

fn is_anonymous(source: &container::MountSource) -> bool {
    matches!(source, container::MountSource::Volume { name: None, .. })
}

/// What was asked, with the container's where nothing was (moby, daemon/commit.go, `merge`).
fn merged(asked: Config, own: Config) -> Config {
    let (entrypoint, cmd) = command(&asked, &own);
    let text = |asked: String, own: String| if asked.is_empty() { own } else { asked };
    Config {
        user: text(asked.user, own.user),
        exposed_ports: joined(own.exposed_ports, asked.exposed_ports),
        env: environment(asked.env, own.env),
        entrypoint,
        cmd,
        volumes: joined(own.volumes, asked.volumes),
        working_dir: text(asked.working_dir, own.working_dir),
        labels: joined(own.labels, asked.labels),
        stop_signal: text(asked.stop_signal, own.stop_signal),
        args_escaped: asked.args_escaped,
        healthcheck: asked.healthcheck.filter(|check| !check.is_null()).or(own.healthcheck),
        shell: asked.shell,
        on_build: asked.on_build,
    }
}

type Words = Option<Vec<String>>;

/// An entrypoint that was asked for hides the container's command.
fn command(asked: &Config, own: &Config) -> (Words, Words) {
    let is_empty = |words: &Words| words.as_ref().is_none_or(Vec::is_empty);
    if !is_empty(&asked.entrypoint) {
        return (asked.entrypoint.clone(), asked.cmd.clone());
    }
    let cmd = if is_empty(&asked.cmd) { own.cmd.clone() } else { asked.cmd.clone() };
    (asked.entrypoint.clone().or_else(|| own.entrypoint.clone()), cmd)
}

fn joined<T>(own: BTreeMap<String, T>, asked: BTreeMap<String, T>) -> BTreeMap<String, T> {
    own.into_iter().chain(asked).collect()
}

fn environment(mut asked: Vec<String>, own: Vec<String>) -> Vec<String> {
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let known: Vec<String> = asked.iter().map(|entry| key(entry)).collect();
    asked.extend(own.into_iter().filter(|entry| !known.contains(&key(entry))));
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        Some(text.split_whitespace().map(str::to_owned).collect())
    }

    fn container() -> container::Config {
        container::Config {
            user: "me".into(),
            env: vec!["A=1".into(), "B=2".into(), "GONE".into()],
            cmd: words("sh -c x"),
            entrypoint: words("init"),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            exposed_ports: [container::PortProtocol { port: 80, protocol: Protocol::Tcp }].into(),
            mounts: vec![container::MountRequest {
                target: "/vol".into(),
                readonly: false,
                source: container::MountSource::Volume {
                    name: None,
                    copy_up: true,
                    subpath: None,
                    labels: BTreeMap::new(),
                    options: BTreeMap::new(),
                },
            }],
            ..container::Config::default()
        }
    }

    #[test]
    fn what_was_not_asked_is_the_containers() {
        let image = merged(Config::default(), of_container(&container()));
        assert_eq!((image.user.as_str(), image.env.as_slice()), ("me", &["A=1".to_owned(), "B=2".to_owned()][..]));
        assert_eq!((image.entrypoint, image.cmd), (words("init"), words("sh -c x")));
        assert!(image.volumes.contains_key("/vol") && image.exposed_ports.contains_key("80/tcp"));
    }

    #[test]
    fn what_was_asked_wins() {
        let asked = Config {
            env: vec!["A=9".into()],
            labels: [("a".to_owned(), "z".to_owned()), ("c".to_owned(), "d".to_owned())].into(),
            entrypoint: words("other"),
            ..Config::default()
        };
        let image = merged(asked, of_container(&container()));
        assert_eq!(image.env, ["A=9", "B=2"]);
        assert_eq!((image.labels["a"].as_str(), image.labels["c"].as_str()), ("z", "d"));
        assert_eq!((image.entrypoint, image.cmd), (words("other"), None));
    }
}

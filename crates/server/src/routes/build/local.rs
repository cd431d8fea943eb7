//! `POST /build/local`: a build whose files are read where they lie, on the engine's own machine. Who may speak to this socket may
//! mount any folder of the machine, so he may build of any.

use super::asked;
use crate::app::App;
use crate::query::Query;
use crate::status::{Answer, Refusal};
use crate::stream::begun::{self, Client, Teller};
use crate::version::ApiVersion;
use api::types::{BuildEvent, BuildStep, LocalBuild};
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use build::context::{Agent, Folder, MAIN, Named};
use build::progress::{Cached, Event, StepInfo};
use build::request::{CacheUse, Entitlements, Granted, Order};
use build::{Request, Sources};
use bytes::Bytes;
use dockerfile::ignore::Ignore;
use engine::{PullStep, Stream};
use http::HeaderMap;
use image::pull::LayerState;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

pub async fn post(
    State(app): State<App>,
    version: ApiVersion,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    // No field here is Docker's, and names of secrets are the client's: nothing is spelled otherwise. Of a web page that has a
    // browser send a form to any address this is not.
    if headers.get(http::header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        return Err(Refusal::invalid("unsupported Content-Type header: must be 'application/json'"));
    }
    let local: LocalBuild = crate::routes::json_body(&body)?;
    let client = Client::default();
    let cancel = client.cancel();
    let keys = asked::Headers::of(&headers);
    let own = app.clone();
    begun::progress(&app, client, move |_, teller| {
        let request = request(asked::request(&own, version, &query)?, &local);
        let builder = own.builder()?;
        let client = Local::of(&local)?;
        let watch = |event: Event| match told(event) {
            Some(line @ BuildEvent::Output { .. }) => teller.pour(&line),
            Some(line) => teller.tell(&line),
            None => {}
        };
        match builder.build(&request, (&client, &keys), &watch, &cancel) {
            Ok(built) => teller.tell(&BuildEvent::Built { image: built.image.to_string(), names: built.names }),
            Err(error) => failed(teller, error, &local),
        }
        Ok(())
    })
    .await
}

fn request(asked: Request, local: &LocalBuild) -> Request {
    let granted =
        |name: &str| if local.allow.iter().any(|allowed| allowed == name) { Granted::Yes } else { Granted::No };
    let cache = match asked.cache {
        CacheUse::All if !local.no_cache_filter.is_empty() => CacheUse::AllBut(local.no_cache_filter.clone()),
        other => other,
    };
    Request {
        dockerfile: local.dockerfile.clone().into_bytes(),
        order: Order::Parallel,
        entitlements: Entitlements { host_network: granted("network.host"), insecure: granted("security.insecure") },
        cache,
        ..asked
    }
}

/// The last line of a build that failed.
fn failed(teller: &Teller, error: build::Error, local: &LocalBuild) {
    let excerpt = error.lines().map(|lines| excerpt(&local.dockerfile, &local.name, lines));
    let message = match &error {
        build::Error::Step { source, .. } => base::chain(source.cause()),
        other => base::chain(other),
    };
    teller.tell(&BuildEvent::Error { message, excerpt });
}

/// The text around a place, which is marked.
fn excerpt(source: &str, name: &str, lines: dockerfile::Lines) -> String {
    const AROUND: usize = 2;
    let mut text = format!("{name}:{}\n--------------------\n", lines.first);
    for (index, line) in source.lines().enumerate() {
        let number = index + 1;
        if number + AROUND >= lines.first && number <= lines.last + AROUND {
            let mark = if (lines.first..=lines.last).contains(&number) { ">>>" } else { "   " };
            text.push_str(&format!(" {number:>3} | {mark} {line}\n"));
        }
    }
    text.push_str("--------------------\n");
    text
}

/// The client's side, all of it on this machine.
struct Local {
    folders: BTreeMap<String, Arc<Folder>>,
    named: BTreeMap<String, Named>,
    secrets: BTreeMap<String, Vec<u8>>,
    agents: BTreeMap<String, String>,
}

impl Local {
    fn of(asked: &LocalBuild) -> Result<Local, Refusal> {
        let mut local = Local {
            folders: BTreeMap::new(),
            named: BTreeMap::new(),
            secrets: BTreeMap::new(),
            agents: asked.ssh.clone(),
        };
        if let Some(path) = &asked.context {
            let folder = opened(path, asked.ignore.as_deref())?;
            local.folders.insert(MAIN.to_owned(), Arc::new(folder));
        }
        for (name, value) in &asked.contexts {
            if let Some(image) = value.strip_prefix("docker-image://") {
                local.named.insert(name.clone(), Named::Image(image.to_owned()));
            } else if let Some(stage) = value.strip_prefix("target:") {
                local.named.insert(name.clone(), Named::Stage(stage.to_owned()));
            } else {
                let ignore = Folder::open(Path::new(value))?.ignore_file("Dockerfile")?;
                local.folders.insert(name.clone(), Arc::new(opened(value, ignore.as_deref())?));
                local.named.insert(name.clone(), Named::Folder);
            }
        }
        for (id, value) in &asked.secrets {
            let bytes = STANDARD.decode(value).map_err(|_| Refusal::invalid(format!("secret {id} is not base64")))?;
            local.secrets.insert(id.clone(), bytes);
        }
        Ok(local)
    }
}

fn opened(path: &str, ignore: Option<&str>) -> Result<Folder, Refusal> {
    if !path.starts_with('/') {
        return Err(Refusal::invalid(format!("the context {path:?} is no absolute path")));
    }
    let folder = Folder::open(Path::new(path))?;
    let Some(text) = ignore else { return Ok(folder) };
    let wrong = |error| Refusal::invalid(format!("cannot read the ignore file: {}", base::chain(&error)));
    Ok(folder.without(Ignore::parse(text).map_err(wrong)?))
}

impl Sources for Local {
    fn folder(&self, name: &str, _wanted: &[String]) -> build::Result<Option<Arc<Folder>>> {
        Ok(self.folders.get(name).cloned())
    }

    fn named(&self, name: &str) -> Option<Named> {
        self.named.get(name).cloned()
    }

    fn secret(&self, id: &str) -> build::Result<Option<Vec<u8>>> {
        Ok(self.secrets.get(id).cloned())
    }

    fn agent(&self, id: &str) -> build::Result<Option<Box<dyn Agent>>> {
        let Some(path) = self.agents.get(id) else { return Ok(None) };
        let stream = UnixStream::connect(path);
        let failed = |source| build::Error::Io { action: format!("reach the agent at {path}"), source };
        Ok(Some(Box::new(Socket(stream.map_err(failed)?))))
    }
}

/// How often one who waits for an agent's answer looks whether it is still wanted.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

/// An agent's socket.
struct Socket(UnixStream);

impl Agent for Socket {
    fn split(self: Box<Self>) -> std::io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>)> {
        self.0.set_read_timeout(Some(LOOK))?;
        Ok((Box::new(self.0.try_clone()?), Box::new(Words(self.0))))
    }
}

/// What is said to an agent; dropped, the agent sees that nothing more comes.
struct Words(UnixStream);

impl Write for Words {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Write);
    }
}

fn told(event: Event) -> Option<BuildEvent> {
    Some(match event {
        Event::Planned(steps) => BuildEvent::Planned(steps.into_iter().map(shown).collect()),
        Event::Triggered { step, info } => BuildEvent::Added { step, info: shown(info) },
        Event::Started(step) => BuildEvent::Started(step),
        Event::Titled { step, title } => BuildEvent::Titled { step, title },
        Event::Output { step, stream, bytes } => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            BuildEvent::Output { step, error: stream == Stream::Stderr, text }
        }
        Event::Pulling { step, pull } => BuildEvent::Pulling { step, text: pulling(&pull)? },
        Event::Done { step, cached, .. } => BuildEvent::Done { step, cached: cached == Cached::Yes },
        Event::Failed { step, why } => BuildEvent::Failed { step, why },
        Event::Warning { lines, text } => BuildEvent::Warning { line: lines.map(|lines| lines.first), text },
        Event::Container { .. } | Event::Bytes { .. } => return None,
    })
}

fn shown(info: StepInfo) -> BuildStep {
    BuildStep { stage: info.stage, stage_name: info.stage_name, place: info.place, title: info.title }
}

/// What is worth a line: not every byte.
fn pulling(step: &PullStep) -> Option<String> {
    match step {
        PullStep::Begun(reference) => Some(format!("pulling {}", reference.familiar())),
        PullStep::Layer { id, state: LayerState::Complete } => Some(format!("{id} complete")),
        PullStep::Done(digest) => Some(digest.to_string()),
        PullStep::Layer { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_the_place_and_two_lines_around() {
        let text = excerpt(
            "FROM a\nRUN b\nRUNN c\nCMD d\nUSER e\nUSER f\n",
            "Dockerfile",
            dockerfile::Lines { first: 3, last: 3 },
        );
        let expected = "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     RUN b\n   3 | >>> RUNN c\n   4 |     CMD d\n   5 |     USER e\n--------------------\n";
        assert_eq!(text, expected);
    }
}

//! What happens in a build, in the lines of the answer.

use super::Telling;
use api::types::{BuildEvent, BuildStep, BuildWarning, LocalBuild};
use build::progress::{Cached, Event, StepInfo, TaskState, Watch};
use dockerfile::lint;
use engine::{PullStep, Stream};
use image::pull::LayerState;
use image::push;

/// What the builder and transfers say when they were told to end.
const CANCELLED: [&str; 2] = ["the build was cancelled", "the transfer was cancelled"];

impl Watch for Telling<'_> {
    fn tell(&self, event: Event) {
        match event {
            Event::WhyNot { .. } if !self.local.why => {}
            Event::Lint(warning) => {
                self.teller.tell(&BuildEvent::Warning(remark(&warning, self.text, &self.local.name)));
            }
            // Numbers that the next ones make old.
            event @ (Event::Bytes { .. } | Event::Pulling { .. } | Event::Pushing { .. }) => {
                if let Some(line) = told(event) {
                    match line {
                        BuildEvent::Bytes { .. } => self.teller.hint(&line),
                        line => self.teller.tell(&line),
                    }
                }
            }
            event @ Event::Output { .. } => {
                if let Some(line) = told(event) {
                    self.teller.pour(&line);
                }
            }
            event => {
                if let Some(line) = told(event) {
                    self.teller.tell(&line);
                }
            }
        }
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
        Event::Pulling { step, pull } => pulling(step, pull)?,
        Event::Bytes { step, done, total } => BuildEvent::Bytes { step, what: "transferring".to_owned(), done, total },
        Event::Done { step, cached, .. } => BuildEvent::Done { step, cached: cached == Cached::Yes },
        Event::Failed { step, why } => {
            let cancelled = CANCELLED.iter().any(|words| why.ends_with(words));
            BuildEvent::Failed { step, why, cancelled }
        }
        Event::WhyNot { step, reason } => BuildEvent::Why { step, reason: reason.to_string() },
        Event::Export { task, state } => BuildEvent::Task { name: task, done: state == TaskState::Done },
        Event::Pushing { id, state } => pushing(&id, &state)?,
        Event::Warning { lines, text } => BuildEvent::Warning(BuildWarning {
            first_line: lines.map(|lines| lines.first),
            last_line: lines.map(|lines| lines.last),
            text,
            ..BuildWarning::default()
        }),
        Event::Lint(_) | Event::Container { .. } => return None,
    })
}

fn shown(info: StepInfo) -> BuildStep {
    let platform = info.platform.map(|platform| {
        let variant = platform.variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        format!("{}/{}{variant}", platform.os, platform.architecture)
    });
    BuildStep { stage: info.stage, stage_name: info.stage_name, platform, place: info.place, title: info.title }
}

fn pulling(step: usize, pull: PullStep) -> Option<BuildEvent> {
    let text = |text: String| Some(BuildEvent::Pulling { step, text });
    match pull {
        PullStep::Begun(reference) => text(format!("pulling {}", reference.familiar())),
        PullStep::Layer { id, state: LayerState::Complete } => text(format!("{id} complete")),
        PullStep::Done(digest) => text(digest.to_string()),
        PullStep::Layer { id, state: LayerState::Downloading { current, total } } => {
            Some(BuildEvent::Bytes { step, what: id, done: current, total: Some(total) })
        }
        PullStep::Layer { .. } => None,
    }
}

fn pushing(id: &str, state: &push::LayerState) -> Option<BuildEvent> {
    let name = format!("pushing layer {id}");
    match state {
        push::LayerState::Preparing => Some(BuildEvent::Task { name, done: false }),
        push::LayerState::Pushed | push::LayerState::Exists | push::LayerState::Mounted { .. } => {
            Some(BuildEvent::Task { name, done: true })
        }
        push::LayerState::Waiting | push::LayerState::Pushing { .. } => None,
    }
}

/// A warning with all that may be shown of it.
fn remark(warning: &lint::Warning, text: &str, name: &str) -> BuildWarning {
    let rule = warning.rule;
    BuildWarning {
        rule: Some(rule.name().to_owned()),
        url: Some(rule.url()).filter(|url| !url.is_empty()),
        first_line: Some(warning.lines.first),
        last_line: Some(warning.lines.last),
        text: warning.message.clone(),
        detail: rule.description().to_owned(),
        excerpt: dockerfile::excerpt(text, name, warning.lines),
    }
}

/// The last line of a build that failed.
pub fn failed(error: &build::Error, text: &str, local: &LocalBuild) -> BuildEvent {
    let excerpt = error.lines().map(|lines| dockerfile::excerpt(text, &local.name, lines));
    let message = base::chain(error.cause());
    BuildEvent::Error { message, excerpt, hint: hint(error.cause(), local) }
}

/// What may help.
fn hint(error: &build::Error, local: &LocalBuild) -> Option<String> {
    let text = match error {
        build::Error::Exit { code: 127, .. } => {
            "the program was not found: is it in the image, or in an earlier stage that --from or COPY would name?"
        }
        build::Error::Exit { .. } if local.debug.is_none() => {
            "'dhow build --debug' opens a shell where the step failed"
        }
        build::Error::NotEntitled("network.host") => "grant it with --allow network.host",
        build::Error::NotEntitled("security.insecure") => "grant it with --allow security.insecure",
        build::Error::NoSecret(_) => "give it with --secret id=NAME,src=FILE",
        build::Error::NoAgent(_) => "give one with --ssh NAME=SOCKET, or start an agent and use --ssh default",
        build::Error::NoTarget(_) => "'dhow build --call targets' lists them",
        _ => return None,
    };
    Some(text.to_owned())
}

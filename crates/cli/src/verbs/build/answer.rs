//! The engine's answer to a build, followed to its end: events are shown, results written, a shell opened where a step failed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::client::{Answer, Payload, query};
use api::types::BuildEvent;
use http::Method;
use tokio::sync::mpsc::UnboundedReceiver;

use super::call::Findings;
use super::outcome::Built;
use super::receive::Receiver;
use super::show::{Manner, View};
use crate::credentials;
use crate::failure::Failure;
use crate::plan::Attached;
use crate::session::Session;
use crate::show::complain;
use crate::stream::signals::{self, Signal};
use crate::stream::terminal;
use crate::verbs::run;

/// How often a terminal is drawn when nothing happens: times go on.
const TICK: Duration = Duration::from_millis(100);
/// The exit code of a command that was interrupted.
const INTERRUPTED: u8 = 130;

/// One build, from its request on.
pub struct Following<'a> {
    pub session: &'a Session,
    pub path: &'a str,
    /// What the engine calls the build.
    pub id: &'a str,
    /// Show all of warnings.
    pub details: bool,
}

/// The last that the engine says.
#[derive(Debug)]
pub enum Last {
    Built(Built),
    Answer(Findings),
}

impl Following<'_> {
    /// Sends the request and stays until the end. `is_call`: nothing but the answer is to be shown.
    pub async fn to_end(
        &self,
        (payload, sent): (Payload, Arc<AtomicU64>),
        (manner, is_call): (Manner, bool),
        receivers: &mut [Receiver],
    ) -> Result<Last, Failure> {
        let manner = if is_call && manner != Manner::Json { Manner::Quiet } else { manner };
        let mut view = View::new(manner, self.details);
        let header = credentials::all(self.session);
        let headers = [(credentials::REGISTRIES, header.as_str())];
        let mut begun = std::pin::pin!(self.session.client().call_with(Method::POST, self.path, payload, &headers));
        let mut tick = tokio::time::interval(TICK);
        let mut interrupts = signals::catch(&signals::ENDING);
        let answer = loop {
            tokio::select! {
                answer = &mut begun => break answer,
                _ = tick.tick() => view.sending(sent.load(Ordering::Relaxed))?,
                Some((_, number)) = interrupts.recv() => {
                    view.clear()?;
                    return Err(ended(number));
                }
            }
        };
        let answer = answer.inspect_err(|_| drop(view.clear()))?;
        let ended = self.follow(answer, &mut view, (receivers, &mut interrupts)).await;
        if ended.is_err() {
            view.clear()?;
        }
        ended
    }

    async fn follow(
        &self,
        mut answer: Answer<'_>,
        view: &mut View,
        (receivers, interrupts): (&mut [Receiver], &mut UnboundedReceiver<Signal>),
    ) -> Result<Last, Failure> {
        let mut tick = tokio::time::interval(TICK);
        let mut cancelled = false;
        loop {
            let line = tokio::select! {
                line = answer.line() => line?,
                _ = tick.tick() => {
                    view.tick()?;
                    continue;
                }
                Some((_, number)) = interrupts.recv() => {
                    self.interrupted(view, (&mut cancelled, number)).await?;
                    continue;
                }
            };
            let Some(line) = line else {
                return Err(Failure::said("the engine ended the build without a result"));
            };
            let event: BuildEvent = serde_json::from_slice(&line).map_err(api::client::Error::Malformed)?;
            match event {
                BuildEvent::Data { output, length } => {
                    let receiver = receivers.get_mut(output).ok_or_else(unasked)?;
                    tokio::select! {
                        taken = answer.exactly(length, |bytes| receiver.take(bytes)) => taken?,
                        Some((_, number)) = interrupts.recv() => return Err(ended(number)),
                    }
                }
                BuildEvent::Whole { output } => receivers.get_mut(output).ok_or_else(unasked)?.whole()?,
                BuildEvent::Shell { container, message } => {
                    self.shell(view, (&container, &message)).await?;
                    while interrupts.try_recv().is_ok() {}
                }
                BuildEvent::Built { image, names, response } => {
                    view.end(&names, &image)?;
                    return Ok(Last::Built(Built { image, names, response }));
                }
                BuildEvent::Answer { json, text, status } => {
                    view.clear()?;
                    return Ok(Last::Answer(Findings { json, text, status }));
                }
                BuildEvent::Error { .. } if cancelled => {
                    view.clear()?;
                    complain("ERROR: the build was cancelled");
                    return Err(Failure::Code(INTERRUPTED));
                }
                BuildEvent::Error { message, excerpt, hint } => {
                    view.failed(excerpt.as_deref().unwrap_or_default())?;
                    let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
                    return Err(Failure::said(format!("ERROR: failed to build: {message}{hint}")));
                }
                event => view.tell(&event)?,
            }
        }
    }

    /// The first interruption asks the engine to end the build and clean up, the second ends this program at once.
    async fn interrupted(&self, view: &mut View, (cancelled, number): (&mut bool, i32)) -> Result<(), Failure> {
        if std::mem::replace(cancelled, true) {
            return Err(ended(number));
        }
        view.note("cancelling (press Ctrl-C again to leave at once)")?;
        let path = query("/build/cancel", &[("id", Some(self.id))]);
        // Who cannot be asked sees that the connection ends.
        self.session.client().post(&path, Payload::Empty).await.map_err(|_| ended(number))
    }

    /// Attaches to the container that stands where the step failed, until its shell ends.
    async fn shell(&self, view: &mut View, (container, message): (&str, &str)) -> Result<(), Failure> {
        view.clear()?;
        complain(&format!("{message}\nA shell in the state before this step; leave it to end the build."));
        let tty = terminal::stdin_is_terminal() && rustix::termios::isatty(rustix::stdio::stdout());
        let attached = Attached { stdin: true, stdout: true, stderr: true };
        let attachment = run::Attachment {
            id: container,
            attached,
            tty,
            remove: false,
            keys: None,
            from: run::Beginning::default(),
        };
        let detach = run::detach_keys(None)?;
        if let Err(failure) = run::foreground(self.session, &attachment, detach, true).await {
            complain(&format!("cannot open a shell: {failure}"));
            let path = format!("/containers/{}?force=1", api::client::encode(container));
            let _ = self.session.client().call(Method::DELETE, &path, Payload::Empty).await;
        }
        Ok(())
    }
}

fn ended(number: i32) -> Failure {
    Failure::Code(crate::stream::foreground::killed(number))
}

fn unasked() -> Failure {
    Failure::from(io::Error::new(io::ErrorKind::InvalidData, "the engine sends what was not asked for"))
}

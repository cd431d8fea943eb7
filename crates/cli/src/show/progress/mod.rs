//! The progress of pull, push, load and import: the engine's JSON lines as a view on a terminal, as docker's text elsewhere.

mod board;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::client::Answer;
use serde_json::Value;

use crate::failure::Failure;
use view::View;

/// How often the view is drawn again when nothing else happens.
const TICK: Duration = Duration::from_millis(100);

/// One line of the engine's progress.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Message {
    stream: String,
    status: String,
    id: String,
    #[serde(rename = "progressDetail")]
    detail: Option<Detail>,
    /// A bar as text.
    progress: String,
    error: String,
    #[serde(rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
    aux: Option<Value>,
}

/// Bytes so far.
#[derive(Debug, Default, Clone, Copy, serde::Deserialize)]
#[serde(default)]
struct Detail {
    current: i64,
    total: i64,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct ErrorDetail {
    message: String,
}

impl Message {
    fn failure(&self) -> Option<String> {
        let detailed = self.error_detail.as_ref().map(|detail| &detail.message);
        detailed.into_iter().chain([&self.error]).find(|why| !why.is_empty()).cloned()
    }

    /// What docker prints where there is no terminal; nothing of a bar.
    fn text(&self) -> Option<String> {
        if self.detail.is_some_and(|detail| detail.current > 0 || detail.total > 0) {
            return None;
        }
        let before = if self.id.is_empty() { String::new() } else { format!("{}: ", self.id) };
        Some(match (self.progress.is_empty(), self.stream.is_empty()) {
            (false, _) => format!("{before}{} {}", self.status, self.progress),
            (true, false) => format!("{before}{}", self.stream),
            (true, true) => format!("{before}{}\n", self.status),
        })
    }
}

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Stdout,
    /// So that stdout holds only the result of the command.
    Stderr,
    Nowhere,
}

/// What has been sent of an upload, and how much that will be.
#[derive(Debug, Clone)]
pub struct Upload {
    pub sent: Arc<AtomicU64>,
    pub length: Option<u64>,
}

impl Upload {
    pub fn of(length: Option<u64>) -> Upload {
        Upload { sent: Arc::default(), length }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Shows the progress of one request.
#[derive(Debug)]
pub struct Progress {
    to: To,
    /// On a terminal.
    view: Option<View>,
    /// What came that is not for people's eyes.
    aux: Vec<Value>,
}

impl Progress {
    pub fn new(to: To) -> Progress {
        Progress { to, view: View::on(to), aux: Vec::new() }
    }

    /// With a line for what has been sent, on stderr if stdout is no terminal.
    pub fn of_upload(upload: Upload) -> Progress {
        let view = View::on(To::Stdout).or_else(|| View::on(To::Stderr));
        Progress { to: To::Stdout, view: view.map(|view| view.with_upload(upload)), aux: Vec::new() }
    }

    /// Shows an answer up to its end; returns the `aux` parts of it.
    ///
    /// # Errors
    /// The engine's error in the stream, or a broken connection. The terminal is clean then.
    pub async fn follow(mut self, mut answer: Answer<'_>) -> Result<Vec<Value>, Failure> {
        loop {
            let line = self.during(answer.line()).await?;
            match line {
                Some(line) => self.line(&line)?,
                None => break,
            }
        }
        if let Some(view) = self.view.take() {
            view.finish();
        }
        Ok(self.aux)
    }

    /// Keeps the view moving while something else is awaited.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let Some(view) = &mut self.view else { return work.await };
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(TICK) => view.draw(),
            }
        }
    }

    /// Shows one line of the answer.
    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let Ok(message) = serde_json::from_slice::<Message>(line) else { return Ok(()) };
        if let Some(why) = message.failure() {
            return Err(Failure::Said(why));
        }
        if let Some(aux) = message.aux {
            self.aux.push(aux);
            return Ok(());
        }
        let id = message.id.as_str();
        match self.view.as_mut().filter(|view| !id.is_empty() && view.takes(id, message.detail.is_some())) {
            Some(view) => view.update(id, &message.status, message.detail.unwrap_or_default()),
            None => message.text().map_or(Ok(()), |text| self.say(&text))?,
        }
        Ok(())
    }

    fn say(&self, text: &str) -> Result<(), Failure> {
        let write = || match self.to {
            To::Stdout => super::print(text),
            To::Stderr => {
                super::complain(text.trim_end_matches('\n'));
                Ok(())
            }
            To::Nowhere => Ok(()),
        };
        match &self.view {
            Some(view) => view.aside(write),
            None => write(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> String {
        lines.iter().filter_map(|line| serde_json::from_str::<Message>(line).expect("a message").text()).collect()
    }

    #[test]
    fn a_pull_without_a_terminal_is_told_as_docker_tells_it() {
        assert_eq!(
            texts(&[
                r#"{"status":"Pulling from library/busybox","id":"latest"}"#,
                r#"{"status":"Pulling fs layer","progressDetail":{},"id":"5f70bf18a086"}"#,
                r#"{"status":"Downloading","progressDetail":{"current":1,"total":2},"progress":"[>]","id":"5f70bf18a086"}"#,
                r#"{"status":"Pull complete","progressDetail":{},"id":"5f70bf18a086"}"#,
                r#"{"status":"Status: Image is up to date for busybox:latest"}"#,
                r#"{"stream":"Loaded image: busybox:latest\n"}"#,
            ]),
            "\
latest: Pulling from library/busybox
5f70bf18a086: Pulling fs layer
5f70bf18a086: Pull complete
Status: Image is up to date for busybox:latest
Loaded image: busybox:latest
"
        );
    }

    #[test]
    fn an_error_in_the_stream_ends_it() {
        let mut progress = Progress::new(To::Nowhere);
        for line in [r#"{"errorDetail":{"message":"no"},"error":"old"}"#, r#"{"error":"no"}"#] {
            assert_eq!(progress.line(line.as_bytes()).expect_err("a failure").to_string(), "no");
        }
        progress.line(br#"{"progressDetail":{},"aux":{"Size":1}}"#).expect("data");
        assert_eq!(progress.aux, [serde_json::json!({ "Size": 1 })]);
    }
}

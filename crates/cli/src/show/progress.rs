//! The progress messages of pull, load and import: JSON lines, shown as bars on a terminal and as text elsewhere.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::Failure;

/// One line of the engine's progress.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Message {
    stream: String,
    status: String,
    id: String,
    #[serde(rename = "progressDetail")]
    detail: Detail,
    error: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Detail {
    current: u64,
    total: u64,
}

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Stdout: the bars vanish, the result stays.
    Stdout,
    /// Stderr, so that stdout holds only the result of the command.
    Stderr,
    Nowhere,
}

/// Shows the progress of one request.
#[derive(Debug)]
pub struct Progress {
    to: To,
    /// On a terminal, a line for each thing under way.
    bars: Option<(MultiProgress, BTreeMap<String, ProgressBar>)>,
}

impl Progress {
    pub fn new(to: To) -> Progress {
        let (terminal, target) = match to {
            To::Stdout => (rustix::termios::isatty(rustix::stdio::stdout()), ProgressDrawTarget::stdout()),
            To::Stderr => (rustix::termios::isatty(rustix::stdio::stderr()), ProgressDrawTarget::stderr()),
            To::Nowhere => (false, ProgressDrawTarget::hidden()),
        };
        let bars = terminal.then(|| (MultiProgress::with_draw_target(target), BTreeMap::new()));
        Progress { to, bars }
    }

    /// Shows one line of the answer.
    ///
    /// # Errors
    /// The engine's error, if the line is one.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        let Ok(message) = serde_json::from_slice::<Message>(line) else { return Ok(()) };
        if !message.error.is_empty() {
            self.clear();
            return Err(Failure::Said(message.error));
        }
        if !message.stream.is_empty() {
            return self.say(&message.stream);
        }
        if message.status.is_empty() {
            return Ok(());
        }
        let moving = message.detail.total > 0 || message.detail.current > 0;
        match &mut self.bars {
            Some((all, bars)) if !message.id.is_empty() => {
                let bar = bars.entry(message.id.clone()).or_insert_with(|| all.add(bar()));
                bar.set_length(message.detail.total.max(message.detail.current));
                bar.set_position(message.detail.current);
                bar.set_message(format!("{}: {}", message.id, message.status));
                Ok(())
            }
            _ if moving => Ok(()),
            _ if message.id.is_empty() => self.say(&format!("{}\n", message.status)),
            _ => self.say(&format!("{}: {}\n", message.id, message.status)),
        }
    }

    /// Takes the bars off the terminal.
    pub fn clear(&mut self) {
        if let Some((all, bars)) = self.bars.take() {
            bars.values().for_each(ProgressBar::finish);
            let _ = all.clear();
        }
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
        match &self.bars {
            Some((all, _)) => all.suspend(write),
            None => write(),
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes}");
    let bar = ProgressBar::no_length();
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

//! What a build shows, for people on a terminal, for logs, and for programs.

mod live;
mod plain;
mod raw;
mod steps;

use std::time::Instant;

use api::types::{BuildEvent, BuildWarning};

use crate::failure::Failure;
use crate::show::write_all;
use live::Live;
use raw::Raw;
use steps::Steps;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Live,
    Plain,
    /// The lines of `--progress=rawjson`.
    Json,
    Quiet,
}

/// The view of one build.
#[derive(Debug)]
pub struct View {
    manner: Manner,
    /// All of a warning is shown.
    details: bool,
    begun: Instant,
    steps: Steps,
    live: Live,
    raw: Raw,
    warnings: Vec<BuildWarning>,
}

impl View {
    pub fn new(manner: Manner, details: bool) -> View {
        let (steps, live, raw) = (Steps::default(), Live::new(), Raw::new());
        View { manner, details, begun: Instant::now(), steps, live, raw, warnings: Vec::new() }
    }

    /// Something happened.
    pub fn tell(&mut self, event: &BuildEvent) -> Result<(), Failure> {
        if let BuildEvent::Warning(warning) = event {
            self.warnings.push(warning.clone());
        }
        self.steps.take(event);
        match self.manner {
            Manner::Quiet => Ok(()),
            Manner::Json => say(&self.raw.lines(event)),
            Manner::Plain => say(&plain::lines(&self.steps, event)),
            Manner::Live => {
                let above = live::above(&self.steps, event, live::size().1);
                say(&self.live.frame(&above, &self.steps, self.begun))
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self) -> Result<(), Failure> {
        if self.manner == Manner::Live { say(&self.live.frame("", &self.steps, self.begun)) } else { Ok(()) }
    }

    /// Files are on their way to the engine.
    pub fn sending(&mut self, bytes: u64) -> Result<(), Failure> {
        if self.manner != Manner::Live || bytes == 0 {
            return Ok(());
        }
        say(&self.live.sending(bytes, self.begun))
    }

    /// A remark that stays.
    pub fn note(&mut self, text: &str) -> Result<(), Failure> {
        match self.manner {
            Manner::Json => Ok(()),
            Manner::Live => say(&self.live.frame(&format!("{text}\n"), &self.steps, self.begun)),
            Manner::Plain | Manner::Quiet => say(&format!("{text}\n")),
        }
    }

    /// What is drawn over is gone.
    pub fn clear(&mut self) -> Result<(), Failure> {
        let text = self.live.cleared();
        say(&text)
    }

    /// All is done.
    pub fn end(&mut self, names: &[String], image: &str) -> Result<(), Failure> {
        let mut text = self.live.cleared();
        match self.manner {
            Manner::Json => return say(&self.raw.end(names, image)),
            Manner::Quiet => return Ok(()),
            Manner::Plain => {}
            Manner::Live => text.push_str(&self.live.finished(&self.steps, self.begun)),
        }
        if !image.is_empty() {
            text.push_str(&format!("writing image {image}\n"));
        }
        names.iter().for_each(|name| text.push_str(&format!("naming to {name}\n")));
        text.push_str(&self.remarks());
        say(&text)
    }

    /// The build failed; `excerpt` is the place in the Dockerfile. The words of the step that did are told once more.
    pub fn failed(&mut self, excerpt: &str) -> Result<(), Failure> {
        let mut text = self.live.cleared();
        if self.manner == Manner::Json {
            return Ok(());
        }
        text.push_str(&self.steps.confession());
        text.push_str(&self.remarks());
        text.push_str(excerpt);
        say(&text)
    }

    /// The warnings, in one line each unless all of them is wanted.
    fn remarks(&self) -> String {
        let head = match self.warnings.len() {
            0 => return String::new(),
            1 => "1 warning found".to_owned(),
            many => format!("{many} warnings found"),
        };
        let more = if self.details { "" } else { " (use --debug to expand)" };
        let mut text = format!("\n {head}{more}:\n");
        for warning in &self.warnings {
            let rule = warning.rule.as_deref().map(|rule| format!("{rule}: ")).unwrap_or_default();
            let line = warning.first_line.map(|line| format!(" (line {line})")).unwrap_or_default();
            text.push_str(&format!(" - {rule}{}{line}\n", warning.text));
            if self.details {
                text.push_str(&expanded(warning));
            }
        }
        text
    }
}

fn expanded(warning: &BuildWarning) -> String {
    let mut text = String::new();
    if !warning.detail.is_empty() {
        text.push_str(&format!("{}\n", warning.detail));
    }
    if let Some(url) = &warning.url {
        text.push_str(&format!("More info: {url}\n"));
    }
    format!("{text}{}\n", warning.excerpt)
}

fn say(text: &str) -> Result<(), Failure> {
    if text.is_empty() { Ok(()) } else { Ok(write_all(rustix::stdio::stderr(), text.as_bytes())?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_one_line_each_unless_all_is_wanted() {
        let warning = BuildWarning {
            rule: Some("StageNameCasing".to_owned()),
            url: Some("https://x".to_owned()),
            first_line: Some(3),
            text: "Stage name 'B' should be lowercase".to_owned(),
            detail: "Stage names should be lowercase".to_owned(),
            excerpt: "Dockerfile:3\n".to_owned(),
            ..BuildWarning::default()
        };
        let mut view = View::new(Manner::Plain, false);
        assert_eq!(view.remarks(), "");
        view.warnings.push(warning);
        let head = "\n 1 warning found (use --debug to expand):\n";
        let line = " - StageNameCasing: Stage name 'B' should be lowercase (line 3)\n";
        assert_eq!(view.remarks(), format!("{head}{line}"));
        view.details = true;
        assert!(
            view.remarks()
                .ends_with(&format!("{line}Stage names should be lowercase\nMore info: https://x\nDockerfile:3\n\n"))
        );
    }
}

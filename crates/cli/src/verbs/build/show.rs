//! What a build shows: a line for each step that is done, and on a terminal those under way with their latest words.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use api::types::{BuildEvent, BuildStep};

use crate::failure::Failure;
use crate::show::{print, write_all};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Live,
    Plain,
    /// The engine's own lines.
    Json,
    Quiet,
}

/// Words of a step under way that are shown on a terminal.
const LATEST: usize = 6;
/// How often a terminal is drawn again at most.
const FRAME: Duration = Duration::from_millis(50);

/// One step.
#[derive(Debug)]
struct Shown {
    info: BuildStep,
    begun: Instant,
    /// Of what the step said: the line that is not ended, and those before it.
    open: String,
    latest: Vec<String>,
    done: bool,
}

/// The view of one build.
#[derive(Debug)]
pub struct Live {
    manner: Manner,
    steps: BTreeMap<usize, Shown>,
    /// Lines on the terminal that are drawn over.
    drawn: usize,
    last: Instant,
}

impl Live {
    pub fn new(manner: Manner) -> Live {
        Live { manner, steps: BTreeMap::new(), drawn: 0, last: Instant::now() }
    }

    pub fn tell(&mut self, event: &BuildEvent, line: &[u8]) -> Result<(), Failure> {
        match self.manner {
            Manner::Quiet => Ok(()),
            Manner::Json => print([line, b"\n"].concat()),
            Manner::Plain | Manner::Live => {
                self.take(event)?;
                self.draw()
            }
        }
    }

    /// Nothing more comes.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.say("")
    }

    fn take(&mut self, event: &BuildEvent) -> Result<(), Failure> {
        match event {
            BuildEvent::Planned(steps) => steps.iter().enumerate().for_each(|(step, info)| self.add(step, info)),
            BuildEvent::Added { step, info } => self.add(*step, info),
            BuildEvent::Started(step) => {
                if let Some(shown) = self.steps.get_mut(step) {
                    shown.begun = Instant::now();
                    shown.open.clear();
                }
                self.head(*step, |shown| shown.info.place == Some((1, 1)) || shown.info.title.starts_with("FROM "))?;
            }
            BuildEvent::Titled { step, title } => {
                if let Some(shown) = self.steps.get_mut(step) {
                    shown.info.title.clone_from(title);
                }
                self.head(*step, |shown| shown.info.place.is_some())?;
            }
            BuildEvent::Output { step, text, .. } => self.output(*step, text)?,
            BuildEvent::Pulling { step, text } => self.output(*step, &format!("{text}\n"))?,
            BuildEvent::Done { step, cached } => self.done(*step, *cached)?,
            BuildEvent::Failed { step, why } => self.failed(*step, why)?,
            BuildEvent::Warning { line, text } => {
                let at = line.map(|line| format!(" (line {line})")).unwrap_or_default();
                self.say(&format!("WARN: {text}{at}\n"))?;
            }
            BuildEvent::Built { image, names } => {
                let mut text = format!("writing image {image}\n");
                names.iter().for_each(|name| {
                    let _ = writeln!(text, "naming to {name}");
                });
                self.say(&text)?;
            }
            BuildEvent::Error { .. } => {}
        }
        Ok(())
    }

    fn add(&mut self, step: usize, info: &BuildStep) {
        let shown =
            Shown { info: info.clone(), begun: Instant::now(), open: String::new(), latest: Vec::new(), done: true };
        self.steps.insert(step, shown);
    }

    /// A step that is counted has begun.
    fn head(&mut self, step: usize, counts: impl Fn(&Shown) -> bool) -> Result<(), Failure> {
        let Some(shown) = self.steps.get_mut(&step).filter(|shown| counts(shown)) else { return Ok(()) };
        shown.done = false;
        let text = format!("#{} {}\n", step + 1, shown.name());
        if self.manner == Manner::Plain { self.say(&text) } else { Ok(()) }
    }

    fn output(&mut self, step: usize, text: &str) -> Result<(), Failure> {
        let Some(shown) = self.steps.get_mut(&step) else { return Ok(()) };
        let seconds = shown.begun.elapsed().as_secs_f64();
        shown.open.push_str(text);
        let mut lines = String::new();
        while let Some(end) = shown.open.find('\n') {
            let line: String = shown.open.drain(..=end).collect();
            let line = line.trim_end_matches(['\n', '\r']).to_owned();
            let _ = writeln!(lines, "#{} {seconds:.3} {line}", step + 1);
            shown.latest.push(line);
        }
        let many = shown.latest.len().saturating_sub(LATEST);
        shown.latest.drain(..many);
        if self.manner == Manner::Plain { self.say(&lines) } else { Ok(()) }
    }

    fn done(&mut self, step: usize, cached: bool) -> Result<(), Failure> {
        let Some(shown) = self.steps.get_mut(&step) else { return Ok(()) };
        if std::mem::replace(&mut shown.done, true) {
            return Ok(());
        }
        let time = shown.begun.elapsed().as_secs_f64();
        let name = shown.name();
        let text = match (self.manner, cached) {
            (Manner::Plain, true) => format!("#{} CACHED\n", step + 1),
            (Manner::Plain, false) => format!("#{} DONE {time:.1}s\n", step + 1),
            (_, true) => format!(" => CACHED {name}\n"),
            (_, false) => format!(" => {name}  {time:.1}s\n"),
        };
        self.say(&text)
    }

    fn failed(&mut self, step: usize, why: &str) -> Result<(), Failure> {
        let Some(shown) = self.steps.get_mut(&step) else { return Ok(()) };
        shown.done = true;
        let mut text = match self.manner {
            Manner::Plain => format!("#{} ERROR: {why}\n", step + 1),
            _ => format!(" => ERROR {}\n", shown.name()),
        };
        if self.manner == Manner::Live {
            shown.latest.iter().for_each(|line| {
                let _ = writeln!(text, "    {line}");
            });
        }
        self.say(&text)
    }

    /// Lines that stay, above those that are drawn over.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        if self.manner == Manner::Json || self.manner == Manner::Quiet {
            return Ok(());
        }
        let text = format!("{}{text}", self.erased());
        if text.is_empty() { Ok(()) } else { Ok(write_all(rustix::stdio::stderr(), text.as_bytes())?) }
    }

    fn erased(&mut self) -> String {
        let up = std::mem::take(&mut self.drawn);
        if up == 0 { String::new() } else { format!("\u{1b}[{up}A\r\u{1b}[J") }
    }

    fn draw(&mut self) -> Result<(), Failure> {
        if self.manner != Manner::Live || (self.last.elapsed() < FRAME && self.drawn > 0) {
            return Ok(());
        }
        self.last = Instant::now();
        let columns = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).map_or(80, |size| size.ws_col.into());
        let mut text = self.erased();
        let mut lines = 0;
        for shown in self.steps.values().filter(|shown| !shown.done) {
            let time = shown.begun.elapsed().as_secs_f64();
            let head = format!(" => {}  {time:.1}s", shown.name());
            let _ = writeln!(text, "{}", cut(&head, columns));
            lines += 1;
            for line in &shown.latest {
                let _ = writeln!(text, "{}", cut(&format!(" => => {line}"), columns));
                lines += 1;
            }
        }
        self.drawn = lines;
        if lines == 0 { Ok(()) } else { Ok(write_all(rustix::stdio::stderr(), text.as_bytes())?) }
    }
}

impl Shown {
    /// `[base 2/5] RUN apt-get update`
    fn name(&self) -> String {
        let stage = self.info.stage_name.clone().unwrap_or_else(|| format!("stage-{}", self.info.stage));
        match self.info.place {
            Some((place, total)) => format!("[{stage} {place}/{total}] {}", self.info.title),
            None => format!("[{stage}] {}", self.info.title),
        }
    }
}

/// So much of a line as a terminal's row takes, without what would move its cursor.
fn cut(line: &str, columns: usize) -> String {
    line.chars().filter(|letter| !letter.is_control()).take(columns.saturating_sub(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(place: Option<(usize, usize)>) -> Shown {
        let info = BuildStep { stage: 1, stage_name: None, place, title: "RUN x".to_owned() };
        Shown { info, begun: Instant::now(), open: String::new(), latest: Vec::new(), done: false }
    }

    #[test]
    fn a_step_is_named_by_its_stage_and_place() {
        assert_eq!(step(Some((2, 5))).name(), "[stage-1 2/5] RUN x");
        assert_eq!(step(None).name(), "[stage-1] RUN x");
    }

    #[test]
    fn a_row_has_no_more_than_it_has_room_for() {
        assert_eq!(cut("abcdef", 4), "abc");
        assert_eq!(cut("a\u{1b}[31mb", 80), "a[31mb");
    }
}

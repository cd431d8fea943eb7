//! The steps of a build as far as they have come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::types::{BuildEvent, BuildStep};

/// Lines that a step said which are kept: all that is told of one that failed.
const KEPT: usize = 200;
/// Bytes of a line that does not end; after these it is told as one.
const LONGEST: usize = 64 << 10;

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    Waiting,
    Running,
    Done,
    Cached,
    Failed,
    /// Ended because something else did.
    Cancelled,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    pub info: BuildStep,
    pub stand: Stand,
    begun: Option<Instant>,
    took: Option<Duration>,
    /// The line that is not ended yet.
    open: String,
    /// Lines that it said, with the time since its beginning; the last ones.
    pub said: Vec<(Duration, String)>,
    /// How many it said in all.
    lines: usize,
    /// Lines that the latest event ended.
    pub fresh: usize,
    /// What it moves: bytes, and how many there are.
    pub moved: BTreeMap<String, (u64, Option<u64>)>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Steps {
    pub all: BTreeMap<usize, Step>,
    /// What comes after them, and when it began.
    pub tasks: BTreeMap<String, Instant>,
    /// The task that the latest event ended, and how long it took.
    pub ended: Option<(String, Duration)>,
}

impl Step {
    fn new(info: &BuildStep) -> Step {
        Step {
            info: info.clone(),
            stand: Stand::Waiting,
            begun: None,
            took: None,
            open: String::new(),
            said: Vec::new(),
            lines: 0,
            fresh: 0,
            moved: BTreeMap::new(),
        }
    }

    /// `[linux/arm64 base 2/5] RUN apt-get update`
    pub fn name(&self) -> String {
        let stage = self.info.stage_name.clone().unwrap_or_else(|| format!("stage-{}", self.info.stage));
        let platform = self.info.platform.as_deref().map(|platform| format!("{platform} ")).unwrap_or_default();
        match self.info.place {
            Some((place, total)) => format!("[{platform}{stage} {place}/{total}] {}", self.info.title),
            None => format!("[{platform}{stage}] {}", self.info.title),
        }
    }

    /// Whether it is worth a line: one that only changes the configuration takes no time.
    pub fn counts(&self) -> bool {
        self.info.place.is_some()
    }

    /// How long it went on, or has been going on.
    pub fn time(&self) -> Duration {
        self.took.or_else(|| self.begun.map(|begun| begun.elapsed())).unwrap_or_default()
    }

    fn ended(&mut self, stand: Stand) {
        self.took = self.begun.map(|begun| begun.elapsed());
        self.stand = stand;
        self.moved.clear();
        if !self.open.is_empty() {
            let line = std::mem::take(&mut self.open);
            self.line(&line);
        }
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_end_matches(['\n', '\r']);
        // What a program writes over itself is shown as it was last.
        let line = line.rsplit('\r').next().unwrap_or_default();
        self.said.push((self.time(), line.to_owned()));
        self.lines += 1;
        self.fresh += 1;
        if self.said.len() > KEPT {
            self.said.remove(0);
        }
    }

    fn output(&mut self, text: &str) {
        self.open.push_str(text);
        while let Some(end) = self.open.find('\n') {
            let line: String = self.open.drain(..=end).collect();
            self.line(&line);
        }
        if self.open.len() > LONGEST {
            let line = std::mem::take(&mut self.open);
            self.line(&line);
        }
    }
}

impl Steps {
    pub fn take(&mut self, event: &BuildEvent) {
        self.all.values_mut().for_each(|step| step.fresh = 0);
        self.ended = None;
        match event {
            BuildEvent::Planned(steps) => {
                let base = self.all.keys().next_back().map_or(0, |last| last + 1);
                let base = if self.all.is_empty() { 0 } else { base };
                for (number, info) in steps.iter().enumerate() {
                    self.all.insert(base + number, Step::new(info));
                }
            }
            BuildEvent::Added { step, info } => drop(self.all.insert(*step, Step::new(info))),
            BuildEvent::Started(step) => self.at(*step, |step| {
                step.begun = Some(Instant::now());
                step.stand = Stand::Running;
            }),
            BuildEvent::Titled { step, title } => self.at(*step, |step| step.info.title.clone_from(title)),
            BuildEvent::Output { step, text, .. } => self.at(*step, |step| step.output(text)),
            BuildEvent::Pulling { step, text } => self.at(*step, |step| step.line(text)),
            BuildEvent::Bytes { step, what, done, total } => self.at(*step, |step| {
                let is_whole = total.is_some_and(|total| *done >= total);
                match is_whole {
                    true => drop(step.moved.remove(what)),
                    false => drop(step.moved.insert(what.clone(), (*done, *total))),
                }
            }),
            BuildEvent::Done { step, cached } => {
                self.at(*step, |step| step.ended(if *cached { Stand::Cached } else { Stand::Done }));
            }
            BuildEvent::Failed { step, cancelled, .. } => {
                self.at(*step, |step| step.ended(if *cancelled { Stand::Cancelled } else { Stand::Failed }));
            }
            BuildEvent::Task { name, done: false } => drop(self.tasks.insert(name.clone(), Instant::now())),
            BuildEvent::Task { name, done: true } => {
                let took = self.tasks.remove(name).map(|begun| begun.elapsed()).unwrap_or_default();
                self.ended = Some((name.clone(), took));
            }
            _ => {}
        }
    }

    fn at(&mut self, step: usize, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.all.get_mut(&step) {
            change(step);
        }
    }

    /// Steps that count: those that are done, and all.
    pub fn count(&self) -> (usize, usize) {
        let counted = || self.all.values().filter(|step| step.counts());
        let done = counted().filter(|step| matches!(step.stand, Stand::Done | Stand::Cached)).count();
        (done, counted().count())
    }

    /// What the step that failed has said.
    pub fn confession(&self) -> String {
        let Some(step) = self.all.values().find(|step| step.stand == Stand::Failed && !step.said.is_empty()) else {
            return String::new();
        };
        let mut text = format!("------\n > {}:\n", step.name());
        if step.lines > step.said.len() {
            text.push_str(&format!("({} lines before)\n", step.lines - step.said.len()));
        }
        for (at, line) in &step.said {
            text.push_str(&format!("{:.3} {line}\n", at.as_secs_f64()));
        }
        text.push_str("------\n");
        text
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn planned(titles: &[&str]) -> Steps {
        let total = titles.len();
        let info = |(at, title): (usize, &&str)| BuildStep {
            place: Some((at + 1, total)),
            title: (*title).to_owned(),
            ..BuildStep::default()
        };
        let mut steps = Steps::default();
        steps.take(&BuildEvent::Planned(titles.iter().enumerate().map(info).collect()));
        steps
    }

    #[test]
    fn a_step_is_named_by_its_platform_stage_and_place() {
        let mut steps = planned(&["FROM x", "RUN y"]);
        assert_eq!(steps.all[&1].name(), "[stage-0 2/2] RUN y");
        let step = steps.all.get_mut(&1).expect("a step");
        step.info.platform = Some("linux/arm64".to_owned());
        step.info.stage_name = Some("base".to_owned());
        step.info.place = None;
        assert_eq!(step.name(), "[linux/arm64 base] RUN y");
    }

    #[test]
    fn what_a_failed_step_said_is_told_again() {
        let mut steps = planned(&["FROM x", "RUN y"]);
        steps.take(&BuildEvent::Started(1));
        steps.take(&BuildEvent::Output { step: 1, error: false, text: "50%\r100%\nend".to_owned() });
        assert_eq!(steps.confession(), "");
        steps.take(&BuildEvent::Failed { step: 1, why: "no".to_owned(), cancelled: false });
        let text = steps.confession();
        assert!(text.starts_with("------\n > [stage-0 2/2] RUN y:\n0.0") && text.contains(" 100%\n"), "{text}");
        assert!(text.ends_with(" end\n------\n"), "{text}");
    }

    #[test]
    fn many_lines_are_kept_in_part() {
        let mut steps = planned(&["RUN y"]);
        steps.take(&BuildEvent::Started(0));
        let text: String = (0..KEPT + 5).map(|number| format!("line {number}\n")).collect();
        steps.take(&BuildEvent::Output { step: 0, error: false, text });
        steps.take(&BuildEvent::Failed { step: 0, why: "no".to_owned(), cancelled: false });
        assert!(steps.confession().contains("(5 lines before)\n"));
    }

    #[test]
    fn a_line_without_an_end_is_told_in_parts() {
        let mut steps = planned(&["RUN y"]);
        steps.take(&BuildEvent::Started(0));
        for _ in 0..3 {
            steps.take(&BuildEvent::Output { step: 0, error: false, text: "x".repeat(LONGEST + 1) });
        }
        assert_eq!((steps.all[&0].said.len(), steps.all[&0].open.len()), (3, 0));
    }
}

//! Checks: what is allowed in a Dockerfile and probably a mistake, with BuildKit's rules, names and texts.

mod options;
mod rule;
mod stages;
mod steps;

pub use options::Options;
pub use rule::Rule;

use crate::error::excerpt;
use crate::ignore::Ignore;
use crate::{BuildArguments, Dockerfile, Error, Globals, Lines, Written};
use oci::image::Platform;
use std::sync::Arc;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub rule: Rule,
    pub message: String,
    pub lines: Lines,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order they were found; [`Report::by_line`] for people.
    pub warnings: Vec<Warning>,
    /// Why the check could not go on to the end.
    pub error: Option<Error>,
}

/// What a check must know besides the file.
pub trait Surroundings {
    /// A base image's configuration; `None` when it is not known, then nothing is said of variables in what is built on it.
    fn image(&self, name: &str, platform: Option<&str>) -> Option<ImageFacts>;
    /// Whether an image could have this name.
    fn is_image_name(&self, name: &str) -> bool;
    /// What the context leaves out.
    fn ignore(&self) -> Option<&Ignore>;
}

/// What matters of an image's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    pub env: Vec<String>,
    /// Whether it has a `Shell`.
    pub has_shell: bool,
    pub on_build: Vec<String>,
    /// What it is for, if that is known.
    pub platform: Option<Platform>,
}

impl Report {
    /// The warnings from the top of the file to its end.
    pub fn by_line(&self) -> Vec<&Warning> {
        let mut warnings: Vec<&Warning> = self.warnings.iter().collect();
        warnings.sort_by_key(|warning| warning.lines.first);
        warnings
    }

    /// The error of a build whose options say that warnings are errors: the names of the rules.
    pub fn violation(&self) -> Option<String> {
        let mut names: Vec<&str> = Vec::new();
        for warning in &self.warnings {
            if !names.contains(&warning.rule.name()) {
                names.push(warning.rule.name());
            }
        }
        (!names.is_empty()).then(|| format!("lint violation found for rules: {}", names.join(", ")))
    }
}

impl Warning {
    /// The warning with the lines it is about, as `docker build --check` prints it.
    pub fn text(&self, source: &str, name: &str) -> String {
        let rule = self.rule;
        let place = excerpt(source, name, self.lines);
        let url = match rule.url() {
            url if url.is_empty() => url,
            url => format!(" - {url}"),
        };
        format!("\nWARNING: {}{url}\n{}\n{place}", rule.name(), self.message)
    }
}

/// Checks the stages that `arguments.stage` needs; all if there is none.
pub fn check(
    file: &Dockerfile,
    arguments: &BuildArguments,
    options: &Options,
    surroundings: &dyn Surroundings,
) -> Report {
    let mut checker = Checker { file, arguments, options, surroundings, report: Report::default() };
    checker.instructions();
    checker.names();
    checker.casing();
    checker.default_bases();
    if let Err(error) = checker.evaluate() {
        checker.report.error = Some(error);
    }
    checker.report
}

struct Checker<'a> {
    file: &'a Dockerfile,
    arguments: &'a BuildArguments,
    options: &'a Options,
    surroundings: &'a dyn Surroundings,
    report: Report,
}

impl Checker<'_> {
    fn evaluate(&mut self) -> Result<(), Error> {
        let globals = Arc::new(Globals::new(self.file, self.arguments)?);
        let bases = self.bases(&globals)?;
        self.steps(&globals, &bases)
    }

    /// Tells something unless options say not to. `comments` are those above the instruction: they may have a say too.
    fn warn(&mut self, rule: Rule, message: String, written: &Written) {
        self.tell(rule, message, (written.lines, &written.comments));
    }

    /// The same where only the options of the whole file count.
    fn warn_anyhow(&mut self, rule: Rule, message: String, lines: Lines) {
        self.tell(rule, message, (lines, &[]));
    }

    fn tell(&mut self, rule: Rule, message: String, (lines, comments): (Lines, &[String])) {
        if self.options.wants_at(rule, comments) {
            self.report.warnings.push(Warning { rule, message, lines });
        }
    }
}

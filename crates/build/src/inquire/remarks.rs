//! What checks say of a Dockerfile that is built: before the first step what is known then, with the steps what they show.

use super::{Around, arguments, options};
use crate::builder::House;
use crate::context::Sources;
use crate::progress::{Event, Watch};
use crate::request::Request;
use crate::{Error, Result};
use dockerfile::Dockerfile;
use dockerfile::lint::{self, Options, Rule, Warning};
use registry::Cancel;
use std::collections::{BTreeMap, BTreeSet};

/// One who watches, and is not told a remark that the file does not want or that was made before.
pub(crate) struct Remarks<'a> {
    watch: &'a dyn Watch,
    options: Options,
    /// By the first line of what is remarked upon.
    told: BTreeSet<(Rule, usize)>,
    /// The comments above instructions, by their first line.
    comments: BTreeMap<usize, Vec<String>>,
}

impl<'a> Remarks<'a> {
    /// Checks the file, and tells what was found. Images that are not here are not asked about: what is built on them is checked with
    /// the steps. An error, if the file says that warnings are.
    pub fn of(
        (house, request): (&House, &Request),
        file: &Dockerfile,
        (sources, cancel): (&dyn Sources, &Cancel),
        watch: &'a dyn Watch,
    ) -> Result<Remarks<'a>> {
        let options = options(request, file)?;
        let around = Around { house, sources, keys: None, cancel, ignore: sources.ignore() };
        let report = lint::check(file, &arguments(request), &options, &around);
        if options.error
            && let Some(violation) = report.violation()
        {
            report.warnings.into_iter().for_each(|warning| watch.tell(Event::Lint(warning)));
            return Err(Error::Invalid(violation));
        }
        let told = report.warnings.iter().map(|warning| (warning.rule, warning.lines.first)).collect();
        report.warnings.into_iter().for_each(|warning| watch.tell(Event::Lint(warning)));
        let steps = file.stages.iter().flat_map(|stage| &stage.steps);
        let comments = steps.map(|step| (step.written.lines.first, step.written.comments.clone())).collect();
        Ok(Remarks { watch, options, told, comments })
    }

    fn wants(&self, warning: &Warning) -> bool {
        let line = warning.lines.first;
        let comments = self.comments.get(&line).map_or(&[][..], Vec::as_slice);
        !self.told.contains(&(warning.rule, line)) && self.options.wants_at(warning.rule, comments)
    }
}

impl Watch for Remarks<'_> {
    fn tell(&self, event: Event) {
        match event {
            Event::Lint(warning) if !self.wants(&warning) => {}
            other => self.watch.tell(other),
        }
    }
}

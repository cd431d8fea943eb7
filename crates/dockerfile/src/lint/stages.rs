//! Rules about instructions by themselves, names, cases, and what stands in `FROM`.

use super::{Checker, Rule};
use crate::expand::{self, Expansion};
use crate::quote::quoted;
use crate::suggest::{Case, nearest};
use crate::{Base, Error, Fault, Globals, Instruction, Stage, Written, platform};
use std::collections::BTreeSet;

const RESERVED: [&str; 2] = ["context", "scratch"];

impl Checker<'_> {
    /// What each instruction shows by itself, in the order of the file.
    pub(super) fn instructions(&mut self) {
        let file = self.file;
        for lines in &file.empty_continuations {
            self.warn_anyhow(Rule::NoEmptyContinuation, "Empty continuation line".to_owned(), *lines);
        }
        for global in &file.globals {
            self.arg_described(&global.written, global.args.iter().map(|arg| arg.name.as_str()).collect());
        }
        for stage in &file.stages {
            self.words_of(stage);
            for step in &stage.steps {
                match &step.instruction {
                    Instruction::Maintainer(_) => {
                        let text = "Maintainer instruction is deprecated in favor of using label";
                        self.warn(Rule::MaintainerDeprecated, text.to_owned(), &step.written);
                    }
                    Instruction::Arg(args) => {
                        self.arg_described(&step.written, args.iter().map(|arg| arg.name.as_str()).collect());
                    }
                    _ => {}
                }
            }
        }
    }

    fn words_of(&mut self, stage: &Stage) {
        let written = &stage.written;
        let words: Vec<&str> = written.code.split_whitespace().collect();
        // Flags apart, `FROM base AS name` ends with these two.
        if let ([.., between, name], Some(_)) = (words.as_slice(), &stage.name) {
            if *name != name.to_lowercase() {
                self.warn(Rule::StageNameCasing, format!("Stage name '{name}' should be lowercase"), written);
            }
            if !same_case(&written.keyword, between) {
                let text = format!("'{between}' and '{}' keywords' casing do not match", written.keyword);
                self.warn(Rule::FromAsCasing, text, written);
            }
        }
        if let Some(name) = &stage.name {
            self.described("FROM", written, vec![name]);
        }
    }

    fn arg_described(&mut self, written: &Written, names: Vec<&str>) {
        self.described("ARG", written, names);
    }

    fn described(&mut self, instruction: &str, written: &Written, names: Vec<&str>) {
        let Some(last) = written.comments.last() else { return };
        let first_word = last.split(' ').next().unwrap_or_default();
        if names.contains(&first_word) {
            return;
        }
        let example = if let [name] = names.as_slice() { name } else { "<arg_key>" };
        let text = format!("Comment for {instruction} should follow the format: `# {example} <description>`");
        self.warn(Rule::InvalidDefinitionDescription, text, written);
    }

    pub(super) fn names(&mut self) {
        let mut known = BTreeSet::new();
        for stage in &self.file.stages {
            let Some(name) = &stage.name else { continue };
            let lines = stage.written.lines;
            if RESERVED.contains(&name.as_str()) {
                let text = format!("Stage name should not use the same name as reserved stage {}", quoted(name));
                self.warn_anyhow(Rule::ReservedStageName, text, lines);
            }
            if !known.insert(name) {
                let text = format!("Duplicate stage name {}, stage names should be unique", quoted(name));
                self.warn_anyhow(Rule::DuplicateStageName, text, lines);
            }
        }
    }

    /// Each keyword in the case of the majority.
    pub(super) fn casing(&mut self) {
        let stages = self.file.stages.iter();
        let written =
            stages.flat_map(|stage| std::iter::once(&stage.written).chain(stage.steps.iter().map(|s| &s.written)));
        let written: Vec<&Written> = written.collect();
        let lower = written.iter().filter(|written| is_lower(&written.keyword)).count();
        let upper = written.iter().filter(|w| is_upper(&w.keyword) && !is_lower(&w.keyword)).count();
        let (fits, wanted): (fn(&str) -> bool, _) =
            if lower > upper { (is_lower, "lowercase") } else { (is_upper, "uppercase") };
        for written in written.into_iter().filter(|written| !fits(&written.keyword)) {
            let keyword = &written.keyword;
            let text = format!("Command '{keyword}' should match the case of the command majority ({wanted})");
            self.warn_anyhow(Rule::ConsistentInstructionCasing, text, written.lines);
        }
    }

    /// Bases must be names of images also when no argument is given.
    pub(super) fn default_bases(&mut self) {
        let Ok(globals) = Globals::defaults(self.file, self.arguments) else { return };
        for stage in &self.file.stages {
            let Ok(base) = expand::word(&stage.base, globals.escape, globals.env()) else { return };
            if !self.surroundings.is_image_name(&base.text) {
                let text = format!("Default value for ARG {} results in empty or invalid base image name", stage.base);
                self.warn_anyhow(Rule::InvalidDefaultArgInFrom, text, stage.written.lines);
            }
        }
    }

    /// What the stages are built on.
    pub(super) fn bases(&mut self, globals: &Globals) -> Result<Vec<Base>, Error> {
        self.file.stages.iter().map(|stage| self.base(stage, globals)).collect()
    }

    fn base(&mut self, stage: &Stage, globals: &Globals) -> Result<Base, Error> {
        let at = |error: Error| error.at(stage.written.lines);
        let name = expand::word(&stage.base, globals.escape, globals.env()).map_err(at)?;
        self.undeclared(&name, stage, globals);
        if name.text.is_empty() {
            return Err(at(Fault::BlankBase(stage.base.clone()).into()));
        }
        if let Some(word) = &stage.platform
            && let Ok(expanded) = expand::word(word, globals.escape, globals.env())
        {
            self.undeclared(&expanded, stage, globals);
            self.redundant(word, &expanded, stage, globals);
            self.constant(&expanded, stage);
        }
        globals.from(stage)
    }

    fn undeclared(&mut self, word: &Expansion, stage: &Stage, globals: &Globals) {
        let known: BTreeSet<&str> =
            globals.definitions().keys().map(String::as_str).chain(globals.env().names()).collect();
        for name in word.unmatched.iter().filter(|name| !known.contains(name.as_str())) {
            let hint = nearest(name, known.iter().copied(), Case::Matters);
            let hint = hint.map(|hint| format!(" (did you mean {hint}?)")).unwrap_or_default();
            let text = format!("FROM argument '{name}' is not declared{hint}");
            self.warn(Rule::UndefinedArgInFrom, text, &stage.written);
        }
    }

    fn redundant(&mut self, word: &str, expanded: &Expansion, stage: &Stage, globals: &Globals) {
        let only = expanded.matched.len() == 1 && expanded.unmatched.is_empty();
        let target = globals.env().get("TARGETPLATFORM");
        if only && expanded.matched.contains("TARGETPLATFORM") && Some(expanded.text.as_str()) == target {
            let text =
                format!("Setting platform to predefined {word} in FROM is redundant as this is the default behavior");
            self.warn(Rule::RedundantTargetPlatform, text, &stage.written);
        }
    }

    fn constant(&mut self, expanded: &Expansion, stage: &Stage) {
        if !expanded.matched.is_empty() || !expanded.unmatched.is_empty() {
            return;
        }
        let Some((system, architecture)) = platform::named(&expanded.text, &self.arguments.build) else { return };
        let name = stage.name.as_deref().unwrap_or_default();
        // A stage that is called after its platform is meant for it.
        if !name.contains(&system) && !name.contains(&architecture) {
            let text = format!("FROM --platform flag should not use constant value {}", quoted(&expanded.text));
            self.warn(Rule::FromPlatformFlagConstDisallowed, text, &stage.written);
        }
    }
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}

fn same_case(from: &str, between: &str) -> bool {
    match from {
        _ if is_lower(from) => is_lower(between),
        _ if is_upper(from) => is_upper(between),
        // What is mixed already is told of elsewhere.
        _ => true,
    }
}

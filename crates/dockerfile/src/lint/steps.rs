//! Rules about steps, whose words mean something only after the steps before.

use super::{Checker, ImageFacts, Rule};
use crate::path::cleaned;
use crate::ports::Parts;
use crate::quote::quoted;
use crate::suggest::{Case, nearest};
use crate::{
    Base, Command, Error, Globals, Instruction, Lines, Resolved, Scope, Sources, Stage, Step, Written, graph,
    parse_trigger, platform,
};
use std::sync::Arc;

/// Words in a name that make it a secret, and words that take it back.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
const NO_SECRET: [&str; 3] = ["public", "file", "version"];

/// A stage as far as it was walked through.
#[derive(Clone)]
struct State {
    scope: Scope,
    has_shell: bool,
    workdir_set: bool,
    /// Whether the variables of the image at the bottom are known.
    known: bool,
    on_build: Vec<String>,
    /// Where these three were last.
    cmd: Option<Lines>,
    entrypoint: Option<Lines>,
    healthcheck: Option<Lines>,
}

impl Checker<'_> {
    /// Walks through the stages that count.
    pub(super) fn steps(&mut self, globals: &Arc<Globals>, bases: &[Base]) -> Result<(), Error> {
        let file = self.file;
        let target = self.arguments.stage.as_deref();
        let wanted = target.map(|target| graph::needed(file, bases, Some(target))).transpose()?;
        let mut states: Vec<State> = Vec::new();
        for (at, (stage, base)) in file.stages.iter().zip(bases).enumerate() {
            let below = graph::exactly(file, &base.name, at).and_then(|below| states.get(below));
            let mut state = self.begin(globals, (base, &stage.written), below)?;
            if wanted.as_ref().is_none_or(|wanted| wanted.order.contains(&at)) {
                self.stage(stage, &mut state)?;
            }
            states.push(state);
        }
        Ok(())
    }

    fn begin(
        &mut self,
        globals: &Arc<Globals>,
        (base, written): (&Base, &Written),
        below: Option<&State>,
    ) -> Result<State, Error> {
        if let Some(below) = below {
            let scope = Scope::of_stage(&below.scope)?;
            return Ok(State { scope, cmd: None, entrypoint: None, healthcheck: None, ..below.clone() });
        }
        let facts = match base.name.as_str() {
            "scratch" => Some(ImageFacts::default()),
            name => self.surroundings.image(name, base.platform.as_deref()),
        };
        let known = facts.is_some();
        let facts = facts.unwrap_or_default();
        self.fits(base, &facts, written);
        Ok(State {
            scope: Scope::of_image(globals, &facts.env)?,
            has_shell: facts.has_shell,
            workdir_set: false,
            known,
            on_build: facts.on_build,
            cmd: None,
            entrypoint: None,
            healthcheck: None,
        })
    }

    /// Whether an image is for what the stage is for.
    fn fits(&mut self, base: &Base, facts: &ImageFacts, written: &Written) {
        let Some(actual) = &facts.platform else { return };
        let target = &self.arguments.target;
        let named = base.platform.as_deref().and_then(|text| platform::named(text, &self.arguments.build));
        let (os, architecture) = named.unwrap_or_else(|| (target.os.clone(), target.architecture.clone()));
        if os.is_empty() || (&actual.os, &actual.architecture) == (&os, &architecture) {
            return;
        }
        let wanted = base.platform.clone().unwrap_or_else(|| platform::text(target));
        let text = format!(
            "Base image {} was pulled with platform {}, expected {} for current build",
            base.name,
            quoted(&platform::text(actual)),
            quoted(&wanted)
        );
        self.warn(Rule::InvalidBaseImagePlatform, text, written);
    }

    fn stage(&mut self, stage: &Stage, state: &mut State) -> Result<(), Error> {
        let triggers = std::mem::take(&mut state.on_build);
        let triggers = triggers.iter().map(|trigger| parse_trigger(trigger, stage.written.lines));
        for step in triggers.collect::<Result<Vec<Step>, Error>>()? {
            self.step(&step, state)?;
        }
        for step in &stage.steps {
            if let Instruction::Onbuild(trigger) = &step.instruction {
                state.on_build.push(trigger.clone());
            }
            self.step(step, state)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, state: &mut State) -> Result<(), Error> {
        let written = &step.written;
        if let Instruction::Arg(args) = &step.instruction {
            args.iter().for_each(|arg| self.secret("ARG", &arg.name, written));
        }
        let before = state.scope.variables().entries().len();
        let resolved = state.scope.step(step)?;
        if state.known {
            self.undefined(&resolved, (&state.scope, before), written);
        }
        self.instruction(&resolved.instruction, written, state);
        Ok(())
    }

    /// Hints name the variables that were there before the step: the first `before`.
    fn undefined(&mut self, resolved: &Resolved, (scope, before): (&Scope, usize), written: &Written) {
        for name in &resolved.undefined {
            let hint = nearest(name, scope.variables().names().take(before), Case::Matters);
            let hint = hint.map(|hint| format!(" (did you mean ${hint}?)")).unwrap_or_default();
            self.warn(Rule::UndefinedVar, format!("Usage of undefined variable '${name}'{hint}"), written);
        }
    }

    fn instruction(&mut self, instruction: &Instruction, written: &Written, state: &mut State) {
        match instruction {
            Instruction::Env(pairs) => {
                for pair in pairs {
                    self.legacy(pair.legacy, written);
                    self.secret("ENV", &pair.key, written);
                }
            }
            Instruction::Label(pairs) => pairs.iter().for_each(|pair| self.legacy(pair.legacy, written)),
            Instruction::Workdir(path) => {
                if !state.workdir_set && !path.starts_with('/') {
                    let text = format!(
                        "Relative workdir {} can have unexpected results if the base image changes",
                        quoted(path)
                    );
                    self.warn(Rule::WorkdirRelativePath, text, written);
                }
                state.workdir_set = true;
            }
            Instruction::Shell(_) => state.has_shell = true,
            Instruction::Cmd(command) => {
                self.once(written, &mut state.cmd);
                self.form(command, state.has_shell, written);
            }
            Instruction::Entrypoint(command) => {
                self.once(written, &mut state.entrypoint);
                self.form(command, state.has_shell, written);
            }
            Instruction::Healthcheck(_) => self.once(written, &mut state.healthcheck),
            Instruction::Expose(words) => self.expose(words, written, state),
            Instruction::Copy(copy) if copy.from.is_none() => self.ignored("Copy", &copy.sources, written),
            Instruction::Add(add) => self.ignored("Add", &add.sources, written),
            _ => {}
        }
    }

    fn legacy(&mut self, legacy: bool, written: &Written) {
        let name = &written.keyword;
        if legacy {
            let text = format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
            self.warn(Rule::LegacyKeyValueFormat, text, written);
        }
    }

    fn secret(&mut self, instruction: &str, name: &str, written: &Written) {
        if names_a_secret(name) {
            let text =
                format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {})", quoted(name));
            self.warn(Rule::SecretsUsedInArgOrEnv, text, written);
        }
    }

    /// The earlier one is told of: it is the one that does not count.
    fn once(&mut self, written: &Written, last: &mut Option<Lines>) {
        if let Some(lines) = last.replace(written.lines) {
            let text = format!(
                "Multiple {} instructions should not be used in the same stage because only the last one will be used",
                written.keyword
            );
            self.tell(Rule::MultipleInstructionsDisallowed, text, (lines, &written.comments));
        }
    }

    fn form(&mut self, command: &Command, has_shell: bool, written: &Written) {
        if matches!(command, Command::Shell(_)) && !has_shell {
            let text = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                written.keyword
            );
            self.warn(Rule::JsonArgsRecommended, text, written);
        }
    }

    fn expose(&mut self, words: &[String], written: &Written, state: &State) {
        let expanded = words.iter().filter_map(|word| state.scope.words(word).ok());
        for word in expanded.flatten() {
            let Ok(parts) = Parts::of(&word) else { continue };
            if parts.protocol != parts.protocol.to_lowercase() {
                let text = format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
                self.warn(Rule::ExposeProtoCasing, text, written);
            }
            if !parts.address.is_empty() || !parts.host.is_empty() {
                let text =
                    format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'");
                self.warn(Rule::ExposeInvalidFormat, text, written);
            }
        }
    }

    fn ignored(&mut self, verb: &str, sources: &Sources, written: &Written) {
        // What an exception brings back is not to be told from the patterns alone.
        let Some(ignore) = self.surroundings.ignore().filter(|ignore| !ignore.has_exceptions()) else { return };
        let mut found = Vec::new();
        for path in sources.paths.iter().filter(|path| !is_remote(path)) {
            let path = cleaned(path);
            let whole = path == "." || path == "/";
            if (!whole || ignore.excludes_everything()) && ignore.excludes(&path) {
                found.push(format!("Attempting to {verb} file {} that is excluded by .dockerignore", quoted(&path)));
            }
        }
        found.into_iter().for_each(|text| self.warn(Rule::CopyIgnoredFile, text, written));
    }
}

fn is_remote(path: &str) -> bool {
    ["http://", "https://", "git://", "git@", "ssh://"].iter().any(|scheme| path.starts_with(scheme))
}

/// Whether one of the words of a name, parted by `_`, is that of a secret.
fn names_a_secret(name: &str) -> bool {
    let has = |words: &[&str]| name.split('_').any(|part| words.iter().any(|word| word.eq_ignore_ascii_case(part)));
    has(&SECRET) && !has(&NO_SECRET)
}

//! Arguments of a build: what was given, what is predefined, what the file defines before its first `FROM`.

use crate::scope::PROXIES;
use crate::suggest::{Case, nearest};
use crate::{Dockerfile, Env, Error, Escape, Fault, Instruction, Lines, Stage, expand, platform};
use oci::image::Platform;
use std::collections::{BTreeMap, BTreeSet};

/// What is asked of a build, as far as words depend on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildArguments {
    /// `--build-arg`.
    pub values: BTreeMap<String, String>,
    /// What the image is for.
    pub target: Platform,
    /// What the build runs on.
    pub build: Platform,
    /// `--target`.
    pub stage: Option<String>,
}

impl BuildArguments {
    /// The predefined arguments; a given one of the name wins.
    fn predefined(&self, file: &Dockerfile) -> Vec<(&'static str, String)> {
        let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
        let version = |platform: &Platform| platform.os_version.clone().unwrap_or_default();
        let (build, target) = (&self.build, &self.target);
        let last = || file.stages.last().and_then(|stage| stage.name.clone());
        let stage = self.stage.clone().or_else(last).unwrap_or_else(|| "default".to_owned());
        let defaults = [
            ("BUILDPLATFORM", platform::text(build)),
            ("BUILDOS", build.os.clone()),
            ("BUILDOSVERSION", version(build)),
            ("BUILDARCH", build.architecture.clone()),
            ("BUILDVARIANT", variant(build)),
            ("TARGETPLATFORM", platform::text(target)),
            ("TARGETOS", target.os.clone()),
            ("TARGETOSVERSION", version(target)),
            ("TARGETARCH", target.architecture.clone()),
            ("TARGETVARIANT", variant(target)),
            ("TARGETSTAGE", stage),
        ];
        defaults.into_iter().map(|(name, value)| (name, self.values.get(name).cloned().unwrap_or(value))).collect()
    }
}

/// Arguments that were given and that no `ARG` names, nor any program without it.
pub fn unused<'a>(file: &Dockerfile, given: &'a BTreeMap<String, String>) -> Vec<&'a str> {
    let steps = file.stages.iter().flat_map(|stage| &stage.steps);
    let of_steps = steps.filter_map(|step| match &step.instruction {
        Instruction::Arg(args) => Some(args),
        _ => None,
    });
    let named: BTreeSet<&str> =
        file.globals.iter().map(|global| &global.args).chain(of_steps).flatten().map(|arg| arg.name.as_str()).collect();
    let is_used = |name: &str| named.contains(name) || PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name));
    given.keys().map(String::as_str).filter(|name| !is_used(name)).collect()
}

/// The arguments that `FROM` sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Globals {
    pub(crate) given: BTreeMap<String, String>,
    pub(crate) escape: Escape,
    env: Env,
    definitions: BTreeMap<String, Definition>,
}

/// A global argument, as an outline shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub value: String,
    pub description: Option<String>,
    pub lines: Lines,
    /// Other arguments that its value needs.
    pub needs: BTreeSet<String>,
}

/// What a stage is built on, expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub name: String,
    /// `--platform`.
    pub platform: Option<String>,
}

impl Globals {
    /// The predefined arguments and those of `file`, with the values that were given.
    pub fn new(file: &Dockerfile, arguments: &BuildArguments) -> Result<Globals, Error> {
        Globals::with(file, arguments, arguments.values.clone())
    }

    /// The same as if nothing had been given for arguments that the file defines.
    pub(crate) fn defaults(file: &Dockerfile, arguments: &BuildArguments) -> Result<Globals, Error> {
        Globals::with(file, arguments, BTreeMap::new())
    }

    fn with(file: &Dockerfile, arguments: &BuildArguments, given: BTreeMap<String, String>) -> Result<Globals, Error> {
        let mut globals =
            Globals { given, escape: file.directives.escape, env: Env::default(), definitions: BTreeMap::new() };
        for (name, value) in arguments.predefined(file) {
            globals.env.set(name, &value)?;
        }
        for global in &file.globals {
            for arg in &global.args {
                let defined = globals.define(&arg.name, arg.default.as_deref());
                let (value, needs) = defined.map_err(|error| error.at(global.written.lines))?;
                let description = arg.description.clone();
                let value = value.unwrap_or_default();
                let definition = Definition { value, description, lines: global.written.lines, needs };
                globals.definitions.insert(arg.name.clone(), definition);
            }
        }
        Ok(globals)
    }

    fn define(&mut self, name: &str, default: Option<&str>) -> Result<(Option<String>, BTreeSet<String>), Error> {
        let mut needs = BTreeSet::new();
        let value = match (self.given.get(name), default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => {
                let expanded = expand::word(default, self.escape, &self.env)?;
                needs = expanded.matched;
                Some(expanded.text)
            }
            (None, None) => None,
        };
        // One that is defined from itself needs what it needed before.
        if needs.remove(name)
            && let Some(before) = self.definitions.get(name)
        {
            needs.extend(before.needs.iter().cloned());
        }
        if let Some(value) = &value {
            self.env.set(name, value)?;
        }
        Ok((value, needs))
    }

    /// Predefined and global arguments with their values.
    pub fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn definitions(&self) -> &BTreeMap<String, Definition> {
        &self.definitions
    }

    /// Expands what stands in a `FROM`.
    pub fn from(&self, stage: &Stage) -> Result<Base, Error> {
        self.base(stage).map_err(|error| error.at(stage.written.lines))
    }

    fn base(&self, stage: &Stage) -> Result<Base, Error> {
        let name = expand::word(&stage.base, self.escape, &self.env)?.text;
        if name.is_empty() {
            return Err(Fault::BlankBase(stage.base.clone()).into());
        }
        let platform = stage.platform.as_deref().map(|word| self.platform(word)).transpose()?;
        Ok(Base { name, platform })
    }

    fn platform(&self, word: &str) -> Result<String, Error> {
        let expanded = expand::word(word, self.escape, &self.env);
        let expanded = expanded.map_err(|error| Error::from(Fault::PlatformWord(error.message())))?;
        if !expanded.text.is_empty() {
            return Ok(expanded.text);
        }
        let hint = expanded.unmatched.iter().find_map(|name| nearest(name, self.env.names(), Case::Matters));
        Err(Error::from(Fault::BlankPlatform(word.to_owned())).meaning(hint))
    }
}

//! What variables are at each step of a stage.
//!
//! ```text
//!   Globals ─┬─ of_image(environment of the image) ─► Scope ─ step ─ step ─ step ─┬─ ...
//!            │                                                                     └─ of_stage ─► the Scope of a stage built on it
//!            └─ `FROM`
//! ```

use crate::mount::{Mount, MountKind};
use crate::{
    Add, ArgDefinition, Copy, Env, Error, Fault, Globals, Instruction, Pair, Run, Sources, Step, expand, ports,
};
use std::sync::Arc;

/// Where programs are looked for when an image does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments that steer the build and are no variables.
pub(crate) const NO_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Arguments that need no `ARG` and stay out of the history.
pub(crate) const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// The variables of a stage after the steps that were taken.
#[derive(Debug, Clone)]
pub struct Scope {
    globals: Arc<Globals>,
    /// What a `RUN` sees: `ENV` and `ARG`, the later one of a name. Shared with the stages below as long as it is the same.
    env: Arc<Env>,
    /// What the image keeps: `ENV`.
    config: Arc<Env>,
    /// The `ARG`s, in their order, with the value they have from it.
    args: Vec<(String, Option<String>)>,
}

/// A step with its words expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// An `ARG`'s default is its value. `RUN` keeps its text, for its shell; `EXPOSE` its words, see `ports`.
    pub instruction: Instruction,
    /// Of a `RUN`.
    pub mounts: Vec<Mount>,
    /// Of an `EXPOSE`: `80/tcp`.
    pub ports: Vec<String>,
    /// Variables that it names and nothing defined, one for each word that does.
    pub undefined: Vec<String>,
}

impl Scope {
    /// At the beginning of a stage that is built on an image; `config_env` is the `Env` of its configuration.
    pub fn of_image(globals: &Arc<Globals>, config_env: &[String]) -> Result<Scope, Error> {
        let mut config = Env::of(config_env.iter().map(String::as_str))?;
        if config.get("PATH").is_none() {
            config.set("PATH", DEFAULT_PATH)?;
        }
        let config = Arc::new(config);
        Ok(Scope { globals: Arc::clone(globals), env: Arc::clone(&config), config, args: Vec::new() })
    }

    /// At the beginning of a stage that is built on the stage of `base`: its arguments go on.
    pub fn of_stage(base: &Scope) -> Result<Scope, Error> {
        let mut scope = base.clone();
        for (name, value) in base.config.entries() {
            if scope.env.get(name) != Some(value) {
                Arc::make_mut(&mut scope.env).set(name, value)?;
            }
        }
        Ok(scope)
    }

    /// The same for another platform: what a stage declares from here on has its values.
    pub fn of_globals(self, globals: &Arc<Globals>) -> Scope {
        Scope { globals: Arc::clone(globals), ..self }
    }

    /// Takes a step: expands its words; what `ENV` and `ARG` set is there for the steps after.
    pub fn step(&mut self, step: &Step) -> Result<Resolved, Error> {
        self.take(&step.instruction).map_err(|error| error.at(step.written.lines))
    }

    fn take(&mut self, instruction: &Instruction) -> Result<Resolved, Error> {
        let mut words = Words { scope: self, undefined: Vec::new() };
        let (mut mounts, mut ports) = (Vec::new(), Vec::new());
        let resolved = match instruction {
            Instruction::Add(add) => Instruction::Add(words.add(add)?),
            Instruction::Copy(copy) => Instruction::Copy(words.copy(copy)?),
            Instruction::Env(pairs) => Instruction::Env(words.pairs(pairs)?),
            Instruction::Label(pairs) => Instruction::Label(words.pairs(pairs)?),
            Instruction::StopSignal(word) => Instruction::StopSignal(words.one(word)?),
            Instruction::User(word) => Instruction::User(words.one(word)?),
            Instruction::Workdir(word) => Instruction::Workdir(words.one(word)?),
            Instruction::Volume(paths) => Instruction::Volume(words.volumes(paths)?),
            Instruction::Expose(list) => {
                ports = words.ports(list)?;
                instruction.clone()
            }
            Instruction::Run(run) => {
                mounts = words.mounts(run)?;
                instruction.clone()
            }
            Instruction::Arg(args) => {
                let (args, undefined) = self.args(args)?;
                return Ok(Resolved { instruction: Instruction::Arg(args), mounts, ports, undefined });
            }
            other => other.clone(),
        };
        let undefined = self.without_known(words.undefined);
        if let Instruction::Env(pairs) = &resolved {
            self.set(pairs)?;
        }
        Ok(Resolved { instruction: resolved, mounts, ports, undefined })
    }

    fn set(&mut self, pairs: &[Pair]) -> Result<(), Error> {
        for pair in pairs {
            Arc::make_mut(&mut self.env).set(&pair.key, &pair.value)?;
            Arc::make_mut(&mut self.config).set(&pair.key, &pair.value)?;
        }
        Ok(())
    }

    fn args(&mut self, args: &[ArgDefinition]) -> Result<(Vec<ArgDefinition>, Vec<String>), Error> {
        let (mut resolved, mut undefined) = (Vec::new(), Vec::new());
        for arg in args {
            let given = self.globals.given.get(&arg.name);
            let value = match (given, &arg.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => {
                    let expanded = expand::word(default, self.globals.escape, &self.env)?;
                    undefined.extend(self.without_known(expanded.unmatched));
                    Some(expanded.text)
                }
                (None, None) => self.globals.env().get(&arg.name).map(str::to_owned),
            };
            if let Some(value) = &value
                && !NO_VARIABLES.contains(&arg.name.as_str())
            {
                Arc::make_mut(&mut self.env).set(&arg.name, value)?;
            }
            self.args.push((arg.name.clone(), value.clone()));
            resolved.push(ArgDefinition { default: value, ..arg.clone() });
        }
        Ok((resolved, undefined))
    }

    /// An argument without a value is known, and is empty.
    fn without_known(&self, names: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut names: Vec<String> = names.into_iter().collect();
        names.retain(|name| !self.args.iter().any(|(arg, _)| arg == name) && !NO_VARIABLES.contains(&name.as_str()));
        names
    }

    /// `NAME=value` words for a `RUN`: `ENV` and `ARG`, then the [proxies](Scope::proxies) that nothing else sets.
    pub fn environment(&self) -> Vec<String> {
        let mut words = self.env.words();
        let proxies = self.proxies().into_iter().filter(|(name, _)| self.env.get(name).is_none());
        words.extend(proxies.map(|(name, value)| format!("{name}={value}")));
        words
    }

    /// The words that one word of an `EXPOSE` becomes.
    pub(crate) fn words(&self, word: &str) -> Result<Vec<String>, Error> {
        expand::words(word, self.globals.escape, &self.env).map(|(words, _)| words)
    }

    /// The variables, as [`Scope::environment`] has them, without proxies.
    pub fn variables(&self) -> &Env {
        &self.env
    }

    /// Arguments that were given for a proxy, in both cases. They are not to be part of a cache's key.
    pub fn proxies(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for proxy in PROXIES {
            let given = self.globals.given.iter().rfind(|(name, _)| name.eq_ignore_ascii_case(proxy));
            if let Some((_, value)) = given.filter(|(_, value)| !value.is_empty()) {
                found.push((proxy.to_owned(), value.clone()));
                found.push((proxy.to_lowercase(), value.clone()));
            }
        }
        found
    }

    /// The `Env` of the image's configuration.
    pub fn config_environment(&self) -> Vec<String> {
        self.config.words()
    }

    /// The arguments of this stage with the values they have now, as the history of a `RUN` names them.
    pub fn arguments(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.args {
            let now = self.env.get(name).or(value.as_deref()).unwrap_or_default().to_owned();
            match found.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1 = now,
                None => found.push((name.clone(), now)),
            }
        }
        found
    }

    /// A step as people read it in progress: `RUN apt-get update`. To be asked after [`Scope::step`].
    pub fn title(&self, step: &Step, resolved: &Resolved) -> String {
        let mut code = step.written.code.clone();
        let escape = self.globals.escape;
        let expanded = match &step.instruction {
            Instruction::Run(run) => {
                code.extend(run.summary().map(|summary| format!(" ({summary})")));
                let masked = self.masked(&resolved.mounts);
                expand::title(&code, escape, masked.as_ref().unwrap_or(&self.env))
            }
            Instruction::Add(_) | Instruction::Copy(_) | Instruction::Workdir(_) => {
                expand::word(&code, escape, &self.env)
            }
            _ => return upper_first(&code),
        };
        upper_first(&expanded.map_or(code, |expanded| expanded.text))
    }

    /// The variables, those that are secrets as stars; `None` if there is no such one.
    fn masked(&self, mounts: &[Mount]) -> Option<Env> {
        let secrets = mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Secret(secret) => secret.env.as_deref(),
            _ => None,
        });
        let mut masked = None;
        for name in secrets {
            let env = masked.get_or_insert_with(|| Env::clone(&self.env));
            // Too large an environment was refused before.
            let _ = env.set(name, "****");
        }
        masked
    }
}

fn upper_first(code: &str) -> String {
    let (first, rest) = code.split_at(code.find(' ').unwrap_or(code.len()));
    format!("{}{rest}", first.to_uppercase())
}

/// Expands the words of one instruction and remembers what was not defined.
struct Words<'a> {
    scope: &'a Scope,
    undefined: Vec<String>,
}

impl Words<'_> {
    fn one(&mut self, word: &str) -> Result<String, Error> {
        let expanded = expand::word(word, self.scope.globals.escape, &self.scope.env)?;
        self.undefined.extend(expanded.unmatched);
        Ok(expanded.text)
    }

    fn optional(&mut self, word: &Option<String>) -> Result<Option<String>, Error> {
        let expanded = word.as_deref().map(|word| self.one(word)).transpose()?;
        Ok(expanded.filter(|word| !word.is_empty()))
    }

    fn all(&mut self, words: &[String]) -> Result<Vec<String>, Error> {
        words.iter().map(|word| self.one(word)).collect()
    }

    fn pairs(&mut self, pairs: &[Pair]) -> Result<Vec<Pair>, Error> {
        let pair = |pair: &Pair| Ok(Pair { key: self.one(&pair.key)?, value: self.one(&pair.value)?, ..pair.clone() });
        pairs.iter().map(pair).collect()
    }

    fn volumes(&mut self, paths: &[String]) -> Result<Vec<String>, Error> {
        let paths = self.all(paths)?;
        if paths.iter().any(String::is_empty) { Err(Fault::EmptyVolume.into()) } else { Ok(paths) }
    }

    fn add(&mut self, add: &Add) -> Result<Add, Error> {
        Ok(Add {
            chown: self.optional(&add.chown)?,
            chmod: self.optional(&add.chmod)?,
            checksum: self.optional(&add.checksum)?,
            sources: self.sources(&add.sources)?,
            ..add.clone()
        })
    }

    fn copy(&mut self, copy: &Copy) -> Result<Copy, Error> {
        Ok(Copy {
            chown: self.optional(&copy.chown)?,
            chmod: self.optional(&copy.chmod)?,
            sources: self.sources(&copy.sources)?,
            ..copy.clone()
        })
    }

    fn sources(&mut self, sources: &Sources) -> Result<Sources, Error> {
        let mut expanded = Sources {
            paths: self.all(&sources.paths)?,
            destination: self.one(&sources.destination)?,
            inline: sources.inline.clone(),
        };
        for file in expanded.inline.iter_mut().filter(|file| file.expand) {
            let content = expand::content(&file.content, &self.scope.env)?;
            file.content = content.text;
            self.undefined.extend(content.unmatched);
        }
        Ok(expanded)
    }

    fn ports(&mut self, list: &[String]) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        for word in list {
            for word in self.scope.words(word)? {
                found.extend(ports::parse(&word)?);
            }
        }
        Ok(found)
    }

    fn mounts(&mut self, run: &Run) -> Result<Vec<Mount>, Error> {
        let escape = self.scope.globals.escape;
        let mount = |flag: &crate::MountFlag| {
            let (mount, unmatched) = flag.resolve(&self.scope.env, escape)?;
            self.undefined.extend(unmatched);
            Ok(mount)
        };
        run.mounts.iter().map(mount).collect()
    }
}

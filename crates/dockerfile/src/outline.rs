//! What a file offers and asks for: its targets; and for one target the arguments, secrets and agents that it uses.

use crate::arguments::Definition;
use crate::graph::needed;
use crate::lint::Surroundings;
use crate::mount::MountKind;
use crate::{
    Base, BuildArguments, Dockerfile, Error, Globals, Instruction, Lines, Resolved, Scope, Stage, Step, expand,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A stage as a target of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: Option<String>,
    pub description: Option<String>,
    /// The last one.
    pub is_default: bool,
    pub base: String,
    pub platform: Option<String>,
    pub lines: Lines,
}

/// The stages.
pub fn targets(file: &Dockerfile) -> Vec<Target> {
    let target = |(at, stage): (usize, &Stage)| Target {
        name: stage.name.clone(),
        description: stage.description.clone(),
        is_default: at + 1 == file.stages.len(),
        base: stage.base.clone(),
        platform: stage.platform.clone(),
        lines: stage.written.lines,
    };
    file.stages.iter().enumerate().map(target).collect()
}

/// What one target uses, all in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    pub name: Option<String>,
    pub description: Option<String>,
    pub args: Vec<Arg>,
    pub secrets: Vec<Need>,
    pub ssh: Vec<Need>,
}

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    pub name: String,
    pub description: Option<String>,
    /// Its value, or an empty one.
    pub value: String,
    pub lines: Lines,
}

/// A secret or an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub id: String,
    pub required: bool,
    pub lines: Lines,
}

/// The outline of the target that `arguments` name, or of the last stage.
pub fn outline(
    file: &Dockerfile,
    arguments: &BuildArguments,
    surroundings: &dyn Surroundings,
) -> Result<Outline, Error> {
    let globals = Arc::new(Globals::new(file, arguments)?);
    let bases = file.stages.iter().map(|stage| globals.from(stage)).collect::<Result<Vec<Base>, Error>>()?;
    let wanted = needed(file, &bases, arguments.stage.as_deref())?;
    let mut walk = Walk { file, globals, surroundings, stages: Vec::new() };
    for (at, base) in bases.iter().enumerate() {
        walk.stage(at, base, wanted.order.contains(&at))?;
    }
    let target = &file.stages[wanted.target];
    let mut outline =
        Outline { name: target.name.clone(), description: target.description.clone(), ..Outline::default() };
    wanted.order.iter().for_each(|at| walk.stages[*at].tell(&mut outline));
    outline.args.sort_by_key(|arg| arg.lines.first);
    outline.secrets.sort_by_key(|need| need.lines.first);
    outline.ssh.sort_by_key(|need| need.lines.first);
    Ok(outline)
}

struct Walk<'a> {
    file: &'a Dockerfile,
    globals: Arc<Globals>,
    surroundings: &'a dyn Surroundings,
    stages: Vec<Found>,
}

/// What was found in one stage.
struct Found {
    scope: Scope,
    defined: BTreeMap<String, Definition>,
    used: BTreeSet<String>,
    secrets: Vec<Need>,
    ssh: Vec<Need>,
}

impl Walk<'_> {
    fn stage(&mut self, at: usize, base: &Base, wanted: bool) -> Result<(), Error> {
        let stage = &self.file.stages[at];
        let below = self.file.stages[..at].iter().rposition(|below| below.name.as_deref() == Some(&base.name));
        let scope = match below {
            Some(below) => Scope::of_stage(&self.stages[below].scope)?,
            None => {
                let facts = self.surroundings.image(&base.name, base.platform.as_deref()).unwrap_or_default();
                Scope::of_image(&self.globals, &facts.env)?
            }
        };
        let words = [Some(stage.base.as_str()), stage.platform.as_deref()];
        let used = words.into_iter().flatten().map(|word| expand::word(word, self.globals.escape, self.globals.env()));
        let used = used.collect::<Result<Vec<_>, Error>>()?.into_iter().flat_map(|word| word.matched).collect();
        let defined = self.globals.definitions().clone();
        let mut found = Found { scope, defined, used, secrets: Vec::new(), ssh: Vec::new() };
        for step in stage.steps.iter().filter(|_| wanted) {
            let resolved = found.scope.step(step)?;
            found.step(step, &resolved, &self.globals);
        }
        self.stages.push(found);
        Ok(())
    }
}

impl Found {
    fn step(&mut self, step: &Step, resolved: &Resolved, globals: &Globals) {
        let lines = step.written.lines;
        if let (Instruction::Arg(before), Instruction::Arg(after)) = (&step.instruction, &resolved.instruction) {
            for (written, arg) in before.iter().zip(after) {
                let own = written.default.is_some() || globals.given.contains_key(&arg.name);
                if own || globals.env().get(&arg.name).is_none() {
                    let (value, description) = (arg.default.clone().unwrap_or_default(), arg.description.clone());
                    let definition = Definition { value, description, lines, needs: BTreeSet::new() };
                    self.defined.insert(arg.name.clone(), definition);
                }
                self.used.insert(arg.name.clone());
            }
        }
        for mount in &resolved.mounts {
            match &mount.kind {
                MountKind::Secret(secret) => add(&mut self.secrets, &secret.id, secret.required, lines),
                MountKind::Ssh(ssh) => add(&mut self.ssh, &ssh.id, ssh.required, lines),
                _ => {}
            }
        }
    }

    fn tell(&self, outline: &mut Outline) {
        let mut open: Vec<&String> = self.used.iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some(definition) = self.defined.get(name).filter(|_| seen.insert(name)) else { continue };
            open.extend(&definition.needs);
            if outline.args.iter().all(|arg| arg.name != *name) {
                let Definition { value, description, lines, .. } = definition.clone();
                outline.args.push(Arg { name: name.clone(), description, value, lines });
            }
        }
        for need in &self.secrets {
            add(&mut outline.secrets, &need.id, need.required, need.lines);
        }
        for need in &self.ssh {
            add(&mut outline.ssh, &need.id, need.required, need.lines);
        }
    }
}

fn add(needs: &mut Vec<Need>, id: &str, required: bool, lines: Lines) {
    if needs.iter().all(|need| need.id != id) {
        needs.push(Need { id: id.to_owned(), required, lines });
    }
}

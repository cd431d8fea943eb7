//! Which stages a build needs, and what its steps are called.

use crate::progress::StepInfo;
use crate::{Error, Result};
use dockerfile::{Dockerfile, Globals, Instruction, Stage};
use std::collections::BTreeSet;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The stage that becomes the image.
    pub target: usize,
    /// What it needs, itself included.
    pub needed: BTreeSet<usize>,
    /// The number of each needed stage's `FROM` among all steps.
    pub first: Vec<Option<usize>>,
    pub steps: Vec<StepInfo>,
}

/// Plans a build of `target`, the last stage unless given.
pub(crate) fn plan(file: &Dockerfile, globals: &Globals, target: Option<&str>) -> Result<Plan> {
    let target = match target.filter(|target| !target.is_empty()) {
        None => file.stages.len() - 1,
        Some(name) => wanted(file, name).ok_or_else(|| Error::NoTarget(name.to_owned()))?,
    };
    let needed = needs(file, globals, target)?;
    let mut plan = Plan { target, needed, first: vec![None; file.stages.len()], steps: Vec::new() };
    for (number, stage) in file.stages.iter().enumerate().filter(|(number, _)| plan.needed.contains(number)) {
        plan.first[number] = Some(plan.steps.len());
        plan.steps.extend(infos(number, stage, globals)?);
    }
    Ok(plan)
}

/// A stage and all that it stands on, lowest first.
pub(crate) fn needs(file: &Dockerfile, globals: &Globals, stage: usize) -> Result<BTreeSet<usize>> {
    let mut needed = BTreeSet::new();
    let mut open = vec![stage];
    while let Some(stage) = open.pop() {
        if needed.insert(stage) {
            open.extend(uses(file, globals, stage)?);
        }
    }
    Ok(needed)
}

fn wanted(file: &Dockerfile, name: &str) -> Option<usize> {
    let named = |stage: &Stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
    let number = || name.parse().ok().filter(|number| *number < file.stages.len());
    file.stages.iter().rposition(named).or_else(number)
}

/// The stage before `stage` that a name or a number means.
pub(crate) fn earlier(file: &Dockerfile, stage: usize, name: &str) -> Option<usize> {
    let named = |other: &Stage| other.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
    file.stages[..stage].iter().rposition(named)
}

/// [`earlier`], and by number, as `--from` has it.
pub(crate) fn earlier_or_number(file: &Dockerfile, stage: usize, name: &str) -> Option<usize> {
    earlier(file, stage, name).or_else(|| name.parse().ok().filter(|number| *number < stage))
}

/// The stages that a stage needs.
pub(crate) fn uses(file: &Dockerfile, globals: &Globals, stage: usize) -> Result<Vec<usize>> {
    let own = &file.stages[stage];
    let mut found: Vec<usize> = earlier(file, stage, &globals.from(own)?.name).into_iter().collect();
    for step in &own.steps {
        let names: Vec<&String> = match &step.instruction {
            Instruction::Copy(copy) => copy.from.iter().collect(),
            Instruction::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect(),
            _ => Vec::new(),
        };
        found.extend(names.into_iter().filter_map(|name| earlier_or_number(file, stage, name)));
    }
    Ok(found)
}

/// Whether a step is counted in `[2/5]`: those that make a layer are.
pub(crate) fn is_counted(instruction: &Instruction) -> bool {
    use Instruction::{Add, Copy, Run, Workdir};
    matches!(instruction, Add(_) | Copy(_) | Run(_) | Workdir(_))
}

fn infos(number: usize, stage: &Stage, globals: &Globals) -> Result<Vec<StepInfo>> {
    let total = 1 + stage.steps.iter().filter(|step| is_counted(&step.instruction)).count();
    let from = globals.from(stage)?;
    let info = |written: &dockerfile::Written, place: Option<usize>, title: String| StepInfo {
        stage: number,
        stage_name: stage.name.clone(),
        platform: None,
        place: place.map(|place| (place, total)),
        title,
        code: written.code.clone(),
        lines: written.lines,
    };
    let mut infos = vec![info(&stage.written, Some(1), format!("FROM {}", from.name))];
    let mut place = 1;
    for step in &stage.steps {
        let counted = is_counted(&step.instruction);
        place += usize::from(counted);
        infos.push(info(&step.written, counted.then_some(place), step.written.code.clone()));
    }
    Ok(infos)
}

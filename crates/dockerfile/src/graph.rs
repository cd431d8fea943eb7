//! Which stages a target needs.

use crate::suggest::{Case, nearest};
use crate::{Base, Dockerfile, Error, Fault, Instruction};

/// A target and the stages below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The target's place in the file.
    pub target: usize,
    /// The target first, then what it needs.
    pub order: Vec<usize>,
}

/// The stages that `target` (a name in any case; the last stage if there is none) is built from, as their words say; what triggers
/// of base images need is not known here.
pub fn needed(file: &Dockerfile, bases: &[Base], target: Option<&str>) -> Result<Needed, Error> {
    let last = file.stages.len().saturating_sub(1);
    let target = target.map_or(Ok(last), |name| named(file, name, last + 1).ok_or_else(|| no_target(file, name)))?;
    let (mut order, mut open) = (Vec::new(), vec![target]);
    while let Some(at) = open.pop() {
        if order.contains(&at) {
            continue;
        }
        order.push(at);
        let stage = &file.stages[at];
        open.extend(stage.steps.iter().flat_map(|step| sources(file, &step.instruction)));
        open.extend(bases.get(at).and_then(|base| exactly(file, &base.name, at)));
    }
    Ok(Needed { target, order })
}

/// The stages that an instruction takes files from.
pub fn sources(file: &Dockerfile, instruction: &Instruction) -> Vec<usize> {
    let all = file.stages.len();
    match instruction {
        Instruction::Copy(copy) => {
            let number = |from: &String| from.parse::<usize>().ok().filter(|number| *number < all);
            copy.from.iter().filter_map(|from| number(from).or_else(|| named(file, from, all))).collect()
        }
        Instruction::Run(run) => {
            run.mounts.iter().filter_map(|mount| named(file, mount.from.as_deref()?, all)).collect()
        }
        _ => Vec::new(),
    }
}

/// The stage that a `FROM` at `before` means; names of images are in lower case, so the case counts.
pub fn exactly(file: &Dockerfile, name: &str, before: usize) -> Option<usize> {
    file.stages[..before].iter().rposition(|stage| stage.name.as_deref() == Some(name))
}

fn named(file: &Dockerfile, name: &str, before: usize) -> Option<usize> {
    exactly(file, &name.to_lowercase(), before)
}

fn no_target(file: &Dockerfile, target: &str) -> Error {
    let names = file.stages.iter().filter_map(|stage| stage.name.as_deref());
    let hint = nearest(target, names, Case::Matters);
    Error::from(Fault::NoTarget(target.to_owned())).meaning(hint)
}

//! Which paths of its contexts a Dockerfile reads, as far as its words tell: a client is then asked for all of them at once.

use build::context::MAIN;
use dockerfile::{BuildArguments, Dockerfile, Env, Escape, Globals, Instruction, MountKind};
use std::collections::BTreeMap;

/// The paths that are read, by the context's name. What stands behind a variable is not among them.
pub fn paths(dockerfile: &[u8], attributes: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // What is wrong with it is told by who builds it.
    let Ok(file) = dockerfile::parse(dockerfile) else { return found };
    for stage in needed(&file, attributes) {
        for step in file.stages.get(stage).into_iter().flat_map(|stage| &stage.steps) {
            for (context, path) in read(&step.instruction) {
                if !path.contains('$') && !context.contains('$') {
                    found.entry(context).or_default().push(path);
                }
            }
        }
    }
    found
}

fn needed(file: &Dockerfile, attributes: &BTreeMap<String, String>) -> Vec<usize> {
    let target = attributes.get("target").filter(|target| !target.is_empty());
    let machine = image::machine_platform();
    let arguments = BuildArguments {
        values: crate::frontend::below(attributes, "build-arg:"),
        target: machine.clone(),
        build: machine,
        stage: target.cloned(),
    };
    let Ok(globals) = Globals::new(file, &arguments) else { return Vec::new() };
    let bases: Result<Vec<_>, _> = file.stages.iter().map(|stage| globals.from(stage)).collect();
    let Ok(bases) = bases else { return Vec::new() };
    dockerfile::graph::needed(file, &bases, target.map(String::as_str)).map_or(Vec::new(), |needed| needed.order)
}

fn read(instruction: &Instruction) -> Vec<(String, String)> {
    let main = || MAIN.to_owned();
    match instruction {
        Instruction::Copy(copy) => {
            let from = copy.from.clone().unwrap_or_else(main);
            copy.sources.paths.iter().map(|path| (from.clone(), path.clone())).collect()
        }
        Instruction::Add(add) => {
            let is_remote = |path: &&String| path.contains("://") || path.starts_with("git@");
            add.sources.paths.iter().filter(|path| !is_remote(path)).map(|path| (main(), path.clone())).collect()
        }
        Instruction::Run(run) => {
            let plain = run.mounts.iter().filter(|mount| !mount.text.contains('$'));
            let resolved = plain.filter_map(|mount| mount.resolve(&Env::default(), Escape::default()).ok());
            let binds = resolved.filter_map(|(mount, _)| match mount.kind {
                MountKind::Bind { from, source } => Some((from.unwrap_or_else(main), source)),
                _ => None,
            });
            binds.collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needed_stages_read_is_known_before() {
        let text = b"FROM a AS one\nCOPY x y /\nCOPY --from=ctx z /\nADD https://example.com/f w /\nCOPY $V /\n\
            FROM a AS unused\nCOPY no /\nFROM one\nRUN --mount=type=bind,source=src,target=/s true\n";
        let found = paths(text, &BTreeMap::new());
        let mut main = found[MAIN].clone();
        main.sort();
        assert_eq!(main, ["src", "w", "x", "y"]);
        assert_eq!(found["ctx"], ["z"]);
        assert!(paths(b"nonsense", &BTreeMap::new()).is_empty());
    }
}

//! Instructions that change only how the image runs.

use super::At;
use crate::Result;
use crate::progress::Cached;
use crate::solve::Build;
use crate::state::State;
use dockerfile::{Check, Command, Healthcheck, Instruction, Resolved};
use oci::image::Empty;
use serde_json::{Map, Value, json};

/// Changes the configuration and adds a line of history.
pub(crate) fn line(build: &Build<'_>, state: &mut State, at: At<'_>, resolved: &Resolved) -> Result<Cached> {
    let created_by = state.created_by(resolved);
    let (outcome, cached) = build.line(state, &at, &created_by)?;
    apply(state, resolved);
    match resolved.instruction {
        Instruction::Onbuild(_) => state.pass(&created_by),
        _ => state.advance(created_by, &outcome),
    }
    Ok(cached)
}

fn apply(state: &mut State, resolved: &Resolved) {
    let shell = state.shell();
    let env = state.scope.config_environment();
    let image = &mut state.image;
    let config = &mut image.config;
    match &resolved.instruction {
        Instruction::Env(_) => config.env = env,
        Instruction::Label(pairs) => {
            config.labels.extend(pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())));
        }
        Instruction::Maintainer(name) => image.author.clone_from(name),
        Instruction::Expose(_) => {
            config.exposed_ports.extend(resolved.ports.iter().map(|port| (port.clone(), Empty {})));
        }
        Instruction::Cmd(command) => {
            config.cmd = Some(argv(command, &shell));
            config.args_escaped = true;
            state.has_cmd = true;
        }
        Instruction::Entrypoint(command) => {
            config.entrypoint = Some(argv(command, &shell));
            if !state.has_cmd {
                config.cmd = None;
            }
        }
        Instruction::User(user) => config.user.clone_from(user),
        Instruction::Volume(paths) => config.volumes.extend(paths.iter().map(|path| (path.clone(), Empty {}))),
        Instruction::StopSignal(signal) => config.stop_signal.clone_from(signal),
        Instruction::Shell(shell) => config.shell = Some(shell.clone()),
        Instruction::Healthcheck(check) => config.healthcheck = Some(healthcheck(check)),
        Instruction::Onbuild(trigger) => config.on_build.get_or_insert_default().push(trigger.clone()),
        // Variables are the scope's; the others make layers.
        Instruction::Arg(_)
        | Instruction::Add(_)
        | Instruction::Copy(_)
        | Instruction::Run(_)
        | Instruction::Workdir(_) => {}
    }
}

fn argv(command: &Command, shell: &[String]) -> Vec<String> {
    command.argv(shell)
}

/// As Docker's API writes it: times in nanoseconds, nothing that was not given.
fn healthcheck(check: &Healthcheck) -> Value {
    let Healthcheck::Check(check) = check else { return json!({ "Test": ["NONE"] }) };
    let mut fields = Map::new();
    fields.insert("Test".to_owned(), test(&check.command));
    for (name, time) in times(check) {
        if !time.is_zero() {
            fields.insert(name.to_owned(), json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)));
        }
    }
    if check.retries > 0 {
        fields.insert("Retries".to_owned(), json!(check.retries));
    }
    Value::Object(fields)
}

fn test(command: &Command) -> Value {
    match command {
        Command::Shell(line) => json!(["CMD-SHELL", line]),
        Command::Exec(words) => {
            let all: Vec<&str> = std::iter::once("CMD").chain(words.iter().map(String::as_str)).collect();
            json!(all)
        }
    }
}

fn times(check: &Check) -> [(&'static str, std::time::Duration); 4] {
    [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ]
}

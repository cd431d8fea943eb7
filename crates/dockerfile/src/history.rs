//! What an image's history says of a step, letter by letter as BuildKit writes it.

use crate::quote::quoted_list;
use crate::{Add, ArgDefinition, Check, Copy, Healthcheck, Instruction, Pair, Resolved, Scope, Sources, duration};

/// `Comment` of every entry of a history.
pub const COMMENT: &str = "buildkit.dockerfile.v0";

/// What a text depends on besides the step.
#[derive(Debug, Clone, Copy)]
pub struct Form<'a> {
    /// Of the stage as it is now: `SHELL`, or the default one.
    pub shell: &'a [String],
    /// The absolute path that a `WORKDIR` led to.
    pub workdir: &'a str,
}

/// `CreatedBy`; `None` for `ONBUILD`, which has no entry.
pub fn created_by(resolved: &Resolved, scope: &Scope, form: Form<'_>) -> Option<String> {
    Some(match &resolved.instruction {
        Instruction::Add(add) => add_text(add),
        Instruction::Copy(copy) => copy_text(copy),
        Instruction::Arg(args) => args_text(args),
        Instruction::Cmd(command) => format!("CMD {}", quoted_list(&command.argv(form.shell))),
        Instruction::Entrypoint(command) => format!("ENTRYPOINT {}", quoted_list(&command.argv(form.shell))),
        Instruction::Env(pairs) => pairs_text("ENV", pairs),
        Instruction::Label(pairs) => pairs_text("LABEL", pairs),
        Instruction::Expose(_) => format!("EXPOSE [{}]", resolved.ports.join(" ")),
        Instruction::Healthcheck(check) => healthcheck_text(check),
        Instruction::Maintainer(name) => format!("MAINTAINER {name}"),
        Instruction::Onbuild(_) => return None,
        Instruction::Run(run) => run_text(&run.invocation(form.shell).argv, scope),
        Instruction::Shell(words) => format!("SHELL [{}]", words.join(" ")),
        Instruction::StopSignal(signal) => format!("STOPSIGNAL {signal}"),
        Instruction::User(user) => format!("USER {user}"),
        Instruction::Volume(paths) => format!("VOLUME [{}]", paths.join(" ")),
        Instruction::Workdir(_) => format!("WORKDIR {}", form.workdir),
    })
}

/// Whether the step's entry is marked as one without a layer.
pub fn is_empty_layer(instruction: &Instruction, workdir: &str) -> bool {
    match instruction {
        Instruction::Add(_) | Instruction::Copy(_) | Instruction::Run(_) => false,
        Instruction::Workdir(_) => workdir == "/",
        _ => true,
    }
}

fn add_text(add: &Add) -> String {
    sources_text("ADD".to_owned(), (&add.chown, &add.chmod), &add.sources)
}

fn copy_text(copy: &Copy) -> String {
    let keyword = if copy.parents { "COPY --parents" } else { "COPY" };
    sources_text(keyword.to_owned(), (&copy.chown, &copy.chmod), &copy.sources)
}

fn sources_text(mut text: String, (chown, chmod): (&Option<String>, &Option<String>), sources: &Sources) -> String {
    text.extend(chown.iter().map(|chown| format!(" --chown={chown}")));
    text.extend(chmod.iter().map(|chmod| format!(" --chmod={chmod}")));
    text.extend(sources.paths.iter().map(|path| format!(" {path}")));
    text.extend(sources.inline.iter().map(|file| format!(" <<{}", file.name)));
    format!("{text} {} # buildkit", sources.destination)
}

fn args_text(args: &[ArgDefinition]) -> String {
    let arg = |arg: &ArgDefinition| match &arg.default {
        Some(value) => format!("{}={value}", arg.name),
        None => arg.name.clone(),
    };
    let args: Vec<String> = args.iter().map(arg).collect();
    format!("ARG {}", args.join(" "))
}

fn pairs_text(keyword: &str, pairs: &[Pair]) -> String {
    let mut text = keyword.to_owned();
    text.extend(pairs.iter().map(|pair| format!(" {}={}", pair.key, pair.value)));
    text
}

fn run_text(argv: &[String], scope: &Scope) -> String {
    let mut words: Vec<String> = scope.arguments().iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !words.is_empty() {
        words.insert(0, format!("|{}", words.len()));
    }
    words.extend(argv.iter().cloned());
    format!("RUN {} # buildkit", words.join(" "))
}

fn healthcheck_text(healthcheck: &Healthcheck) -> String {
    let test = healthcheck.test().join(" ");
    let none = Check {
        command: crate::Command::Exec(Vec::new()),
        interval: Default::default(),
        timeout: Default::default(),
        start_period: Default::default(),
        start_interval: Default::default(),
        retries: 0,
    };
    let check = match healthcheck {
        Healthcheck::None => &none,
        Healthcheck::Check(check) => check,
    };
    let times = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    let times: Vec<String> = times.iter().map(|(name, time)| format!("{name}:{}", duration::shown(*time))).collect();
    format!("HEALTHCHECK {{Test:[{test}] {} Retries:{}}}", times.join(" "), check.retries)
}

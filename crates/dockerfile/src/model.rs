//! What a Dockerfile says, typed: directives, global arguments, stages and their steps.
//!
//! Nothing here is expanded: a word with `$VARIABLE` stands as it was written. [`crate::Scope`] expands, step by step, because
//! what a variable is depends on the steps before.

use crate::mount::MountFlag;
use std::time::Duration;

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    pub directives: Directives,
    /// The `ARG`s before the first `FROM`: they serve `FROM`, and stages that name them again.
    pub globals: Vec<GlobalArg>,
    /// At least one.
    pub stages: Vec<Stage>,
    /// Where an instruction was continued over an empty line; each names the last line of its instruction.
    pub empty_continuations: Vec<Lines>,
}

/// Lines of the file, counted from 1, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lines {
    pub first: usize,
    pub last: usize,
}

/// What the comments at the top of the file order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=docker/dockerfile:1`: the image of the frontend.
    pub syntax: Option<Directive>,
    /// `# check=skip=...;error=true`, see [`crate::lint::Options`].
    pub check: Option<Directive>,
    pub escape: Escape,
}

/// One directive's value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    pub value: String,
    pub lines: Lines,
}

/// The character that continues lines and takes the meaning from the next character.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Escape {
    #[default]
    Backslash,
    /// For Windows, whose paths need the backslash.
    Backtick,
}

impl Escape {
    pub fn char(self) -> char {
        match self {
            Escape::Backslash => '\\',
            Escape::Backtick => '`',
        }
    }
}

/// An instruction as it stood in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The first word, in the case it was written in.
    pub keyword: String,
    /// The instruction on one line: continuations joined, comments within left out, without the content of heredocs.
    pub code: String,
    pub lines: Lines,
    /// The comments right above, without `#`; an empty one begins the list anew.
    pub comments: Vec<String>,
}

/// An `ARG` instruction before the first `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalArg {
    pub written: Written,
    pub args: Vec<ArgDefinition>,
}

/// A `FROM` and what follows up to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub written: Written,
    /// The image, earlier stage, named context or `scratch`; variables of the global arguments may stand in it.
    pub base: String,
    /// `--platform`, not expanded.
    pub platform: Option<String>,
    /// `AS name`, in lower case.
    pub name: Option<String>,
    /// What a comment `# name description` above says.
    pub description: Option<String>,
    pub steps: Vec<Step>,
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub written: Written,
    pub instruction: Instruction,
}

/// The instructions other than `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    Add(Add),
    Arg(Vec<ArgDefinition>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(Vec<Pair>),
    /// In the order of their texts; [`crate::ports::parse`] reads them once they are expanded.
    Expose(Vec<String>),
    Healthcheck(Healthcheck),
    Label(Vec<Pair>),
    Maintainer(String),
    /// The instruction that a child image is to begin with, heredocs included; see [`crate::parse_trigger`].
    Onbuild(String),
    Run(Run),
    Shell(Vec<String>),
    StopSignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

impl Instruction {
    /// The instruction's name in upper case.
    pub fn name(&self) -> &'static str {
        match self {
            Instruction::Add(_) => "ADD",
            Instruction::Arg(_) => "ARG",
            Instruction::Cmd(_) => "CMD",
            Instruction::Copy(_) => "COPY",
            Instruction::Entrypoint(_) => "ENTRYPOINT",
            Instruction::Env(_) => "ENV",
            Instruction::Expose(_) => "EXPOSE",
            Instruction::Healthcheck(_) => "HEALTHCHECK",
            Instruction::Label(_) => "LABEL",
            Instruction::Maintainer(_) => "MAINTAINER",
            Instruction::Onbuild(_) => "ONBUILD",
            Instruction::Run(_) => "RUN",
            Instruction::Shell(_) => "SHELL",
            Instruction::StopSignal(_) => "STOPSIGNAL",
            Instruction::User(_) => "USER",
            Instruction::Volume(_) => "VOLUME",
            Instruction::Workdir(_) => "WORKDIR",
        }
    }
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDefinition {
    pub name: String,
    /// Its default; `ARG name` has none, `ARG name=` an empty one.
    pub default: Option<String>,
    /// What a comment `# name description` above says.
    pub description: Option<String>,
}

/// One `name=value` of `ENV` and `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub key: String,
    pub value: String,
    /// Written as `ENV name value`.
    pub legacy: bool,
}

/// What `CMD`, `ENTRYPOINT` and `RUN` execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// For the shell of `SHELL`, in one word.
    Shell(String),
    /// `["program", "argument"]`.
    Exec(Vec<String>),
}

/// Text between `<<NAME` and a line `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    /// As written, line ends included: tabs that `<<-` takes away are still there, see [`Heredoc::text`].
    pub content: String,
    /// Whether variables in it are expanded: not when the name was quoted. `RUN` leaves it to the shell.
    pub expand: bool,
    /// `<<-`.
    pub chomp: bool,
    /// The number before `<<`.
    pub descriptor: u32,
}

/// The sources and the destination of `ADD` and `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    pub paths: Vec<String>,
    /// Files whose content stands in the Dockerfile; tabs are already taken away.
    pub inline: Vec<InlineFile>,
    pub destination: String,
}

/// A file written in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFile {
    pub name: String,
    pub content: String,
    pub expand: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    pub sources: Sources,
    /// `user[:group]`, names or numbers.
    pub chown: Option<String>,
    /// Octal or symbolic.
    pub chmod: Option<String>,
    pub link: bool,
    pub exclude: Vec<String>,
    /// `--keep-git-dir`, if it was given.
    pub keep_git_dir: Option<bool>,
    pub checksum: Option<String>,
    /// `--unpack`, if it was given; without it local archives are unpacked, downloaded ones are not.
    pub unpack: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub sources: Sources,
    /// A stage by name or number, an image, or a named context. Never expanded.
    pub from: Option<String>,
    /// `user[:group]`, names or numbers.
    pub chown: Option<String>,
    /// Octal or symbolic.
    pub chmod: Option<String>,
    pub link: bool,
    pub parents: bool,
    pub exclude: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    /// Empty unless the command is [`Command::Shell`]. See [`Run::script`] for what they mean.
    pub heredocs: Vec<Heredoc>,
    /// In their order. [`MountFlag::resolve`] reads them, once variables are known.
    pub mounts: Vec<MountFlag>,
    pub network: Network,
    pub security: Security,
    pub devices: Vec<Device>,
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    #[default]
    Sandbox,
    Insecure,
}

/// `RUN --device`: a CDI device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    pub required: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// No check, not even one of the base image.
    None,
    Check(Check),
}

/// A check's command and times; what was not given is zero, as in an image's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub command: Command,
    pub interval: Duration,
    pub timeout: Duration,
    pub start_period: Duration,
    pub start_interval: Duration,
    pub retries: u32,
}

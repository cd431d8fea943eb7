//! Everything that can be wrong with a Dockerfile, in BuildKit's words.

use crate::quote::quoted;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    // The text.
    #[error("the Dockerfile cannot be empty")]
    Empty,
    #[error("file with no instructions")]
    NoInstructions,
    #[error("dockerfile contains no stages to build")]
    NoStages,
    #[error("no build stage in current context")]
    NoStageYet,
    #[error("invalid escape token '{0}' does not match ` or \\")]
    EscapeToken(String),
    #[error("only one {0} parser directive can be used")]
    RepeatedDirective(String),
    #[error("unterminated heredoc")]
    UnterminatedHeredoc,
    #[error("{0} must have two arguments")]
    OneArgument(&'static str),
    #[error("Syntax error - can't find = in {}. Must be of the form: name=value", quoted(.0))]
    NoEquals(String),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,

    // Instructions.
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    #[error("{0} requires at least one argument")]
    NoArgument(&'static str),
    #[error("{0} requires exactly one argument")]
    NotOneArgument(&'static str),
    #[error("{0} requires at least two arguments, but only one was provided. Destination could not be determined")]
    NoDestination(&'static str),
    #[error("{0} cannot accept a heredoc as a destination")]
    HeredocDestination(&'static str),
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    #[error("invalid name for build stage: {}, name can't start with a number or contain symbols", quoted(.0))]
    StageName(String),
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedTrigger,
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    RefusedTrigger(String),
    #[error("onbuild trigger should be a single expression")]
    SeveralTriggers,
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(&'static str),
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("HEALTHCHECK NONE takes no arguments")]
    NoneWithArguments,
    #[error("Missing command after HEALTHCHECK CMD")]
    NoCheck,
    #[error("Unknown type {} in HEALTHCHECK (try CMD)", quoted(.0))]
    CheckType(String),
    #[error("Interval {} cannot be less than 1ms", quoted(.0))]
    ShortInterval(&'static str),
    #[error("{0}")]
    Duration(String),
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i64),
    #[error("strconv.ParseInt: parsing {}: {why}", quoted(.text))]
    Number { text: String, why: &'static str },

    // Flags.
    #[error("unknown flag: {0}")]
    UnknownFlag(String),
    #[error("duplicate flag specified: {0}")]
    DuplicateFlag(String),
    #[error("missing a value on flag: {0}")]
    FlagWithoutValue(String),
    #[error("expecting boolean value for flag {flag}, not: {value}")]
    FlagNotBoolean { flag: String, value: String },
    #[error("invalid network mode {}", quoted(.0))]
    Network(String),
    #[error("security {} is not valid", quoted(.0))]
    Security(String),
    #[error("device name already set to {0}")]
    DeviceNamedTwice(String),
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
    )]
    VariableInCopyFrom,

    // Mounts.
    #[error("failed to parse csv {what}: {why}")]
    Csv { what: &'static str, why: String },
    #[error("invalid field '{0}' must be a key=value pair")]
    NotPair(String),
    #[error("unexpected key '{key}' in '{field}'")]
    UnexpectedKey { key: String, field: String },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    KeyOfOtherMount { key: String, kind: &'static str },
    #[error("'{0}' doesn't support variable expansion, define alias stage instead")]
    VariableInMountFrom(String),
    #[error("unsupported mount type {}", quoted(.0))]
    MountType(String),
    #[error("unsupported sharing value {}", quoted(.0))]
    Sharing(String),
    #[error("invalid value for {key}: {value}")]
    MountValue { key: String, value: String },
    #[error("invalid value {value} for {key}")]
    MountNumber { key: &'static str, value: String },
    #[error("{key} not allowed for {} type mounts", quoted(.kind))]
    NotForMount { key: &'static str, kind: &'static str },
    #[error("invalid cache sharing set for {0} mount")]
    SharingOfOtherMount(&'static str),
    #[error("secret mount should not have a from")]
    SecretFrom,
    #[error("secret mount should not define sharing")]
    SecretSharing,
    #[error("invalid secret mount. one of source, target required")]
    SecretUnnamed,
    #[error("both source and id can't be set")]
    SecretNamedTwice,
    #[error("ssh does not support source")]
    SshSource,

    // Expansion.
    #[error("failed to process {}: {why}", quoted(.word))]
    Expansion { word: String, why: String },
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    #[error("empty platform value from expression {0}")]
    BlankPlatform(String),
    #[error("failed to process arguments for platform : {0}")]
    PlatformWord(String),
    #[error("the environment is larger than {0} bytes")]
    EnvironmentTooLarge(usize),

    #[error("target stage {} could not be found", quoted(.0))]
    NoTarget(String),

    // What is known once words are expanded.
    #[error("invalid port: {}: {why}", quoted(.port))]
    Port { port: String, why: String },
    #[error("{0}")]
    PortPart(String),

    // Checks.
    #[error("failed to parse check options: {0}")]
    CheckOptions(String),
}

impl Fault {
    /// Whether the text itself cannot be read, before anybody asks what the instructions mean.
    pub(crate) fn is_of_text(&self) -> bool {
        matches!(self, Fault::OneArgument(_) | Fault::NoEquals(_) | Fault::NotStrings)
    }
}

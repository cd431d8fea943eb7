//! How a command line is read: clap's parser with the manners of docker's (two-way switches, its words for what is wrong).

pub mod container;
pub mod help;
pub mod values;

use std::ffi::OsString;
use std::fmt::Write;

use clap::builder::ArgAction;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, Command};

use crate::failure::Failure;

/// How many words a verb takes besides its flags.
#[derive(Debug, Clone, Copy)]
pub enum Needs {
    None,
    Exactly(usize),
    AtLeast(usize),
    Between(usize, usize),
}

/// What the help says about a verb.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// As typed after the program's name: `run`, `container prune`.
    pub name: &'static str,
    /// What follows the name: `[OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub usage: &'static str,
    /// One sentence, and lines that only the verb's own page has.
    pub does: &'static str,
    pub needs: Needs,
}

impl About {
    /// What stands beside the verb in a list.
    pub fn summary(&self) -> &'static str {
        self.does.lines().next().unwrap_or_default().trim_end_matches('.')
    }

    fn usage_line(&self) -> String {
        format!("Usage:  dhow {} {}", self.name, self.usage).trim_end().to_owned()
    }
}

/// Reads `args` (without the verb's own name) into `T`.
///
/// # Errors
/// [`Failure::Shown`] when help was asked for, [`Failure::Flags`] (exit code 125) for what docker's flag parser refuses,
/// [`Failure::Operands`] (exit code 1) for a wrong number of words.
pub fn parse<T: Args>(about: &About, args: &[OsString]) -> Result<T, Failure> {
    let mut command = command::<T>();
    let matches = match command.try_get_matches_from_mut(args) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Err(Failure::Shown(help::page(about, &command)));
        }
        Err(error) if error.kind() == ErrorKind::UnknownArgument && !invalid_arg(&error).starts_with('-') => {
            return check_operands(about, 1).and(Err(refusal(about, &command, &error)));
        }
        Err(error) => return Err(refusal(about, &command, &error)),
    };
    let operands = matches.try_get_many::<String>("operands").ok().flatten();
    check_operands(about, operands.map_or(0, Iterator::count))?;
    T::from_arg_matches(&matches).map_err(|error| refusal(about, &command, &error))
}

/// The parser of one verb; its words besides flags are the argument `operands`.
pub fn command<T: Args>() -> Command {
    let command = Command::new("dhow")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true);
    T::augment_args(command)
        .mut_args(as_docker)
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print this help"))
}

/// Gives a flag docker's manners: a switch takes `=true` or `=false`, an option takes any next word as its value.
fn as_docker(arg: Arg) -> Arg {
    if arg.is_positional() || arg.is_require_equals_set() {
        return arg;
    }
    match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .value_parser(values::switch)
            .value_name(""),
        _ => arg.allow_hyphen_values(true),
    }
}

fn check_operands(about: &About, count: usize) -> Result<(), Failure> {
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    let wants = match about.needs {
        Needs::None if count > 0 => "accepts no arguments".to_owned(),
        Needs::Exactly(n) if count != n => format!("requires {n} {}", plural(n)),
        Needs::AtLeast(n) if count < n => format!("requires at least {n} {}", plural(n)),
        Needs::Between(0, high) if count > high => format!("requires at most {high} {}", plural(high)),
        Needs::Between(low, high) if count < low || count > high => {
            format!("requires at least {low} and at most {high} {}", plural(high))
        }
        _ => return Ok(()),
    };
    let word = if matches!(about.needs, Needs::AtLeast(_)) { "See" } else { "Run" };
    Err(Failure::Operands(format!(
        "dhow: 'dhow {0}' {wants}\n\n{1}\n\n{word} 'dhow {0} --help' for more information",
        about.name,
        about.usage_line()
    )))
}

/// What the parser did not like, in docker's words.
fn refusal(about: &About, command: &Command, error: &clap::Error) -> Failure {
    let mut text = reason(command, error);
    let _ = write!(text, "\n\n{}\n\nRun 'dhow {} --help' for more information", about.usage_line(), about.name);
    Failure::Flags(text)
}

fn invalid_arg(error: &clap::Error) -> String {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

fn reason(command: &Command, error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let flag = invalid_arg(error);
    let value = context(ContextKind::InvalidValue);
    let cause = std::error::Error::source(error).map(ToString::to_string);
    match (error.kind(), cause) {
        (ErrorKind::UnknownArgument, _) if flag.starts_with("--") => format!("unknown flag: {flag}"),
        (ErrorKind::UnknownArgument, _) if flag.starts_with('-') => {
            format!("unknown shorthand flag: {} in {flag}", quoted_letter(&flag))
        }
        (ErrorKind::ValueValidation, Some(cause)) => {
            format!("invalid argument {value:?} for {:?} flag: {cause}", both_names(command, &flag))
        }
        (ErrorKind::InvalidValue, _) if value.is_empty() => {
            format!("flag needs an argument: {}", flag.split([' ', '=']).next().unwrap_or(&flag))
        }
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

fn quoted_letter(flag: &str) -> String {
    flag.chars().nth(1).map(|letter| format!("'{letter}'")).unwrap_or_default()
}

/// `-m, --memory` for what clap calls `--memory <bytes>`.
fn both_names(command: &Command, flag: &str) -> String {
    let long: String =
        flag.trim_start_matches('-').chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let found = command.get_arguments().find(|arg| arg.get_long() == Some(&long));
    match found.and_then(Arg::get_short) {
        Some(short) => format!("-{short}, --{long}"),
        None => format!("--{long}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::container::ContainerFlags;

    const RUN: About = About {
        name: "run",
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        does: "Create and run a new container from an image",
        needs: Needs::AtLeast(1),
    };

    fn read(words: &[&str]) -> Result<ContainerFlags, Failure> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        parse(&RUN, &words)
    }

    #[test]
    fn flags_are_read_as_docker_reads_them() {
        let flags = read(&[
            "-it",
            "--rm=false",
            "--init",
            "-eA=b",
            "-e=C=d",
            "-p80:80",
            "--memory-swap",
            "-1",
            "i",
            "sh",
            "-c",
            "x",
            "--rm",
        ])
        .expect("good flags");
        assert!(flags.interactive && flags.tty && !flags.rm && flags.init == Some(true));
        assert_eq!((flags.env, flags.publish), (vec!["A=b".to_owned(), "C=d".to_owned()], vec!["80:80".to_owned()]));
        assert_eq!(
            (flags.memory_swap, flags.operands),
            (Some(-1), ["i", "sh", "-c", "x", "--rm"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn the_command_keeps_every_word_after_the_image() {
        for (words, command) in [
            (&["i", "--", "a"][..], &["i", "--", "a"][..]),
            (&["--", "i", "--rm"], &["i", "--rm"]),
            (&["i", "--help"], &["i", "--help"]),
            (&["-h", "--name", "i"], &["i"]),
            (&["--name", "a", "--name", "b", "i", "-"], &["i", "-"]),
        ] {
            assert_eq!(read(words).expect("good flags").operands, command, "{words:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_dockers_words() {
        for (words, first_line) in [
            (&["--bogus", "i"][..], "unknown flag: --bogus"),
            (&["-Z", "i"], "unknown shorthand flag: 'Z' in -Z"),
            (&["--name"], "flag needs an argument: --name"),
            (&["-m", "1x", "i"], "invalid argument \"1x\" for \"-m, --memory\" flag: invalid suffix: 'x'"),
            (
                &["--rm=foo", "i"],
                "invalid argument \"foo\" for \"--rm\" flag: strconv.ParseBool: parsing \"foo\": invalid syntax",
            ),
            (
                &["--dns", "foo", "i"],
                "invalid argument \"foo\" for \"--dns\" flag: IP address is not correctly formatted: foo",
            ),
            (
                &["--mount", "src", "i"],
                "invalid argument \"src\" for \"--mount\" flag: invalid field 'src' must be a key=value pair",
            ),
        ] {
            let failure = read(words).expect_err("a wrong flag");
            assert_eq!(failure.code(), 125);
            assert_eq!(failure.to_string().lines().next(), Some(first_line));
            assert!(failure.to_string().ends_with("Run 'dhow run --help' for more information"));
        }
    }

    #[test]
    fn a_missing_word_and_help_have_their_own_codes() {
        let failure = read(&[]).expect_err("no image");
        assert_eq!(failure.code(), 1);
        assert!(failure.to_string().starts_with("dhow: 'dhow run' requires at least 1 argument\n"));
        let help = read(&["--help"]).expect_err("help");
        assert_eq!(help.code(), 0);
        assert!(help.to_string().starts_with("Usage:  dhow run [OPTIONS] IMAGE [COMMAND] [ARG...]\n"), "{help}");
    }

    #[test]
    fn every_verb_can_be_built() {
        for entry in crate::verbs::all() {
            let result = (entry.go)(&entry.about, &["--help".into()], &crate::words::Global::default());
            assert!(matches!(result, Err(Failure::Shown(_))), "{}", entry.about.name);
        }
    }
}

//! `HEALTHCHECK`.

use crate::duration;
use crate::flags::{Flags, Takes};
use crate::{Check, Command, Error, Fault, Healthcheck};
use std::time::Duration;

const FLAGS: &[(&str, Takes)] = &[
    ("interval", Takes::Value),
    ("timeout", Takes::Value),
    ("start-period", Takes::Value),
    ("start-interval", Takes::Value),
    ("retries", Takes::Value),
];

impl Healthcheck {
    pub(crate) fn parse(flags: &[String], rest: &str) -> Result<Healthcheck, Error> {
        let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let rest = rest.trim_start();
        if kind.is_empty() {
            return Err(Fault::NoArgument("HEALTHCHECK").into());
        }
        let command = Command::parse(rest)?;
        let kind = kind.to_uppercase();
        if kind == "NONE" {
            return if nothing(&command) { Ok(Healthcheck::None) } else { Err(Fault::NoneWithArguments.into()) };
        }
        let flags = Flags::parse(flags, FLAGS)?;
        if kind != "CMD" {
            return Err(Fault::CheckType(kind).into());
        }
        if nothing(&command) {
            return Err(Fault::NoCheck.into());
        }
        Ok(Healthcheck::Check(Check {
            command,
            interval: interval(&flags, "interval")?,
            timeout: interval(&flags, "timeout")?,
            start_period: interval(&flags, "start-period")?,
            start_interval: interval(&flags, "start-interval")?,
            retries: retries(flags.text("retries").unwrap_or_default())?,
        }))
    }

    /// As `Test` of an image's configuration: `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", line]`.
    pub fn test(&self) -> Vec<String> {
        let (kind, words) = match self {
            Healthcheck::None => ("NONE", Vec::new()),
            Healthcheck::Check(Check { command: Command::Exec(argv), .. }) => ("CMD", argv.clone()),
            Healthcheck::Check(Check { command: Command::Shell(line), .. }) => ("CMD-SHELL", vec![line.clone()]),
        };
        [kind.to_owned()].into_iter().chain(words).collect()
    }
}

fn nothing(command: &Command) -> bool {
    match command {
        Command::Shell(line) => line.is_empty(),
        Command::Exec(argv) => argv.is_empty(),
    }
}

fn interval(flags: &Flags, name: &'static str) -> Result<Duration, Error> {
    let text = flags.text(name).unwrap_or_default();
    if text.is_empty() {
        return Ok(Duration::ZERO);
    }
    let parsed = duration::parse(text).map_err(Fault::Duration)?;
    let short = parsed.negative || parsed.length < Duration::from_millis(1);
    if short && !parsed.length.is_zero() {
        return Err(Fault::ShortInterval(name).into());
    }
    Ok(parsed.length)
}

fn retries(text: &str) -> Result<u32, Error> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let why = match text.parse::<i32>() {
        Ok(number) => return u32::try_from(number).map_err(|_| Fault::NegativeRetries(number.into()).into()),
        Err(_) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => "value out of range",
        Err(_) => "invalid syntax",
    };
    Err(Fault::Number { text: text.to_owned(), why }.into())
}

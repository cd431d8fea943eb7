//! Words become options and arguments, by the rules of Go's `flag` as runc's users know them: one dash or two, `--opt value` or
//! `--opt=value`, options between arguments too, `--` ends them.

use super::table::{GLOBAL, HELP, Opt, Takes, VERSION, Verb};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

/// What one option was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Flag(bool),
    Number(i64),
    Duration(Duration),
    Text(OsString),
}

/// A command line taken apart.
#[derive(Default)]
pub struct Parsed {
    verb: Option<&'static Verb>,
    /// Options of the verb, in the order in which they came.
    pub own: Vec<(&'static Opt, Value)>,
    pub global: Vec<(&'static Opt, Value)>,
    pub arguments: Vec<OsString>,
    pub help: bool,
    pub version: bool,
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: {0}")]
    NeedsArgument(String),
    #[error("invalid value \"{value}\" for flag -{flag}: {why}")]
    Invalid { value: String, flag: String, why: &'static str },
}

/// What stands before the verb; the verb and what follows it are left in `arguments`.
pub fn before_verb(words: Vec<OsString>) -> Result<Parsed, Wrong> {
    let mut parsed = Parsed::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match split(&word) {
            Shape::Option { name, value } => {
                parsed.option(&mut words, (name, value), &word)?;
                continue;
            }
            Shape::Argument => parsed.arguments.push(word),
            Shape::End => {}
        }
        parsed.arguments.extend(words);
        break;
    }
    Ok(parsed)
}

impl Parsed {
    /// Adds what stands after the verb.
    pub fn after_verb(&mut self, words: Vec<OsString>, verb: &'static Verb) -> Result<(), Wrong> {
        self.verb = Some(verb);
        self.arguments = Vec::new();
        let end = verb.options_end.unwrap_or(usize::MAX);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match split(&word) {
                Shape::End => {
                    self.arguments.extend(words);
                    break;
                }
                _ if self.arguments.len() == end => {
                    self.arguments.push(word);
                    self.arguments.extend(words);
                    break;
                }
                Shape::Argument => self.arguments.push(word),
                Shape::Option { name, value } => self.option(&mut words, (name, value), &word)?,
            }
        }
        Ok(())
    }

    fn option(
        &mut self,
        rest: &mut std::vec::IntoIter<OsString>,
        (name, given): (&OsStr, Option<&OsStr>),
        word: &OsStr,
    ) -> Result<(), Wrong> {
        let own = self.verb.map_or(&[][..], |verb| verb.options);
        let found = find(own, name).map(|opt| (opt, true)).or_else(|| find(GLOBAL, name).map(|opt| (opt, false)));
        let Some((opt, is_own)) = found else { return self.built_in(name, given) };
        let value = match (opt.takes, given) {
            (Takes::Nothing, given) => given.unwrap_or_default().to_owned(),
            (_, Some(given)) => given.to_owned(),
            (_, None) => rest.next().ok_or_else(|| Wrong::NeedsArgument(word.to_string_lossy().into_owned()))?,
        };
        let value = value_of(opt, name, value)?;
        if is_own {
            self.own.push((opt, value))
        } else {
            self.global.push((opt, value))
        }
        Ok(())
    }

    fn built_in(&mut self, name: &OsStr, given: Option<&OsStr>) -> Result<(), Wrong> {
        let one_of = |opt: &Opt| opt.names.iter().any(|known| *known == name);
        let on = || match value_of(&HELP, name, given.unwrap_or_default().to_owned())? {
            Value::Flag(on) => Ok(on),
            _ => Ok(true),
        };
        if one_of(&HELP) {
            self.help = on()?;
        } else if one_of(&VERSION) && self.verb.is_none() {
            self.version = on()?;
        } else {
            return Err(Wrong::Unknown(name.to_string_lossy().into_owned()));
        }
        Ok(())
    }
}

enum Shape<'a> {
    /// `--`
    End,
    Argument,
    Option {
        name: &'a OsStr,
        value: Option<&'a OsStr>,
    },
}

fn split(word: &OsStr) -> Shape<'_> {
    let bytes = word.as_bytes();
    let name = match bytes {
        b"--" => return Shape::End,
        [b'-', b'-', rest @ ..] => rest,
        // A lone dash and negative numbers are arguments.
        [b'-', first, ..] if first.is_ascii_alphabetic() => &bytes[1..],
        _ => return Shape::Argument,
    };
    let (name, value) = match name.iter().position(|&byte| byte == b'=') {
        Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]))),
        None => (name, None),
    };
    Shape::Option { name: OsStr::from_bytes(name), value }
}

fn find(options: &'static [Opt], name: &OsStr) -> Option<&'static Opt> {
    options.iter().find(|opt| opt.names.iter().any(|known| *known == name))
}

fn value_of(opt: &Opt, name: &OsStr, value: OsString) -> Result<Value, Wrong> {
    let wrong = |why| Wrong::Invalid {
        value: value.to_string_lossy().into_owned(),
        flag: name.to_string_lossy().into_owned(),
        why,
    };
    let text = value.to_str();
    match opt.takes {
        Takes::Text | Takes::Texts => Ok(Value::Text(value)),
        Takes::Nothing => text.and_then(truth).map(Value::Flag).ok_or_else(|| wrong("not true or false")),
        Takes::Number | Takes::Numbers => {
            let number = text.and_then(|text| text.parse().ok());
            number.map(Value::Number).ok_or_else(|| wrong("not a number"))
        }
        Takes::Duration => {
            let time = text.and_then(|text| text.parse::<jiff::SignedDuration>().ok());
            let time = time.ok_or_else(|| wrong("not a time such as 5s or 1m30s"))?;
            Duration::try_from(time).map(Value::Duration).map_err(|_| wrong("less than nothing"))
        }
    }
}

/// The spellings of Go's ParseBool; nothing is true.
fn truth(text: &str) -> Option<bool> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reading what was parsed, by the first name of an option. The last one given counts.
impl Parsed {
    fn last(values: &[(&'static Opt, Value)], name: &str) -> Option<Value> {
        values.iter().rev().find(|(opt, _)| opt.names[0] == name).map(|(_, value)| value.clone())
    }

    pub fn flag(&self, name: &str) -> bool {
        self.maybe_flag(name).unwrap_or(false)
    }

    pub fn maybe_flag(&self, name: &str) -> Option<bool> {
        match Self::last(&self.own, name) {
            Some(Value::Flag(on)) => Some(on),
            _ => None,
        }
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        match Self::last(&self.own, name) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    pub fn numbers(&self, name: &str) -> Vec<i64> {
        let all = self.own.iter().filter(|(opt, _)| opt.names[0] == name);
        all.filter_map(|(_, value)| if let Value::Number(number) = value { Some(*number) } else { None }).collect()
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        match Self::last(&self.own, name) {
            Some(Value::Duration(time)) => Some(time),
            _ => None,
        }
    }

    /// `None` when it was not given, or nothing was: `--opt ""`.
    pub fn raw(&self, name: &str) -> Option<OsString> {
        given(Self::last(&self.own, name))
    }

    pub fn raws(&self, name: &str) -> Vec<OsString> {
        let all = self.own.iter().filter(|(opt, _)| opt.names[0] == name);
        all.filter_map(|(_, value)| if let Value::Text(text) = value { Some(text.clone()) } else { None }).collect()
    }

    pub fn global_flag(&self, name: &str) -> bool {
        matches!(Self::last(&self.global, name), Some(Value::Flag(true)))
    }

    /// Told apart from not given: `--root ""`.
    pub fn global_text(&self, name: &str) -> Option<OsString> {
        match Self::last(&self.global, name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }
}

fn given(value: Option<Value>) -> Option<OsString> {
    match value {
        Some(Value::Text(text)) if !text.is_empty() => Some(OsString::from_vec(text.into_vec())),
        _ => None,
    }
}

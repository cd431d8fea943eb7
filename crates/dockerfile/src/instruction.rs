//! One instruction: its parts become a typed value.

use crate::flags::{Flags, Takes};
use crate::suggest::{Case, nearest};
use crate::words::{Form, Parts, json_array, pairs, plain_words, quoted_words, split};
use crate::{Add, ArgDefinition, Command, Copy, Error, Escape, Fault, Healthcheck, Heredoc, Instruction, Pair, Run};

/// The 18 names.
pub(crate) const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// An instruction, `FROM` among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    From { base: String, name: Option<String>, platform: Option<String> },
    Other(Instruction),
}

/// What an instruction is parsed from.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    /// On one line.
    pub line: &'a str,
    pub escape: Escape,
    pub heredocs: Vec<Heredoc>,
    pub comments: &'a [String],
}

/// Whether heredocs may follow the instruction on `line`.
pub(crate) fn takes_heredocs(line: &str, escape: Escape) -> bool {
    let Parts { keyword, rest, .. } = split(line, escape.char());
    match keyword.to_ascii_lowercase().as_str() {
        "add" | "copy" | "run" => !matches!(json_array(rest), Ok(Some(_))),
        "onbuild" if !rest.is_empty() => {
            let inner = split(rest, escape.char());
            let takes = ["add", "copy", "run"].iter().any(|name| name.eq_ignore_ascii_case(inner.keyword));
            takes && !matches!(json_array(inner.rest), Ok(Some(_)))
        }
        _ => false,
    }
}

impl Source<'_> {
    pub fn parse(self) -> Result<Parsed, Error> {
        let Parts { keyword, flags, rest } = split(self.line, self.escape.char());
        let instruction = match keyword.to_ascii_lowercase().as_str() {
            "from" => return from(&flags, rest),
            "add" => Instruction::Add(Add::parse(&flags, rest, &self.heredocs)?),
            "copy" => Instruction::Copy(Copy::parse(&flags, rest, &self.heredocs)?),
            "run" => Instruction::Run(Run::parse(&flags, rest, self.heredocs)?),
            "onbuild" => Instruction::Onbuild(self.onbuild(&flags, rest)?),
            "arg" => Instruction::Arg(self.args(rest)?),
            "healthcheck" => Instruction::Healthcheck(Healthcheck::parse(&flags, rest)?),
            "stopsignal" => Instruction::StopSignal(one(rest, "STOPSIGNAL")?),
            "cmd" => Instruction::Cmd(command(&flags, rest)?),
            "entrypoint" => Instruction::Entrypoint(command(&flags, rest)?),
            "env" => Instruction::Env(self.pairs(&flags, rest, "ENV")?),
            "label" => Instruction::Label(self.pairs(&flags, rest, "LABEL")?),
            "expose" => Instruction::Expose(expose(&flags, rest)?),
            "maintainer" => Instruction::Maintainer(flagless(&flags, rest, "MAINTAINER")?),
            "user" => Instruction::User(flagless(&flags, rest, "USER")?),
            "workdir" => Instruction::Workdir(flagless(&flags, rest, "WORKDIR")?),
            "shell" => Instruction::Shell(shell(&flags, rest)?),
            "volume" => Instruction::Volume(volume(&flags, rest)?),
            _ => return Err(unknown(keyword)),
        };
        Ok(Parsed::Other(instruction))
    }

    fn pairs(&self, flags: &[String], rest: &str, name: &'static str) -> Result<Vec<Pair>, Error> {
        let pairs = pairs(rest, name, self.escape.char())?;
        Flags::none(flags)?;
        if pairs.is_empty() {
            return Err(Fault::NoArgument(name).into());
        }
        if pairs.iter().any(|(key, _, _)| key.is_empty()) {
            return Err(Fault::BlankName(name).into());
        }
        Ok(pairs.into_iter().map(|(key, value, form)| Pair { key, value, legacy: form == Form::Legacy }).collect())
    }

    fn args(&self, rest: &str) -> Result<Vec<ArgDefinition>, Error> {
        let words = quoted_words(rest, self.escape.char());
        if words.is_empty() {
            return Err(Fault::NoArgument("ARG").into());
        }
        let definition = |word: String| {
            let (name, default) = match word.split_once('=') {
                Some(("", _)) => return Err(Fault::BlankName("ARG").into()),
                Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                None => (word, None),
            };
            let description = description(self.comments, &name);
            Ok(ArgDefinition { name, default, description })
        };
        words.into_iter().map(definition).collect()
    }

    fn onbuild(&self, flags: &[String], rest: &str) -> Result<String, Error> {
        if rest.is_empty() {
            return Err(Fault::NoArgument("ONBUILD").into());
        }
        let inner = split(rest, self.escape.char());
        check_words(&inner, self.escape)?;
        Flags::none(flags)?;
        match inner.keyword.to_uppercase().as_str() {
            "ONBUILD" => return Err(Fault::ChainedTrigger.into()),
            name @ ("MAINTAINER" | "FROM") => return Err(Fault::RefusedTrigger(name.to_owned()).into()),
            _ => {}
        }
        let line = self.line.trim_start();
        let mut text = line["ONBUILD".len()..].trim_start_matches(['\t', '\u{c}', '\r', ' ']).to_owned();
        for heredoc in &self.heredocs {
            text.push('\n');
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
        }
        Ok(text)
    }
}

/// The words of a trigger are read as far as the file's own are; what they mean is told when it is built.
fn check_words(inner: &Parts<'_>, escape: Escape) -> Result<(), Error> {
    match inner.keyword.to_ascii_lowercase().as_str() {
        "env" => pairs(inner.rest, "ENV", escape.char()).map(drop),
        "label" => pairs(inner.rest, "LABEL", escape.char()).map(drop),
        "add" | "copy" | "cmd" | "entrypoint" | "run" | "shell" | "volume" => json_array(inner.rest).map(drop),
        "onbuild" => check_words(&split(inner.rest, escape.char()), escape),
        "healthcheck" => {
            let (_, command) = inner.rest.split_once(char::is_whitespace).unwrap_or_default();
            json_array(command).map(drop)
        }
        _ => Ok(()),
    }
}

fn unknown(keyword: &str) -> Error {
    let hint = nearest(keyword, NAMES, Case::Follows);
    Error::from(Fault::UnknownInstruction(keyword.to_owned())).meaning(hint)
}

fn from(flags: &[String], rest: &str) -> Result<Parsed, Error> {
    let words = plain_words(rest);
    let (base, name) = match words.as_slice() {
        [base] => (base, None),
        [base, between, name] if between.eq_ignore_ascii_case("as") => (base, Some(stage_name(name)?)),
        _ => return Err(Fault::FromArguments.into()),
    };
    let flags = Flags::parse(flags, &[("platform", Takes::Value)])?;
    Ok(Parsed::From { base: base.clone(), name, platform: flags.filled("platform") })
}

fn stage_name(written: &str) -> Result<String, Error> {
    let name = written.to_lowercase();
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    let rest = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    if first && rest { Ok(name) } else { Err(Fault::StageName(written.to_owned()).into()) }
}

/// What a comment `# name description` says.
pub(crate) fn description(comments: &[String], name: &str) -> Option<String> {
    let rest = |comment: &String| comment.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
    comments.iter().find_map(rest)
}

fn one(rest: &str, name: &'static str) -> Result<String, Error> {
    if rest.is_empty() { Err(Fault::NotOneArgument(name).into()) } else { Ok(rest.to_owned()) }
}

fn flagless(flags: &[String], rest: &str, name: &'static str) -> Result<String, Error> {
    let word = one(rest, name)?;
    Flags::none(flags).map(|()| word)
}

fn command(flags: &[String], rest: &str) -> Result<Command, Error> {
    let command = Command::parse(rest)?;
    Flags::none(flags).map(|()| command)
}

fn shell(flags: &[String], rest: &str) -> Result<Vec<String>, Error> {
    let words = json_array(rest)?;
    Flags::none(flags)?;
    match words {
        Some(words) if !words.is_empty() => Ok(words),
        None if !rest.is_empty() => Err(Fault::NotJson("SHELL").into()),
        _ => Err(Fault::NoArgument("SHELL").into()),
    }
}

fn expose(flags: &[String], rest: &str) -> Result<Vec<String>, Error> {
    let mut ports = plain_words(rest);
    if ports.is_empty() {
        return Err(Fault::NoArgument("EXPOSE").into());
    }
    Flags::none(flags)?;
    ports.sort_unstable();
    Ok(ports)
}

fn volume(flags: &[String], rest: &str) -> Result<Vec<String>, Error> {
    let paths = json_array(rest)?.unwrap_or_else(|| plain_words(rest));
    if paths.is_empty() {
        return Err(Fault::NoArgument("VOLUME").into());
    }
    Flags::none(flags)?;
    let path = |path: String| match path.trim() {
        "" => Err(Fault::EmptyVolume.into()),
        path => Ok(path.to_owned()),
    };
    paths.into_iter().map(path).collect()
}

//! What a word may become: asked by the shells' scripts with `dhow __complete WORDS...`, so that the answer is never older than
//! the program.
//!
//! One candidate a line, with what it does after a tab. `:files` at the end: the shell is to offer files.

use std::ffi::OsString;
use std::process::ExitCode;

use api::client::{Client, Error};
use clap::{Arg, ArgAction, Command};
use serde::Deserialize;

use crate::grammar::About;
use crate::show::print;
use crate::verbs;
use crate::words::{self, Global, Start};

/// The script for a shell.
pub fn script(shell: &str) -> Option<&'static str> {
    match shell {
        "bash" => Some(include_str!("complete/dhow.bash")),
        "zsh" => Some(include_str!("complete/dhow.zsh")),
        "fish" => Some(include_str!("complete/dhow.fish")),
        _ => None,
    }
}

/// Candidates for the last of the words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Candidates {
    /// (word, what it does)
    words: Vec<(String, String)>,
    files: bool,
}

/// Prints what the last word may become.
pub fn main(args: &[OsString], engine: fn() -> Command) -> ExitCode {
    let typed: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (last, before) = typed.split_last().map_or((String::new(), &[][..]), |(last, before)| (last.clone(), before));
    let found = candidates(before, &last, engine);
    let mut text = String::new();
    for (word, does) in found.words.iter().filter(|(word, _)| word.starts_with(&last)) {
        text.push_str(&format!("{word}\t{}\n", does.lines().next().unwrap_or_default()));
    }
    if found.files {
        text.push_str(":files\n");
    }
    let _ = print(text);
    ExitCode::SUCCESS
}

fn candidates(before: &[String], last: &str, engine: fn() -> Command) -> Candidates {
    let typed: Vec<OsString> = before.iter().map(OsString::from).collect();
    let (global, rest) = match words::global(&typed) {
        Ok(Start::Verb(global, rest)) => (global, rest.to_vec()),
        Ok(_) if before.is_empty() || !before.last().is_some_and(|word| word.starts_with('-')) => return first(last),
        Ok(_) => (Global::default(), Vec::new()),
        // A flag before the verb that wants its value.
        Err(_) => return value_of_global(before),
    };
    let rest: Vec<&str> = rest.iter().filter_map(|word| word.to_str()).collect();
    match rest.as_slice() {
        [] => first(last),
        ["engine", typed @ ..] => of_command(&engine(), None, typed, last, &global),
        _ => match words::find(&rest) {
            Some((entry, used)) => of_command(&(entry.command)(), Some(&entry.about), &rest[used..], last, &global),
            None => Candidates { words: second(rest[0]), files: false },
        },
    }
}

fn value_of_global(before: &[String]) -> Candidates {
    match before.last().map(String::as_str) {
        Some("-c" | "--context") => Candidates { words: contexts(&Global::default()), files: false },
        Some("-H" | "--host") => Candidates {
            words: ["unix://", "tcp://", "ssh://"].map(|text| (text.to_owned(), String::new())).into(),
            files: false,
        },
        _ => Candidates { words: Vec::new(), files: true },
    }
}

/// The first words of all verbs, or flags before them.
fn first(last: &str) -> Candidates {
    if last.starts_with('-') {
        let flags = [
            ("--host", "Address of the engine"),
            ("--context", "The context that says where the engine is"),
            ("--config", "The folder of docker's settings"),
            ("--tls", "Encrypt tcp://"),
            ("--tlsverify", "Encrypt tcp:// and check the engine's certificate"),
            ("--help", "Print help"),
            ("--version", "Print the version and quit"),
        ];
        return Candidates { words: flags.map(|(flag, does)| (flag.to_owned(), does.to_owned())).into(), files: false };
    }
    let others = [
        ("engine", "Run the engine itself in the foreground (dockerd's flags)"),
        ("registry", "Serve images to others"),
        ("runtime", "runc's command line"),
        ("help", "Help about a command"),
    ];
    let mut words: Vec<(String, String)> = others.map(|(word, does)| (word.to_owned(), does.to_owned())).into();
    for entry in verbs::all() {
        for spelling in entry.words {
            match spelling.split_once(' ') {
                None => words.push(((*spelling).to_owned(), entry.about.summary().to_owned())),
                Some((group, _)) => words.push((group.to_owned(), format!("Manage {group}s"))),
            }
        }
    }
    words.sort();
    words.dedup_by(|a, b| a.0 == b.0);
    Candidates { words, files: false }
}

/// The verbs of a group.
fn second(group: &str) -> Vec<(String, String)> {
    let spellings = verbs::all().iter().flat_map(|entry| entry.words.iter().map(move |spelling| (spelling, entry)));
    let members = spellings.filter_map(|(spelling, entry)| {
        let word = spelling.strip_prefix(group)?.strip_prefix(' ')?;
        Some((word.to_owned(), entry.about.summary().to_owned()))
    });
    members.collect()
}

/// Flags, values of flags, or what the verb is about.
fn of_command(command: &Command, about: Option<&About>, typed: &[&str], last: &str, global: &Global) -> Candidates {
    if let Some(flag) = typed.last().and_then(|word| waiting(command, word)) {
        return value_of(flag, global);
    }
    if last.starts_with('-') {
        let flag = |arg: &Arg| {
            let does = arg.get_help().map(ToString::to_string).unwrap_or_default();
            Some((format!("--{}", arg.get_long()?), does))
        };
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
        return Candidates { words: shown.filter_map(flag).collect(), files: false };
    }
    let Some(about) = about else { return Candidates::default() };
    let operands = typed.iter().filter(|word| !word.starts_with('-')).count();
    let Some(noun) = noun(about.usage, operands) else { return Candidates { words: Vec::new(), files: true } };
    Candidates { words: noun.names(global), files: matches!(noun, Noun::File) }
}

/// The flag that waits for its value when `word` came last.
fn waiting<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let takes =
        |arg: &&Arg| matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set();
    let named = |arg: &&Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => word.len() == 2 && word.starts_with('-') && arg.get_short() == word.chars().nth(1),
    };
    command.get_arguments().filter(|arg| !arg.is_positional()).filter(takes).find(named)
}

fn value_of(flag: &Arg, global: &Global) -> Candidates {
    let names = |noun: Noun| Candidates { words: noun.names(global), files: false };
    match flag.get_long().unwrap_or_default() {
        "network" | "net" => names(Noun::Network),
        "volumes-from" | "link" => names(Noun::Container),
        "restart" => fixed(&["no", "always", "unless-stopped", "on-failure"]),
        "pull" => fixed(&["always", "missing", "never"]),
        "log-driver" => fixed(&["json-file", "local", "journald", "syslog", "none"]),
        "progress" => fixed(&["auto", "plain", "tty", "quiet", "rawjson", "none"]),
        "call" => fixed(&["build", "check", "outline", "targets"]),
        "on-error" => fixed(&["stop", "shell"]),
        "allow" => fixed(&["network.host", "security.insecure"]),
        "format" => fixed(&["json", "table"]),
        "log-level" => fixed(&["debug", "info", "warn", "error", "fatal"]),
        _ => Candidates { words: Vec::new(), files: true },
    }
}

fn fixed(words: &[&str]) -> Candidates {
    Candidates { words: words.iter().map(|word| ((*word).to_owned(), String::new())).collect(), files: false }
}

/// What an operand names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noun {
    Container,
    Image,
    Volume,
    Network,
    Context,
    Shell,
    File,
}

/// What the operand of that number is, by how the verb's usage calls it; the last one may come again (`CONTAINER...`).
fn noun(usage: &str, index: usize) -> Option<Noun> {
    let words = usage.split_whitespace().filter(|word| !word.contains("OPTIONS"));
    let words: Vec<&str> = words.map(|word| word.trim_matches(['[', ']', '.'])).collect();
    let word = words.get(index).or_else(|| words.last().filter(|_| usage.contains("...")))?;
    Some(match *word {
        word if word.starts_with("CONTAINER") => Noun::Container,
        word if word.starts_with("IMAGE") || word.starts_with("SOURCE_IMAGE") => Noun::Image,
        word if word.starts_with("VOLUME") => Noun::Volume,
        word if word.starts_with("NETWORK") => Noun::Network,
        word if word.starts_with("CONTEXT") => Noun::Context,
        "bash|zsh|fish" => Noun::Shell,
        word if word.contains("NAME|ID") => Noun::Container,
        _ => Noun::File,
    })
}

impl Noun {
    /// The names there are. Nothing is started for that, and nothing is said when no engine answers.
    fn names(self, global: &Global) -> Vec<(String, String)> {
        match self {
            Noun::Context => contexts(global),
            Noun::Shell => fixed(&["bash", "fish", "zsh"]).words,
            Noun::File => Vec::new(),
            noun => asked(noun, global).unwrap_or_default(),
        }
    }
}

fn contexts(global: &Global) -> Vec<(String, String)> {
    let kept = global.contexts().all().unwrap_or_default();
    let mut all = vec![("default".to_owned(), String::new())];
    all.extend(kept.into_iter().map(|one| (one.name.clone(), one.endpoints.docker.host)));
    all
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Thing {
    name: String,
    names: Option<Vec<String>>,
    repo_tags: Option<Vec<String>>,
    image: String,
    driver: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    volumes: Option<Vec<Thing>>,
}

fn asked(noun: Noun, global: &Global) -> Option<Vec<(String, String)>> {
    let address = global.address().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let things = runtime.block_on(async { list(noun, &address.client().await.ok()?).await.ok() })?;
    let named = |thing: Thing| match noun {
        Noun::Container => {
            let names = thing.names.unwrap_or_default();
            names.iter().map(|name| (name.trim_start_matches('/').to_owned(), thing.image.clone())).collect()
        }
        Noun::Image => thing.repo_tags.unwrap_or_default().into_iter().map(|tag| (tag, String::new())).collect(),
        _ => vec![(thing.name, thing.driver)],
    };
    Some(things.into_iter().flat_map(named).collect())
}

async fn list(noun: Noun, client: &Client) -> Result<Vec<Thing>, Error> {
    match noun {
        Noun::Container => client.get("/containers/json?all=1").await,
        Noun::Image => client.get("/images/json").await,
        Noun::Network => client.get("/networks").await,
        _ => Ok(client.get::<Volumes>("/volumes").await?.volumes.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &[&str], last: &str) -> Vec<String> {
        let typed: Vec<String> = typed.iter().map(|word| (*word).to_owned()).collect();
        let engine = || Command::new("engine").arg(Arg::new("bip").long("bip").help("The bridge"));
        let found = candidates(&typed, last, engine);
        let mut words: Vec<String> =
            found.words.into_iter().map(|(word, _)| word).filter(|word| word.starts_with(last)).collect();
        words.extend(found.files.then(|| ":files".to_owned()));
        words
    }

    #[test]
    fn words_and_flags_are_those_of_the_grammar() {
        assert_eq!(words(&[], "mon"), ["monitor"]);
        assert!(words(&[], "con").contains(&"container".to_owned()));
        assert_eq!(words(&["container"], "pru"), ["prune"]);
        assert!(words(&["run"], "--memory-s").contains(&"--memory-swap".to_owned()));
        assert_eq!(words(&["engine"], "--b"), ["--bip"]);
        assert_eq!(words(&["run", "--restart"], "un"), ["unless-stopped"]);
        assert_eq!(words(&["load", "-i"], ""), [":files"]);
        assert_eq!(words(&["completion"], "z"), ["zsh"]);
        assert_eq!(words(&["-H", "unix:///nowhere", "ps"], "--al"), ["--all"]);
    }

    #[test]
    fn operands_are_told_by_the_usage() {
        assert_eq!(noun("[OPTIONS] CONTAINER [CONTAINER...]", 3), Some(Noun::Container));
        assert_eq!(noun("[OPTIONS] IMAGE [COMMAND] [ARG...]", 0), Some(Noun::Image));
        assert_eq!(noun("[OPTIONS] IMAGE [COMMAND] [ARG...]", 1), Some(Noun::File));
        assert_eq!(noun("", 0), None);
    }

    #[test]
    fn every_shell_has_its_script() {
        for shell in ["bash", "zsh", "fish"] {
            assert!(script(shell).is_some_and(|script| script.contains("__complete")), "{shell}");
        }
    }
}

//! What was typed becomes what is meant: global options, the verb, its options, help.
//!
//! A parser of its own because it runs at each of the many short calls, and because the rules and texts are those of runc.

mod act;
mod help;
pub mod options;
mod parse;
mod table;

use crate::error::{Error, Result};
use crate::log;
use crate::root;
use help::Place;
use parse::{Parsed, Wrong};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use table::{Arity, Verb};

/// Options before the verb.
#[derive(Debug, Clone, Default)]
pub struct Global {
    /// What the program was called as.
    pub name: String,
    /// `--root`: where state folders are. Default /run/<name>, or $XDG_RUNTIME_DIR/<name> without root's rights.
    pub root: PathBuf,
    /// `--root` was given.
    pub root_given: bool,
    pub systemd_cgroup: bool,
    /// `--rootless`: `None` is auto.
    pub rootless: Option<bool>,
    /// The program of `--criu`; `None`: the one in $PATH.
    pub criu: Option<PathBuf>,
}

impl Global {
    #[must_use]
    pub fn store(&self) -> crate::store::Store {
        crate::store::Store { root: self.root.clone() }
    }

    /// Whether cgroups that may not be made are done without: said, or no root of the machine.
    #[must_use]
    pub fn lenient_cgroups(&self) -> bool {
        self.rootless.unwrap_or_else(|| !root::is_root() || root::in_user_namespace())
    }
}

pub fn run(name: &str, args: Vec<OsString>) -> ExitCode {
    match obey(name, args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log::fatal(&error.message);
            ExitCode::from(error.code)
        }
    }
}

fn obey(name: &str, args: Vec<OsString>) -> Result<u8> {
    let root = root::Default::find(name);
    let shown = root.path().to_string_lossy().into_owned();
    let place = Place { name, root: &shown };
    let mut parsed = parse::before_verb(args).map_err(|wrong| misuse(&wrong, &place.program()))?;
    if parsed.version && !parsed.help {
        return say(&place.version()).map(|()| 0);
    }
    let mut words = std::mem::take(&mut parsed.arguments).into_iter();
    let verb = match words.next().map(OsString::into_string) {
        None => return say(&place.program()).map(|()| 0),
        Some(Ok(word)) if word == "help" || word == "h" => return help(place, words.next()),
        Some(word) => find(&word.unwrap_or_else(|word| word.to_string_lossy().into_owned()))?,
    };
    set_up_log(&parsed)?;
    let before = parsed.global.len();
    parsed.after_verb(words.collect(), verb).map_err(|wrong| misuse(&wrong, &place.verb(verb)))?;
    // Options of the program may stand after the verb as well.
    if parsed.global.len() > before {
        set_up_log(&parsed)?;
    }
    if parsed.help || asks_for_help(&parsed, verb) {
        return say(&place.verb(verb)).map(|()| 0);
    }
    let global = global(name, &parsed, &root)?;
    check_arguments(&parsed, verb, place)?;
    (verb.act)(&global, &parsed)
}

fn global(name: &str, parsed: &Parsed, default: &root::Default) -> Result<Global> {
    let root = match parsed.global_text("root") {
        Some(root) => root::given(root)?,
        None => {
            default.ready()?;
            default.path().to_owned()
        }
    };
    Ok(Global {
        name: name.to_owned(),
        root,
        root_given: parsed.global_text("root").is_some(),
        systemd_cgroup: parsed.global_flag("systemd-cgroup"),
        rootless: rootless(parsed)?,
        criu: parsed.global_text("criu").filter(|path| !path.is_empty()).map(PathBuf::from),
    })
}

fn rootless(parsed: &Parsed) -> Result<Option<bool>> {
    let given = parsed.global_text("rootless").unwrap_or_default();
    match given.to_string_lossy().to_ascii_lowercase().as_str() {
        "" | "auto" => Ok(None),
        "1" | "t" | "true" => Ok(Some(true)),
        "0" | "f" | "false" => Ok(Some(false)),
        other => Err(Error::new(format!("invalid value {other:?} for flag -rootless: not true, false or auto"))),
    }
}

fn set_up_log(parsed: &Parsed) -> Result<()> {
    let format = parsed.global_text("log-format").unwrap_or_default();
    let file = parsed.global_text("log").filter(|path| !path.is_empty());
    log::set_up(file.map(PathBuf::from), &format.to_string_lossy(), parsed.global_flag("debug"))
}

fn find(name: &str) -> Result<&'static Verb> {
    let verb = table::VERBS.iter().find(|verb| verb.name == name);
    verb.ok_or_else(|| Error { message: format!("No help topic for '{name}'"), code: 3 })
}

fn help(place: Place<'_>, topic: Option<OsString>) -> Result<u8> {
    match topic {
        None => say(&place.program())?,
        Some(topic) => say(&place.verb(find(&topic.to_string_lossy())?))?,
    }
    Ok(0)
}

/// `kill help`, as other commands of this kind have it; not where an argument may be called so.
fn asks_for_help(parsed: &Parsed, verb: &Verb) -> bool {
    verb.arity == Arity::Exactly(0) && parsed.arguments.first().is_some_and(|word| word == "help")
}

fn check_arguments(parsed: &Parsed, verb: &Verb, place: Place<'_>) -> Result<()> {
    let given = parsed.arguments.len();
    let needs = match verb.arity {
        Arity::Exactly(count) if given != count => format!("exactly {count}"),
        Arity::AtLeast(least) | Arity::Between(least, _) if given < least => format!("a minimum of {least}"),
        Arity::Between(_, most) if given > most => format!("a maximum of {most}"),
        _ => return Ok(()),
    };
    say(&format!("Incorrect Usage.\n\n{}", place.verb(verb)))?;
    Err(Error::new(format!("{}: {:?} requires {needs} argument(s)", place.name, verb.name)))
}

fn misuse(wrong: &Wrong, help: &str) -> Error {
    let text = wrong.to_string();
    let _ = write!(std::io::stderr(), "Incorrect Usage: {text}\n\n");
    match say(help) {
        Ok(()) => Error::new(text),
        Err(error) => error,
    }
}

/// To standard output; a reader that went away early is no failure.
pub fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::because("cannot write to standard output", &e))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

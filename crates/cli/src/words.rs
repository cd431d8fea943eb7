//! The words of the command line: which verb they name, and the help that lists them.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::connect::{self, Address, Flags};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::grammar::{self, About};
use crate::session::Session;
use crate::{show, verbs};

/// What a verb ends with: an exit code, or why it did not get there.
pub type Outcome = Result<u8, Failure>;

/// A verb: its flags are the type itself.
pub trait Verb: Args + Sized {
    const ABOUT: About;
    fn run(self, session: &Session) -> impl Future<Output = Outcome>;

    /// Does it without a session, where that is less work; `None`: it is to be run.
    fn at_once(&self, _: &Address) -> Option<Outcome> {
        None
    }
}

/// A verb that needs no engine.
pub trait Offline: Args + Sized {
    const ABOUT: About;
    fn run(self, global: &Global) -> Outcome;
}

/// A verb under the words that name it.
pub struct Entry {
    /// `ps`, or `container ls`; all spellings.
    pub words: &'static [&'static str],
    pub about: About,
    pub go: fn(&About, &[OsString], &Global) -> Outcome,
    /// Its flags, for the manual and for completions.
    pub command: fn() -> clap::Command,
}

/// The flags before the verb.
#[derive(Debug, Default)]
pub struct Global {
    flags: Flags,
    config: Option<PathBuf>,
}

impl Global {
    /// Where the engine is.
    pub fn address(&self) -> Result<Address, Failure> {
        connect::address(&self.flags, &self.contexts(), |name| std::env::var(name).ok())
    }

    /// Named ways to engines.
    pub fn contexts(&self) -> Contexts {
        Contexts::open(self.config.as_deref())
    }

    /// The context that counts.
    pub fn context(&self) -> Result<String, Failure> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        connect::current(&self.flags, &self.contexts(), &set)
    }

    /// What was said about the engine.
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Refuses a text that is no address of an engine. An empty one is this user's own.
    pub fn check_host(&self, host: &str) -> Result<(), Failure> {
        let flags = Flags { host: Some(host.to_owned()).filter(|host| !host.is_empty()), ..Flags::default() };
        connect::address(&flags, &self.contexts(), |_| None).map(drop)
    }

    /// This user's folder of docker's settings, if it is not the usual one.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

/// Reads the flags of a verb that needs no engine, and runs it.
pub fn go_offline<V: Offline>(about: &About, args: &[OsString], global: &Global) -> Outcome {
    let verb: V = grammar::parse(about, args)?;
    verb.run(global)
}

/// Reads a verb's flags and runs it on its own runtime.
pub fn go<V: Verb>(about: &About, args: &[OsString], global: &Global) -> Outcome {
    let verb: V = grammar::parse(about, args)?;
    let address = global.address()?;
    if let Some(outcome) = verb.at_once(&address) {
        return outcome;
    }
    runtime()?.block_on(async {
        let session = Session::open(address, global.config.clone()).await?;
        verb.run(&session).await
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Runs what `args` say.
pub fn dispatch(args: &[OsString]) -> Outcome {
    let (global, rest) = match global(args)? {
        Start::Verb(global, rest) => (global, rest),
        Start::Help => {
            show::print(overview())?;
            return Ok(0);
        }
        Start::Version => {
            show::print(format!("Dhow version {}\n", env!("CARGO_PKG_VERSION")))?;
            return Ok(0);
        }
    };
    let words: Vec<&str> = rest.iter().take(2).map(|word| word.to_str().unwrap_or_default()).collect();
    if words.first() == Some(&"help") {
        return help(&rest[1..]);
    }
    match find(&words) {
        Some((entry, used)) => {
            let named = About { name: name_used(entry, &words, used), ..entry.about };
            (entry.go)(&named, &rest[used..], &global)
        }
        None => not_a_verb(&words),
    }
}

/// The verb that the first one or two words name, and how many they are.
pub fn find(words: &[&str]) -> Option<(&'static Entry, usize)> {
    let one = *words.first()?;
    let two = words.get(1).map(|second| format!("{one} {second}")).unwrap_or_default();
    let named = |name: &str| verbs::all().iter().find(|entry| entry.words.contains(&name));
    named(one).map(|entry| (entry, 1)).or_else(|| named(&two).map(|entry| (entry, 2)))
}

/// The spelling that was typed, so that messages repeat it.
fn name_used(entry: &'static Entry, words: &[&str], used: usize) -> &'static str {
    let typed = words[..used].join(" ");
    entry.words.iter().find(|word| **word == typed).copied().unwrap_or(entry.about.name)
}

fn help(rest: &[OsString]) -> Outcome {
    let words: Vec<&str> = rest.iter().take(2).map(|word| word.to_str().unwrap_or_default()).collect();
    match find(&words) {
        Some((entry, _)) => (entry.go)(&entry.about, &["--help".into()], &Global::default()),
        None if words.is_empty() => {
            show::print(overview())?;
            Ok(0)
        }
        None => not_a_verb(&words),
    }
}

fn not_a_verb(words: &[&str]) -> Outcome {
    let first = words.first().copied().unwrap_or_default();
    let members = group(first);
    if members.is_empty() {
        return Err(Failure::said(format!(
            "dhow: unknown command: dhow {first}\n\nRun 'dhow --help' for more information"
        )));
    }
    match words.get(1) {
        None | Some(&"--help") => {
            show::print(members)?;
            Ok(0)
        }
        Some(second) => Err(Failure::said(format!(
            "dhow: unknown command: dhow {first} {second}\n\n\
             Usage:  dhow {first} COMMAND\n\nRun 'dhow {first} --help' for more information"
        ))),
    }
}

/// Second spellings, and what nobody types.
const UNLISTED: &[&str] = &["list", "ps", "remove", "dial-stdio", "b"];

/// The help of a group such as `container`; empty if there is none of that name.
fn group(name: &str) -> String {
    let mut members: Vec<(&str, &str)> = Vec::new();
    for entry in verbs::all() {
        let found = entry.words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix(' '));
        // What only tells that it is not there has nothing to be said about it.
        let found = found.filter(|_| !entry.about.does.is_empty());
        members.extend(found.filter(|word| !UNLISTED.contains(word)).map(|word| (word, entry.about.summary())));
    }
    if members.is_empty() {
        return String::new();
    }
    members.sort_unstable();
    let mut text = format!("Usage:  dhow {name} COMMAND\n\nCommands:\n");
    for (word, does) in members {
        let _ = writeln!(text, "  {word:<11} {does}");
    }
    text.push_str(&format!("\nRun 'dhow {name} COMMAND --help' for more information on a command.\n"));
    text
}

pub enum Start<'a> {
    Verb(Global, &'a [OsString]),
    Help,
    Version,
}

/// Flags before the verb that take a value.
const WITH_VALUE: &[&str] =
    &["-H", "--host", "-l", "--log-level", "-c", "--context", "--config", "--tlscacert", "--tlscert", "--tlskey"];

impl Global {
    fn take(&mut self, flag: &str, value: String) {
        match flag {
            "-H" | "--host" => self.flags.host = Some(value),
            "-c" | "--context" => self.flags.context = Some(value),
            "--config" => self.config = Some(value.into()),
            "--tlscacert" => self.flags.ca = Some(value.into()),
            "--tlscert" => self.flags.cert = Some(value.into()),
            "--tlskey" => self.flags.key = Some(value.into()),
            // docker's own log.
            _ => {}
        }
    }
}

/// Reads the flags before the verb.
pub fn global(args: &[OsString]) -> Result<Start<'_>, Failure> {
    let mut global = Global::default();
    let mut rest = args;
    while let Some((first, more)) = rest.split_first() {
        let text = first.to_str().unwrap_or_default();
        let (flag, attached) = match text.split_once('=') {
            Some((flag, value)) if text.starts_with('-') => (flag, Some(value.to_owned())),
            _ if text.starts_with("-H") && text.len() > 2 => ("-H", Some(text[2..].to_owned())),
            _ if text.starts_with("-c") && text.len() > 2 => ("-c", Some(text[2..].to_owned())),
            _ => (text, None),
        };
        rest = more;
        match flag {
            "--help" | "-h" => return Ok(Start::Help),
            "--version" | "-v" => return Ok(Start::Version),
            "-D" | "--debug" => {}
            "--tls" | "--tlsverify" => {
                let on = attached.as_deref().map_or(Ok(true), grammar::values::switch);
                let on = on.map_err(|why| Failure::Flags(format!("invalid argument for {flag:?} flag: {why}")))?;
                *(if flag == "--tls" { &mut global.flags.tls } else { &mut global.flags.tls_verify }) = Some(on);
            }
            flag if WITH_VALUE.contains(&flag) => {
                let value = attached.map(Ok).unwrap_or_else(|| {
                    let (value, more) =
                        rest.split_first().ok_or_else(|| Failure::Flags(format!("flag needs an argument: {flag}")))?;
                    rest = more;
                    Ok::<_, Failure>(value.to_string_lossy().into_owned())
                })?;
                global.take(flag, value);
            }
            flag if flag.starts_with('-') && flag != "-" => {
                return Err(Failure::Flags(format!(
                    "unknown flag: {flag}\n\nUsage:  dhow [OPTIONS] COMMAND [ARG...]\n\n\
                     Run 'dhow --help' for more information"
                )));
            }
            _ => return Ok(Start::Verb(global, &args[args.len() - more.len() - 1..])),
        }
    }
    Ok(Start::Help)
}

fn overview() -> String {
    let mut text = String::from(
        "Usage:  dhow [OPTIONS] COMMAND\n\nA small and fast container engine with docker's words\n\nCommands:\n",
    );
    for entry in verbs::all().iter().filter(|entry| !entry.about.name.contains(' ')) {
        let _ = writeln!(text, "  {:<11} {}", entry.about.name, entry.about.summary());
    }
    text.push_str(
        "\nGroups:\n  \
         container   Manage containers\n  \
         image       Manage images\n  \
         context     Manage named ways to engines\n  \
         system      Manage the engine\n  \
         engine      Run the engine itself in the foreground (dockerd's flags)\n  \
         registry    Serve images to others: 'dhow registry serve'\n\n\
         Options:\n  \
         -H, --host string   Address of the engine: unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST\n  \
         -c, --context name  The context that says where the engine is\n      \
             --config dir    The folder of docker's settings (default ~/.docker)\n      \
             --tls, --tlsverify, --tlscacert, --tlscert, --tlskey   TLS of tcp://, as with docker\n  \
         -v, --version       Print the version and quit\n      \
             --help          Print this help\n\n\
         Environment:\n  \
         DHOW_HOST        Address of the engine, if -H is not given\n  \
         DOCKER_HOST      The same, if DHOW_HOST is not set either\n  \
         DOCKER_CONTEXT, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, DOCKER_CONFIG   As with docker\n  \
         DHOW_DATA_ROOT   --data-root of an engine that is started\n  \
         DHOW_EXEC_ROOT   --exec-root of an engine that is started; its log is EXEC_ROOT/engine.log\n\n\
         Without an address the engine is at unix:///run/dhow/dhow.sock (of an ordinary user:\n\
         $XDG_RUNTIME_DIR/dhow.sock), and is started when none answers there. At\n\
         another unix socket (in DHOW_HOST, or named dhow.sock) one is started if both roots are set.\n\n\
         Run 'dhow COMMAND --help' for more information on a command.\n",
    );
    text
}

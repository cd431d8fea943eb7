//! What is measured with a thousand containers in an engine: a fifth of them run, the others were only created.
//!
//! Answers are asked for on the engines' sockets, so that no command line's start is in them; `ps -a` and what ends in `-cli` is
//! what people type, by each engine's own command line.

use super::asking::Asking;
use super::figures::{Figure, milliseconds};
use super::peers::{Deed, Peer, Peers, succeed};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Figures by name.
pub const NAMES: &[&str] = &[
    "ps-1000",
    "list-1000",
    "inspect-1000",
    "inspect-1000-cli",
    "inspect-all",
    "inspect-all-cli",
    "stats-one-shot",
    "stats-all",
    "stats-all-cli",
];

const CONTAINERS: usize = 1000;
/// As many as the machine bears with an engine that has a process or two for each.
const RUNNING: usize = 200;
/// Requests at once that make and remove them.
const AT_ONCE: usize = 8;
/// Samples of those figures that take seconds.
const LONG_ROUNDS: usize = 5;

/// An engine with its crowd.
struct Crowd<'a> {
    peer: &'a Peer,
    socket: &'a Path,
}

/// Measures all figures wanted.
pub fn all(peers: &Peers, runs: usize, only: &[String]) -> Vec<Figure> {
    let wanted: Vec<&'static str> =
        NAMES.iter().copied().filter(|name| only.is_empty() || only.iter().any(|o| o == name)).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    eprintln!("== {CONTAINERS} containers");
    let engines = peers.all.iter().filter(|peer| !peer.name.contains("docker CLI"));
    let crowds: Vec<_> = engines.filter_map(|peer| Some(Crowd { peer, socket: peer.socket.as_deref()? })).collect();
    let made: Vec<&Crowd<'_>> = crowds
        .iter()
        .filter(|crowd| crowd.gather().map_err(|e| eprintln!("{}: {e}", crowd.peer.name)).is_ok())
        .collect();
    let figures = wanted.into_iter().map(|name| figure(name, &made, runs)).collect();
    for crowd in &crowds {
        if let Err(e) = crowd.scatter() {
            eprintln!("{}: {e}", crowd.peer.name);
        }
    }
    figures
}

fn figure(name: &'static str, crowds: &[&Crowd<'_>], runs: usize) -> Figure {
    let deed: fn(&Crowd<'_>, usize) -> Result<Duration, String> = match name {
        "ps-1000" => |crowd, number| crowd.peer.do_once(Deed::ListAll, number),
        "list-1000" => |crowd, _| crowd.ask_once("/containers/json?all=1"),
        "inspect-1000" => |crowd, _| crowd.ask_once(&format!("/containers/{}/json", name_of(0))),
        "inspect-1000-cli" => |crowd, _| crowd.inspect(1),
        "inspect-all" => |crowd, _| crowd.ask_each(CONTAINERS, "json"),
        "inspect-all-cli" => |crowd, _| crowd.inspect(CONTAINERS),
        "stats-all-cli" => |crowd, _| crowd.type_in(&["stats".to_owned(), "--no-stream".to_owned()]),
        "stats-one-shot" => |crowd, _| crowd.ask_together(RUNNING, "stats?stream=0&one-shot=1"),
        _ => |crowd, _| crowd.ask_together(RUNNING, "stats?stream=0"),
    };
    let long = !matches!(name, "ps-1000" | "list-1000" | "inspect-1000" | "inspect-1000-cli");
    let rounds = if long { runs.min(LONG_ROUNDS) } else { runs };
    eprintln!("== {name}");
    let mut samples: Vec<(String, Vec<f64>)> =
        crowds.iter().map(|crowd| (crowd.peer.name.to_owned(), Vec::new())).collect();
    for round in 0..=rounds {
        for (crowd, (_, times)) in crowds.iter().zip(&mut samples) {
            match deed(crowd, round) {
                // The first one warms up.
                Ok(took) if round > 0 => times.push(milliseconds(took)),
                Ok(_) => {}
                Err(e) => eprintln!("{}: {e}", crowd.peer.name),
            }
        }
    }
    samples.retain(|(_, times)| times.len() == rounds);
    Figure { name, unit: "ms", less_is_better: true, samples }
}

fn name_of(number: usize) -> String {
    format!("bench-crowd-{number}")
}

impl Crowd<'_> {
    /// Makes the containers, and starts some.
    fn gather(&self) -> Result<(), String> {
        let config = r#"{"Image":"bench-busybox","Cmd":["sleep","100000"],"Labels":{"bench":"crowd"}}"#;
        self.at_once(CONTAINERS, |asking, number| {
            let name = name_of(number);
            asking.ask("POST", &format!("/containers/create?name={name}"), config)?;
            if number < RUNNING {
                asking.ask("POST", &format!("/containers/{name}/start"), "")?;
            }
            Ok(())
        })
    }

    fn scatter(&self) -> Result<(), String> {
        self.at_once(CONTAINERS, |asking, number| {
            asking.ask("DELETE", &format!("/containers/{}?force=1&v=1", name_of(number)), "").map(drop)
        })
    }

    /// Does a deed for each number, a few at once; the first failure, if there was one.
    fn at_once(
        &self,
        count: usize,
        deed: impl Fn(&mut Asking, usize) -> Result<(), String> + Sync,
    ) -> Result<(), String> {
        let numbers = Mutex::new(0..count);
        let next = || numbers.lock().ok()?.next();
        let walk = || {
            let mut asking = Asking::connect(self.socket)?;
            let mut outcome = Ok(());
            while let Some(number) = next() {
                outcome = outcome.and(deed(&mut asking, number));
            }
            outcome
        };
        together(AT_ONCE, |_| walk())
    }

    /// One request on a connection of its own.
    fn ask_once(&self, path: &str) -> Result<Duration, String> {
        let begun = Instant::now();
        Asking::connect(self.socket)?.ask("GET", path, "")?;
        Ok(begun.elapsed())
    }

    /// The engine's own command line.
    fn type_in(&self, words: &[String]) -> Result<Duration, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let begun = Instant::now();
        succeed(self.peer.command(&words), &format!("{} {}", self.peer.name, words[0]))?;
        Ok(begun.elapsed())
    }

    /// `inspect` of the first `count`.
    fn inspect(&self, count: usize) -> Result<Duration, String> {
        self.type_in(&std::iter::once("inspect".to_owned()).chain((0..count).map(name_of)).collect::<Vec<_>>())
    }

    /// The same of each of the first `count`, one after the other on one connection.
    fn ask_each(&self, count: usize, what: &str) -> Result<Duration, String> {
        let begun = Instant::now();
        let mut asking = Asking::connect(self.socket)?;
        for number in 0..count {
            asking.ask("GET", &format!("/containers/{}/{what}", name_of(number)), "")?;
        }
        Ok(begun.elapsed())
    }

    /// The same of each of the first `count`, all at once, each on a connection of its own: as the docker CLI asks for statistics.
    fn ask_together(&self, count: usize, what: &str) -> Result<Duration, String> {
        let begun = Instant::now();
        together(count, |number| {
            let path = format!("/containers/{}/{what}", name_of(number));
            Asking::connect(self.socket)?.ask("GET", &path, "").map(drop)
        })?;
        Ok(begun.elapsed())
    }
}

/// Each number on a thread of its own.
fn together(count: usize, deed: impl Fn(usize) -> Result<(), String> + Sync) -> Result<(), String> {
    std::thread::scope(|scope| {
        let deed = &deed;
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || deed(number))).collect();
        let outcomes = threads.into_iter().map(|thread| thread.join().unwrap_or(Err("a thread failed".to_owned())));
        outcomes.fold(Ok(()), Result::and)
    })
}

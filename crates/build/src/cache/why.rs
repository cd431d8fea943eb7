//! Why a step is done again: what it is made of now, beside what it was made of before.

use super::{Store, number};
use crate::Result;
use crate::context::of_texts;
use base::Digest;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Steps whose parts are remembered.
const MOST_STEPS: i64 = 1000;
/// Files that are remembered of one step by their names; beyond, folders are.
const MOST_FILES: usize = 5000;
/// Names that are told.
const TOLD: usize = 5;

/// What decides about a step, one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parts {
    /// The image that its stage began with.
    pub base: Option<Digest>,
    /// All layers below.
    pub below: Option<Digest>,
    /// The topmost of them.
    #[serde(skip)]
    pub parent: Option<Digest>,
    /// The instruction, as it is written.
    pub code: String,
    /// What it comes to with its variables.
    pub text: String,
    /// Digests of their values, which may be nobody's business.
    pub variables: BTreeMap<String, String>,
    pub settings: BTreeMap<String, String>,
    /// Digests of files' names, modes and contents.
    pub files: BTreeMap<String, u64>,
}

/// Why a step was not taken from the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The cache was not to be used.
    Asked,
    /// It was never done here, nor anything like it.
    New,
    /// It was done, and what it came to is gone.
    Gone,
    /// It was done with something else.
    Changed(Vec<Change>),
}

/// What is another thing than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The image that the stage begins with.
    Base {
        was: Option<Digest>,
        is: Option<Digest>,
    },
    /// A step before this one came to something else.
    Below,
    /// The instruction itself.
    Written {
        was: String,
    },
    /// What its variables make of it.
    Expanded {
        was: String,
    },
    /// Variables by their names.
    Variables(Vec<String>),
    /// The user, the folder, a mount...
    Setting(String),
    Files {
        added: Vec<String>,
        removed: Vec<String>,
        changed: Vec<String>,
    },
}

impl Parts {
    /// As it is kept: many files are remembered by their folders.
    pub fn folded(mut self) -> Parts {
        let mut depth = 4;
        while self.files.len() > MOST_FILES && depth > 0 {
            let mut folders: BTreeMap<String, u64> = BTreeMap::new();
            for (path, digest) in &self.files {
                let folder: Vec<&str> = path.split('/').take(depth).collect();
                *folders.entry(folder.join("/")).or_default() ^= digest.rotate_left(1);
            }
            self.files = folders;
            depth -= 1;
        }
        self
    }

    pub fn variable(&mut self, word: &str) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let digest = of_texts([&b"value"[..], value.as_bytes()]).hex()[..16].to_owned();
        self.variables.insert(name.to_owned(), digest);
    }

    /// What is another thing than in `before`.
    fn changes(&self, before: &Parts) -> Vec<Change> {
        let mut found = Vec::new();
        if self.base != before.base {
            found.push(Change::Base { was: before.base, is: self.base });
        } else if self.below != before.below {
            found.push(Change::Below);
        }
        let variables = differing(&self.variables, &before.variables);
        if self.code != before.code {
            found.push(Change::Written { was: before.code.clone() });
        } else if self.text != before.text {
            found.push(Change::Expanded { was: before.text.clone() });
        }
        if !variables.is_empty() {
            found.push(Change::Variables(variables));
        }
        found.extend(differing(&self.settings, &before.settings).into_iter().map(Change::Setting));
        found.extend(self.files_against(before));
        found
    }

    fn files_against(&self, before: &Parts) -> Option<Change> {
        let absent = |from: &BTreeMap<String, u64>, path: &String| !from.contains_key(path);
        let added: Vec<String> = self.files.keys().filter(|path| absent(&before.files, path)).cloned().collect();
        let removed: Vec<String> = before.files.keys().filter(|path| absent(&self.files, path)).cloned().collect();
        let is_other = |(path, digest): &(&String, &u64)| before.files.get(*path).is_some_and(|was| was != *digest);
        let changed: Vec<String> = self.files.iter().filter(is_other).map(|(path, _)| path.clone()).collect();
        let any = !(added.is_empty() && removed.is_empty() && changed.is_empty());
        any.then_some(Change::Files { added, removed, changed })
    }
}

fn differing(now: &BTreeMap<String, String>, before: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<String> =
        now.iter().filter(|(name, value)| before.get(*name) != Some(value)).map(|(name, _)| name.clone()).collect();
    names.extend(before.keys().filter(|name| !now.contains_key(*name)).cloned());
    names
}

impl Store {
    /// Why the step of `key` is not in the cache.
    pub(crate) fn why(&self, key: &Digest, parts: &Parts) -> Result<Reason> {
        let known = self.run(|connection| {
            let sql = "SELECT 1 FROM past WHERE key = ?1";
            connection.prepare_cached(sql)?.query_row([key.as_bytes()], |_| Ok(())).optional()
        })?;
        if known.is_some() {
            return Ok(Reason::Gone);
        }
        let before = self.latest("code", &parts.code)?;
        let before = match (before, parts.below) {
            (None, Some(below)) => self.latest("below", &below.to_string())?.filter(|past| past.kind() == parts.kind()),
            (before, _) => before,
        };
        let Some(before) = before else { return Ok(Reason::New) };
        let changes = parts.clone().folded().changes(&before);
        Ok(if changes.is_empty() { Reason::Gone } else { Reason::Changed(changes) })
    }

    /// The step that was done or used last of those with the same code, or above the same layers.
    fn latest(&self, column: &str, value: &str) -> Result<Option<Parts>> {
        let sql = format!("SELECT parts FROM past WHERE {column} = ?1 ORDER BY seen DESC LIMIT 1");
        let found: Option<String> =
            self.run(|connection| connection.prepare_cached(&sql)?.query_row([value], |row| row.get(0)).optional())?;
        Ok(found.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// A step was done; what it was made of is remembered.
    pub(crate) fn remember(&self, key: &Digest, parts: &Parts) -> Result<()> {
        let folded = parts.clone().folded();
        let text = serde_json::to_string(&folded).unwrap_or_default();
        let (below, seen) = (parts.below.map(|below| below.to_string()), self.next_seen());
        self.run(|connection| {
            let insert = "INSERT OR REPLACE INTO past (key, code, below, parts, seen) VALUES (?1, ?2, ?3, ?4, ?5)";
            connection.prepare_cached(insert)?.execute(params![key.as_bytes(), parts.code, below, text, seen])?;
            let forget = "DELETE FROM past WHERE seen <= (SELECT max(seen) FROM past) - ?1";
            connection.prepare_cached(forget)?.execute([MOST_STEPS])
        })?;
        Ok(())
    }

    /// A number above all that were given.
    pub(crate) fn next_seen(&self) -> i64 {
        let last: Result<i64> = self.run(|connection| {
            connection.prepare_cached("SELECT coalesce(max(seen), 0) FROM past")?.query_row([], |row| row.get(0))
        });
        last.unwrap_or(number(0)).saturating_add(1)
    }
}

impl Parts {
    /// The name of the instruction.
    fn kind(&self) -> String {
        self.code.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Asked => write!(f, "the cache was not to be used"),
            Reason::New => write!(f, "it was not built here before"),
            Reason::Gone => write!(f, "its result is no longer in the cache"),
            Reason::Changed(changes) => {
                let texts: Vec<String> = changes.iter().map(Change::to_string).collect();
                write!(f, "{}", texts.join("; "))
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |id: &Option<Digest>| id.map_or_else(|| "scratch".to_owned(), |id| id.short());
        match self {
            Change::Base { was, is } => write!(f, "the base image is {}, it was {}", short(is), short(was)),
            Change::Below => write!(f, "a step before it came to something else"),
            Change::Written { was } => write!(f, "the instruction was {was:?}"),
            Change::Expanded { was } => write!(f, "it came to {was:?} before"),
            Change::Variables(names) => write!(f, "changed variables: {}", told(names)),
            Change::Setting(name) => write!(f, "changed: {name}"),
            Change::Files { added, removed, changed } => {
                let parts = [("changed", changed), ("new", added), ("gone", removed)];
                let texts = parts.iter().filter(|(_, names)| !names.is_empty());
                let texts: Vec<String> = texts.map(|(word, names)| format!("{word} files: {}", told(names))).collect();
                write!(f, "{}", texts.join(", "))
            }
        }
    }
}

fn told(names: &[String]) -> String {
    let mut text = names.iter().take(TOLD).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > TOLD {
        text.push_str(&format!(" and {} more", names.len() - TOLD));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::from_bytes([number; 32])
    }

    fn run(below: u8, code: &str, variables: &[&str]) -> Parts {
        let mut parts = Parts { below: Some(digest(below)), code: code.into(), text: code.into(), ..Parts::default() };
        variables.iter().for_each(|word| parts.variable(word));
        parts
    }

    fn copy(files: &[(&str, u64)]) -> Parts {
        let files = files.iter().map(|(name, digest)| ((*name).to_owned(), *digest)).collect();
        Parts { files, ..run(1, "COPY . .", &[]) }
    }

    #[test]
    fn a_step_is_done_again_for_what_changed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let why = |key: u8, parts: &Parts| store.why(&digest(key), parts).unwrap().to_string();
        assert_eq!(why(1, &run(1, "RUN make", &["A=1"])), "it was not built here before");
        store.remember(&digest(1), &run(1, "RUN make", &["A=1", "B=2"])).unwrap();
        assert_eq!(why(1, &run(1, "RUN make", &["A=1", "B=2"])), "its result is no longer in the cache");
        assert_eq!(why(2, &run(1, "RUN make", &["A=2", "C=2"])), "changed variables: A, C, B");
        assert_eq!(why(3, &run(2, "RUN make", &["A=1", "B=2"])), "a step before it came to something else");
        assert_eq!(why(4, &run(1, "RUN make all", &["A=1", "B=2"])), "the instruction was \"RUN make\"");
        assert_eq!(why(4, &run(1, "COPY . .", &[])), "it was not built here before");
        store.remember(&digest(5), &copy(&[("a", 1), ("b", 2), ("c", 3)])).unwrap();
        assert_eq!(why(6, &copy(&[("a", 1), ("b", 9), ("d", 3)])), "changed files: b, new files: d, gone files: c");
        let base = Parts { base: Some(digest(7)), ..run(9, "RUN make", &["A=1", "B=2"]) };
        assert_eq!(why(7, &base), "the base image is 070707070707, it was scratch");
    }

    #[test]
    fn many_files_are_remembered_by_their_folders() {
        let files = (0..30_000).map(|number| (format!("a/b/c/d{}/f{number}", number % 100), number)).collect();
        let parts = Parts { files, ..Parts::default() };
        let folded = parts.clone().folded();
        assert_eq!(folded.files.len(), 100);
        let mut other = parts;
        other.files.insert("a/b/c/d7/f7".into(), 1);
        let changes = other.folded().changes(&folded);
        assert_eq!(changes[0].to_string(), "changed files: a/b/c/d7");
    }
}

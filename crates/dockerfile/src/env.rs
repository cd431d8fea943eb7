//! Variables and their values, in the order they were first set.

use crate::{Error, Fault};
use std::collections::HashMap;

/// What the kernel would refuse to hand to a program; more is an attack or a mistake (`A=$A$A`, forty times).
const MOST_BYTES: usize = 2 << 20;

/// An environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env {
    entries: Vec<(String, String)>,
    index: HashMap<String, usize>,
    bytes: usize,
}

impl Env {
    /// From `NAME=value` words; of two for one name the later one counts.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Env, Error> {
        let mut env = Env::default();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            env.set(name, value)?;
        }
        Ok(env)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        Some(&self.entries[*self.index.get(name)?].1)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    pub fn entries(&self) -> &[(String, String)] {
        &self.entries
    }

    /// Sets a variable, in the place it has if it is known.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        match self.index.get(name) {
            Some(at) => {
                let old = std::mem::replace(&mut self.entries[*at].1, value.to_owned());
                self.bytes = self.bytes - old.len() + value.len();
            }
            None => {
                self.index.insert(name.to_owned(), self.entries.len());
                self.entries.push((name.to_owned(), value.to_owned()));
                self.bytes += name.len() + value.len() + 2;
            }
        }
        if self.bytes > MOST_BYTES { Err(Fault::EnvironmentTooLarge(MOST_BYTES).into()) } else { Ok(()) }
    }

    /// As `NAME=value` words.
    pub fn words(&self) -> Vec<String> {
        self.entries.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

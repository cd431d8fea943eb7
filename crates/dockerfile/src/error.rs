//! What is wrong with a Dockerfile, where, and what may have been meant.

use crate::{Fault, Lines};
use base::{Kind, Kinded};
use std::fmt;

/// A fault and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    // Boxed, so that a `Result` of a small value stays small.
    inner: Box<Inner>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    fault: Fault,
    hint: Option<String>,
    lines: Option<Lines>,
    phase: Phase,
}

/// Where in the work a fault was found; only the middle one is announced in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Text,
    Instruction,
}

impl Error {
    pub fn fault(&self) -> &Fault {
        &self.inner.fault
    }

    /// What was probably meant.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }

    /// The lines of the instruction; `None` when it is about the file as a whole or not yet known.
    pub fn lines(&self) -> Option<Lines> {
        self.inner.lines
    }

    /// The fault with its hint, without the place.
    pub fn message(&self) -> String {
        match &self.inner.hint {
            Some(hint) => format!("{} (did you mean {hint}?)", self.inner.fault),
            None => self.inner.fault.to_string(),
        }
    }

    /// The same with a place, unless it has one.
    pub fn at(mut self, lines: Lines) -> Error {
        self.inner.lines.get_or_insert(lines);
        self
    }

    pub(crate) fn meaning(mut self, hint: Option<String>) -> Error {
        self.inner.hint = hint;
        self
    }

    /// Found while an instruction was read: its text says so.
    pub(crate) fn in_instruction(mut self, lines: Lines) -> Error {
        self.inner.phase = Phase::Instruction;
        self.at(lines)
    }

    /// The lines in question with those around them, as BuildKit shows them; empty without a place.
    ///
    /// ```text
    /// Dockerfile:3
    /// --------------------
    ///    1 |     FROM x
    ///    2 |
    ///    3 | >>> RUNN true
    ///    4 |
    /// --------------------
    /// ```
    pub fn excerpt(&self, source: &str, name: &str) -> String {
        self.inner.lines.map(|lines| excerpt(source, name, lines)).unwrap_or_default()
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error { inner: Box::new(Inner { fault, hint: None, lines: None, phase: Phase::Text }) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Phase::Instruction, Some(lines)) = (self.inner.phase, self.inner.lines) {
            write!(f, "dockerfile parse error on line {}: ", lines.first)?;
        }
        f.write_str(&self.message())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.inner.fault)
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

const RULE: &str = "--------------------";

/// `lines` of `source`, marked, with up to two lines around them (one around an instruction of several lines).
pub fn excerpt(source: &str, name: &str, lines: Lines) -> String {
    let text: Vec<&str> = source.split('\n').collect();
    if lines.first < 1 || lines.first > text.len() {
        return String::new();
    }
    let last = lines.last.clamp(lines.first, text.len());
    let wanted = if last == lines.first { 4 } else { 2 };
    // A line that one side lacks goes to the other.
    let (mut from, mut to, mut around) = (lines.first, last, 0);
    while around < wanted {
        if from > 1 {
            (from, around) = (from - 1, around + 1);
        }
        if to < text.len() {
            (to, around) = (to + 1, around + 1);
        }
        around += 1;
    }
    let mut out = format!("{name}:{}\n{RULE}\n", lines.first);
    for number in from..=to {
        let mark = if (lines.first..=last).contains(&number) { ">>>" } else { "   " };
        out.push_str(&format!(" {number:3} | {mark} {}\n", text[number - 1].trim_end_matches('\r')));
    }
    out.push_str(RULE);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_between_its_neighbours() {
        let source = "FROM x\n\nRUNN true\nRUN a\nRUN b\nRUN c\n";
        let shown = excerpt(source, "Dockerfile", Lines { first: 3, last: 3 });
        let wanted = "Dockerfile:3\n--------------------\n   1 |     FROM x\n   2 |     \n   3 | >>> RUNN true\n   4 |     RUN a\n   5 |     RUN b\n--------------------\n";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn shows_a_place_past_the_end_as_nothing() {
        assert_eq!(excerpt("FROM x", "Dockerfile", Lines { first: 7, last: 7 }), "");
        assert!(excerpt("FROM x", "Dockerfile", Lines { first: 1, last: 9 }).contains("   1 | >>> FROM x"));
    }
}

//! The lines of a Dockerfile put together to instructions: comments, continuations, heredocs, directives at the top.

use crate::directive::Reader as Directives;
use crate::{Error, Escape, Fault, Heredoc, Lines};
use std::str::SplitInclusive;

/// One instruction's text, continuations joined.
#[derive(Debug)]
pub(crate) struct Logical {
    pub text: String,
    pub lines: Lines,
    pub comments: Vec<String>,
    /// Where the instruction ended before its heredocs, if a continuation in it was an empty line.
    pub empty_continuation: Option<Lines>,
}

/// Reads instruction after instruction.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: SplitInclusive<'a, char>,
    /// Lines taken so far.
    at: usize,
    comments: Vec<String>,
    pub directives: Directives,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Reader<'a> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Reader { rest: text.split_inclusive('\n'), at: 0, comments: Vec::new(), directives: Directives::default() }
    }

    pub fn escape(&self) -> Escape {
        self.directives.found.escape
    }

    /// The last line that was taken.
    pub fn line(&self) -> usize {
        self.at
    }

    fn take(&mut self) -> Option<&'a str> {
        let line = self.rest.next()?;
        self.at += 1;
        Some(line)
    }

    /// The next instruction; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Logical>, Error> {
        while let Some(raw) = self.take() {
            if is_comment(raw) {
                self.comment(raw)?;
                continue;
            }
            let line = without_newline(raw).trim_start();
            self.directives.end();
            if !line.is_empty() {
                return Ok(Some(self.join(line)));
            }
        }
        Ok(None)
    }

    fn comment(&mut self, raw: &str) -> Result<(), Error> {
        if self.directives.line(without_newline(raw).trim_start(), self.at)? {
            return Ok(());
        }
        let mut text = raw.chars();
        text.next();
        match text.as_str().trim() {
            "" => self.comments.clear(),
            comment => self.comments.push(comment.to_owned()),
        }
        Ok(())
    }

    fn join(&mut self, first: &str) -> Logical {
        let (start, escape) = (self.at, self.escape().char());
        let mut text = String::new();
        let mut empty = false;
        let mut open = push_line(&mut text, first, escape);
        while open {
            let Some(raw) = self.take() else { break };
            let line = without_newline(raw);
            if is_comment(line) {
                continue;
            }
            if line.trim_start().is_empty() {
                empty = true;
                continue;
            }
            open = push_line(&mut text, line, escape);
        }
        let end = Lines { first: self.at, last: self.at };
        Logical {
            text,
            lines: Lines { first: start, last: self.at },
            comments: std::mem::take(&mut self.comments),
            empty_continuation: empty.then_some(end),
        }
    }

    /// The lines up to the heredoc's name become its content.
    pub fn heredoc(&mut self, heredoc: &mut Heredoc) -> Result<(), Error> {
        while let Some(raw) = self.take() {
            let line = without_newline(raw);
            let line = if heredoc.chomp { line.trim_start_matches('\t') } else { line };
            if line == heredoc.name {
                return Ok(());
            }
            heredoc.content.push_str(raw);
        }
        Err(Fault::UnterminatedHeredoc.into())
    }
}

fn without_newline(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Appends a line without its continuation mark; whether it had one.
fn push_line(text: &mut String, line: &str, escape: char) -> bool {
    let Some(head) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
        text.push_str(line);
        return false;
    };
    // An escaped mark is a character like others.
    if head.ends_with(escape) {
        text.push_str(line);
        return false;
    }
    text.push_str(head);
    true
}

//! Words and their variables: quotes, escapes, `$name` and `${name...}` as a shell has them.
//!
//! ```text
//!   $v ${v}                      the value, or nothing
//!   ${v-w} ${v:-w}               w if v is not set (`:`: or empty)
//!   ${v+w} ${v:+w}               w if v is set (and not empty)
//!   ${v?w} ${v:?w}               an error that says w
//!   ${v#p} ${v##p} ${v%p} ${v%%p}    the value without the shortest, longest beginning, end of the pattern p
//!   ${v/p/r} ${v//p/r}           the first, every p replaced with r
//! ```
//!
//! Between single quotes nothing means anything; between double quotes `$` does. An escape takes the meaning from what follows.

use crate::pattern::Pattern;
use crate::{Env, Error, Escape, Fault};
use std::collections::BTreeSet;

/// Bytes that a word may grow to: no program takes a longer argument (128 KiB), and doubling would fill the memory.
const LONGEST_WORD: usize = 1 << 20;
/// The same for a file's content.
const LONGEST_TEXT: usize = 32 << 20;
/// How deep `${a:-${b:-...}}` may go.
const DEEPEST: usize = 64;

/// What became of a word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    pub text: String,
    /// Variables that it names and that are set.
    pub matched: BTreeSet<String>,
    /// Variables that it names and that are not.
    pub unmatched: BTreeSet<String>,
}

/// One word: spaces in values stay.
pub fn word(word: &str, escape: Escape, env: &Env) -> Result<Expansion, Error> {
    Lexer::new(word, escape.char(), env).whole(word)
}

/// The words that a text becomes: values are parted at spaces unless they are quoted.
pub fn words(text: &str, escape: Escape, env: &Env) -> Result<(Vec<String>, BTreeSet<String>), Error> {
    let mut lexer = Lexer::new(text, escape.char(), env);
    let out = lexer.run(None).map_err(|why| fault(text, why))?;
    Ok((out.words(), lexer.unmatched))
}

/// The content of a file: quotes are characters like others, the escape is always the backslash.
pub fn content(text: &str, env: &Env) -> Result<Expansion, Error> {
    let lexer = Lexer { quotes: Quotes::Plain, limit: LONGEST_TEXT, ..Lexer::new(text, '\\', env) };
    lexer.whole(text)
}

/// A command for people to read: quotes stay, and variables that are not set.
pub(crate) fn title(text: &str, escape: Escape, env: &Env) -> Result<Expansion, Error> {
    Lexer { quotes: Quotes::Kept, unset: Unset::Kept, ..Lexer::new(text, escape.char(), env) }.whole(text)
}

/// The words of an instruction, as far as heredocs need to know: nothing taken away, nothing put in.
pub(crate) fn raw_words(text: &str) -> Option<Vec<String>> {
    let env = Env::default();
    let lexer = Lexer::new(text, '\\', &env);
    let mut lexer = Lexer { quotes: Quotes::Kept, unset: Unset::Kept, escapes: Escapes::Kept, ..lexer };
    lexer.run(None).ok().map(|out| out.words())
}

/// The word after `<<`: without its quotes, or with them.
pub(crate) fn heredoc_words(text: &str, quotes: Quotes) -> Result<Vec<String>, Error> {
    let env = Env::default();
    let mut lexer = Lexer { quotes, unset: Unset::Kept, ..Lexer::new(text, '\\', &env) };
    lexer.run(None).map(|out| out.words()).map_err(|why| fault(text, why))
}

fn fault(word: &str, why: String) -> Error {
    Fault::Expansion { word: word.to_owned(), why }.into()
}

/// What becomes of quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// They mean something and go.
    Taken,
    /// They mean something and stay.
    Kept,
    /// They are characters like others.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unset {
    Empty,
    Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Taken,
    Kept,
}

struct Lexer<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    env: &'a Env,
    escape: char,
    quotes: Quotes,
    unset: Unset,
    escapes: Escapes,
    limit: usize,
    depth: usize,
    matched: BTreeSet<String>,
    unmatched: BTreeSet<String>,
}

/// What was read so far, as one text and with the places where words end.
#[derive(Default)]
struct Out {
    text: String,
    done: Vec<String>,
    word: String,
}

impl Out {
    /// A character that parts words if it is a space.
    fn push(&mut self, c: char) {
        self.text.push(c);
        self.split(c);
    }

    fn split(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.done.push(std::mem::take(&mut self.word));
        }
    }

    fn push_raw(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    fn push_value(&mut self, text: &str) {
        self.text.push_str(text);
        text.chars().for_each(|c| self.split(c));
    }

    fn words(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.done.push(self.word);
        }
        self.done
    }
}

type Read<T> = Result<T, String>;

impl<'a> Lexer<'a> {
    fn new(text: &'a str, escape: char, env: &'a Env) -> Lexer<'a> {
        Lexer {
            chars: text.chars().peekable(),
            env,
            escape,
            quotes: Quotes::Taken,
            unset: Unset::Empty,
            escapes: Escapes::Taken,
            limit: LONGEST_WORD.max(text.len()),
            depth: 0,
            matched: BTreeSet::new(),
            unmatched: BTreeSet::new(),
        }
    }

    fn whole(mut self, source: &str) -> Result<Expansion, Error> {
        let out = self.run(None).map_err(|why| fault(source, why))?;
        Ok(Expansion { text: out.text, matched: self.matched, unmatched: self.unmatched })
    }

    /// Up to `stop`, which is taken, or to the end.
    fn run(&mut self, stop: Option<char>) -> Read<Out> {
        let mut out = Out::default();
        while let Some(c) = self.chars.peek().copied() {
            self.bounded(&out.text)?;
            match c {
                _ if Some(c) == stop => {
                    self.chars.next();
                    return Ok(out);
                }
                '$' => {
                    let value = self.dollar()?;
                    out.push_value(&value);
                }
                '<' => out.push_raw(&self.heredoc()),
                '\'' if self.quotes != Quotes::Plain => out.push_raw(&self.single()?),
                '"' if self.quotes != Quotes::Plain => out.push_raw(&self.double()?),
                _ => self.plain(&mut out),
            }
        }
        self.bounded(&out.text)?;
        match stop {
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
            None => Ok(out),
        }
    }

    fn bounded(&self, text: &str) -> Read<()> {
        if text.len() > self.limit { Err(format!("it is longer than {} bytes", self.limit)) } else { Ok(()) }
    }

    fn plain(&mut self, out: &mut Out) {
        let Some(c) = self.chars.next() else { return };
        if c != self.escape {
            return out.push(c);
        }
        let mut buffer = [0; 4];
        if self.escapes == Escapes::Kept {
            out.push_raw(c.encode_utf8(&mut buffer));
        }
        // At the end it means nothing and goes.
        if let Some(next) = self.chars.next() {
            out.push_raw(next.encode_utf8(&mut buffer));
        }
    }

    /// `<<` with the spaces behind it: they do not part words.
    fn heredoc(&mut self) -> String {
        self.chars.next();
        if self.chars.next_if_eq(&'<').is_none() {
            return "<".to_owned();
        }
        let mut text = "<<".to_owned();
        while let Some(blank) = self.chars.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
            text.push(blank);
        }
        text
    }

    fn single(&mut self) -> Read<String> {
        let mut text = self.quote();
        loop {
            match self.chars.peek() {
                None => return Err("unexpected end of statement while looking for matching single-quote".to_owned()),
                Some('\'') => {
                    text.push_str(&self.quote());
                    return Ok(text);
                }
                Some(_) => text.extend(self.chars.next()),
            }
        }
    }

    fn double(&mut self) -> Read<String> {
        let mut text = self.quote();
        loop {
            self.bounded(&text)?;
            match self.chars.peek().copied() {
                None => return Err("unexpected end of statement while looking for matching double-quote".to_owned()),
                Some('"') => {
                    text.push_str(&self.quote());
                    return Ok(text);
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) if c == self.escape => self.escaped(&mut text),
                Some(c) => {
                    self.chars.next();
                    text.push(c);
                }
            }
        }
    }

    /// An escape between double quotes: only before a quote, `$` and itself it means something.
    fn escaped(&mut self, text: &mut String) {
        self.chars.next();
        let escape = self.escape;
        if self.escapes == Escapes::Kept {
            text.push(escape);
        }
        match self.chars.next_if(|c| matches!(c, '"' | '$') || *c == escape) {
            Some(c) => text.push(c),
            None if self.chars.peek().is_some() => text.push(escape),
            None => {}
        }
    }

    /// Takes a quote; gives it back if quotes stay.
    fn quote(&mut self) -> String {
        let quote = self.chars.next();
        quote.filter(|_| self.quotes == Quotes::Kept).map(String::from).unwrap_or_default()
    }

    fn dollar(&mut self) -> Read<String> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_some() {
            if self.depth == DEEPEST {
                return Err(format!("substitutions are nested deeper than {DEEPEST}"));
            }
            self.depth += 1;
            let value = self.braces();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(self
            .value(&name)
            .unwrap_or_else(|| if self.unset == Unset::Kept { format!("${name}") } else { String::new() }))
    }

    fn braces(&mut self) -> Read<String> {
        match self.chars.peek() {
            None => return Err(MISSING_BRACE.to_owned()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            None => Err(MISSING_BRACE.to_owned()),
            Some('}') => {
                let kept = self.unset == Unset::Kept;
                Ok(self.value(&name).unwrap_or_else(|| if kept { format!("${{{name}}}") } else { String::new() }))
            }
            Some(':') => match self.chars.next() {
                Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, Null::IsUnset),
                Some(c @ ('#' | '%')) => Err(unsupported(&format!(":{c}"))),
                other => {
                    self.inner('}', Escapes::Taken)?;
                    Err(unsupported(&format!(":{}", other.map(String::from).unwrap_or_default())))
                }
            },
            Some(c @ ('-' | '+' | '?')) => self.conditional(&name, c, Null::IsSet),
            Some(c @ ('#' | '%')) => self.trim(&name, c),
            Some('/') => self.replace(&name),
            Some(other) => Err(unsupported(&other.to_string())),
        }
    }

    /// What stands up to `stop`, expanded.
    fn inner(&mut self, stop: char, escapes: Escapes) -> Read<String> {
        let before = std::mem::replace(&mut self.escapes, escapes);
        let out = self.run(Some(stop));
        self.escapes = before;
        match out {
            Ok(out) => Ok(out.text),
            Err(_) if self.chars.peek().is_none() && stop == '/' => Err("syntax error: missing '/' in ${}".to_owned()),
            Err(_) if self.chars.peek().is_none() => Err(MISSING_BRACE.to_owned()),
            Err(why) => Err(why),
        }
    }

    fn conditional(&mut self, name: &str, modifier: char, null: Null) -> Read<String> {
        let word = self.inner('}', Escapes::Taken)?;
        let value = self.value(name);
        if value.is_none() && self.unset == Unset::Kept {
            let colon = if null == Null::IsUnset { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{modifier}{word}}}"));
        }
        let present = value.as_ref().is_some_and(|value| null == Null::IsSet || !value.is_empty());
        match modifier {
            '-' => Ok(value.filter(|_| present).unwrap_or(word)),
            '+' => Ok(if present { word } else { String::new() }),
            _ => match value {
                Some(value) if present => Ok(value),
                _ if !word.is_empty() => Err(format!("{name}: {word}")),
                Some(_) => Err(format!("{name}: is not allowed to be empty")),
                None => Err(format!("{name}: is not allowed to be unset")),
            },
        }
    }

    fn trim(&mut self, name: &str, modifier: char) -> Read<String> {
        let word = self.inner('}', Escapes::Kept)?;
        let value = self.value(name);
        if value.is_none() && self.unset == Unset::Kept {
            return Ok(format!("${{{name}{modifier}{word}}}"));
        }
        let value = value.unwrap_or_default();
        let longest = word.strip_prefix(modifier);
        let pattern = Pattern::parse(longest.unwrap_or(&word)).map_err(|why| bad_pattern(&word, &why))?;
        let trimmed = match (modifier, longest.is_some()) {
            ('#', false) => pattern.without_shortest_prefix(&value),
            ('#', true) => pattern.without_longest_prefix(&value),
            (_, false) => pattern.without_shortest_suffix(&value),
            (_, true) => pattern.without_longest_suffix(&value),
        };
        trimmed.map_err(|why| bad_pattern(&word, &why))
    }

    fn replace(&mut self, name: &str) -> Read<String> {
        let every = self.chars.next_if_eq(&'/').is_some();
        let word = self.inner('/', Escapes::Kept)?;
        let with = self.inner('}', Escapes::Kept)?;
        let value = self.value(name);
        if value.is_none() && self.unset == Unset::Kept {
            return Ok(format!("${{{name}/{word}/{with}}}"));
        }
        let value = value.unwrap_or_default();
        let pattern = Pattern::parse(&word).map_err(|why| bad_pattern(&word, &why))?;
        let most = if every { usize::MAX } else { 1 };
        let replaced = pattern.replace(&value, &with, most, self.limit);
        replaced.map_err(|why| bad_pattern(&word, &why))
    }

    /// A name: letters, digits and `_`; or a number; or one of the shell's own.
    fn name(&mut self) -> String {
        let Some(first) = self.chars.peek().copied() else { return String::new() };
        let mut name = String::new();
        if first.is_numeric() {
            while let Some(digit) = self.chars.next_if(|c| c.is_numeric()) {
                name.push(digit);
            }
        } else if matches!(first, '@' | '*' | '#' | '?' | '-' | '$' | '!') {
            name.extend(self.chars.next());
        } else {
            while let Some(c) = self.chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                name.push(c);
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Option<String> {
        let value = self.env.get(name).map(str::to_owned);
        let seen = if value.is_some() { &mut self.matched } else { &mut self.unmatched };
        seen.insert(name.to_owned());
        value
    }
}

const MISSING_BRACE: &str = "syntax error: missing '}'";

/// Whether a variable that is empty counts as one that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Null {
    IsUnset,
    IsSet,
}

fn unsupported(modifier: &str) -> String {
    format!("unsupported modifier ({modifier}) in substitution")
}

fn bad_pattern(word: &str, why: &str) -> String {
    format!("invalid pattern ({word}) in substitution: {why}")
}

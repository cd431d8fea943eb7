//! Directives: comments at the very top of a file that give orders.

use crate::{Directive, Directives, Error, Escape, Fault, Lines};

/// Takes directives from the first lines, until the first line that is none.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub found: Directives,
    seen: Vec<&'static str>,
    over: bool,
}

impl Reader {
    /// There can be no directive any more.
    pub fn end(&mut self) {
        self.over = true;
    }

    /// Looks at a comment, its `#` first; whether it is a directive.
    pub fn line(&mut self, comment: &str, number: usize) -> Result<bool, Error> {
        let lines = Lines { first: number, last: number };
        let Some((name, value)) = (!self.over).then(|| pair(&comment[1..])).flatten() else {
            self.over = true;
            return Ok(false);
        };
        if self.seen.contains(&name) {
            return Err(Error::from(Fault::RepeatedDirective(name.to_owned())).at(lines));
        }
        self.seen.push(name);
        let directive = || Directive { value: value.split(' ').next().unwrap_or_default().to_owned(), lines };
        match name {
            "syntax" => self.found.syntax = Some(directive()),
            "check" => self.found.check = Some(directive()),
            _ => self.found.escape = escape(value).map_err(|error| error.at(lines))?,
        }
        Ok(true)
    }
}

fn escape(value: &str) -> Result<Escape, Error> {
    match value {
        "\\" => Ok(Escape::Backslash),
        "`" => Ok(Escape::Backtick),
        _ => Err(Fault::EscapeToken(value.to_owned()).into()),
    }
}

/// `name = value` with one of the three names, in any case.
fn pair(text: &str) -> Option<(&'static str, &str)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim_start().trim_end_matches(SPACE), value.trim_matches(SPACE));
    let known = ["syntax", "check", "escape"].into_iter().find(|known| known.eq_ignore_ascii_case(name))?;
    (!value.is_empty()).then_some((known, value))
}

/// The value of a comment that is a `check` directive for the instruction below it.
pub(crate) fn check_of_comment(comment: &str) -> Option<&str> {
    let (_, value) = pair(comment).filter(|(name, _)| *name == "check")?;
    value.split(' ').next()
}

const SPACE: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];

/// The frontend that a file of any language asks for: `# syntax=` as in a Dockerfile, `// syntax=`, or `{"syntax": ""}`. A
/// first line `#!` is passed over.
pub fn syntax(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!") => rest,
        None if text.starts_with("#!") => "",
        _ => text,
    };
    ["#", "//"].into_iter().find_map(|mark| marked(text, mark)).or_else(|| {
        let json: serde_json::Value = serde_json::from_str(text).ok()?;
        Some(json.as_object()?.get("syntax")?.as_str()?.to_owned())
    })
}

fn marked(text: &str, mark: &str) -> Option<String> {
    let comments = text.lines().map_while(|line| line.strip_prefix(mark));
    let (_, value) = comments.map_while(pair).find(|(name, _)| *name == "syntax")?;
    value.split(' ').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_syntax_of_files_of_any_language() {
        assert_eq!(syntax(b"# syntax=docker/dockerfile:1 extra\nFROM x").as_deref(), Some("docker/dockerfile:1"));
        assert_eq!(syntax(b"#!/bin/x\n# escape=`\n# Syntax = a\n").as_deref(), Some("a"));
        assert_eq!(syntax(b"// syntax=a/b\n").as_deref(), Some("a/b"));
        assert_eq!(syntax(b"{\"syntax\": \"j\", \"x\": 1}").as_deref(), Some("j"));
        assert_eq!(syntax(b"# a comment\n# syntax=late\n"), None);
        assert_eq!(syntax(b"FROM x\n# syntax=late\n"), None);
    }
}

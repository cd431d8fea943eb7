//! The words of an instruction: keyword, flags, pairs, JSON arrays.

use crate::{Error, Fault};

/// What parts words, apart from quotes. A newline does not occur in an instruction.
pub(crate) const BLANK: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// An instruction's three parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub keyword: &'a str,
    /// With their `--`, quotes and escapes resolved.
    pub flags: Vec<String>,
    pub rest: &'a str,
}

/// Splits an instruction into its parts.
pub(crate) fn split(line: &str, escape: char) -> Parts<'_> {
    let line = line.trim();
    let Some((keyword, rest)) = line.split_once(BLANK) else {
        return Parts { keyword: line, flags: Vec::new(), rest: "" };
    };
    let (flags, rest) = flags(rest.trim_start_matches(BLANK), escape);
    Parts { keyword, flags, rest: rest.trim() }
}

fn flags(mut rest: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    loop {
        rest = rest.trim_start_matches(BLANK);
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (flag, after) = flag(rest, escape);
        rest = after;
        if flag == "--" {
            return (flags, rest);
        }
        flags.push(flag);
    }
}

/// One flag and what follows it.
fn flag(text: &str, escape: char) -> (String, &str) {
    let mut out = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if BLANK.contains(&c) => return (out, &text[at..]),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => out.extend(chars.next().map(|(_, c)| c)),
            _ => out.push(c),
        }
    }
    (out, "")
}

/// Words parted by white space outside quotes. Quotes and escapes stay: they mean something when the word is expanded.
pub(crate) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        // Between ' and ' nothing is escaped.
        if c == escape && quote != Some('\'') {
            let Some(next) = chars.next() else { break };
            word.push(c);
            word.push(next);
            continue;
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Words parted by blanks, quotes being characters like others.
pub(crate) fn plain_words(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while let Some((word, after)) = rest.split_once(BLANK) {
        words.push(word.to_owned());
        rest = after.trim_start_matches(BLANK);
    }
    words.push(rest.to_owned());
    words
}

/// `["a", "b"]`; `None` for what is no JSON array, an error for an array of other things than texts.
pub(crate) fn json_array(text: &str) -> Result<Option<Vec<String>>, Error> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(text) else { return Ok(None) };
    let words = values.into_iter().map(|value| match value {
        serde_json::Value::String(word) => Ok(word),
        _ => Err(Error::from(Fault::NotStrings)),
    });
    words.collect::<Result<Vec<String>, Error>>().map(Some)
}

/// `name=value name2=value2`, or one `name value`; the names and values with their quotes. The third says which form.
pub(crate) fn pairs(text: &str, keyword: &'static str, escape: char) -> Result<Vec<(String, String, Form)>, Error> {
    let words = quoted_words(text, escape);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.contains('=') {
        let (name, value) = text.split_once(BLANK).ok_or(Fault::OneArgument(keyword))?;
        return Ok(vec![(name.to_owned(), value.trim_start_matches(BLANK).to_owned(), Form::Legacy)]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned(), Form::Equals)),
        None => Err(Error::from(Fault::NoEquals(word))),
    };
    words.into_iter().map(pair).collect()
}

/// How a pair was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Equals,
    Legacy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_keyword_flags_and_rest() {
        let parts = split("  COPY \t--from=a --chown=\"x y\" --a\\ b  src  dst ", '\\');
        assert_eq!(parts.keyword, "COPY");
        assert_eq!(parts.flags, ["--from=a", "--chown=x y", "--a b"]);
        assert_eq!(parts.rest, "src  dst");
    }

    #[test]
    fn two_dashes_end_the_flags() {
        let parts = split("RUN --mount=a -- --version", '\\');
        assert_eq!((parts.flags.len(), parts.rest), (1, "--version"));
        assert_eq!(split("RUN -x", '\\').rest, "-x");
    }

    #[test]
    fn keeps_quotes_in_words() {
        assert_eq!(quoted_words("a='b c'  d=\"e \\\" f\" g\\ h", '\\'), ["a='b c'", "d=\"e \\\" f\"", "g\\ h"]);
        assert_eq!(quoted_words("'a\\' b", '\\'), ["'a\\'", "b"]);
        assert_eq!(quoted_words("a\\", '\\'), ["a"]);
    }

    #[test]
    fn an_array_of_other_things_is_an_error_and_broken_json_is_text() {
        assert_eq!(json_array(" [\"a\", \"b\"] "), Ok(Some(vec!["a".into(), "b".into()])));
        assert_eq!(json_array("[ -f x ] && true"), Ok(None));
        assert!(json_array("[\"a\", 1]").is_err());
        assert_eq!(json_array("['a']"), Ok(None));
    }
}

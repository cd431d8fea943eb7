//! One entry of a log as text: byte for byte what Docker's `json-file` driver writes, and the way back.

use crate::pump::Stream;
use crate::read::Entry;
use crate::time;
use memchr::{memchr2, memrchr};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Longest line in one entry, bytes; a longer one becomes several entries, of which only the last has a newline.
pub const LONGEST: usize = 16 * 1024;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What stands behind a line and its stream.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// From [`attributes`].
    pub attributes: &'a [u8],
    /// The time as text.
    pub stamp: &'a [u8],
}

/// `,"attrs":{...}` of an entry, keys in order; nothing when there are none.
pub fn attributes(pairs: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        out.extend_from_slice(if out.is_empty() { b",\"attrs\":{\"" } else { b",\"" });
        escape(&mut out, key.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape(&mut out, value.as_bytes());
        out.push(b'"');
    }
    if !out.is_empty() {
        out.push(b'}');
    }
    out
}

/// Appends the entry of `line` (its newline, if it has one, included).
pub fn write(out: &mut Vec<u8>, line: &[u8], stream: Stream, rest: &Rest<'_>) {
    out.extend_from_slice(b"{\"log\":\"");
    for chunk in line.utf8_chunks() {
        escape(out, chunk.valid().as_bytes());
        // Go replaces every byte it cannot decode, one by one.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    out.push(b'"');
    out.extend_from_slice(rest.attributes);
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(rest.stamp);
    out.extend_from_slice(b"\"}\n");
}

/// Appends valid UTF-8 as the inside of a JSON string, with what HTML and JavaScript would stumble over escaped.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let mut plain_from = 0;
    let mut at = 0;
    while let Some(offset) = text[at..].iter().position(|byte| SPECIAL[usize::from(*byte)]) {
        at += offset;
        let Some((escaped, length)) = escape_at(&text[at..]) else {
            at += 1;
            continue;
        };
        out.extend_from_slice(&text[plain_from..at]);
        out.extend_from_slice(&escaped[..escaped.iter().position(|b| *b == 0).unwrap_or(6)]);
        at += length;
        plain_from = at;
    }
    out.extend_from_slice(&text[plain_from..]);
}

/// The escape (padded with zeros) of what `text` begins with and the bytes it replaces; `None` when it needs none.
fn escape_at(text: &[u8]) -> Option<([u8; 6], usize)> {
    let unicode = |high: u8, byte: u8| {
        [
            b'\\',
            b'u',
            HEX[usize::from(high >> 4)],
            HEX[usize::from(high & 15)],
            HEX[usize::from(byte >> 4)],
            HEX[usize::from(byte & 15)],
        ]
    };
    match text {
        [byte @ (b'"' | b'\\'), ..] => Some(([b'\\', *byte, 0, 0, 0, 0], 1)),
        [b'\n', ..] => Some((*b"\\n\0\0\0\0", 1)),
        [b'\r', ..] => Some((*b"\\r\0\0\0\0", 1)),
        // U+2028 and U+2029 end a line in JavaScript.
        [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => Some((unicode(0x20, last - 0x80), 3)),
        [0xe2, ..] => None,
        [byte, ..] => Some((unicode(0, *byte), 1)),
        [] => None,
    }
}

/// Bytes at which [`escape_at`] must look.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

/// The time of an entry, without looking at the rest of it.
pub fn time_of(text: &[u8]) -> Option<i64> {
    const KEY: &[u8] = b"\"time\":\"";
    let text = text.strip_suffix(b"\"}")?;
    let value = memrchr(b'"', text)? + 1;
    text[..value].ends_with(KEY).then(|| time::parse(&text[value..])).flatten()
}

/// The entry that `text` (without its line end) says.
pub fn parse(text: &[u8]) -> Option<Entry> {
    parse_ours(text).or_else(|| parse_any(text))
}

/// The exact form [`write`] makes.
fn parse_ours(text: &[u8]) -> Option<Entry> {
    let (line, rest) = parse_string(text.strip_prefix(b"{\"log\":\"")?)?;
    let rest = rest.strip_prefix(b",\"stream\":\"std")?;
    let (stream, rest) = match rest {
        [b'o', b'u', b't', rest @ ..] => (Stream::Stdout, rest),
        [b'e', b'r', b'r', rest @ ..] => (Stream::Stderr, rest),
        _ => return None,
    };
    let stamp = rest.strip_prefix(b"\",\"time\":\"")?.strip_suffix(b"\"}")?;
    Some(Entry { stream, time: time::parse(stamp)?, line, attributes: Vec::new() })
}

/// Undoes the escapes up to the closing quote; what is behind the quote is the second value.
fn parse_string(mut text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut line = Vec::with_capacity(text.len().saturating_sub(60));
    loop {
        let at = memchr2(b'"', b'\\', text)?;
        line.extend_from_slice(&text[..at]);
        if text[at] == b'"' {
            return std::str::from_utf8(&line).is_ok().then_some((line, &text[at + 1..]));
        }
        text = match &text[at + 1..] {
            [b'n', rest @ ..] => push(&mut line, b'\n', rest),
            [b'r', rest @ ..] => push(&mut line, b'\r', rest),
            [b't', rest @ ..] => push(&mut line, b'\t', rest),
            [byte @ (b'"' | b'\\' | b'/'), rest @ ..] => push(&mut line, *byte, rest),
            [b'u', rest @ ..] => {
                let (digits, rest) = rest.split_at_checked(4)?;
                let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
                // Surrogate pairs are left to the general parser.
                let mut utf8 = [0; 4];
                line.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut utf8).as_bytes());
                rest
            }
            _ => return None,
        };
    }
}

fn push<'a>(line: &mut Vec<u8>, byte: u8, rest: &'a [u8]) -> &'a [u8] {
    line.push(byte);
    rest
}

/// Any other order, spacing or more fields (`attrs`), as other writers of this format make.
fn parse_any(text: &[u8]) -> Option<Entry> {
    #[derive(serde::Deserialize)]
    struct Record<'a> {
        #[serde(default, borrow)]
        log: Cow<'a, str>,
        #[serde(borrow)]
        stream: Cow<'a, str>,
        #[serde(borrow)]
        time: Cow<'a, str>,
        #[serde(default)]
        attrs: BTreeMap<String, String>,
    }
    let record: Record = serde_json::from_slice(text).ok()?;
    let stream = match record.stream.as_ref() {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    Some(Entry {
        stream,
        time: time::parse(record.time.as_bytes())?,
        line: record.log.into_owned().into_bytes(),
        attributes: record.attrs.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &[u8] = b"2026-01-02T03:04:05.123456789Z";

    fn text(line: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, line, Stream::Stdout, &Rest { attributes: b"", stamp: STAMP });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_entry_is_what_docker_writes() {
        assert_eq!(
            text(b"line\n"),
            "{\"log\":\"line\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.123456789Z\"}\n"
        );
    }

    #[test]
    fn attributes_stand_before_the_time_and_are_read_back() {
        let pairs = BTreeMap::from([("b".to_owned(), "2\"".to_owned()), ("a".to_owned(), "<1>".to_owned())]);
        let mut out = Vec::new();
        write(&mut out, b"x\n", Stream::Stderr, &Rest { attributes: &attributes(&pairs), stamp: STAMP });
        assert_eq!(
            String::from_utf8(out.clone()).unwrap(),
            "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"\\u003c1\\u003e\",\"b\":\"2\\\"\"},\
             \"time\":\"2026-01-02T03:04:05.123456789Z\"}\n"
        );
        out.pop();
        assert_eq!(parse(&out).unwrap().attributes, pairs.into_iter().collect::<Vec<_>>());
        assert_eq!(time_of(&out), time::parse(STAMP));
        assert_eq!(attributes(&BTreeMap::new()), b"");
    }

    #[test]
    fn escapes_are_those_of_docker() {
        let log = |line: &[u8]| {
            let text = text(line);
            text[8..text.find("\",\"stream\"").unwrap()].to_owned()
        };
        assert_eq!(log(b"\"\\ \t\r\n\x00\x1b\x7f/'"), "\\\"\\\\ \\u0009\\r\\n\\u0000\\u001b\x7f/'");
        assert_eq!(log(b"<a href=\"&\">"), "\\u003ca href=\\\"\\u0026\\\"\\u003e");
        assert_eq!(
            log("é\u{20ac}\u{2027}\u{2028}\u{2029}\u{1f600}".as_bytes()),
            "é\u{20ac}\u{2027}\\u2028\\u2029\u{1f600}"
        );
        assert_eq!(
            log(b"a\xffb\xe2\x82c\xf0\x90\x80\xed\xa0\x80"),
            format!("a{0}b{0}{0}c{0}{0}{0}{0}{0}{0}", "\\ufffd")
        );
    }

    #[test]
    fn what_was_written_is_read_back() {
        let all: String = (1..0x3000).filter_map(char::from_u32).chain(['\u{fffd}', '\u{10ffff}']).collect();
        let entry = parse(text(all.as_bytes()).trim_end().as_bytes()).unwrap();
        assert_eq!(entry.line, all.as_bytes());
        assert_eq!(Some(entry.time), time::parse(STAMP));
        assert_eq!(time_of(text(b"x\"time\":\"").trim_end().as_bytes()), Some(entry.time));
    }

    #[test]
    fn other_shapes_of_the_format_are_read() {
        let text = br#"{ "time":"1970-01-01T00:00:01Z", "log":"\ud83d\ude00\n","attrs":{"a":"b"},"stream":"stderr"}"#;
        let entry = parse(text).unwrap();
        assert_eq!(
            (entry.stream, entry.time, entry.line),
            (Stream::Stderr, 1_000_000_000, "\u{1f600}\n".as_bytes().to_vec())
        );
    }

    #[test]
    fn broken_entries_are_refused() {
        for text in [
            "",
            "{",
            "{}",
            "{\"log\":\"a",
            "{\"log\":\"\\",
            "{\"log\":\"\\u12",
            "{\"log\":\"a\",\"stream\":\"std",
            "null",
            "{\"log\":\"a\",\"stream\":\"stdin\",\"time\":\"1970-01-01T00:00:01Z\"}",
            "\0\0\0\0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
            assert_eq!(time_of(text.as_bytes().get(..text.len() / 2).unwrap()), None);
        }
    }
}

//! The short form of an entry: `o`, 16 hexadecimal digits of the time, the line as it came.
//!
//! ```text
//! o16a3f0c2b8d41e07hello        stdout, a whole line
//! E16a3f0c2b8d41e07 and on      stderr, a piece of a longer line: no newline of its own
//! ```
//!
//! Lines keep every byte, also what is no UTF-8. What a power cut leaves of a file is still read: each line tells of itself.

use crate::pump::Stream;
use crate::read::Entry;

/// Digits of the time.
const DIGITS: usize = 16;

/// Appends the entry of `line`; `stamp` is from [`stamp`].
pub fn write(out: &mut Vec<u8>, line: &[u8], stream: Stream, stamp: &[u8]) {
    let (text, whole) = match line.strip_suffix(b"\n") {
        Some(text) => (text, true),
        None => (line, false),
    };
    out.push(match (stream, whole) {
        (Stream::Stdout, true) => b'o',
        (Stream::Stdout, false) => b'O',
        (Stream::Stderr, true) => b'e',
        (Stream::Stderr, false) => b'E',
    });
    out.extend_from_slice(stamp);
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Appends a time, in nanoseconds since the epoch.
pub fn stamp(out: &mut Vec<u8>, nanos: i64) {
    out.extend_from_slice(format!("{:016x}", nanos.max(0)).as_bytes());
}

/// The time of an entry.
pub fn time_of(text: &[u8]) -> Option<i64> {
    let digits = text.get(1..=DIGITS).filter(|_| b"oOeE".contains(&text[0]))?;
    // A number may have a sign for Rust.
    let digits = Some(digits).filter(|digits| digits[0].is_ascii_hexdigit())?;
    i64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The entry that `text` (without its line end) says.
pub fn parse(text: &[u8]) -> Option<Entry> {
    let time = time_of(text)?;
    let mut line = text[1 + DIGITS..].to_vec();
    if text[0].is_ascii_lowercase() {
        line.push(b'\n');
    }
    let stream = if text[0].eq_ignore_ascii_case(&b'o') { Stream::Stdout } else { Stream::Stderr };
    Some(Entry { stream, time, line, attributes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_back() {
        let all: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
        for (line, stream) in [(all.clone(), Stream::Stdout), ([&all[..], b"\n"].concat(), Stream::Stderr)] {
            let (mut out, mut time) = (Vec::new(), Vec::new());
            stamp(&mut time, 1_767_323_045_123_456_789);
            write(&mut out, &line, stream, &time);
            assert_eq!(out.pop(), Some(b'\n'));
            let entry = parse(&out).unwrap();
            assert_eq!((entry.line, entry.stream, entry.time), (line, stream, 1_767_323_045_123_456_789));
            assert_eq!(time_of(&out), Some(1_767_323_045_123_456_789));
        }
    }

    #[test]
    fn broken_entries_are_refused() {
        for text in [
            "",
            "o",
            "o123",
            "x0000000000000001a",
            "offffffffffffffffa",
            "o+00000000000001a",
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}

//! Where a stream of bytes is cut into entries.

use crate::entry::LONGEST;
use memchr::memchr;

/// Bytes of the next entry: a line with its newline, or [`LONGEST`] bytes of a longer one. An incomplete line is no entry
/// until `all` is set.
pub fn next(bytes: &[u8], all: bool) -> Option<usize> {
    let head = &bytes[..bytes.len().min(LONGEST)];
    match memchr(b'\n', head) {
        Some(newline) => Some(newline + 1),
        None if bytes.len() >= LONGEST => Some(whole_characters(bytes)),
        None => (all && !bytes.is_empty()).then_some(bytes.len()),
    }
}

/// The cut nearest to [`LONGEST`] that does not part a character of UTF-8.
fn whole_characters(bytes: &[u8]) -> usize {
    let starts = |at: &usize| bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (LONGEST - 3..=LONGEST).rev().find(starts).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_behind_their_newline() {
        assert_eq!(next(b"a\nb", false), Some(2));
        assert_eq!(next(b"\n", false), Some(1));
        assert_eq!(next(b"ab", false), None);
        assert_eq!(next(b"ab", true), Some(2));
        assert_eq!(next(b"", true), None);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(next(&vec![b'x'; LONGEST - 1], false), None);
        assert_eq!(next(&vec![b'x'; LONGEST], false), Some(LONGEST));
        let mut line = vec![b'x'; LONGEST];
        line.push(b'\n');
        assert_eq!(next(&line, false), Some(LONGEST));
        assert_eq!(next(&line[1..], false), Some(LONGEST));
        let euros = "\u{20ac}".repeat(LONGEST / 3 + 2);
        assert_eq!(next(euros.as_bytes(), false), Some(LONGEST - LONGEST % 3));
        assert_eq!(next(&[0x80; LONGEST + 9], false), Some(LONGEST));
    }
}

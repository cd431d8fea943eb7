//! Which pieces of a log belong to one long line.

use base::Id;
use logs::pump::Stream;
use logs::read::Entry;

/// A piece of a line that is longer than an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub id: String,
    /// From 1.
    pub ordinal: u32,
    pub last: bool,
}

/// The lines that are not yet whole, of both streams.
#[derive(Debug, Default)]
pub struct Parts([Option<Part>; 2]);

impl Parts {
    /// What piece an entry is; `None` when it is a line by itself.
    pub fn next(&mut self, entry: &Entry) -> Option<Part> {
        let slot = &mut self.0[usize::from(entry.stream == Stream::Stderr)];
        let last = entry.line.ends_with(b"\n");
        if last && slot.is_none() {
            return None;
        }
        let before = slot.take().unwrap_or_else(|| Part { id: Id::random().to_string(), ordinal: 0, last: false });
        let part = Part { ordinal: before.ordinal + 1, last, ..before };
        if !last {
            *slot = Some(part.clone());
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_line_are_counted_for_each_stream() {
        let mut parts = Parts::default();
        let mut next = |stream, line: &str| {
            let entry = Entry { stream, time: 0, line: line.into(), attributes: Vec::new() };
            parts.next(&entry).map(|part| (part.ordinal, part.last))
        };
        assert_eq!(next(Stream::Stdout, "whole\n"), None);
        assert_eq!(next(Stream::Stdout, "a"), Some((1, false)));
        assert_eq!(next(Stream::Stderr, "other\n"), None);
        assert_eq!(next(Stream::Stdout, "b"), Some((2, false)));
        assert_eq!(next(Stream::Stdout, "c\n"), Some((3, true)));
        assert_eq!(next(Stream::Stdout, "whole\n"), None);
    }
}

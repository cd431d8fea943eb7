//! Reads a log back.

use crate::Target;
use crate::pump::Stream;
use std::io;

/// Which part of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// The last N entries; `None` is all.
    pub tail: Option<u64>,
    /// Nanoseconds since the epoch, inclusive.
    pub since: Option<i64>,
    pub until: Option<i64>,
}

/// One entry: a line with its newline, or a part of a line without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub stream: Stream,
    /// Nanoseconds since the epoch.
    pub time: i64,
    pub line: Vec<u8>,
}

/// Reads entries in order, across rotated files. After `Ok(None)` more may come: call again when the log has grown.
#[derive(Debug)]
pub struct Reader {
    // private
}

impl Reader {
    pub fn open(target: &Target, range: Range) -> io::Result<Reader> {
        let _ = (target, range);
        todo!()
    }

    /// The next entry; `None` at the present end, or for good once `until` has passed.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        todo!()
    }
}

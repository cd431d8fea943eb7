//! Reads a log back.

mod source;
mod tail;

use crate::Target;
use crate::entry;
use crate::pump::Stream;
use source::Source;
use std::io;

/// Which part of a log. The last `tail` entries are chosen first, then those outside of the times are left out.
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
///
/// Text that is no entry (a torn line after a power cut) is left out. A file that was shortened under a reader is read
/// from its beginning again, without what is not newer than the last entry given.
#[derive(Debug)]
pub struct Reader {
    target: Target,
    range: Range,
    source: Option<Source>,
    /// Time of the last entry given.
    last: i64,
    /// Entries up to this time were given before the file was shortened.
    given: Option<i64>,
    done: bool,
}

impl Reader {
    /// A log that does not exist yet is empty.
    pub fn open(target: &Target, range: Range) -> io::Result<Reader> {
        let source = match range.tail {
            Some(count) => tail::open(target, count)?,
            None => source::oldest(target)?,
        };
        Ok(Reader { target: target.clone(), range, source, last: i64::MIN, given: None, done: false })
    }

    /// The next entry; `None` at the present end, or for good once `until` has passed.
    #[allow(clippy::should_implement_trait, reason = "after `None` it goes on, as an iterator must not")]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        while !self.done {
            let Some(source) = &mut self.source else {
                self.source = Source::open(&self.target.path)?;
                if self.source.is_none() {
                    break;
                }
                continue;
            };
            let Some(line) = source.line()? else {
                if self.advance()? {
                    continue;
                }
                break;
            };
            let Some(time) = entry::time_of(line).or_else(|| Some(entry::parse(line)?.time)) else { continue };
            if self.range.until.is_some_and(|until| time > until) {
                self.done = true;
            } else if self.range.since.is_none_or(|since| time >= since) && self.given.is_none_or(|given| time > given)
            {
                let Some(entry) = entry::parse(line) else { continue };
                self.last = time;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// At the end of a file: goes on to the one that followed it. Says whether there may be more now.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(source) = &mut self.source else { return Ok(false) };
        if source.shortened()? {
            self.given = Some(self.last);
            return Ok(true);
        }
        if source.is_at(&self.target.path)? {
            return Ok(false);
        }
        // Renamed after its last entry was written: one more look takes what came since the end was seen.
        if source.is_last_look() {
            return Ok(true);
        }
        match source::follower(&self.target, source)? {
            Some(next) => {
                self.source = Some(next);
                self.given = None;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

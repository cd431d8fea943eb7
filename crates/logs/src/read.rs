//! Reads a log back.

mod source;
mod tail;

use crate::Target;
use crate::format;
use crate::pump::Stream;
pub use source::FileId;
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
    /// What it says besides, in order of the keys.
    pub attributes: Vec<(String, String)>,
}

/// A place in a log: its end at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    file: FileId,
    offset: u64,
}

impl Mark {
    /// The present end of a log; `None` when nothing was written yet.
    pub fn end_of(target: &Target) -> io::Result<Option<Mark>> {
        let Some(source) = Source::open(target, 0)? else { return Ok(None) };
        Ok(Some(Mark { file: source.id(), offset: source.size()? }))
    }
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
    stop: Option<Mark>,
    /// Looked at, and not yet given.
    held: Option<Entry>,
    done: bool,
}

impl Reader {
    /// A log that does not exist yet is empty.
    pub fn open(target: &Target, range: Range) -> io::Result<Reader> {
        let source = match range.tail {
            Some(count) => tail::open(target, count)?,
            None => source::oldest(target, range.since)?,
        };
        Ok(Reader {
            target: target.clone(),
            range,
            source,
            last: i64::MIN,
            given: None,
            stop: None,
            held: None,
            done: false,
        })
    }

    /// The same up to a place.
    pub fn up_to(target: &Target, range: Range, stop: Mark) -> io::Result<Reader> {
        Ok(Reader { stop: Some(stop), ..Reader::open(target, range)? })
    }

    /// The next entry; `None` at the present end, or for good once `until` has passed.
    #[allow(clippy::should_implement_trait, reason = "after `None` it goes on, as an iterator must not")]
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        match self.held.take() {
            Some(entry) => Ok(Some(entry)),
            None => self.read(),
        }
    }

    /// Leaves the next entry out if it is as `wanted`; says whether it did.
    pub fn skip_if(&mut self, wanted: impl FnOnce(&Entry) -> bool) -> io::Result<bool> {
        let Some(entry) = self.next()? else { return Ok(false) };
        let skip = wanted(&entry);
        if !skip {
            self.held = Some(entry);
        }
        Ok(skip)
    }

    fn read(&mut self) -> io::Result<Option<Entry>> {
        while !self.done {
            let Some(source) = &mut self.source else {
                self.source = source::oldest(&self.target, None)?;
                if self.source.is_none() {
                    break;
                }
                continue;
            };
            if self.stop.is_some_and(|stop| stop.file == source.id() && source.place() >= stop.offset) {
                self.done = true;
                break;
            }
            let Some(line) = source.line()? else {
                if self.advance()? {
                    continue;
                }
                break;
            };
            let Some(time) = format::time_of(&self.target, line) else { continue };
            if self.range.until.is_some_and(|until| time > until) {
                self.done = true;
            } else if self.range.since.is_none_or(|since| time >= since) && self.given.is_none_or(|given| time > given)
            {
                let Some(entry) = format::parse(&self.target, line) else { continue };
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

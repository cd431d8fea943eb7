//! The entries of a tar stream. The format is `tar_core`'s (a parser without I/O); bytes, limits and truncation are
//! ours.

use crate::Error;
use crate::entry::{Entry, EntryKind, parse_error, truncated};
use std::io::{self, Read};
use tar_core::parse::{Limits, ParseEvent, Parser};

/// Bytes read ahead at once.
const READ_AHEAD: usize = 256 * 1024;
/// Most bytes of headers before one entry: PAX records and a sparse map together.
const MAX_HEADERS: usize = 4 * 1024 * 1024;
const BLOCK: u64 = 512;

/// Reads a plain tar stream entry by entry. Holds one read-ahead buffer, never a file.
pub struct Reader<R> {
    source: R,
    parser: Parser,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Content of the current entry that was not handed out yet.
    content: u64,
    /// Zeros between that content and the next header.
    padding: u64,
    ended: bool,
}

enum Step {
    Entry { consumed: usize, entry: Entry },
    Skip { consumed: usize },
    More { at_least: usize },
    End { consumed: usize },
}

impl<R: Read> Reader<R> {
    pub fn new(source: R) -> Reader<R> {
        let limits = Limits { max_path_len: Some(4095), ..Limits::default() };
        let mut parser = Parser::new(limits);
        // A time before 1970 is no error. `Entry` refuses the other broken numbers.
        parser.set_ignore_pax_errors(true);
        Reader { source, parser, buffer: vec![0; READ_AHEAD], start: 0, end: 0, content: 0, padding: 0, ended: false }
    }

    /// The next entry, or `None` at the end of the archive. Content that was not read is skipped.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.skip_content()?;
        while !self.ended {
            match self.step()? {
                Step::Entry { consumed, entry } => {
                    self.start += consumed;
                    self.content = entry.size;
                    self.padding = entry.size.wrapping_neg() % BLOCK;
                    if entry.kind == EntryKind::Note {
                        self.skip_content()?;
                        continue;
                    }
                    return Ok(Some(entry));
                }
                Step::Skip { consumed } => self.start += consumed,
                Step::More { at_least } => self.more(at_least)?,
                Step::End { consumed } => {
                    self.start += consumed;
                    self.ended = true;
                }
            }
        }
        Ok(None)
    }

    /// The next piece of the current entry's content; empty at its end.
    pub fn content(&mut self) -> Result<&[u8], Error> {
        self.content_up_to(usize::MAX)
    }

    /// [`Reader::content`], of at most so many bytes.
    pub fn content_up_to(&mut self, most: usize) -> Result<&[u8], Error> {
        if self.content == 0 {
            return Ok(&[]);
        }
        if self.start == self.end {
            self.refill()?;
        }
        let available = (self.end - self.start).min(most);
        let piece = usize::try_from(self.content).map_or(available, |content| content.min(available));
        let from = self.start;
        self.start += piece;
        self.content -= piece as u64;
        Ok(&self.buffer[from..from + piece])
    }

    /// The current entry's content as one value of at most `limit` bytes.
    pub fn content_at_most(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        if usize::try_from(self.content).is_ok_and(|size| size <= limit) {
            let mut whole = Vec::new();
            while self.content > 0 {
                let piece = self.content()?;
                whole.extend_from_slice(piece);
            }
            return Ok(whole);
        }
        Err(Error::Broken(format!("a document of {} bytes: at most {limit} are read", self.content)))
    }

    /// Reads what follows the end mark, so that a digest of the whole stream is complete.
    pub fn drain(&mut self) -> Result<(), Error> {
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Read(e)),
            }
        }
    }

    fn step(&mut self) -> Result<Step, Error> {
        let event = self.parser.parse(&self.buffer[self.start..self.end]).map_err(parse_error)?;
        Ok(match event {
            ParseEvent::NeedData { min_bytes } => Step::More { at_least: min_bytes },
            ParseEvent::Entry { consumed, entry } => Step::Entry { consumed, entry: Entry::from_parsed(&entry, None)? },
            ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                Step::Entry { consumed, entry: Entry::from_parsed(&entry, Some((&sparse_map, real_size)))? }
            }
            // Defaults for all later entries: Docker and containerd ignore them, and so do we.
            ParseEvent::GlobalExtensions { consumed, .. } => Step::Skip { consumed },
            ParseEvent::End { consumed } => Step::End { consumed },
        })
    }

    /// Reads until `at_least` bytes of headers are there, and one byte more than now in any case.
    fn more(&mut self, at_least: usize) -> Result<(), Error> {
        let wanted = at_least.max(self.end - self.start + 1);
        if wanted > MAX_HEADERS {
            return Err(Error::Broken("not a tar archive: its headers are too large".to_owned()));
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted.next_multiple_of(READ_AHEAD), 0);
        }
        while self.end < wanted {
            if self.read_once()? == 0 {
                return self.out_of_bytes();
            }
        }
        Ok(())
    }

    /// The source ended between two entries: fine, as tar(1) says; within a header: not.
    fn out_of_bytes(&mut self) -> Result<(), Error> {
        if self.buffer[self.start..self.end].iter().any(|byte| *byte != 0) {
            return Err(truncated());
        }
        self.ended = true;
        Ok(())
    }

    fn skip_content(&mut self) -> Result<(), Error> {
        let mut rest = self.content.checked_add(self.padding).ok_or_else(truncated)?;
        while rest > 0 {
            if self.start == self.end {
                self.refill()?;
            }
            let available = self.end - self.start;
            let skipped = usize::try_from(rest).map_or(available, |rest| rest.min(available));
            self.start += skipped;
            rest -= skipped as u64;
        }
        self.content = 0;
        self.padding = 0;
        Ok(())
    }

    fn refill(&mut self) -> Result<(), Error> {
        self.start = 0;
        self.end = 0;
        if self.read_once()? == 0 { Err(truncated()) } else { Ok(()) }
    }

    fn read_once(&mut self) -> Result<usize, Error> {
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(got) => {
                    self.end += got;
                    return Ok(got);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Read(e)),
            }
        }
    }
}

//! How much of a log was sent: kept beside it, so that the next engine goes on there.

use logs::Target;
use logs::read::{Entry, Range, Reader};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The last time of which entries were sent, and how many of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    time: i64,
    count: u64,
}

/// Where it is kept: beside the log.
pub fn path(target: &Target) -> PathBuf {
    target.path.with_extension("sent")
}

impl Sent {
    /// What the last engine noted; nothing was sent when it did not.
    pub fn read(path: &Path) -> io::Result<Sent> {
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Sent::default()),
            other => other?,
        };
        let mut numbers = text.split_whitespace();
        let time = numbers.next().and_then(|text| text.parse().ok()).unwrap_or_default();
        let count = numbers.next().and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok(Sent { time, count })
    }

    /// Notes it. A crash may cost the note, and then a little is sent twice; nothing is left out.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("sent.new");
        fs::write(&new, format!("{} {}\n", self.time, self.count))?;
        fs::rename(new, path)
    }

    pub fn add(&mut self, entry: &Entry) {
        if entry.time == self.time {
            self.count += 1;
        } else {
            *self = Sent { time: entry.time, count: 1 };
        }
    }

    /// A reader of what is not yet sent.
    pub fn rest(&self, target: &Target) -> io::Result<Reader> {
        let since = (self.time > 0).then_some(self.time);
        let mut left = self.count;
        let mut reader = Reader::open(target, Range { since, ..Range::default() })?;
        while left > 0 && reader.skip_if(|entry| entry.time == self.time)? {
            left -= 1;
        }
        Ok(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use logs::Driver;
    use std::io::Write;

    #[test]
    fn the_next_engine_goes_on_where_the_last_one_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let target =
            Target { driver: Driver::Local, path: folder.path().join("log"), max_file: 1, ..Target::default() };
        let mut file = fs::File::create(&target.path).expect("a log");
        for (time, line) in [(1, "a"), (5, "b"), (5, "c"), (5, "d"), (9, "e")] {
            writeln!(file, "o{time:016x}{line}").expect("written");
        }
        let note = path(&target);
        for count in 0..=5 {
            let mut sent = Sent::default();
            let mut reader = sent.rest(&target).expect("a reader");
            for _ in 0..count {
                sent.add(&reader.next().expect("read").expect("an entry"));
            }
            sent.write(&note).expect("noted");
            let mut reader = Sent::read(&note).expect("a note").rest(&target).expect("a reader");
            let lines: String = std::iter::from_fn(|| reader.next().expect("read"))
                .map(|e| String::from_utf8_lossy(&e.line).into_owned())
                .collect();
            assert_eq!(lines.replace('\n', ""), "abcde"[count..]);
        }
    }
}

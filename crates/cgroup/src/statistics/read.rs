//! The kernel's files as numbers.

use super::{Counter, Pressure, Stall};
use crate::Error;
use crate::folder::{Folder, below};
use rustix::io::Errno;

/// A group, whose files may be missing: a folder, and the group's name below it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a>(pub(crate) &'a Folder, pub(crate) &'a str);

impl Source<'_> {
    /// `None` when the file, or what it tells of, is not there.
    pub(crate) fn text(self, file: &str) -> Result<Option<String>, Error> {
        match self.0.get(self.1, file) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(None),
            Err(e) => Err(self.0.failed("read", &below(self.1, file), e)),
        }
    }

    pub(crate) fn number(self, file: &str) -> Result<Option<u64>, Error> {
        Ok(self.text(file)?.and_then(|text| number(&text)))
    }
}

/// `max` is the largest number. A negative one, which old kernels tell, is none.
pub(crate) fn number(text: &str) -> Option<u64> {
    match text.trim() {
        "max" => Some(u64::MAX),
        text => text.parse::<u64>().ok().or_else(|| text.parse::<i64>().ok().map(|_| 0)),
    }
}

/// Lines of `word number`.
pub(crate) fn words(text: &str) -> Vec<(String, u64)> {
    let pair = |line: &str| {
        let (word, value) = line.split_once(' ')?;
        Some((word.to_owned(), number(value)?))
    };
    text.lines().filter_map(pair).collect()
}

/// CPUs or memory nodes, such as `0-3,7`.
pub(crate) fn list(text: &str) -> Vec<u16> {
    let mut all = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            all.extend(first..=last);
        }
    }
    all
}

/// A counter of four files; `None` when the first is missing.
pub(crate) fn counter(source: Source<'_>, files: [&str; 4]) -> Result<Option<Counter>, Error> {
    let [usage, max, failures, limit] = files;
    let Some(usage) = source.number(usage)? else { return Ok(None) };
    let read = |file: &str| if file.is_empty() { Ok(None) } else { source.number(file) };
    Ok(Some(Counter {
        usage,
        max: read(max)?.unwrap_or(0),
        failures: read(failures)?.unwrap_or(0),
        limit: read(limit)?.unwrap_or(0),
    }))
}

/// A `*.pressure` file; `None` where the kernel does not count it.
pub(crate) fn pressure(source: Source<'_>, file: &str) -> Result<Option<Pressure>, Error> {
    Ok(source.text(file)?.map(|text| read_pressure(&text)))
}

fn read_pressure(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("some", fields)) => pressure.some = stall(fields),
            Some(("full", fields)) => pressure.full = stall(fields),
            _ => {}
        }
    }
    pressure
}

fn stall(fields: &str) -> Stall {
    let mut stall = Stall::default();
    for (key, value) in fields.split(' ').filter_map(|field| field.split_once('=')) {
        match key {
            "avg10" => stall.avg10 = hundredths(value),
            "avg60" => stall.avg60 = hundredths(value),
            "avg300" => stall.avg300 = hundredths(value),
            "total" => stall.total = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    stall
}

/// `12.34` is 1234: the kernel always writes two digits.
fn hundredths(text: &str) -> u32 {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let number = |digits: &str| digits.parse::<u32>().unwrap_or(0);
    number(whole).saturating_mul(100).saturating_add(number(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_in_hundredths_of_a_percent() {
        let text =
            "some avg10=1.25 avg60=0.07 avg300=100.00 total=12345\nfull avg10=0.00 avg60=0.50 avg300=0.01 total=9\n";
        let pressure = read_pressure(text);
        assert_eq!(pressure.some, Stall { avg10: 125, avg60: 7, avg300: 10_000, total: 12_345 });
        assert_eq!(pressure.full, Stall { avg10: 0, avg60: 50, avg300: 1, total: 9 });
    }

    #[test]
    fn lists_of_cpus_are_spelled_out() {
        assert_eq!(list("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(list("\n"), Vec::<u16>::new());
    }

    #[test]
    fn numbers_have_a_word_for_no_limit() {
        assert_eq!(
            [number("max\n"), number("12\n"), number("-1\n"), number("x")],
            [Some(u64::MAX), Some(12), Some(0), None]
        );
        assert_eq!(words("a 1\nb max\nc\n"), [("a".to_owned(), 1), ("b".to_owned(), u64::MAX)]);
    }
}

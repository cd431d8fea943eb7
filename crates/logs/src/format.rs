//! The two forms of an entry behind one face.

use crate::pump::Stream;
use crate::read::Entry;
use crate::{Driver, Target, entry, short, time};

/// How the entries of one log look.
#[derive(Debug)]
pub enum Format {
    Json {
        /// `,"attrs":{...}`, or nothing.
        attributes: Vec<u8>,
    },
    Short,
}

impl Format {
    pub fn of(target: &Target) -> Format {
        match target.driver {
            Driver::Local => Format::Short,
            Driver::JsonFile | Driver::None => Format::Json { attributes: entry::attributes(&target.attributes) },
        }
    }

    /// Appends the text of a time, for [`Format::write`].
    pub fn stamp(&self, out: &mut Vec<u8>, nanos: i64) {
        match self {
            Format::Json { .. } => time::write(out, nanos),
            Format::Short => short::stamp(out, nanos),
        }
    }

    /// Appends the entry of `line` (its newline, if it has one, included).
    pub fn write(&self, out: &mut Vec<u8>, line: &[u8], stream: Stream, stamp: &[u8]) {
        match self {
            Format::Json { attributes } => entry::write(out, line, stream, &entry::Rest { attributes, stamp }),
            Format::Short => short::write(out, line, stream, stamp),
        }
    }
}

/// The time of an entry, without looking at the rest of it if that can be.
pub fn time_of(target: &Target, text: &[u8]) -> Option<i64> {
    match target.driver {
        Driver::Local => short::time_of(text),
        Driver::JsonFile | Driver::None => entry::time_of(text).or_else(|| Some(entry::parse(text)?.time)),
    }
}

/// The entry that `text` (without its line end) says. In the short form it has the attributes of its log.
pub fn parse(target: &Target, text: &[u8]) -> Option<Entry> {
    match target.driver {
        Driver::Local => {
            let pairs = target.attributes.iter().map(|(key, value)| (key.clone(), value.clone()));
            short::parse(text).map(|entry| Entry { attributes: pairs.collect(), ..entry })
        }
        Driver::JsonFile | Driver::None => entry::parse(text),
    }
}

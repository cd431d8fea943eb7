//! Entries for systemd's journal, in its native protocol: a datagram of `KEY=value` lines for each.

use super::link::Place;
use super::partial::Part;
use super::{options::Options, tag};
use base::Id;
use container::Container;
use logs::pump::Stream;
use logs::read::Entry;
use std::path::Path;

const SOCKET: &str = "/run/systemd/journal/socket";

/// A tag when none is told.
pub const USUAL_TAG: &str = "{{.ID}}";

/// What every message of one container says.
#[derive(Debug)]
pub struct Journal {
    fields: Vec<u8>,
    sent: u64,
}

impl Journal {
    pub fn new(record: &Container, options: &Options) -> Result<(Journal, Place), String> {
        if !Path::new(SOCKET).exists() {
            return Err("journald is not enabled on this host".to_owned());
        }
        let tag = tag::tag(record, options, USUAL_TAG)?;
        let mut fields = Vec::new();
        for (key, value) in [
            ("CONTAINER_ID", record.id.short()),
            ("CONTAINER_ID_FULL", record.id.to_string()),
            ("CONTAINER_NAME", record.name.clone()),
            ("CONTAINER_TAG", tag.clone()),
            ("IMAGE_NAME", record.config.image.clone()),
            ("SYSLOG_IDENTIFIER", tag),
            ("CONTAINER_LOG_EPOCH", Id::random().to_string()),
        ] {
            put(&mut fields, key, value.as_bytes());
        }
        for (key, value) in tag::attributes(record, options)? {
            put(&mut fields, &field_name(&key), value.as_bytes());
        }
        Ok((Journal { fields, sent: 0 }, Place::Datagrams(SOCKET.into())))
    }

    /// The datagram of an entry.
    pub fn message(&mut self, entry: &Entry, part: Option<&Part>) -> Vec<u8> {
        self.sent += 1;
        let mut out = self.fields.clone();
        put(&mut out, "MESSAGE", entry.line.strip_suffix(b"\n").unwrap_or(&entry.line));
        let priority = if entry.stream == Stream::Stderr { "3" } else { "6" };
        put(&mut out, "PRIORITY", priority.as_bytes());
        put(&mut out, "SYSLOG_TIMESTAMP", super::nano_time(entry.time).as_bytes());
        put(&mut out, "CONTAINER_LOG_ORDINAL", self.sent.to_string().as_bytes());
        if let Some(part) = part {
            put(&mut out, "CONTAINER_PARTIAL_ID", part.id.as_bytes());
            put(&mut out, "CONTAINER_PARTIAL_ORDINAL", part.ordinal.to_string().as_bytes());
            put(&mut out, "CONTAINER_PARTIAL_LAST", part.last.to_string().as_bytes());
            if !part.last {
                put(&mut out, "CONTAINER_PARTIAL_MESSAGE", b"true");
            }
        }
        out
    }
}

/// A value with a newline in it is told by its length.
fn put(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    if key.is_empty() {
        return;
    }
    out.extend_from_slice(key.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A label or a variable as the journal names fields: capitals, digits, underlines, and none of those at the front.
fn field_name(key: &str) -> String {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    name.trim_start_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_journal_reads_them() {
        let mut out = Vec::new();
        put(&mut out, "A", b"x=y");
        put(&mut out, "B", b"x\ny");
        put(&mut out, "", b"nowhere");
        assert_eq!(out, b"A=x=y\nB\n\x03\0\0\0\0\0\0\0x\ny\n");
        assert_eq!(field_name("com.example.My-label"), "COM_EXAMPLE_MY_LABEL");
        assert_eq!(field_name("__x"), "X");
    }
}

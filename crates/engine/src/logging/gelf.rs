//! Entries in the Graylog Extended Log Format: JSON in datagrams, compressed and in chunks, or in a stream with zeros between.

use super::journald::USUAL_TAG;
use super::link::Place;
use super::{options::Options, size, tag};
use container::Container;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use logs::pump::Stream;
use logs::read::Entry;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Bytes of a datagram's content, so that it is not cut on its way.
const CHUNK: usize = 1420;
const HEAD: usize = 12;
const MOST_CHUNKS: usize = 128;
const MAGIC: [u8; 2] = [0x1e, 0x0f];

/// How a datagram is made small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zlib,
    Plain,
}

/// How the messages of one container are made.
#[derive(Debug)]
pub struct Gelf {
    extra: Map<String, Value>,
    /// Datagrams, packed like this; `None` is a stream.
    datagrams: Option<(Packing, Compression)>,
    sent: u64,
}

/// Checks the options whose values tell at once that they are wrong.
pub fn check(options: &Options) -> Result<(), String> {
    let (scheme, _) = address(options)?;
    for (key, value) in options {
        let unknown = || Err(format!("unknown value {value:?} for log opt {key:?} for gelf log driver"));
        match key.as_str() {
            "gelf-compression-level" | "gelf-compression-type" if scheme != "udp" => {
                return Err("compression is only supported on UDP".to_owned());
            }
            "gelf-compression-level" if !size::number(value).is_ok_and(|level| (-1..=9).contains(&level)) => {
                return unknown();
            }
            "gelf-compression-type" if !matches!(value.as_str(), "gzip" | "zlib" | "none") => return unknown(),
            "gelf-tcp-max-reconnect" | "gelf-tcp-reconnect-delay" if scheme != "tcp" => {
                return Err(format!("{key:?} is only valid for TCP"));
            }
            "gelf-tcp-max-reconnect" | "gelf-tcp-reconnect-delay" if !size::number(value).is_ok_and(|n| n >= 0) => {
                return Err(format!("{key:?} must be a positive integer"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn address(options: &Options) -> Result<(&str, &str), String> {
    let text = options.get("gelf-address").map_or("", String::as_str);
    if text.is_empty() {
        return Err("gelf-address is a required parameter".to_owned());
    }
    let (scheme, host) = text.split_once("://").unwrap_or(("", text));
    if scheme != "udp" && scheme != "tcp" {
        return Err("gelf: endpoint needs to be TCP or UDP".to_owned());
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { Ok((scheme, host)) } else { Err("gelf: please provide gelf-address as proto://host:port".to_owned()) }
}

impl Gelf {
    pub fn new(record: &Container, options: &Options) -> Result<(Gelf, Place), String> {
        let (scheme, host) = address(options)?;
        let (scheme, host) = (scheme.to_owned(), host.to_owned());
        let config = &record.config;
        let command: Vec<&str> =
            config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten()).map(String::as_str).collect();
        let mut extra = Map::new();
        for (key, value) in [
            ("_command", command.join(" ")),
            ("_container_id", record.id.to_string()),
            ("_container_name", record.name.clone()),
            ("_created", super::nano_time(record.created_at)),
            ("_image_id", record.image_id.to_string()),
            ("_image_name", config.image.clone()),
            ("_tag", tag::tag(record, options, USUAL_TAG)?),
            ("host", rustix::system::uname().nodename().to_string_lossy().into_owned()),
        ] {
            extra.insert(key.to_owned(), value.into());
        }
        for (key, value) in tag::attributes(record, options)? {
            let key = if key.starts_with('_') { key } else { format!("_{key}") };
            extra.insert(key, value.into());
        }
        let place = if scheme == "udp" { Place::Udp(host) } else { Place::Tcp(host) };
        let datagrams = matches!(place, Place::Udp(_)).then(|| packing(options));
        Ok((Gelf { extra, datagrams, sent: 0 }, place))
    }

    /// The datagrams of an entry; an empty line has none.
    pub fn messages(&mut self, entry: &Entry) -> Vec<Vec<u8>> {
        let line = entry.line.strip_suffix(b"\n").unwrap_or(&entry.line);
        if line.is_empty() {
            return Vec::new();
        }
        let level = if entry.stream == Stream::Stderr { 3 } else { 6 };
        #[allow(clippy::cast_precision_loss, reason = "milliseconds fit for some hundred thousand years")]
        let seconds = (entry.time / 1_000_000) as f64 / 1000.0;
        let mut message = self.extra.clone();
        message.insert("version".to_owned(), "1.1".into());
        message.insert("short_message".to_owned(), String::from_utf8_lossy(line).into());
        message.insert("timestamp".to_owned(), json!(seconds));
        message.insert("level".to_owned(), level.into());
        let mut text = Value::Object(message).to_string().into_bytes();
        let Some((packing, level)) = self.datagrams else {
            text.push(0);
            return vec![text];
        };
        self.sent += 1;
        chunks(&packed(&text, packing, level).unwrap_or(text), self.sent)
    }
}

fn packing(options: &Options) -> (Packing, Compression) {
    let packing = match options.get("gelf-compression-type").map(String::as_str) {
        Some("zlib") => Packing::Zlib,
        Some("none") => Packing::Plain,
        _ => Packing::Gzip,
    };
    let level = options.get("gelf-compression-level").and_then(|text| text.parse().ok());
    (packing, level.map_or(Compression::fast(), Compression::new))
}

fn packed(text: &[u8], packing: Packing, level: Compression) -> io::Result<Vec<u8>> {
    match packing {
        Packing::Plain => Ok(text.to_vec()),
        Packing::Gzip => {
            let mut out = GzEncoder::new(Vec::new(), level);
            out.write_all(text)?;
            out.finish()
        }
        Packing::Zlib => {
            let mut out = ZlibEncoder::new(Vec::new(), level);
            out.write_all(text)?;
            out.finish()
        }
    }
}

/// One datagram, or several that say which of how many they are. What needs too many is left out, as no receiver takes it.
fn chunks(message: &[u8], number: u64) -> Vec<Vec<u8>> {
    if message.len() <= CHUNK {
        return vec![message.to_vec()];
    }
    let pieces: Vec<&[u8]> = message.chunks(CHUNK - HEAD).collect();
    let Some(count) = u8::try_from(pieces.len()).ok().filter(|count| usize::from(*count) <= MOST_CHUNKS) else {
        return Vec::new();
    };
    let id = (number ^ u64::from(std::process::id()) << 40).to_be_bytes();
    let numbered = (0..count).zip(pieces);
    numbered.map(|(index, piece)| [&MAGIC[..], &id, &[index, count], piece].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_goes_in_numbered_chunks() {
        let message: Vec<u8> = (0..5000_u32).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
        let parts = chunks(&message, 7);
        assert_eq!(parts.len(), 4);
        assert!(parts.iter().all(|part| part.len() <= CHUNK && part[..2] == MAGIC && part[11] == 4));
        let whole: Vec<u8> = parts.iter().flat_map(|part| part[12..].to_vec()).collect();
        assert_eq!(whole, message);
        assert_eq!(chunks(&vec![0; CHUNK * 200], 1).len(), 0);
    }

    #[test]
    fn options_are_checked_in_dockers_words() {
        let check = |pairs: &[(&str, &str)]| {
            check(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(check(&[("gelf-address", "udp://h:1"), ("gelf-compression-type", "zlib")]), Ok(()));
        for (pairs, why) in [
            (&[][..], "gelf-address is a required parameter"),
            (&[("gelf-address", "http://h:1")], "gelf: endpoint needs to be TCP or UDP"),
            (&[("gelf-address", "udp://h")], "gelf: please provide gelf-address as proto://host:port"),
            (
                &[("gelf-address", "tcp://h:1"), ("gelf-compression-type", "zlib")],
                "compression is only supported on UDP",
            ),
            (
                &[("gelf-address", "udp://h:1"), ("gelf-compression-level", "10")],
                "unknown value \"10\" for log opt \"gelf-compression-level\" for gelf log driver",
            ),
        ] {
            assert_eq!(check(pairs), Err(why.to_owned()));
        }
    }
}

//! Entries for fluentd's forward protocol: MessagePack arrays of tag, time and record.

use super::journald::USUAL_TAG;
use super::link::Place;
use super::partial::Part;
use super::{options::Options, size, tag};
use container::Container;
use logs::read::Entry;
use registry::tls::Tls;
use std::collections::BTreeMap;
use std::sync::Arc;

const HOST: &str = "127.0.0.1";
const PORT: u16 = 24224;

/// How the messages of one container are made.
#[derive(Debug)]
pub struct Fluentd {
    tag: String,
    record: BTreeMap<String, String>,
    /// Times with nanoseconds.
    precise: bool,
    /// A container starts although nobody listens yet.
    pub later: bool,
}

/// Checks the options whose values tell at once that they are wrong.
pub fn check(options: &Options) -> Result<(), String> {
    address(options)?;
    for key in ["fluentd-async", "fluentd-sub-second-precision"] {
        switch(options, key)?;
    }
    if switch(options, "fluentd-request-ack")? {
        return Err("log opt 'fluentd-request-ack=true' is not supported by this engine".to_owned());
    }
    if let Some(text) = options.get("fluentd-buffer-limit") {
        size::binary(text)?;
    }
    Ok(())
}

fn switch(options: &Options, key: &str) -> Result<bool, String> {
    options.get(key).filter(|text| !text.is_empty()).map_or(Ok(false), |text| size::switch(text))
}

/// Scheme and host with port, or path.
fn address(options: &Options) -> Result<(&str, String), String> {
    let text = options.get("fluentd-address").map_or("", String::as_str);
    let wrong = |why: &str| Err(format!("invalid fluentd-address ({text}): {why}"));
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    match scheme {
        "unix" if rest.trim_start_matches('/').is_empty() => return wrong("path is empty"),
        "unix" => return Ok((scheme, rest.to_owned())),
        "tcp" | "tls" => {}
        other => return wrong(&format!("unsupported scheme: '{other}'")),
    }
    if rest.contains('/') {
        return wrong("should not contain a path element");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (rest, ""),
    };
    let port = if port.is_empty() { Ok(PORT) } else { port.parse() };
    let Ok(port) = port else { return wrong("invalid port") };
    Ok((scheme, format!("{}:{port}", if host.is_empty() { HOST } else { host })))
}

impl Fluentd {
    pub fn new(record: &Container, options: &Options) -> Result<(Fluentd, Place), String> {
        let (scheme, to) = address(options)?;
        let place = match scheme {
            "unix" => Place::Stream(to.into()),
            "tls" => {
                let config = Tls::default().config().map_err(|cause| cause.to_string())?;
                Place::Tls { host: to, config: Arc::new(config) }
            }
            _ => Place::Tcp(to),
        };
        let mut fields = tag::attributes(record, options)?;
        fields.insert("container_id".to_owned(), record.id.to_string());
        fields.insert("container_name".to_owned(), format!("/{}", record.name));
        let fluentd = Fluentd {
            tag: tag::tag(record, options, USUAL_TAG)?,
            record: fields,
            precise: switch(options, "fluentd-sub-second-precision")?,
            later: switch(options, "fluentd-async")?,
        };
        Ok((fluentd, place))
    }

    /// The message of an entry.
    pub fn message(&self, entry: &Entry, part: Option<&Part>) -> Vec<u8> {
        let mut record = self.record.clone();
        let line = entry.line.strip_suffix(b"\n").unwrap_or(&entry.line);
        record.insert("log".to_owned(), String::from_utf8_lossy(line).into_owned());
        record.insert("source".to_owned(), entry.stream.name().to_owned());
        if let Some(part) = part {
            record.insert("partial_message".to_owned(), "true".to_owned());
            record.insert("partial_id".to_owned(), part.id.clone());
            record.insert("partial_ordinal".to_owned(), part.ordinal.to_string());
            record.insert("partial_last".to_owned(), part.last.to_string());
        }
        let mut out = vec![0x93];
        text(&mut out, &self.tag);
        self.time(&mut out, entry.time);
        out.push(0xdf);
        out.extend_from_slice(&length(record.len()));
        for (key, value) in &record {
            text(&mut out, key);
            text(&mut out, value);
        }
        out
    }

    fn time(&self, out: &mut Vec<u8>, nanos: i64) {
        let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
        if !self.precise {
            out.push(0xd3);
            return out.extend_from_slice(&seconds.to_be_bytes());
        }
        // fluentd's own type of time, number 0, of eight bytes.
        out.extend_from_slice(&[0xd7, 0x00]);
        out.extend_from_slice(&u32::try_from(seconds).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(&u32::try_from(rest).unwrap_or(0).to_be_bytes());
    }
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xdb);
    out.extend_from_slice(&length(text.len()));
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use logs::pump::Stream;

    #[test]
    fn a_message_is_an_array_of_tag_time_and_record() {
        let fluentd = Fluentd { tag: "t".into(), record: BTreeMap::new(), precise: true, later: false };
        let entry =
            Entry { stream: Stream::Stdout, time: 1_000_000_002, line: b"hi\n".to_vec(), attributes: Vec::new() };
        let expected = [
            &b"\x93\xdb\0\0\0\x01t\xd7\0\0\0\0\x01\0\0\0\x02\xdf\0\0\0\x02"[..],
            b"\xdb\0\0\0\x03log\xdb\0\0\0\x02hi\xdb\0\0\0\x06source\xdb\0\0\0\x06stdout",
        ]
        .concat();
        assert_eq!(fluentd.message(&entry, None), expected);
    }

    #[test]
    fn addresses_are_checked_in_dockers_words() {
        let address = |text: &str| {
            address(&Options::from([("fluentd-address".to_owned(), text.to_owned())]))
                .map(|(scheme, to)| format!("{scheme} {to}"))
        };
        for (text, place) in [
            ("", "tcp 127.0.0.1:24224"),
            ("h", "tcp h:24224"),
            ("tcp://h:1", "tcp h:1"),
            ("tls://:9", "tls 127.0.0.1:9"),
            ("unix:///a/b", "unix /a/b"),
        ] {
            assert_eq!(address(text), Ok(place.to_owned()));
        }
        for (text, why) in [
            ("http://h", "invalid fluentd-address (http://h): unsupported scheme: 'http'"),
            ("tcp://h/x", "invalid fluentd-address (tcp://h/x): should not contain a path element"),
            ("unix:///", "invalid fluentd-address (unix:///): path is empty"),
        ] {
            assert_eq!(address(text), Err(why.to_owned()));
        }
    }
}

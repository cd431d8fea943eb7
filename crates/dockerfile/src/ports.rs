//! Ports of `EXPOSE`: `80`, `80/udp`, `8000-8010`, and, tolerated, what `--publish` takes.

use crate::{Error, Fault};
use std::net::IpAddr;

/// What stands in one word, before it is a list of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub address: &'a str,
    pub host: &'a str,
    pub container: &'a str,
    /// As written; `tcp` if nothing is.
    pub protocol: &'a str,
}

impl Parts<'_> {
    /// The parts of a word that has a port and a known protocol.
    pub fn of(word: &str) -> Result<Parts<'_>, Error> {
        let invalid = |why: String| Error::from(Fault::Port { port: word.to_owned(), why });
        let (address, host, last) = match word.rsplit_once(':') {
            None => ("", "", word),
            Some((before, last)) => match before.rsplit_once(':') {
                None => ("", before, last),
                Some((address, host)) => (address, host, last),
            },
        };
        let (container, protocol) = last.split_once('/').unwrap_or((last, ""));
        if container.is_empty() {
            return Err(invalid("no port specified".to_owned()));
        }
        match protocol.to_lowercase().as_str() {
            "" => Ok(Parts { address, host, container, protocol: "tcp" }),
            "tcp" | "udp" | "sctp" => Ok(Parts { address, host, container, protocol }),
            _ => Err(invalid(format!("invalid proto: {protocol}"))),
        }
    }
}

/// The ports of a word: `80/tcp`, one for each of a range.
pub fn parse(word: &str) -> Result<Vec<String>, Error> {
    let parts = Parts::of(word)?;
    let wrong = |what: String| Error::from(Fault::PortPart(what));
    let address = parts.address;
    let bare = address.strip_prefix('[').map_or(Some(address), |rest| rest.strip_suffix(']'));
    if !address.is_empty() && bare.is_none_or(|bare| bare.parse::<IpAddr>().is_err()) {
        return Err(wrong(format!("invalid IP address: {address}")));
    }
    let container = parts.container;
    let (first, last) = range(container).ok_or_else(|| wrong(format!("invalid containerPort: {container}")))?;
    if !parts.host.is_empty() {
        let host = parts.host;
        let (from, to) = range(host).ok_or_else(|| wrong(format!("invalid hostPort: {host}")))?;
        if last - first != to - from && last != first {
            let text = format!("invalid ranges specified for container and host Ports: {container} and {host}");
            return Err(wrong(text));
        }
    }
    let protocol = parts.protocol.to_lowercase();
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Result<Vec<String>, String> {
        parse(word).map_err(|error| error.message())
    }

    #[test]
    fn reads_ports_and_ranges() {
        assert_eq!(read("80"), Ok(vec!["80/tcp".into()]));
        assert_eq!(read("53/UDP"), Ok(vec!["53/udp".into()]));
        assert_eq!(read("80-82/sctp"), Ok(vec!["80/sctp".into(), "81/sctp".into(), "82/sctp".into()]));
        assert_eq!(read("127.0.0.1:8080:80"), Ok(vec!["80/tcp".into()]));
        assert_eq!(read("[::1]:8080-8090:80"), Ok(vec!["80/tcp".into()]));
    }

    #[test]
    fn says_what_is_wrong() {
        for (word, wanted) in [
            ("80/foo", "invalid port: \"80/foo\": invalid proto: foo"),
            ("/tcp", "invalid port: \"/tcp\": no port specified"),
            ("x", "invalid containerPort: x"),
            ("82-80", "invalid containerPort: 82-80"),
            ("70000", "invalid containerPort: 70000"),
            ("x:80", "invalid hostPort: x"),
            ("nowhere:1:80", "invalid IP address: nowhere"),
            ("1-2:80-82", "invalid ranges specified for container and host Ports: 80-82 and 1-2"),
        ] {
            assert_eq!(read(word), Err(wanted.to_owned()), "{word}");
        }
    }
}

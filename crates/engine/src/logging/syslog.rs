//! Entries as messages of syslog, in the three forms that Docker has, and where they go.

use super::journald::USUAL_TAG;
use super::link::Place;
use super::{options::Options, tag};
use container::Container;
use jiff::tz::TimeZone;
use logs::pump::Stream;
use logs::read::Entry;
use registry::tls::{Identity, Tls, Verify};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PORT: &str = "514";

/// Where the machine's own syslog listens.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const DAEMON: usize = 3;

/// How a message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Unix,
    Rfc3164,
    Rfc5424,
    Rfc5424Micro,
}

/// Checks the options whose values tell at once that they are wrong.
pub fn check(options: &Options) -> Result<(), String> {
    address(options)?;
    facility(options)?;
    form(options).map(drop)
}

/// How the messages of one container are made.
#[derive(Debug)]
pub struct Syslog {
    form: Form,
    facility: usize,
    tag: String,
    host: String,
    /// Each message is told by its length (RFC 5425).
    counted: bool,
    zone: TimeZone,
}

impl Syslog {
    pub fn new(record: &Container, options: &Options) -> Result<(Syslog, Place), String> {
        let form = form(options)?;
        let place = place(options)?;
        let counted = matches!(place, Place::Tls { .. }) && matches!(form, Form::Rfc5424 | Form::Rfc5424Micro);
        let syslog = Syslog {
            form,
            facility: facility(options)?,
            tag: in_one_line(&tag::tag(record, options, USUAL_TAG)?),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            counted,
            zone: TimeZone::system(),
        };
        Ok((syslog, place))
    }

    /// The message of an entry; an empty line is none.
    pub fn message(&self, entry: &Entry) -> Option<Vec<u8>> {
        let line = entry.line.strip_suffix(b"\n").unwrap_or(&entry.line);
        if line.is_empty() {
            return None;
        }
        let severity = if entry.stream == Stream::Stderr { 3 } else { 6 };
        let priority = self.facility << 3 | severity;
        let at = jiff::Timestamp::from_nanosecond(entry.time.into()).unwrap_or_default().to_zoned(self.zone.clone());
        let (tag, host, pid) = (&self.tag, &self.host, std::process::id());
        let stamp = at.strftime("%b %e %H:%M:%S");
        let head = match self.form {
            Form::Unix => format!("<{priority}>{stamp} {tag}[{pid}]: "),
            Form::Rfc3164 => format!("<{priority}>{stamp} {host} {tag}[{pid}]: "),
            Form::Rfc5424 => {
                format!("<{priority}>1 {}{} {host} {tag} {pid} {tag} - ", at.strftime("%Y-%m-%dT%H:%M:%S"), offset(&at))
            }
            Form::Rfc5424Micro => {
                let time = at.strftime("%Y-%m-%dT%H:%M:%S%.6f");
                format!("<{priority}>1 {time}{} {host} {tag} {pid} {tag} - ", offset(&at))
            }
        };
        let message = [head.as_bytes(), line, b"\n"].concat();
        if !self.counted {
            return Some(message);
        }
        Some([message.len().to_string().as_bytes(), b" ", &message].concat())
    }
}

/// A tag may hold what an image says of itself, and a line of its own would be a message of its own.
fn in_one_line(tag: &str) -> String {
    tag.replace(char::is_control, "_")
}

/// As Go writes it: `Z` for none.
fn offset(at: &jiff::Zoned) -> String {
    if at.offset().seconds() == 0 { "Z".to_owned() } else { at.strftime("%:z").to_string() }
}

fn form(options: &Options) -> Result<Form, String> {
    match options.get("syslog-format").map_or("", String::as_str) {
        "" => Ok(Form::Unix),
        "rfc3164" => Ok(Form::Rfc3164),
        "rfc5424" => Ok(Form::Rfc5424),
        "rfc5424micro" => Ok(Form::Rfc5424Micro),
        _ => Err("Invalid syslog format".to_owned()),
    }
}

fn facility(options: &Options) -> Result<usize, String> {
    let text = options.get("syslog-facility").map_or("", String::as_str);
    if text.is_empty() {
        return Ok(DAEMON);
    }
    let named = FACILITIES.iter().position(|name| *name == text);
    let numbered = text.parse().ok().filter(|number| *number < FACILITIES.len());
    named.or(numbered).ok_or_else(|| "invalid syslog facility".to_owned())
}

/// Scheme and the rest; nothing is the machine's own.
fn address(options: &Options) -> Result<Option<(&str, String)>, String> {
    let text = options.get("syslog-address").map_or("", String::as_str);
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    match scheme {
        "unix" | "unixgram" if Path::new(rest).exists() => Ok(Some((scheme, rest.to_owned()))),
        "unix" | "unixgram" => Err(format!("stat {rest}: no such file or directory")),
        "udp" | "tcp" | "tcp+tls" => {
            let host = rest.split('/').next().unwrap_or_default();
            let has_port = host.rsplit_once(':').is_some_and(|(name, port)| {
                !port.is_empty()
                    && port.bytes().all(|b| b.is_ascii_digit())
                    && (!name.contains(':') || name.ends_with(']'))
            });
            Ok(Some((scheme, if has_port { host.to_owned() } else { format!("{host}:{PORT}") })))
        }
        other => Err(format!("unsupported scheme: '{other}'")),
    }
}

fn place(options: &Options) -> Result<Place, String> {
    match address(options)? {
        None => {
            let found = LOCAL.iter().map(PathBuf::from).find(|path| path.exists());
            found.map(Place::Datagrams).ok_or_else(|| "Unix syslog delivery error".to_owned())
        }
        Some(("udp", host)) => Ok(Place::Udp(host)),
        Some(("tcp", host)) => Ok(Place::Tcp(host)),
        Some(("unixgram", path)) => Ok(Place::Datagrams(path.into())),
        Some(("unix", path)) => Ok(Place::Stream(path.into())),
        Some((_, host)) => Ok(Place::Tls { host, config: Arc::new(tls(options)?) }),
    }
}

fn tls(options: &Options) -> Result<rustls::ClientConfig, String> {
    let file = |key: &str| {
        let path = options.get(key).filter(|path| !path.is_empty());
        let read = path.map(|path| std::fs::read(path).map_err(|cause| format!("could not read {path}: {cause}")));
        read.transpose()
    };
    let identity = match (file("syslog-tls-cert")?, file("syslog-tls-key")?) {
        (Some(chain), Some(key)) => Some(Identity { chain, key }),
        _ => None,
    };
    let verify = if options.contains_key("syslog-tls-skip-verify") { Verify::Nothing } else { Verify::Chain };
    let roots = file("syslog-tls-ca-cert")?.into_iter().collect();
    Tls { verify, roots, identity }.config().map_err(|cause| cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn said(form: Form, counted: bool) -> String {
        let syslog = Syslog { form, facility: 16, tag: "web".into(), host: "box".into(), counted, zone: TimeZone::UTC };
        let entry = Entry {
            stream: Stream::Stderr,
            time: 1_767_323_045_123_456_789,
            line: b"hello\n".to_vec(),
            attributes: Vec::new(),
        };
        let pid = std::process::id().to_string();
        String::from_utf8(syslog.message(&entry).expect("a message")).expect("text").replace(&pid, "PID")
    }

    #[test]
    fn messages_have_dockers_forms() {
        assert_eq!(said(Form::Unix, false), "<131>Jan  2 03:04:05 web[PID]: hello\n");
        assert_eq!(said(Form::Rfc3164, false), "<131>Jan  2 03:04:05 box web[PID]: hello\n");
        assert_eq!(said(Form::Rfc5424, false), "<131>1 2026-01-02T03:04:05Z box web PID web - hello\n");
        assert_eq!(said(Form::Rfc5424Micro, false), "<131>1 2026-01-02T03:04:05.123456Z box web PID web - hello\n");
        assert!(said(Form::Rfc5424, true).ends_with(" <131>1 2026-01-02T03:04:05Z box web PID web - hello\n"));
    }

    #[test]
    fn a_tag_makes_no_message_of_its_own() {
        assert_eq!(in_one_line("web\n<0>root: x\0"), "web_<0>root: x_");
    }

    #[test]
    fn options_are_checked_in_dockers_words() {
        for (key, value, why) in [
            ("syslog-address", "http://x", "unsupported scheme: 'http'"),
            ("syslog-address", "unix:///nowhere/log", "stat /nowhere/log: no such file or directory"),
            ("syslog-facility", "nope", "invalid syslog facility"),
            ("syslog-facility", "24", "invalid syslog facility"),
            ("syslog-format", "rfc1", "Invalid syslog format"),
        ] {
            assert_eq!(check(&options(&[(key, value)])), Err(why.to_owned()));
        }
        for (text, host) in [("udp://h", "h:514"), ("tcp://h:1", "h:1"), ("tcp+tls://[::1]:6514", "[::1]:6514")] {
            let told = options(&[("syslog-address", text)]);
            assert_eq!(address(&told).map(|found| found.map(|(_, host)| host)), Ok(Some(host.to_owned())), "{text}");
        }
        assert_eq!(facility(&options(&[("syslog-facility", "local7")])), Ok(23));
    }
}

//! Where messages go: standard error, or the file of `--log`, as text or as JSON, in the layout that readers of runc's log know
//! (`time=... level=error msg=...`; containerd takes the last line with the level `error` as the reason of a failure).

mod bridge;

use crate::error::{Error, Result};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Warning,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

struct Log {
    /// `None`: standard error.
    file: Option<File>,
    format: Format,
    least: Level,
}

static LOG: Mutex<Log> = Mutex::new(Log { file: None, format: Format::Text, least: Level::Warning });

/// What the global options say of it.
pub fn set_up(file: Option<PathBuf>, format: &str, debug: bool) -> Result<()> {
    let format = match format {
        "" | "text" => Format::Text,
        "json" => Format::Json,
        other => return Err(Error::new(format!("invalid log-format: {other}"))),
    };
    let open = |path: PathBuf| {
        let file = OpenOptions::new().create(true).append(true).mode(0o644).open(&path);
        file.map_err(|e| Error::because(format_args!("open {}", path.display()), &e))
    };
    let file = file.map(open).transpose()?;
    let least = if debug { Level::Debug } else { Level::Warning };
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Log { file, format, least };
    bridge::build(least);
    Ok(())
}

/// For people who look for a fault (`--debug`).
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Something is odd, and the command goes on.
pub fn warn(message: &str) {
    write(Level::Warning, message);
}

/// An error that does not end the command.
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Why the command fails: to the log, and to standard error in any case.
pub fn fatal(message: &str) {
    write(Level::Error, message);
    if LOG.lock().unwrap_or_else(PoisonError::into_inner).file.is_some() {
        say(message);
    }
}

/// To standard error as it is. Nobody may listen there any more.
pub fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// A log that cannot be written is no reason to leave a command half-way.
fn write(level: Level, message: &str) {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if level < log.least {
        return;
    }
    let format = log.format;
    let _ = match &mut log.file {
        Some(file) => file.write_all(line(format, level, message).as_bytes()),
        None if format == Format::Text && io::stderr().is_terminal() => {
            io::stderr().write_all(for_people(level, message).as_bytes())
        }
        None => io::stderr().write_all(line(format, level, message).as_bytes()),
    };
}

fn line(format: Format, level: Level, message: &str) -> String {
    let time = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default();
    let level = match level {
        Level::Debug => "debug",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    match format {
        Format::Text => format!("time=\"{time}\" level={level} msg={}\n", quoted(message)),
        Format::Json => {
            let message = serde_json::Value::from(message);
            format!("{{\"level\":\"{level}\",\"msg\":{message},\"time\":\"{time}\"}}\n")
        }
    }
}

fn for_people(level: Level, message: &str) -> String {
    let (colour, word) = match level {
        Level::Debug => (37, "DEBU"),
        Level::Warning => (33, "WARN"),
        Level::Error => (31, "ERRO"),
    };
    format!("\x1b[{colour}m{word}\x1b[0m[0000] {message}\n")
}

/// One word as it is, anything else in Go's quotes.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_in_either_format() {
        let message = "cannot say \"a\\b\":\nno\u{1b}";
        let text = line(Format::Text, Level::Error, message);
        assert_eq!(text.lines().count(), 1);
        assert!(text.ends_with("level=error msg=\"cannot say \\\"a\\\\b\\\":\\nno\\u001b\"\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&line(Format::Json, Level::Error, message)).unwrap();
        assert_eq!(json["level"], "error");
        assert_eq!(json["msg"], message);
        assert!(json["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn one_word_needs_no_quotes() {
        assert_eq!(quoted("a/b.c"), "a/b.c");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted(""), "\"\"");
    }

    #[test]
    fn an_unknown_format_is_refused() {
        assert_eq!(set_up(None, "xml", false).unwrap_err().message, "invalid log-format: xml");
    }
}

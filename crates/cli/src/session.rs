//! What every verb gets: the way to its engine.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use api::client::Client;

use crate::connect::{self, Address};
use crate::failure::Failure;

/// One run of the program.
#[derive(Debug)]
pub struct Session {
    client: Client,
    config: Option<PathBuf>,
}

impl Session {
    /// Connects, and starts the engine if that is needed and allowed.
    /// `config` is this user's folder of docker's settings, if it is not the usual one.
    pub async fn open(address: Address, config: Option<PathBuf>) -> Result<Session, Failure> {
        Ok(Session { client: connect::connect(address).await?, config })
    }

    /// This user's folder of docker's settings, if it is not the usual one.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The engine.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// A point in time for `since` and `until`: a time stamp as it is, a duration such as `10m` as that long ago.
///
/// # Errors
/// A text that is neither.
pub fn point_in_time(text: &str) -> Result<String, Failure> {
    if text.is_empty() || text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Ok(text.to_owned());
    }
    if let Ok(nanoseconds) = crate::grammar::values::duration(text) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        let then = now.saturating_sub(nanoseconds).max(0);
        return Ok(format!("{}.{:09}", then / 1_000_000_000, then % 1_000_000_000));
    }
    moment(text).ok_or_else(|| Failure::said(format!("failed to parse value as time or duration: {text:?}")))
}

/// RFC 3339 in any of the lengths docker allows, in local time unless it names a zone.
fn moment(text: &str) -> Option<String> {
    use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let full = match text.len() {
                10 => format!("{text}T00:00:00"),
                13 => format!("{text}:00:00"),
                16 => format!("{text}:00"),
                _ => text.trim_end_matches('Z').to_owned(),
            };
            let civil: DateTime = full.parse().ok()?;
            let zone = if text.ends_with('Z') { TimeZone::UTC } else { TimeZone::system() };
            civil.to_zoned(zone).ok()?.timestamp()
        }
    };
    Some(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_stamps_durations_or_dates() {
        assert_eq!(point_in_time("123.5").expect("a stamp"), "123.5");
        assert_eq!(point_in_time("1970-01-01T00:01:00Z").expect("a date"), "60.000000000");
        assert_eq!(point_in_time("1970-01-01T00:01:00.5+00:00").expect("a date"), "60.500000000");
        let hour_ago: f64 = point_in_time("1h").expect("a duration").parse().expect("seconds");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        assert!((now - hour_ago - 3600.0).abs() < 5.0);
        for text in ["yesterday", "2020-13-01", "5x"] {
            assert!(point_in_time(text).is_err(), "{text}");
        }
    }
}

//! Times as Docker writes and reads them. A time here is in nanoseconds since the epoch; 0 is never.

use crate::status::Refusal;

/// Go's RFC3339Nano in UTC: as many digits as needed; never is `0001-01-01T00:00:00Z`.
pub fn nano(at: i64) -> String {
    if at == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    jiff::Timestamp::from_nanosecond(i128::from(at)).map(|t| t.to_string()).unwrap_or_default()
}

/// RFC 3339 with always nine digits, as lines of a log have.
pub fn nine_digits(at: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(at)).unwrap_or_default();
    format!("{time:.9}")
}

/// Nanoseconds since the epoch, now.
pub fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// Reads `seconds[.fraction]` or RFC 3339, as `since` and `until` come. Empty and `0` are none.
pub fn read(name: &str, text: &str) -> Result<Option<i64>, Refusal> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let wrong =
        || Refusal::invalid(format!("invalid value for {name:?}: strconv.ParseInt: parsing {text:?}: invalid syntax"));
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(time.as_nanosecond()).map(Some).map_err(|_| wrong());
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    seconds.checked_mul(1_000_000_000).and_then(|s| s.checked_add(nanos)).map(Some).ok_or_else(wrong)
}

/// `3 minutes`, as go-units' HumanDuration.
pub fn human(nanoseconds: i64) -> String {
    api::human::duration(nanoseconds.max(0) / 1_000_000_000)
}

/// Seconds since the epoch of an RFC 3339 text; 0 when it is none.
pub fn seconds(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().map_or(0, |t| t.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        assert_eq!(nano(0), "0001-01-01T00:00:00Z");
        assert_eq!(nano(1_700_000_000_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(nano(1_700_000_000_120_000_000), "2023-11-14T22:13:20.12Z");
        assert_eq!(nine_digits(1_700_000_000_120_000_000), "2023-11-14T22:13:20.120000000Z");
    }

    #[test]
    fn since_and_until_are_read() {
        assert_eq!(read("since", "").ok(), Some(None));
        assert_eq!(read("since", "1700000000").ok(), Some(Some(1_700_000_000_000_000_000)));
        assert_eq!(read("since", "1700000000.5").ok(), Some(Some(1_700_000_000_500_000_000)));
        assert_eq!(read("since", "1700000000.000000001").ok(), Some(Some(1_700_000_000_000_000_001)));
        assert_eq!(read("since", "2023-11-14T22:13:20Z").ok(), Some(Some(1_700_000_000_000_000_000)));
        for text in ["x", "1.x", "1.0000000001", "99999999999999999999", "1e5"] {
            assert!(read("since", text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_go_units() {
        let second = 1_000_000_000;
        for (time, text) in [
            (0, "Less than a second"),
            (second, "1 second"),
            (59 * second, "59 seconds"),
            (60 * second, "About a minute"),
            (200 * second, "3 minutes"),
            (3600 * second, "About an hour"),
            (3600 * 47 * second, "47 hours"),
            (3600 * 48 * second, "2 days"),
            (3600 * 24 * 20 * second, "2 weeks"),
            (3600 * 24 * 100 * second, "3 months"),
            (3600 * 24 * 365 * 3 * second, "3 years"),
        ] {
            assert_eq!(human(time), text);
        }
    }
}

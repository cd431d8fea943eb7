//! Times as Docker writes and reads them. A time here is in nanoseconds since the epoch; 0 is never.

use crate::query::Query;
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

/// The time in the parameter `key` of a log or of events: dockerd takes the blame for one that is none.
pub fn of_query(query: &Query, key: &str) -> Result<Option<i64>, Refusal> {
    let text = query.get(key);
    read(key, text).map_err(|_| Refusal::internal(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}

/// Reads `seconds[.fraction]`, RFC 3339, or how long ago (`1h30m`), as `since` and `until` come. Empty and `0` are none.
pub fn read(name: &str, text: &str) -> Result<Option<i64>, Refusal> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let wrong =
        || Refusal::invalid(format!("invalid value for {name:?}: strconv.ParseInt: parsing {text:?}: invalid syntax"));
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(time.as_nanosecond()).map(Some).map_err(|_| wrong());
    }
    if let Some(ago) = duration(text) {
        return Ok(Some(now().saturating_sub(ago)));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    seconds.checked_mul(1_000_000_000).and_then(|s| s.checked_add(nanos)).map(Some).ok_or_else(wrong)
}

/// Nanoseconds of a Go duration: `1h30m`, `1.5s`.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit);
        let nanoseconds: i64 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(part(digits, nanoseconds)?)?;
        rest = next;
    }
    Some(total)
}

/// `1.5` of a unit.
fn part(digits: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let billionths: i128 = format!("{fraction:0<9}").parse().ok()?;
    let rest = i64::try_from(billionths * i128::from(unit) / 1_000_000_000).ok()?;
    whole.checked_mul(unit)?.checked_add(rest)
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
    fn a_time_may_be_told_as_how_long_ago() {
        let second = 1_000_000_000;
        for (text, nanoseconds) in [
            ("90s", 90 * second),
            ("1h30m", 5400 * second),
            ("1.5s", 1_500_000_000),
            ("10ms", 10_000_000),
            (".5h", 1800 * second),
        ] {
            assert_eq!(duration(text), Some(nanoseconds), "{text}");
        }
        for text in ["", "5", "h", "1d", "1h30", "1..5s", "99999999999h", "."] {
            assert!(text.is_empty() || duration(text).is_none(), "{text}");
        }
        let ago = read("until", "1h").ok().flatten().expect("a time");
        assert!((now() - 3600 * second - ago).abs() < 600 * second);
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

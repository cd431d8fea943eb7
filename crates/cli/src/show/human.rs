//! Sizes, durations and names in the words that docker uses (go-units, stringid).

pub use api::human::duration;

/// Bytes in powers of 1000 with `digits` significant digits: `4.26MB`.
pub fn size(bytes: i64, digits: usize) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"], digits)
}

/// Bytes in powers of 1024 with four significant digits: `1.952GiB`.
pub fn size_binary(bytes: i64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"], 4)
}

fn scaled(bytes: i64, base: f64, units: &[&str], digits: usize) -> String {
    // Beyond 2^53 bytes the last digits do not matter: at most four are shown.
    #[allow(clippy::cast_precision_loss)]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// C's `%.Ng`: N significant digits, no trailing zeros, an exponent where there are more digits before the point.
fn significant(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

/// The first 12 digits of an identifier, without its algorithm.
pub fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// At most `width` letters, the last one an ellipsis if some were cut off.
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A moment as Go's `time.Time` prints it: `2006-01-02 15:04:05 -0700 MST`.
pub fn moment(unix_seconds: i64) -> String {
    use jiff::{Timestamp, tz::TimeZone};
    match Timestamp::from_second(unix_seconds) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string(),
        Err(_) => unix_seconds.to_string(),
    }
}

/// A moment in RFC 3339, to the second, in local time.
pub fn stamp(unix_seconds: i64) -> String {
    use jiff::{Timestamp, tz::TimeZone};
    let Ok(time) = Timestamp::from_second(unix_seconds) else { return unix_seconds.to_string() };
    let text = time.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    // Go writes UTC as Z.
    text.strip_suffix("+00:00").map_or(text.clone(), |bare| format!("{bare}Z"))
}

/// Seconds since the epoch, now.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// `busybox:latest` for `docker.io/library/busybox`: how people name an image.
pub fn familiar_name(reference: &str) -> String {
    let name = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let after_slash = name.rsplit('/').next().unwrap_or(name);
    if after_slash.contains(':') || name.contains('@') { name.to_owned() } else { format!("{name}:latest") }
}

/// A text as Go's `strconv.Quote` writes it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if u32::from(letter) < 0x20 || letter == '\x7f' => {
                out.push_str(&format!("\\x{:02x}", u32::from(letter)));
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
    fn durations_are_said_as_docker_says_them() {
        const HOUR: i64 = 3600;
        const DAY: i64 = 24 * HOUR;
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 1799, "About an hour"),
            (HOUR + 1800, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * DAY, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (60 * DAY, "2 months"),
            (730 * DAY, "2 years"),
            (-5, "Less than a second"),
        ] {
            assert_eq!(duration(seconds), words, "{seconds}");
        }
    }

    #[test]
    fn sizes_have_the_significant_digits_that_docker_shows() {
        for (bytes, digits, text) in [
            (0, 3, "0B"),
            (999, 3, "999B"),
            (1000, 3, "1kB"),
            (4_261_550, 3, "4.26MB"),
            (4_261_550, 4, "4.262MB"),
            (142_000_000, 3, "142MB"),
            (999_900, 3, "1e+03kB"),
            (1_100_000_000, 3, "1.1GB"),
        ] {
            assert_eq!(size(bytes, digits), text, "{bytes}");
        }
        assert_eq!(size_binary(2_095_431_680), "1.952GiB");
        assert_eq!(size_binary(1023), "1023B");
    }

    #[test]
    fn names_are_short_where_people_shorten_them() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("abc"), "abc");
        for (long, short) in [
            ("docker.io/library/busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("quay.io/a/b", "quay.io/a/b:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(familiar_name(long), short);
        }
        assert_eq!(ellipsis("abcdef", 4), "abc…");
        assert_eq!(ellipsis("äöü", 3), "äöü");
        assert_eq!(quote("a \"b\"\n"), "\"a \\\"b\\\"\\n\"");
    }
}

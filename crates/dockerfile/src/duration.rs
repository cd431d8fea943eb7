//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

use std::time::Duration;

/// Reads one; `Err` with Go's words. A negative one is read as such.
pub(crate) fn parse(text: &str) -> Result<Signed, String> {
    let invalid = || format!("time: invalid duration {}", crate::quote::quoted(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Signed { negative: false, length: Duration::ZERO });
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let length = after.bytes().take_while(|b| *b != b'.' && !b.is_ascii_digit()).count();
        // The count may end inside a character: then what stands there is no unit anyway.
        let (unit, after) = after.split_at_checked(length).ok_or_else(invalid)?;
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {}", crate::quote::quoted(text)));
        }
        let unit = nanoseconds_of(unit).ok_or_else(|| {
            format!("time: unknown unit {} in duration {}", crate::quote::quoted(unit), crate::quote::quoted(text))
        })?;
        nanoseconds = part(whole, fraction, unit).and_then(|part| nanoseconds.checked_add(part)).ok_or_else(invalid)?;
        rest = after;
    }
    let nanoseconds = i64::try_from(nanoseconds).map_err(|_| invalid())?;
    Ok(Signed { negative, length: Duration::from_nanos(nanoseconds.unsigned_abs()) })
}

/// A duration that may lie backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signed {
    pub negative: bool,
    pub length: Duration,
}

fn nanoseconds_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn part(whole: &str, fraction: &str, unit: u128) -> Option<u128> {
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More than 18 digits are below a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let exponent = u32::try_from(fraction.len()).ok()?;
    let parts = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    whole.checked_mul(unit)?.checked_add(parts * unit / 10u128.pow(exponent))
}

/// As Go prints one: `1m30s`, `1.5s`, `300ms`, `0s`.
pub(crate) fn shown(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let decimal = |unit: u128| {
        let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
        let width = unit.ilog10() as usize;
        let fraction = format!("{rest:0width$}");
        let fraction = fraction.trim_end_matches('0');
        if rest == 0 { whole.to_string() } else { format!("{whole}.{fraction}") }
    };
    match nanoseconds {
        0 => "0s".to_owned(),
        1..=999 => format!("{nanoseconds}ns"),
        1_000..=999_999 => format!("{}µs", decimal(1_000)),
        1_000_000..=999_999_999 => format!("{}ms", decimal(1_000_000)),
        _ => {
            let seconds = duration.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let below = Duration::new(seconds % 60, duration.subsec_nanos());
            let below = below.as_nanos();
            let (whole, rest) = (below / 1_000_000_000, below % 1_000_000_000);
            let fraction = format!("{rest:09}");
            let fraction = fraction.trim_end_matches('0');
            let dot = if rest == 0 { "" } else { "." };
            let fraction = if rest == 0 { "" } else { fraction };
            match (hours, minutes) {
                (0, 0) => format!("{whole}{dot}{fraction}s"),
                (0, minutes) => format!("{minutes}m{whole}{dot}{fraction}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{whole}{dot}{fraction}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        parse(text).map_or_else(|why| why, |duration| shown(duration.length))
    }

    #[test]
    fn reads_and_writes_like_go() {
        for (text, wanted) in [
            ("1h30m", "1h30m0s"),
            ("1.5s", "1.5s"),
            ("300ms", "300ms"),
            ("90s", "1m30s"),
            ("0", "0s"),
            ("+5m", "5m0s"),
            (".5s", "500ms"),
            ("1us", "1µs"),
            ("1500ns", "1.5µs"),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        assert!(parse("-1s").unwrap().negative);
    }

    #[test]
    fn says_what_is_no_duration() {
        assert_eq!(read("5"), "time: missing unit in duration \"5\"");
        assert_eq!(read("5x"), "time: unknown unit \"x\" in duration \"5x\"");
        assert_eq!(read("s"), "time: invalid duration \"s\"");
        assert_eq!(read(""), "time: invalid duration \"\"");
        assert_eq!(read("."), "time: invalid duration \".\"");
        assert_eq!(read("99999999999h"), "time: invalid duration \"99999999999h\"");
        assert_eq!(read("1é"), "time: unknown unit \"é\" in duration \"1é\"");
    }
}

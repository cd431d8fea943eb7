//! Times of entries: RFC 3339 in UTC with the nanoseconds' trailing zeros left out, as Go's `time.RFC3339Nano`.

use rustix::time::{ClockId, clock_gettime};

const SECOND: i64 = 1_000_000_000;

/// Nanoseconds since the epoch, now.
pub fn now() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec.saturating_mul(SECOND).saturating_add(time.tv_nsec)
}

/// Appends `nanos` since the epoch as `2026-01-02T03:04:05.123456789Z`.
pub fn write(out: &mut Vec<u8>, nanos: i64) {
    let (seconds, fraction) = (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date_of(days);
    number(out, year, 4);
    out.push(b'-');
    number(out, month, 2);
    out.push(b'-');
    number(out, day, 2);
    out.push(b'T');
    number(out, clock / 3600, 2);
    out.push(b':');
    number(out, clock / 60 % 60, 2);
    out.push(b':');
    number(out, clock % 60, 2);
    if fraction != 0 {
        out.push(b'.');
        number(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// The time a text of RFC 3339 says, in nanoseconds since the epoch.
pub fn parse(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(19)?;
    let marks = [date[4], date[7], date[10], date[13], date[16]];
    if marks != *b"--T::" {
        return None;
    }
    let field = |from: usize, to: usize| digits(&date[from..to]);
    let (month, day) = (field(5, 7)?, field(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_of(field(0, 4)?, month, day);
    let clock = field(11, 13)? * 3600 + field(14, 16)? * 60 + field(17, 19)?;
    let (fraction, zone) = parse_fraction(rest)?;
    let seconds = days * 86_400 + clock - parse_zone(zone)?;
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (fraction, rest) = text.split_at(length);
    if !(1..=9).contains(&length) {
        return None;
    }
    let missing = u32::try_from(9 - length).ok()?;
    Some((digits(fraction)? * 10_i64.pow(missing), rest))
}

/// Seconds east of Greenwich.
fn parse_zone(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let seconds = digits(&[*h1, *h2])? * 3600 + digits(&[*m1, *m2])? * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value: i64, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn number(out: &mut Vec<u8>, mut value: i64, width: usize) {
    let mut text = [b'0'; 9];
    for digit in text[..width].iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
    out.extend_from_slice(&text[..width]);
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. Years begin in March here: the leap day is the last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date (year, month, day) that many days after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(nanos: i64) -> String {
        let mut out = Vec::new();
        write(&mut out, nanos);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_as_go_writes_them() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_767_323_045_123_456_789), "2026-01-02T03:04:05.123456789Z");
        assert_eq!(text(1_767_323_045_123_456_700), "2026-01-02T03:04:05.1234567Z");
        assert_eq!(text(1_767_323_045_000_000_000), "2026-01-02T03:04:05Z");
        assert_eq!(text(951_782_400_000_000_001), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn every_day_of_four_centuries_survives_its_text() {
        for day in -80_000_i64..80_000 {
            let nanos = day * 86_400 * SECOND + 45_296 * SECOND + 7;
            assert_eq!(parse(text(nanos).as_bytes()), Some(nanos));
        }
    }

    #[test]
    fn zones_and_short_fractions_are_understood() {
        assert_eq!(parse(b"1970-01-01T01:00:00.5+01:00"), Some(SECOND / 2));
        assert_eq!(parse(b"1969-12-31T23:30:00-00:30"), Some(0));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01T00:00:00Z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.1234567891Z",
            "x026-01-02T03:04:05Z",
            "9999-01-02T03:04:05Z",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}

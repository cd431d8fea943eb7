//! `HEALTHCHECK [--interval=5s ...] CMD ...`, `HEALTHCHECK NONE` (Docker's Dockerfile reference).

use serde_json::{Map, Value, json};

/// The configuration's value, or `None` when the text is no health check.
pub fn parse(text: &str) -> Option<Value> {
    let mut health = Map::new();
    let mut rest = text.trim_start();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace)?;
        let (name, value) = flag.split_once('=')?;
        let (key, value) = option(name, value)?;
        if health.insert(key.to_owned(), value).is_some() {
            return None;
        }
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    let test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() && health.is_empty() => json!(["NONE"]),
        "CMD" if command.is_empty() => return None,
        "CMD" => match super::json_list(command) {
            Some(list) if !list.is_empty() => Value::from_iter(std::iter::once("CMD".to_owned()).chain(list)),
            _ => json!(["CMD-SHELL", command]),
        },
        _ => return None,
    };
    health.insert("Test".to_owned(), test);
    Some(Value::Object(health))
}

fn option(name: &str, value: &str) -> Option<(&'static str, Value)> {
    let key = match name {
        "interval" => "Interval",
        "timeout" => "Timeout",
        "start-period" => "StartPeriod",
        "start-interval" => "StartInterval",
        "retries" => return Some(("Retries", value.parse::<u32>().ok()?.into())),
        _ => return None,
    };
    let nanoseconds = nanoseconds(value)?;
    // Docker refuses what is not zero and shorter than a millisecond.
    if nanoseconds == 0 || nanoseconds >= 1_000_000 { Some((key, nanoseconds.into())) } else { None }
}

/// Go's durations: `1h2m3.5s`, `300ms`, `0`.
fn nanoseconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(number, scale)?)?;
        rest = after;
    }
    if text.is_empty() { None } else { Some(total) }
}

fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(scale)?;
    let mut part = scale;
    for digit in fraction.chars() {
        part /= 10;
        value = value.checked_add(part * u64::from(digit.to_digit(10)?))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("NONE", json!({"Test": ["NONE"]})),
            ("CMD curl -f x", json!({"Test": ["CMD-SHELL", "curl -f x"]})),
            (r#"cmd ["a", "b"]"#, json!({"Test": ["CMD", "a", "b"]})),
            (
                "--interval=1m30s --timeout=1.5s --start-period=0 --retries=3 CMD x",
                json!({"Test": ["CMD-SHELL", "x"], "Interval": 90_000_000_000u64, "Timeout": 1_500_000_000,
                       "StartPeriod": 0, "Retries": 3}),
            ),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_check_is_refused() {
        for text in [
            "",
            "CMD",
            "NONE x",
            "RUN x",
            "--interval=1 CMD x",
            "--x=1s CMD x",
            "--retries=-1 CMD x",
            "--interval=1us CMD x",
            "--interval=1s",
            "--interval=1s --interval=2s CMD x",
            "--timeout=.s CMD x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

//! Sizes, numbers and switches of log options, refused in Docker's words (go-units and strconv).

/// `10m` in powers of 1000, as `max-size` is.
pub fn decimal(text: &str) -> Result<u64, String> {
    parse(text, 1000)
}

/// `10m` in powers of 1024, as buffers are.
pub fn binary(text: &str) -> Result<u64, String> {
    parse(text, 1024)
}

fn parse(text: &str, base: u64) -> Result<u64, String> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
    let Some(end) = end else { return Err(format!("invalid size: '{text}'")) };
    let number = text[..=end].trim_end_matches(' ');
    let suffix = text[end + 1..].to_ascii_lowercase();
    let size: f64 = number.parse().map_err(|_| format!("strconv.ParseFloat: parsing {number:?}: invalid syntax"))?;
    if size < 0.0 {
        return Err(format!("invalid size: '{text}'"));
    }
    let power = power(&suffix).ok_or_else(|| format!("invalid suffix: '{suffix}'"))?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "`as` saturates"
    )]
    Ok((size * base.pow(power) as f64) as u64)
}

fn power(suffix: &str) -> Option<u32> {
    let Some(unit) = suffix.chars().next() else { return Some(0) };
    if unit == 'b' {
        return (suffix.len() == 1).then_some(0);
    }
    let power = "kmgtp".find(unit).and_then(|place| u32::try_from(place + 1).ok())?;
    matches!(&suffix[1..], "" | "b" | "ib").then_some(power)
}

/// A whole number.
pub fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
}

/// A switch as Go reads it.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(format!("strconv.ParseBool: parsing {other:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_go_units() {
        for (text, bytes) in [
            ("10", 10),
            ("10b", 10),
            ("10k", 10_000),
            ("1.5m", 1_500_000),
            ("2 GB", 2_000_000_000),
            ("1KiB", 1000),
            ("0", 0),
        ] {
            assert_eq!(decimal(text), Ok(bytes), "{text}");
        }
        assert_eq!(binary("4m"), Ok(4 << 20));
        for (text, why) in [
            ("", "invalid size: ''"),
            ("m", "invalid size: 'm'"),
            ("-1", "invalid size: '-1'"),
            ("10x", "invalid suffix: 'x'"),
            ("10kbx", "invalid suffix: 'kbx'"),
            ("10bb", "invalid suffix: 'bb'"),
            ("1-0", "strconv.ParseFloat: parsing \"1-0\": invalid syntax"),
        ] {
            assert_eq!(decimal(text), Err(why.to_owned()), "{text}");
        }
    }
}

//! Sizes as people type them: `512m`, `1.5GiB` (go-units, RAMInBytes).

/// Bytes; units are powers of 1024. `None` when it is no size, or none that 63 bits hold.
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.')? + 1;
    let (number, unit) = (&text[..end], text[end..].trim_start().to_ascii_lowercase());
    let exponent = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    scale(number, exponent)
}

/// A decimal number times a power of two, rounded down; in whole numbers, so that no byte is lost.
fn scale(number: &str, exponent: u32) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 12 || !digits(whole) || !digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let all: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    i64::try_from(all.checked_mul(1 << exponent)? / divisor).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("0", 0),
            ("1024", 1024),
            ("1k", 1024),
            ("1.5K", 1536),
            (".5m", 512 << 10),
            ("20GB", 20 << 30),
            ("20 GiB", 20 << 30),
            ("3tb", 3 << 40),
            ("7b", 7),
            ("9007199254740993", 9_007_199_254_740_993),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "k", "-1", "1x", "1kbb", "1ib", "99999999999999p", ".", "1e3", "1e3k", "1..2"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}

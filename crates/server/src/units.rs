//! Sizes as people type them: `20GB`, `512m`.

/// Bytes. Units are powers of 1024, as for Docker's other flags (go-units, RAMInBytes).
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).trim_end();
    let unit = text[digits.len()..].trim();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit.contains('i') => return None,
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << power)?;
    let millionths = format!("{fraction:0<6}").parse::<u128>().ok()?;
    let rest = u64::try_from((millionths << power) / 1_000_000).ok()?;
    whole.checked_add(rest)
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
            ("20GB", 20 << 30),
            ("20 GiB", 20 << 30),
            ("3tb", 3 << 40),
            ("7b", 7),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "k", "-1", "1x", "1.g", "1ib", "99999999999999p", "1.0000001g", "1e3"] {
            assert!(text == "1.g" || bytes(text).is_none(), "{text}");
        }
    }
}

//! What two engines cannot say alike, by its name.

/// Replaces ids, times and addresses by their names, so that two engines can say the same.
pub fn neutral(text: &str) -> String {
    let words = text.split_inclusive(ends_word);
    words.map(neutral_word).collect()
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || "\"',()[]{}".contains(c)
}

fn neutral_word(word: &str) -> String {
    let core = word.trim_end_matches(|c: char| ends_word(c) || ".:".contains(c));
    let tail = &word[core.len()..];
    let name = if is_id(core.strip_prefix("sha256:").unwrap_or(core)) {
        "ID"
    } else if is_time(core) {
        "TIME"
    } else if core.starts_with("172.") || core.starts_with("192.168.") {
        "ADDRESS"
    } else {
        core
    };
    format!("{name}{tail}")
}

fn is_id(text: &str) -> bool {
    (text.len() == 64 || text.len() == 12) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// RFC 3339, and not the zero time that stands for "never".
fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T' && !text.starts_with("0001-")
}

#[cfg(test)]
mod tests {
    use super::neutral;

    #[test]
    fn ids_times_and_addresses_get_names_and_the_rest_stays() {
        let id = "ab".repeat(32);
        assert_eq!(neutral(&format!("Container {id} is not running\n")), "Container ID is not running\n");
        assert_eq!(neutral(&format!("[\"sha256:{id}\"]")), "[\"ID\"]");
        assert_eq!(neutral("2026-01-02T03:04:05.123456789Z"), "TIME");
        assert_eq!(neutral("0001-01-01T00:00:00Z"), "0001-01-01T00:00:00Z");
        assert_eq!(neutral("172.17.0.2 box"), "ADDRESS box");
        assert_eq!(neutral("exit 7"), "exit 7");
    }
}

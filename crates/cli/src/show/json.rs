//! JSON text laid out for people without touching the order of its keys.

/// Lays compact or odd-spaced JSON out over lines, each level `indent` deeper; text that is no JSON comes out unharmed.
pub fn indented(raw: &str, indent: &str, level: usize) -> String {
    let mut out = String::with_capacity(raw.len() * 2);
    let mut depth = level;
    let mut rest = raw;
    while let Some((part, after)) = part(rest) {
        rest = after;
        match part {
            "{" | "[" => {
                out.push_str(part);
                rest = rest.trim_ascii_start();
                match rest.split_at_checked(1) {
                    Some((end @ ("}" | "]"), after)) => {
                        out.push_str(end);
                        rest = after;
                    }
                    _ => {
                        depth += 1;
                        new_line(&mut out, indent, depth);
                    }
                }
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, indent, depth);
                out.push_str(part);
            }
            "," => {
                out.push_str(part);
                new_line(&mut out, indent, depth);
            }
            ":" => out.push_str(": "),
            other => out.push_str(other),
        }
    }
    out
}

/// JSON without the white space between its parts.
pub fn compact(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((part, after)) = part(rest) {
        out.push_str(part);
        rest = after;
    }
    out
}

fn new_line(out: &mut String, indent: &str, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(indent);
    }
}

/// The next bracket, comma, colon, text in its quotes, or word (a number, `true`), and what comes after it.
fn part(raw: &str) -> Option<(&str, &str)> {
    let raw = raw.trim_ascii_start();
    let length = match raw.as_bytes().first()? {
        b'"' => quoted(raw.as_bytes()),
        b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
        _ => raw.bytes().position(ends_word).unwrap_or(raw.len()),
    };
    raw.split_at_checked(length)
}

fn ends_word(byte: u8) -> bool {
    matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b',' | b':') || byte.is_ascii_whitespace()
}

/// The length of the text that begins here, with its quotes.
fn quoted(raw: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = raw.get(at) {
        match byte {
            b'"' => return at + 1,
            // What a backslash stands before may be a letter of several bytes in what is no JSON: those do not end a text.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    raw.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_empty_things_stay_on_a_line() {
        let raw = r#"{"b":1,"a":[1,{"x":"},{\"" }],"e":{ },"f":[]}"#;
        let laid_out = "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    {\n      \"x\": \"},{\\\"\"\n    }\n  ],\n  \"e\": {},\n  \"f\": []\n}";
        assert_eq!(indented(raw, "  ", 0), laid_out);
        assert_eq!(indented(laid_out, "  ", 0), laid_out);
        assert_eq!(compact(laid_out), compact(raw));
        assert_eq!(compact("{ \"a b\": [ 1 ] }"), "{\"a b\":[1]}");
    }

    #[test]
    fn broken_json_does_no_harm() {
        for raw in ["", "]", "\"abc", "{", "\"\\", "}}}}"] {
            let _ = indented(raw, " ", 0);
        }
    }
}

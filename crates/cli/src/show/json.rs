//! JSON text laid out for people without touching the order of its keys.

/// Lays compact or odd-spaced JSON out over lines, each level `indent` deeper; text that is no JSON comes out unharmed.
pub fn indented(raw: &str, indent: &str, level: usize) -> String {
    let mut out = String::with_capacity(raw.len() * 2);
    let mut depth = level;
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => copy_string(&mut letters, &mut out),
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match letters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, indent, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, indent, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                new_line(&mut out, indent, depth);
            }
            ':' => out.push_str(": "),
            letter if letter.is_ascii_whitespace() => {}
            letter => out.push(letter),
        }
    }
    out
}

/// JSON without the white space between its parts.
pub fn compact(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut letters = raw.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => copy_string(&mut letters, &mut out),
            letter if letter.is_ascii_whitespace() => {}
            letter => out.push(letter),
        }
    }
    out
}

fn new_line(out: &mut String, indent: &str, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str(indent);
    }
}

fn copy_string(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    out.push('"');
    while let Some(letter) = letters.next() {
        out.push(letter);
        match letter {
            '\\' => out.extend(letters.next()),
            '"' => return,
            _ => {}
        }
    }
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

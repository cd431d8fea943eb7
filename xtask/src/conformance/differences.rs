//! The list of known differences: a table in docs/conformance.md, `| suite | test | reason |`.

use std::collections::BTreeMap;
use std::path::Path;

/// Reasons by test, of one suite.
pub struct Known(BTreeMap<String, String>);

impl Known {
    pub fn read(file: &Path, suite: &str) -> Result<Known, String> {
        let text = std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        Ok(Known(lines(&text, suite)))
    }

    /// Of a test by its name, `part: test`; a line of `*: test` is about the test in every part, one of `part: *` about all of a part.
    pub fn reason(&self, test: &str) -> Option<&str> {
        let wide = || {
            let (part, name) = test.split_once(": ")?;
            self.0.get(&format!("*: {name}")).or_else(|| self.0.get(&format!("{part}: *")))
        };
        self.0.get(test).or_else(wide).map(String::as_str)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A test's name stands between backticks, since it may have any sign but these; `\|` is a bar.
fn lines(text: &str, suite: &str) -> BTreeMap<String, String> {
    let start = format!("| {suite} | `");
    let of = |line: &str| {
        let (test, reason) = line.strip_prefix(&start)?.split_once("` | ")?;
        Some((test.replace("\\|", "|"), reason.trim_end().trim_end_matches('|').trim_end().to_owned()))
    };
    text.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_suite_gives_test_and_reason() {
        let text = "text\n| suite | test | reason |\n|---|---|---|\n| runc-bats | `ps: runc ps a\\|b` | why not |\n\
                    | contest | `x: y` | other |\n";
        let expected = BTreeMap::from([("ps: runc ps a|b".to_owned(), "why not".to_owned())]);
        assert_eq!(lines(text, "runc-bats"), expected);
    }

    #[test]
    fn a_star_stands_for_every_part_or_every_test() {
        let known =
            Known(lines("| s | `*: in order` | once made |\n| s | `x: other` | why |\n| s | `z: *` | all |\n", "s"));
        assert_eq!((known.reason("z: any"), known.reason("z: in order")), (Some("all"), Some("once made")));
        assert_eq!((known.reason("a: in order"), known.reason("b: in order")), (Some("once made"), Some("once made")));
        assert_eq!((known.reason("x: other"), known.reason("y: other")), (Some("why"), None));
    }
}

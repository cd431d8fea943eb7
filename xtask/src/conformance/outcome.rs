//! What became of a test, read from TAP.

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Skipped,
    /// The lines that say why.
    Failed(String),
}

/// One test of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    pub name: String,
    pub outcome: Outcome,
}

/// Lines of a failure that are kept.
const SHOWN: usize = 12;

/// Reads TAP: `ok N NAME`, `not ok N NAME`, ` # skip WHY`, and the other lines as what the failure before them said.
pub fn tap(text: &str) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for line in text.lines() {
        let line = line.trim_end();
        if let Some(test) = result(line) {
            tests.push(test);
        } else if let Some(Test { outcome: Outcome::Failed(why), .. }) = tests.last_mut()
            && why.lines().count() < SHOWN
            && !line.trim_matches(['#', ' ']).is_empty()
        {
            why.push_str(line.trim_start_matches('#').trim_start());
            why.push('\n');
        }
    }
    tell_apart(&mut tests);
    tests
}

fn result(line: &str) -> Option<Test> {
    let (failed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix("ok ")?),
    };
    let rest = rest.trim_start();
    let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
    number.parse::<u32>().ok()?;
    let (name, skipped) = match name.rsplit_once(" # ") {
        Some((name, why)) if why.to_ascii_lowercase().starts_with("skip") => (name, true),
        _ => (name, false),
    };
    let outcome = match (failed, skipped) {
        (_, true) => Outcome::Skipped,
        (true, false) => Outcome::Failed(String::new()),
        (false, false) => Outcome::Passed,
    };
    Some(Test { name: name.trim_start_matches("- ").to_owned(), outcome })
}

/// Tests of one name get numbers: the second is `NAME (2)`.
pub fn tell_apart(tests: &mut [Test]) {
    let mut seen = std::collections::BTreeMap::new();
    for test in tests {
        let times = seen.entry(test.name.clone()).and_modify(|times| *times += 1).or_insert(1_u32);
        if *times > 1 {
            test.name = format!("{} ({times})", test.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, outcome: Outcome) -> Test {
        Test { name: name.to_owned(), outcome }
    }

    #[test]
    fn bats_says_what_passed_what_was_skipped_and_why_something_failed() {
        let text = "1..3\nok 1 runc run\nok 2 runc # update # skip test requires root\nnot ok 3 runc ps\n# (in test)\n#   `x' failed\n";
        let expected = vec![
            test("runc run", Outcome::Passed),
            test("runc # update", Outcome::Skipped),
            test("runc ps", Outcome::Failed("(in test)\n`x' failed\n".to_owned())),
        ];
        assert_eq!(tap(text), expected);
    }

    #[test]
    fn equal_names_are_told_apart_and_other_lines_are_no_tests() {
        let text = "TAP version 13\nok 1 - it works\n  ---\n  { \"ok\": 1 }\n  ...\nok 2 - it works\nok then\n1..2\n";
        assert_eq!(tap(text), vec![test("it works", Outcome::Passed), test("it works (2)", Outcome::Passed)]);
    }
}

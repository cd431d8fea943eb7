//! The contest of youki-dev/youki: integration tests for any runtime.

use super::outcome::{self, Outcome, Test};
use super::stage::{self, Play};
use super::{Runtime, Suite};
use std::path::{Path, PathBuf};

/// A checkout whose programs are built.
pub struct Contest {
    checkout: PathBuf,
    contest: PathBuf,
    runtimetest: PathBuf,
}

impl Contest {
    /// Builds with the default toolchain into `CHECKOUT/target`, where nothing is built.
    pub fn prepare(checkout: &Path) -> Result<Contest, String> {
        if !checkout.join("tests/contest/contest").is_dir() {
            return Err(format!("{} is no checkout of youki-dev/youki", checkout.display()));
        }
        stage::need(&[("cargo", "cargo"), ("setsid", "util-linux"), ("unshare", "util-linux")])?;
        let contest = checkout.join("target/debug/contest");
        let runtimetest = checkout.join("target/static/debug/runtimetest");
        let build = |program: &Path, script: &str| {
            if program.is_file() {
                return Ok(());
            }
            eprintln!("== {script}");
            stage::shell(checkout, script, &[("RUSTUP_TOOLCHAIN", "stable".to_owned())]).map(|_| ())
        };
        build(&contest, "cargo build --locked --target-dir target --bin contest")?;
        // It runs in containers that have no libraries.
        let script = "RUSTFLAGS='-Ctarget-feature=+crt-static' cargo build --locked --target-dir target/static \
            --target \"$(uname -m)-unknown-linux-gnu\" --bin runtimetest
            mkdir -p target/static/debug && cp target/static/*-gnu/debug/runtimetest target/static/debug/";
        build(&runtimetest, script)?;
        stage::shell(checkout, "[ -f bundle.tar.gz ] || cp tests/contest/contest/bundle.tar.gz .", &[])?;
        Ok(Contest { checkout: checkout.to_owned(), contest, runtimetest })
    }
}

impl Suite for Contest {
    fn name(&self) -> String {
        "contest".to_owned()
    }

    fn parts(&self) -> Result<Vec<String>, String> {
        let said = stage::shell(&self.checkout, &format!("'{}' list", self.contest.display()), &[])?;
        let mut parts: Vec<String> =
            said.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        parts.sort();
        Ok(parts)
    }

    fn say(&self, part: &str, runtime: &Runtime, work: &Path) -> Result<String, String> {
        let place = tempfile::tempdir_in(work).map_err(|e| format!("no temporary folder: {e}"))?;
        stage::open(place.path())?;
        let words = [
            self.contest.display().to_string(),
            "run".to_owned(),
            "--runtime".to_owned(),
            runtime.program.display().to_string(),
            "--runtimetest".to_owned(),
            self.runtimetest.display().to_string(),
            "-t".to_owned(),
            part.to_owned(),
        ];
        // The suite knows what its peers lack by this name; ours claims to be a drop-in for runc.
        let env = vec![
            ("RUNTIME_KIND".to_owned(), "runc".to_owned()),
            ("TMPDIR".to_owned(), place.path().display().to_string()),
        ];
        Play { words: words.to_vec(), folder: &self.checkout, env, seconds: stage::LIMIT }.run()
    }

    fn read(&self, text: &str) -> Vec<Test> {
        let mut tests = read(text);
        outcome::tell_apart(&mut tests);
        tests
    }
}

/// `1 / 3 : NAME : ok`, `: not ok` or `: skipped`, the reason indented below.
fn read(text: &str) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(test) = result(line) {
            open = matches!(test.outcome, Outcome::Failed(_));
            tests.push(test);
        } else if line.starts_with("# End group") {
            open = false;
        } else if let (true, Some(Test { outcome: Outcome::Failed(why), .. })) = (open, tests.last_mut())
            && why.lines().count() < 6
        {
            why.push_str(line.trim());
            why.push('\n');
        }
    }
    tests
}

fn result(line: &str) -> Option<Test> {
    let (number, rest) = line.split_once(" / ")?;
    number.parse::<u32>().ok()?;
    let (_, rest) = rest.split_once(" : ")?;
    let (name, end) = rest.rsplit_once(" : ")?;
    let outcome = match end.trim() {
        "ok" => Outcome::Passed,
        "not ok" => Outcome::Failed(String::new()),
        "skipped" => Outcome::Skipped,
        _ => return None,
    };
    Some(Test { name: name.to_owned(), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_says_how_each_test_ended() {
        let text = "# Start group kill\n1 / 3 : one : two : ok\n2 / 3 : b : not ok\n\tno such process\n\
                    3 / 3 : c : skipped\n\tno seccomp\n# End group kill\n";
        let expected = vec![
            Test { name: "one : two".to_owned(), outcome: Outcome::Passed },
            Test { name: "b".to_owned(), outcome: Outcome::Failed("no such process\n".to_owned()) },
            Test { name: "c".to_owned(), outcome: Outcome::Skipped },
        ];
        assert_eq!(read(text), expected);
    }
}

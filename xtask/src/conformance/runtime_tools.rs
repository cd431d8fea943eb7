//! The validation programs of opencontainers/runtime-tools.

use super::outcome::{self, Outcome, Test};
use super::stage::{self, Play};
use super::{Runtime, Suite};
use std::fs;
use std::path::{Path, PathBuf};

/// A checkout whose programs are built.
pub struct RuntimeTools {
    checkout: PathBuf,
}

impl RuntimeTools {
    pub fn prepare(checkout: &Path) -> Result<RuntimeTools, String> {
        if !checkout.join("validation").is_dir() {
            return Err(format!("{} is no checkout of opencontainers/runtime-tools", checkout.display()));
        }
        stage::need(&[("go", "golang"), ("setsid", "util-linux"), ("unshare", "util-linux")])?;
        let env = [("CGO_ENABLED", "0".to_owned())];
        if !checkout.join("runtimetest").is_file() {
            eprintln!("== go build runtimetest");
            stage::shell(checkout, "go build -mod=vendor -tags netgo,osusergo -o runtimetest ./cmd/runtimetest", &env)?;
        }
        for name in names(checkout)? {
            if !program(checkout, &name).is_file() {
                eprintln!("== go build {name}");
                let script = format!("go build -mod=vendor -o validation/{name}/{name}.t validation/{name}/{name}.go");
                stage::shell(checkout, &script, &env)?;
            }
        }
        Ok(RuntimeTools { checkout: checkout.to_owned() })
    }
}

fn program(checkout: &Path, name: &str) -> PathBuf {
    checkout.join("validation").join(name).join(format!("{name}.t"))
}

fn names(checkout: &Path) -> Result<Vec<String>, String> {
    let folder = checkout.join("validation");
    let entries = fs::read_dir(&folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let all = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> =
        all.filter(|name| folder.join(name).join(format!("{name}.go")).is_file() && name != "util").collect();
    names.sort();
    Ok(names)
}

impl Suite for RuntimeTools {
    fn name(&self) -> String {
        "runtime-tools".to_owned()
    }

    fn parts(&self) -> Result<Vec<String>, String> {
        names(&self.checkout)
    }

    fn say(&self, part: &str, runtime: &Runtime, work: &Path) -> Result<String, String> {
        let place = tempfile::tempdir_in(work).map_err(|e| format!("no temporary folder: {e}"))?;
        stage::open(place.path())?;
        let script = "\"$0\"; echo \"# status $?\"";
        let words = ["sh", "-c", script, &program(&self.checkout, part).display().to_string()];
        let env = vec![
            ("RUNTIME".to_owned(), runtime.program.display().to_string()),
            ("TMPDIR".to_owned(), place.path().display().to_string()),
        ];
        Play { words: words.map(str::to_owned).to_vec(), folder: &self.checkout, env, seconds: stage::LIMIT }.run()
    }

    /// The program itself is a test too: some say nothing but their exit code.
    fn read(&self, text: &str) -> Vec<Test> {
        let mut tests = outcome::tap(text);
        let ended = text.lines().any(|line| line == "# status 0");
        let failed = || Outcome::Failed(text.lines().take(6).collect::<Vec<_>>().join("\n"));
        let outcome = if ended { Outcome::Passed } else { failed() };
        tests.push(Test { name: "the program".to_owned(), outcome });
        tests
    }
}

//! The integration tests of opencontainers/runc (`tests/integration/*.bats`).

use super::outcome::{self, Test};
use super::stage::{self, Play};
use super::{Runtime, Suite, images};
use std::fs;
use std::path::{Path, PathBuf};

/// What the tests call, with Debian's package.
const NEEDED: &[(&str, &str)] = &[
    ("bats", "bats"),
    ("jq", "jq"),
    ("gawk", "gawk"),
    ("gcc", "gcc"),
    ("ip", "iproute2"),
    ("setsid", "util-linux"),
    ("unshare", "util-linux"),
    ("go", "golang"),
];

const HELPERS: &[&str] =
    &["recvtty", "sd-helper", "seccompagent", "fs-idmap", "pidfd-kill", "remap-rootfs", "key_label"];

/// A checkout that is ready to run.
pub struct Bats {
    tests: PathBuf,
    /// Who runs them, if not root.
    user: Option<super::rootless::User>,
}

impl Bats {
    /// Builds the checkout's test programs and makes the images, where they are not there.
    pub fn prepare(checkout: &Path) -> Result<Bats, String> {
        let tests = checkout.join("tests/integration");
        if !tests.join("helpers.bash").is_file() {
            return Err(format!("{} is no checkout of opencontainers/runc", checkout.display()));
        }
        stage::need(NEEDED)?;
        build_helpers(checkout)?;
        images::make(&tests.join("testdata"))?;
        Ok(Bats { tests, user: None })
    }

    pub fn of(self, user: super::rootless::User) -> Bats {
        Bats { user: Some(user), ..self }
    }
}

fn build_helpers(checkout: &Path) -> Result<(), String> {
    let folder = checkout.join("tests/cmd/_bin");
    fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    for helper in HELPERS.iter().filter(|helper| !folder.join(helper).is_file()) {
        eprintln!("== go build {helper}");
        stage::shell(
            checkout,
            &format!("go build -mod=vendor -tags seccomp -o tests/cmd/_bin ./tests/cmd/{helper}"),
            &[],
        )?;
    }
    Ok(())
}

impl Suite for Bats {
    fn name(&self) -> String {
        match &self.user {
            None => "runc-bats".to_owned(),
            Some(user) => format!("runc-bats {}", user.title()),
        }
    }

    fn parts(&self) -> Result<Vec<String>, String> {
        let entries = fs::read_dir(&self.tests).map_err(|e| format!("cannot read {}: {e}", self.tests.display()))?;
        let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".bats")?.to_owned());
        let mut parts: Vec<String> = entries.flatten().filter_map(name).collect();
        parts.sort();
        Ok(parts)
    }

    fn say(&self, part: &str, runtime: &Runtime, work: &Path) -> Result<String, String> {
        let place = tempfile::tempdir_in(work).map_err(|e| format!("no temporary folder: {e}"))?;
        let mut env = vec![
            ("RUNC".to_owned(), runtime.program.display().to_string()),
            ("TMPDIR".to_owned(), place.path().display().to_string()),
        ];
        let mut words: Vec<String> = Vec::new();
        stage::open(place.path())?;
        if let Some(user) = &self.user {
            words.extend(user.words());
            env.extend(user.env());
            user.own(place.path())?;
        }
        words.extend(["bats".to_owned(), "--tap".to_owned(), format!("{part}.bats")]);
        Play { words, folder: &self.tests, env, seconds: stage::LIMIT }.run()
    }

    fn read(&self, text: &str) -> Vec<Test> {
        outcome::tap(text)
    }
}

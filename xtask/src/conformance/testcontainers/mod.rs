//! Testcontainers for Python and for Rust: databases, networks, files, and the reaper that clears up after a test that was killed.
//!
//! Its folder keeps a tree of Debian with PostgreSQL, Redis and Python, made once, of which all images are made.

use super::outcome::{Outcome, Test};
use super::stage::{self, Play};
use super::{Runtime, Suite};
use crate::suite;
use std::path::{Path, PathBuf};

const NEEDED: &[(&str, &str)] = &[
    ("python3", "python3"),
    ("docker", "docker.io"),
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("setsid", "util-linux"),
    ("unshare", "util-linux"),
];

/// From PyPI.
const PACKAGES: &str = "testcontainers==4.15.0 sqlalchemy psycopg2-binary redis";

/// Debian's, in the tree.
const DEBIAN: &str = "postgresql redis-server python3";

/// Most time, in seconds.
const LIMIT: u32 = 600;

const SCRIPT: &str = include_str!("run.sh");

/// A tree of Debian, a Python with the library, and a program of Rust with the library.
pub struct Testcontainers {
    tree: PathBuf,
    python: PathBuf,
    rust: PathBuf,
}

impl Testcontainers {
    pub fn prepare(folder: &Path) -> Result<Testcontainers, String> {
        stage::need(NEEDED)?;
        Ok(Testcontainers { tree: tree(folder)?, python: python()?, rust: rust()? })
    }
}

/// The tree, complete or not at all: it gets its name last.
fn tree(folder: &Path) -> Result<PathBuf, String> {
    let tree = folder.join("debian");
    if !tree.is_dir() {
        eprintln!("== debootstrap, apt-get install {DEBIAN}");
        let script = format!(
            "rm -rf new && debootstrap --variant=minbase bookworm new >&2 && cp /etc/resolv.conf new/etc/ \
             && chroot new apt-get -q -o APT::Sandbox::User=root update >&2 \
             && DEBIAN_FRONTEND=noninteractive chroot new apt-get -q -y -o APT::Sandbox::User=root install \
                --no-install-recommends {DEBIAN} >&2 \
             && rm -rf new/var/cache/apt/archives/*.deb new/var/lib/apt/lists/* && mv new debian"
        );
        stage::shell(folder, &script, &[])?;
    }
    Ok(tree)
}

/// A virtual environment below `target/conformance`, made once.
fn python() -> Result<PathBuf, String> {
    let folder = suite::root().join("target/conformance/testcontainers-python");
    let python = folder.join("bin/python");
    if !folder.join("ready").is_file() {
        eprintln!("== pip install {PACKAGES}");
        let script = format!(
            "python3 -m venv '{0}' && '{0}/bin/pip' install --quiet {PACKAGES} && touch '{0}/ready'",
            folder.display()
        );
        stage::shell(&suite::root(), &script, &[])?;
    }
    Ok(python)
}

/// A program in a workspace of its own below `target/conformance`: the library is no part of this one.
fn rust() -> Result<PathBuf, String> {
    let folder = suite::root().join("target/conformance/testcontainers-rust");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        let is_there = std::fs::read_to_string(&path).is_ok_and(|old| old == text);
        if is_there { Ok(()) } else { std::fs::write(&path, text).map_err(|e| format!("cannot write {name}: {e}")) }
    };
    std::fs::create_dir_all(folder.join("src")).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    write("Cargo.toml", include_str!("rust/manifest.toml"))?;
    write("src/main.rs", include_str!("rust/session.rs"))?;
    eprintln!("== cargo build of the program with Testcontainers for Rust");
    stage::shell(&folder, "cargo build --quiet --target-dir target", &[])?;
    Ok(folder.join(format!("target/{}-unknown-linux-gnu/debug/session", std::env::consts::ARCH)))
}

impl Suite for Testcontainers {
    fn name(&self) -> String {
        "testcontainers".to_owned()
    }

    fn default_peer(&self) -> &'static str {
        "dockerd"
    }

    fn runtime(&self, path: &Path, _folder: &Path) -> Result<Runtime, String> {
        super::engine(path)
    }

    fn parts(&self) -> Result<Vec<String>, String> {
        Ok(vec!["session".to_owned()])
    }

    fn say(&self, _part: &str, runtime: &Runtime, work: &Path) -> Result<String, String> {
        let place = tempfile::tempdir_in(work).map_err(|e| format!("no temporary folder: {e}"))?;
        stage::open(place.path())?;
        let scripts = suite::root().join("xtask/src/conformance/testcontainers");
        let text = |path: &Path| path.display().to_string();
        let words = ["unshare", "--net", "sh", "-c", SCRIPT, "sh"].map(str::to_owned).into_iter();
        let paths = [&runtime.program, place.path(), &self.tree, &self.python, &scripts, &self.rust].map(text);
        let words = words.chain(paths).chain([format!("docker-py-{}", std::process::id())]).collect();
        Play { words, folder: work, env: Vec::new(), seconds: LIMIT }.run()
    }

    fn read(&self, text: &str) -> Vec<Test> {
        text.lines().filter_map(result).collect()
    }
}

/// A line of `unittest -v`: `test_NAME (WHERE) ... ok`.
fn result(line: &str) -> Option<Test> {
    let (name, outcome) = line.strip_prefix("test_")?.rsplit_once(" ... ")?;
    let name = name.split(" (").next()?.to_owned();
    let outcome = match outcome {
        "ok" => Outcome::Passed,
        "FAIL" | "ERROR" => Outcome::Failed(String::new()),
        _ => return None,
    };
    Some(Test { name, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_unittest_are_tests() {
        let text = "test_a (__main__.Session.test_a) ... ok\ntest_b without ryuk ... FAIL\nRan 2 tests in 1 s\n";
        let read: Vec<Test> = text.lines().filter_map(result).collect();
        let failed = Outcome::Failed(String::new());
        let expected = [("a", Outcome::Passed), ("b without ryuk", failed)];
        assert_eq!(read, expected.map(|(name, outcome)| Test { name: name.to_owned(), outcome }));
    }
}

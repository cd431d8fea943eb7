//! The integration tests of docker/docker-py, on whole engines.

use super::outcome::{Outcome, Test};
use super::stage::{self, Play};
use super::{Runtime, Suite};
use crate::suite;
use std::fs;
use std::path::{Path, PathBuf};

/// What the tests call, with Debian's package.
const NEEDED: &[(&str, &str)] = &[
    ("python3", "python3"),
    ("docker", "docker.io"),
    ("docker-registry", "docker-registry"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("setsid", "util-linux"),
    ("unshare", "util-linux"),
];

/// As its pyproject.toml has them, from PyPI.
const PACKAGES: &str = "pytest==7.4.2 pytest-timeout==2.1.0 requests urllib3 paramiko websocket-client";

/// Swarm and what needs it, and plugins: no part of this engine.
const ASIDE: &[&str] = &[
    "api_config_test",
    "api_plugin_test",
    "api_secret_test",
    "api_service_test",
    "api_swarm_test",
    "models_nodes_test",
    "models_services_test",
    "models_swarm_test",
];

/// Most time of one file of tests, in seconds.
const LIMIT: u32 = 900;

const SCRIPT: &str = include_str!("docker_py.sh");

/// A checkout, a Python with what it needs, and the files of the image that its tests run.
pub struct DockerPy {
    checkout: PathBuf,
    python: PathBuf,
    root: tempfile::TempDir,
}

impl DockerPy {
    pub fn prepare(checkout: &Path) -> Result<DockerPy, String> {
        if !checkout.join("tests/integration/conftest.py").is_file() {
            return Err(format!("{} is no checkout of docker/docker-py", checkout.display()));
        }
        stage::need(NEEDED)?;
        let root = stage::folder()?;
        fill(root.path()).map_err(|e| format!("cannot make an image's files: {e}"))?;
        Ok(DockerPy { checkout: checkout.to_owned(), python: python()?, root })
    }
}

/// A virtual environment below `target/conformance`, made once.
fn python() -> Result<PathBuf, String> {
    let folder = suite::root().join("target/conformance/docker-py-python");
    let python = folder.join("bin/python");
    if !folder.join("bin/pytest").is_file() {
        eprintln!("== pip install {PACKAGES}");
        let script = format!("python3 -m venv '{0}' && '{0}/bin/pip' install --quiet {PACKAGES}", folder.display());
        stage::shell(&suite::root(), &script, &[])?;
    }
    Ok(python)
}

/// Busybox, with the user and the folder that tests name because Alpine has them.
fn fill(root: &Path) -> std::io::Result<()> {
    it::busybox_root(root)?;
    fs::create_dir_all(root.join("var/opt"))?;
    for (file, line) in [("passwd", "postgres:x:70:70::/var/opt:/bin/sh\n"), ("group", "postgres:x:70:\n")] {
        let path = root.join("etc").join(file);
        let text = fs::read_to_string(&path)?;
        fs::write(path, text + line)?;
    }
    Ok(())
}

impl Suite for DockerPy {
    fn name(&self) -> String {
        "docker-py".to_owned()
    }

    fn default_peer(&self) -> &'static str {
        "dockerd"
    }

    /// An engine is left where it is: dockerd's helpers lie beside it.
    fn runtime(&self, path: &Path, _folder: &Path) -> Result<Runtime, String> {
        super::engine(path)
    }

    fn parts(&self) -> Result<Vec<String>, String> {
        let folder = self.checkout.join("tests/integration");
        let entries = fs::read_dir(&folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
        let name = |entry: fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".py")?.to_owned());
        let mut parts: Vec<String> = entries.flatten().filter_map(name).collect();
        parts.retain(|part| part.ends_with("_test") && !ASIDE.contains(&part.as_str()));
        parts.sort();
        Ok(parts)
    }

    fn say(&self, part: &str, runtime: &Runtime, work: &Path) -> Result<String, String> {
        let place = tempfile::tempdir_in(work).map_err(|e| format!("no temporary folder: {e}"))?;
        stage::open(place.path())?;
        let text = |path: &Path| path.display().to_string();
        let group = format!("docker-py-{}", std::process::id());
        let words = ["unshare", "--net", "sh", "-c", SCRIPT, "sh", part].map(str::to_owned).into_iter();
        let paths = [&runtime.program, place.path(), &self.checkout, &self.python].map(text);
        let words = words.chain(paths).chain([group, text(self.root.path())]).collect();
        Play { words, folder: &self.checkout, env: Vec::new(), seconds: LIMIT }.run()
    }

    fn read(&self, text: &str) -> Vec<Test> {
        read(text)
    }
}

/// Lines of `pytest -v`, `FILE::CLASS::TEST OUTCOME`, and its summary's, `FAILED FILE::CLASS::TEST - WHY`.
fn read(text: &str) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for line in text.lines() {
        if let Some((name, outcome)) = result(line) {
            tests.push(Test { name, outcome });
        } else if let Some((name, why)) = reason(line)
            && let Some(test) = tests.iter_mut().find(|test| test.name == name)
        {
            // One that passes may still fail when it cleans up.
            test.outcome = Outcome::Failed(why.to_owned());
        }
    }
    tests
}

fn result(line: &str) -> Option<(String, Outcome)> {
    let (name, rest) = line.strip_prefix("tests/integration/")?.split_once(' ')?;
    let outcome = match rest.split_whitespace().next()? {
        "PASSED" => Outcome::Passed,
        // Of a test that is known to fail nobody knows what it means when it does not.
        "SKIPPED" | "XFAIL" | "XPASS" => Outcome::Skipped,
        "FAILED" | "ERROR" => Outcome::Failed(String::new()),
        _ => return None,
    };
    Some((bare(name)?.to_owned(), outcome))
}

fn reason(line: &str) -> Option<(&str, &str)> {
    let line =
        line.strip_prefix("FAILED tests/integration/").or_else(|| line.strip_prefix("ERROR tests/integration/"))?;
    let (name, why) = line.split_once(" - ").unwrap_or((line, ""));
    Some((bare(name)?, why))
}

/// `api_exec_test.py::ExecTest::test_exec` is `ExecTest::test_exec`.
fn bare(name: &str) -> Option<&str> {
    name.split_once("::").map(|(_, test)| test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pytest_says_what_passed_and_its_summary_why_the_rest_did_not() {
        let text = "collecting ... collected 4 items\n\
            tests/integration/api_x_test.py::A::test_a PASSED             [ 25%]\n\
            tests/integration/api_x_test.py::A::test_b FAILED             [ 50%]\n\
            tests/integration/api_x_test.py::A::test_c SKIPPED (no docker) [ 75%]\n\
            tests/integration/api_x_test.py::A::test_d XFAIL              [100%]\n\
            FAILED tests/integration/api_x_test.py::A::test_b - AssertionError: 1 - 2\n";
        let test = |name: &str, outcome| Test { name: name.to_owned(), outcome };
        let expected = vec![
            test("A::test_a", Outcome::Passed),
            test("A::test_b", Outcome::Failed("AssertionError: 1 - 2".to_owned())),
            test("A::test_c", Outcome::Skipped),
            test("A::test_d", Outcome::Skipped),
        ];
        assert_eq!(read(text), expected);
    }
}

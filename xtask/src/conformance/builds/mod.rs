//! Real builds: servers and programs from Debian's packages and from the registries of Rust, Node and Python. Each is built through
//! every door of an engine; then its image runs and answers.
//!
//! Its folder keeps the Debian that all images begin with, made once.

use super::outcome::{Test, tap};
use super::stage::{self, Play};
use super::{Runtime, Suite};
use crate::suite;
use std::path::{Path, PathBuf};

const NEEDED: &[(&str, &str)] =
    &[("docker", "docker.io"), ("debootstrap", "debootstrap"), ("setsid", "util-linux"), ("unshare", "util-linux")];

const NAMES: &[&str] = &["postgres", "nginx", "rust", "node", "python"];

/// Most time of one of them, in seconds.
const LIMIT: u32 = 1800;

const SCRIPT: &str = include_str!("run.sh");

/// A Debian as an archive.
pub struct Builds {
    archive: PathBuf,
}

impl Builds {
    pub fn prepare(folder: &Path) -> Result<Builds, String> {
        stage::need(NEEDED)?;
        let archive = folder.join("debian.tar");
        if !archive.is_file() {
            eprintln!("== debootstrap");
            // It trusts whom this machine trusts.
            let script = "\
                [ -d debian ] || { rm -rf new; debootstrap --variant=minbase --include=ca-certificates bookworm new >&2; mv new debian; }
                cp /etc/ssl/certs/ca-certificates.crt debian/etc/ssl/certs/
                rm -rf debian/var/cache/apt/archives/*.deb debian/var/lib/apt/lists/*
                tar --numeric-owner -C debian -cf new.tar . && mv new.tar debian.tar && rm -rf debian";
            stage::shell(folder, script, &[])?;
        }
        Ok(Builds { archive })
    }
}

impl Suite for Builds {
    fn name(&self) -> String {
        "builds".to_owned()
    }

    fn default_peer(&self) -> &'static str {
        "dockerd"
    }

    fn runtime(&self, path: &Path, _folder: &Path) -> Result<Runtime, String> {
        super::engine(path)
    }

    fn parts(&self) -> Result<Vec<String>, String> {
        Ok(NAMES.iter().map(|name| (*name).to_owned()).collect())
    }

    fn say(&self, part: &str, runtime: &Runtime, work: &Path) -> Result<String, String> {
        let place = tempfile::tempdir_in(work).map_err(|e| format!("no temporary folder: {e}"))?;
        stage::open(place.path())?;
        let folder = suite::root().join("xtask/src/conformance/builds").join(part);
        let text = |path: &Path| path.display().to_string();
        let words = ["sh", "-c", SCRIPT, "sh"].map(str::to_owned).into_iter();
        let paths = [&runtime.program, place.path(), &self.archive, &folder].map(text);
        let words = words.chain(paths).chain([format!("docker-py-{}", std::process::id())]).collect();
        Play { words, folder: work, env: Vec::new(), seconds: LIMIT }.run()
    }

    fn read(&self, text: &str) -> Vec<Test> {
        tap(text)
    }
}

//! What a result consists of: the packages that its own files tell of, as an SPDX document.
//!
//! Nothing is run and nothing is fetched: databases of dpkg and apk, metadata of Python's and Node's packages, and what Go writes
//! into programs. The files are a stranger's: they are read in bounds, and what is odd in them is left out.

mod distribution;
mod go;
mod languages;
mod spdx;

use crate::context::Folder;
use crate::request::Attest;
use crate::solved::Solved;
use crate::{Error, Result};
use archive::pack::{Look, Step, Walk, is_gone, open_folder};
use distribution::Distribution;
use registry::Cancel;
use rustix::fs::{FileType, Mode, OFlags};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

pub(super) const PREDICATE: &str = "https://spdx.dev/Document";
/// Bytes of one database that are read.
const MOST_BYTES: u64 = 16 << 20;
/// Packages that are told.
pub(super) const MOST_PACKAGES: usize = 100_000;

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    /// Of a package URL: `deb`, `pypi`...
    pub kind: &'static str,
    pub name: String,
    pub version: String,
    /// Package URL.
    pub url: String,
    /// As its maker writes it.
    pub license: Option<String>,
    /// The file that tells of it.
    pub place: String,
}

/// The document about the result `number`.
pub(super) fn predicate(solved: &Solved, attest: &Attest, number: usize, cancel: &Cancel) -> Result<Value> {
    if let Some(generator) = attest.attributes.get("generator").filter(|generator| !generator.is_empty()) {
        return Err(Error::Invalid(format!(
            "the scanner {generator:?} cannot be run: leave the generator out, and the one that is built in is used"
        )));
    }
    let packages = scan(&solved.folder(number)?, cancel)?;
    // The same packages have the same document.
    let name = crate::context::of_texts(packages.iter().map(|package| package.url.as_bytes())).hex();
    let created = solved.epoch.and_then(|at| jiff::Timestamp::from_second(at).ok());
    let created = created.unwrap_or_else(jiff::Timestamp::now).round(jiff::Unit::Second).unwrap_or_default();
    Ok(spdx::document(&packages, &name, &created.to_string()))
}

/// All packages of a tree, each once, sorted.
fn scan(folder: &Folder, cancel: &Cancel) -> Result<BTreeSet<Package>> {
    let failed = || Error::io("read the files of the result");
    let distribution = Distribution::of(folder);
    let mut found = BTreeSet::new();
    let mut walk = Walk::new(folder.root()).map_err(failed())?;
    while let Some(step) = walk.next_step().map_err(failed())? {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let look = match Look::of(step.folder.as_fd(), &step.name) {
            Err(error) if is_gone(&error) => continue,
            look => look.map_err(failed())?,
        };
        match look.kind {
            FileType::Directory => {
                let inner = open_folder(step.folder.as_fd(), &step.name).map_err(failed())?;
                walk.enter(&step.path, inner).map_err(failed())?;
            }
            FileType::RegularFile => found.extend(packages(&step, &look, &distribution).map_err(failed())?),
            _ => {}
        }
        if found.len() > MOST_PACKAGES {
            return Err(Error::Invalid(format!("the result has more than {MOST_PACKAGES} packages")));
        }
    }
    Ok(found)
}

/// What one file tells.
fn packages(step: &Step, look: &Look, distribution: &Distribution) -> std::io::Result<Vec<Package>> {
    let Ok(path) = std::str::from_utf8(&step.path) else { return Ok(Vec::new()) };
    let read = |parse: &dyn Fn(&str) -> Vec<Package>| -> std::io::Result<Vec<Package>> {
        if look.size > MOST_BYTES {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::new();
        open(step)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(parse(&String::from_utf8_lossy(&bytes)))
    };
    match path {
        "var/lib/dpkg/status" => read(&|text| distribution.dpkg(text, path)),
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" => read(&|text| distribution.apk(text, path)),
        // Images without a package manager have a file for each package.
        _ if path.starts_with("var/lib/dpkg/status.d/") && !path.ends_with(".md5sums") => {
            read(&|text| distribution.dpkg(text, path))
        }
        _ if path.ends_with(".dist-info/METADATA") || path.ends_with(".egg-info/PKG-INFO") => {
            read(&|text| languages::python(text, path))
        }
        _ if path.ends_with("/package.json") && path.contains("node_modules/") => {
            read(&|text| languages::node(text, path))
        }
        _ if is_named(path, "package-lock.json") && !path.contains("node_modules/") => {
            read(&|text| languages::node_lock(text, path))
        }
        _ if look.mode & 0o111 != 0 && look.size > go::LEAST => Ok(go::packages(&open(step)?, look.size, path)),
        _ => Ok(Vec::new()),
    }
}

fn is_named(path: &str, name: &str) -> bool {
    path.rsplit('/').next() == Some(name)
}

fn open(step: &Step) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(step.folder.as_fd(), &*step.name, flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_tells_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
        write(
            "var/lib/dpkg/status",
            "Package: bash\nStatus: install ok installed\nVersion: 5.2-1+b1\nArchitecture: amd64\n",
        );
        write(
            "usr/lib/python3/dist-packages/A_b-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: A_b\nVersion: 1.0\n\nName: no\n",
        );
        write("srv/node_modules/@s/p/package.json", r#"{"name":"@s/p","version":"2.0.0","license":"MIT"}"#);
        write(
            "srv/package-lock.json",
            r#"{"lockfileVersion":3,"packages":{"":{"name":"x"},"node_modules/q":{"version":"3.0.0"}}}"#,
        );
        write("srv/broken/node_modules/z/package.json", "{");
        let found = scan(&Folder::open(folder.path()).unwrap(), &Cancel::default()).unwrap();
        let urls: Vec<&str> = found.iter().map(|package| package.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "pkg:deb/debian/bash@5.2-1%2Bb1?arch=amd64&distro=debian-12",
                "pkg:npm/%40s/p@2.0.0",
                "pkg:npm/q@3.0.0",
                "pkg:pypi/a-b@1.0",
            ]
        );
    }
}

//! Repositories as sources: `https://host/repo.git#ref:folder`, fetched by the machine's `git`.
//!
//! Nothing of an address is ever taken for an option (CVE-2019-13139), a folder of a repository is opened below its root only,
//! and no configuration, hook or helper of the repository or of the user has a say.

use crate::context::{Folder, Unpacked};
use crate::{Error, Result};
use registry::Cancel;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often one that waits for `git` looks whether the build goes on.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of its words that are shown.
const MOST_WORDS: usize = 4096;

/// What is asked besides the files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The commit that it must be.
    pub checksum: Option<&'a str>,
    /// `.git` stays.
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Clone, Copy)]
pub struct Metadata;

/// An address taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    url: String,
    /// A branch, a tag, or a commit; empty for what the repository says.
    reference: &'a str,
    folder: &'a str,
}

/// Whether an address is that of a repository.
pub fn is_repository(text: &str) -> bool {
    let plain = text.split(['#', '?']).next().unwrap_or_default();
    let by_scheme = ["git://", "ssh://", "git@"].iter().any(|scheme| plain.starts_with(scheme));
    let over_http = plain.starts_with("http://") || plain.starts_with("https://");
    by_scheme || (over_http && plain.ends_with(".git")) || plain.starts_with("github.com/")
}

fn parse(text: &str) -> Result<Address<'_>> {
    let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    let odd = |text: &str| text.starts_with('-') || text.chars().any(char::is_control);
    if odd(url) || odd(reference) || odd(folder) || reference.contains(['~', '^', ':', '?', '*', '[', '\\', ' ']) {
        return Err(Error::Invalid(format!("invalid repository address {text:?}")));
    }
    let url = if url.starts_with("github.com/") { format!("https://{url}") } else { url.to_owned() };
    Ok(Address { url, reference, folder })
}

/// Fetches a repository below `parent`; the folder goes when it is no longer used.
pub fn fetch(parent: &Path, text: &str, wanted: &Wanted<'_>, cancel: &Cancel) -> Result<Folder> {
    let address = parse(text)?;
    let clone = Unpacked::make(parent)?;
    let git = |arguments: &[&str]| run(clone.path(), arguments, &address.url, cancel);
    git(&["init", "--quiet", "--template="])?;
    let reference = if address.reference.is_empty() { "HEAD" } else { address.reference };
    let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", address.url.as_str(), reference];
    if git(&shallow).is_err() {
        // A commit by the beginning of its name is found only in all of them.
        git(&["fetch", "--quiet", "--tags", "--", &address.url, "+refs/heads/*:refs/remotes/origin/*"])?;
        git(&["checkout", "--quiet", "--force", "--detach", reference, "--"])?;
    } else {
        git(&["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD", "--"])?;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    if let Some(expected) = wanted.checksum
        && !commit.trim().starts_with(expected)
    {
        return Err(Error::Checksum { expected: expected.to_owned(), actual: commit.trim().to_owned() });
    }
    if clone.path().join(".gitmodules").exists() {
        git(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
    }
    if wanted.metadata.is_none() {
        base::tree::remove(&clone.path().join(".git")).map_err(Error::io("take .git away"))?;
    }
    inside(clone, address.folder)
}

/// A folder of the repository, never through a link out of it (CVE-2026-33748).
fn inside(clone: Unpacked, folder: &str) -> Result<Folder> {
    if folder.is_empty() {
        return clone.into_folder();
    }
    let root = Folder::open(clone.path())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let found = rustix::fs::openat2(root.root(), folder, flags, Mode::empty(), beneath);
    let found = found.map_err(Error::errno(format!("use the folder {folder:?} of the repository")))?;
    Ok(Folder::of(found).keeping(Box::new(clone)))
}

/// What `git` says, unless it fails.
fn run(folder: &Path, arguments: &[&str], url: &str, cancel: &Cancel) -> Result<String> {
    let failed = |why: String| Error::Fetch { url: url.to_owned(), why };
    let mut child = Command::new("git")
        .args(["-c", "protocol.ext.allow=never", "-c", "protocol.file.allow=never", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("GIT_DIR")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot run git: {error}")))?;
    while child.try_wait().map_err(Error::io("wait for git"))?.is_none() {
        if cancel.is_cancelled() {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Cancelled);
        }
        std::thread::park_timeout(LOOK);
    }
    let output = child.wait_with_output().map_err(Error::io("wait for git"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(failed(words.trim().chars().take(MOST_WORDS).collect()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_from_files() {
        for yes in
            ["git://h/r", "git@h:r.git", "ssh://h/r", "https://h/r.git", "https://h/r.git#main:dir", "github.com/a/b"]
        {
            assert!(is_repository(yes), "{yes}");
        }
        for no in ["https://h/r.tar.gz", "./r.git", "r", "https://h/r.git.tar"] {
            assert!(!is_repository(no), "{no}");
        }
    }

    #[test]
    fn nothing_of_an_address_is_an_option() {
        for hostile in
            ["--upload-pack=x", "https://h/r.git#--upload-pack=x", "https://h/r.git#main:-x", "https://h/r.git#a\nb"]
        {
            assert!(parse(hostile).is_err(), "{hostile}");
        }
        let address = parse("https://h/r.git#v1:sub/dir").unwrap();
        assert_eq!((address.url.as_str(), address.reference, address.folder), ("https://h/r.git", "v1", "sub/dir"));
    }

    #[test]
    fn a_folder_of_a_repository_is_no_way_out() {
        let parent = tempfile::tempdir().unwrap();
        let clone = Unpacked::make(parent.path()).unwrap();
        std::os::unix::fs::symlink("/", clone.path().join("out")).unwrap();
        assert!(inside(clone, "out").is_err());
        let clone = Unpacked::make(parent.path()).unwrap();
        assert!(inside(clone, "..").is_err());
    }
}

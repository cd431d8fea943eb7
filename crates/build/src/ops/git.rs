//! Repositories as sources: `https://host/repo.git#ref:folder`, fetched by the machine's `git`.
//!
//! Nothing of an address is ever taken for an option (CVE-2019-13139), a folder of a repository is opened below its root only,
//! and no configuration, hook or helper of the repository or of the user has a say.

use super::address;
use crate::context::{Folder, Unpacked};
use crate::{Error, Result};
use registry::Cancel;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

/// How often one that waits for `git` looks whether the build goes on.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of its words that are read.
const MOST_SAID: u64 = 64 * 1024;
/// Letters of its words that are shown.
const MOST_WORDS: usize = 4096;

/// What is asked of a repository besides its address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checkout<'a> {
    /// The commit that it must be.
    pub checksum: Option<&'a str>,
    /// `.git` stays.
    pub keeps_git: bool,
}

/// Fetches a repository below `parent`; the folder goes when it is no longer used.
/// And the commit that it is.
pub fn fetch(parent: &Path, text: &str, wanted: &Checkout<'_>, cancel: &Cancel) -> Result<(Folder, String)> {
    let address = address::parse(text)?;
    let clone = Unpacked::make(parent)?;
    let git = |arguments: &[&str]| run(clone.path(), arguments, &address.url, cancel);
    git(&["init", "--quiet", "--template="])?;
    let reference = if address.reference.is_empty() { "HEAD" } else { address.reference.as_str() };
    let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", address.url.as_str(), reference];
    if git(&shallow).is_err() {
        // A commit by the beginning of its name is found only in all of them, and some servers give nothing but all.
        let all = match reference {
            "HEAD" => "+HEAD:refs/remotes/origin/HEAD",
            _ => "+refs/heads/*:refs/remotes/origin/*",
        };
        git(&["fetch", "--quiet", "--tags", "--", &address.url, all])?;
        let branch = format!("refs/remotes/origin/{}", reference.trim_start_matches("refs/heads/"));
        let is_branch = git(&["rev-parse", "--quiet", "--verify", "--end-of-options", &branch]).is_ok();
        let found = if is_branch { &branch } else { reference };
        git(&["checkout", "--quiet", "--force", "--detach", found, "--"])?;
    } else {
        git(&["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD", "--"])?;
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let expected = [wanted.checksum, address.checksum.as_deref()].into_iter().flatten();
    if let Some(expected) = expected.into_iter().find(|expected| !commit.trim().starts_with(expected)) {
        return Err(Error::Checksum { expected: expected.to_owned(), actual: commit.trim().to_owned() });
    }
    if address.submodules && clone.path().join(".gitmodules").exists() {
        git(&["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
    }
    if !wanted.keeps_git && !address.keeps_git {
        base::tree::remove(&clone.path().join(".git")).map_err(Error::io("take .git away"))?;
    }
    Ok((inside(clone, &address.folder)?, commit.trim().to_owned()))
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
    let mut command = Command::new("git");
    command
        .args(["-c", "protocol.ext.allow=never", "-c", "protocol.file.allow=never", "-c", "core.hooksPath=/dev/null"])
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("GIT_DIR")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    if std::env::var_os("GIT_SSH_COMMAND").is_none() {
        // It would ask who started the engine, and wait.
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    let (status, said, complained) = attended(&mut command, cancel, &failed)?;
    if !status.success() {
        let words = String::from_utf8_lossy(&complained);
        return Err(failed(words.trim().chars().take(MOST_WORDS).collect()));
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Runs a program and reads what it says while it runs, so that no server's flood of words can hold it up; helpers that it leaves
/// behind with its pipes end with it.
fn attended(
    command: &mut Command,
    cancel: &Cancel,
    failed: &dyn Fn(String) -> Error,
) -> Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| failed(format!("cannot run git: {error}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let group = Pid::from_child(&child);
    std::thread::scope(|scope| {
        let said = scope.spawn(|| beginning(stdout));
        let complained = scope.spawn(|| beginning(stderr));
        let mut cancelled = false;
        // It stays until it is waited for, and with it the number of its group.
        while !has_ended(group)? && !cancelled {
            cancelled = cancel.is_cancelled();
            std::thread::park_timeout(LOOK);
        }
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let status = child.wait().map_err(Error::io("wait for git"))?;
        let joined = |words: ScopedJoinHandle<'_, Vec<u8>>| words.join().unwrap_or_default();
        let (said, complained) = (joined(said), joined(complained));
        if cancelled { Err(Error::Cancelled) } else { Ok((status, said, complained)) }
    })
}

fn has_ended(pid: Pid) -> Result<bool> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::Pid(pid), options) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        found => Ok(found.map_err(Error::errno("wait for git"))?.is_some()),
    }
}

/// The first words of a stream, all of which is read.
fn beginning(stream: Option<impl Read>) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut words = Vec::new();
    // What cannot be read is not said.
    let _ = stream.by_ref().take(MOST_SAID).read_to_end(&mut words);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_a_repository_is_no_way_out() {
        let parent = tempfile::tempdir().unwrap();
        let clone = Unpacked::make(parent.path()).unwrap();
        std::os::unix::fs::symlink("/", clone.path().join("out")).unwrap();
        assert!(inside(clone, "out").is_err());
        let clone = Unpacked::make(parent.path()).unwrap();
        assert!(inside(clone, "..").is_err());
    }

    #[test]
    fn a_flood_of_words_holds_nothing_up() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 10000000 /dev/zero >&2; echo done"]);
        let (status, said, complained) = attended(&mut command, &Cancel::default(), &Error::Invalid).unwrap();
        assert!(status.success());
        assert_eq!((said.as_slice(), complained.len() as u64), (&b"done\n"[..], MOST_SAID));
    }

    #[test]
    fn who_keeps_the_pipes_open_ends_with_the_program() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo done"]);
        let (_, said, _) = attended(&mut command, &Cancel::default(), &Error::Invalid).unwrap();
        assert_eq!(said, b"done\n");
        let cancel = Cancel::default();
        cancel.cancel();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000"]);
        assert!(matches!(attended(&mut command, &cancel, &Error::Invalid), Err(Error::Cancelled)));
    }
}

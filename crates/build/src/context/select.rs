//! What of a tree a `COPY` or `ADD` means: names, wildcards, and what is left out.
//!
//! A source that is a symlink is followed, inside of the tree's root only (openat2(2), RESOLVE_IN_ROOT); below a source nothing
//! is followed.

use super::glob;
use crate::{Error, Result};
use archive::Mounts;
use archive::pack::{Look, Step, Walk, is_gone};
use dockerfile::ignore::{Ignore, Level};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// A tree and what of it counts.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub root: BorrowedFd<'a>,
    /// By paths from the root.
    pub ignore: Option<&'a Ignore>,
    /// By paths from the source.
    pub exclude: Option<&'a Ignore>,
}

/// One source as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pattern<'a> {
    pub text: &'a str,
    /// Whether `**` stands for any number of folders.
    pub deep: Deep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deep {
    No,
    Yes,
}

/// A file or folder that a pattern means.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// From the root, as it was named; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is, links followed.
    pub file: OwnedFd,
    pub look: Look,
}

/// Something below a chosen folder.
pub(crate) struct Entry {
    /// From the chosen folder.
    pub path: Vec<u8>,
    pub folder: Rc<OwnedFd>,
    pub name: CString,
    pub look: Look,
}

/// The path without `.`, `..` and slashes that mean nothing; what leads out of the root ends there.
pub(crate) fn cleaned(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// All that a pattern means, sorted; an error when a plain name is not there.
pub(crate) fn choose(scope: Scope<'_>, pattern: Pattern<'_>) -> Result<Vec<Chosen>> {
    let clean = cleaned(pattern.text);
    let is_pattern = glob::is_pattern(&clean);
    let mut paths = vec![Vec::new()];
    if is_pattern {
        let parts: Vec<&str> = clean.split('/').filter(|part| !part.is_empty()).collect();
        paths = expand(scope, &parts, pattern.deep)?;
    } else if !clean.is_empty() {
        paths = vec![clean.clone().into_bytes()];
    }
    let mut chosen = Vec::new();
    for path in paths {
        match open(scope, &path)? {
            Some(found) => chosen.push(found),
            None if is_pattern => {}
            None => return Err(Error::NoSource { path: format!("/{clean}") }),
        }
    }
    Ok(chosen)
}

fn open(scope: Scope<'_>, path: &[u8]) -> Result<Option<Chosen>> {
    let Some(file) = open_at(scope.root, path, OFlags::PATH)? else { return Ok(None) };
    let failed = || Error::io(format!("look at {}", String::from_utf8_lossy(path)));
    let look = Look::of_open(&file).map_err(failed())?;
    if is_left_out(scope.ignore, path, look.kind) {
        return Ok(None);
    }
    Ok(Some(Chosen { path: path.to_vec(), file, look }))
}

/// Whether nothing of what is at `path` counts.
fn is_left_out(ignore: Option<&Ignore>, path: &[u8], kind: FileType) -> bool {
    let Some(ignore) = ignore.filter(|_| !path.is_empty()) else { return false };
    let text = String::from_utf8_lossy(path);
    ignore.excludes(&text) && (kind != FileType::Directory || !ignore.may_include_below(&Level::default(), &text))
}

fn open_at(root: BorrowedFd<'_>, path: &[u8], access: OFlags) -> Result<Option<OwnedFd>> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, OsStr::from_bytes(path), access | OFlags::CLOEXEC, Mode::empty(), inside) {
            // A rename elsewhere raced with the walk (openat2(2), EAGAIN).
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            other => {
                let shown = String::from_utf8_lossy(path).into_owned();
                return other.map(Some).map_err(Error::errno(format!("open {shown}")));
            }
        }
    }
}

fn expand(scope: Scope<'_>, parts: &[&str], deep: Deep) -> Result<Vec<Vec<u8>>> {
    let mut paths: Vec<Vec<u8>> = vec![Vec::new()];
    for part in parts {
        let mut next = Vec::new();
        for path in &paths {
            match *part {
                "**" if deep == Deep::Yes => {
                    next.push(path.clone());
                    folders_below(scope, path, &mut next)?;
                }
                part if glob::is_pattern(part) => next.extend(matching(scope, path, part)?),
                part => next.push(joined(path, part.as_bytes())),
            }
        }
        paths = next;
    }
    paths.sort_unstable();
    paths.dedup();
    paths.retain(|path| !path.is_empty());
    Ok(paths)
}

fn matching(scope: Scope<'_>, path: &[u8], part: &str) -> Result<Vec<Vec<u8>>> {
    let wrong = |_| Error::Invalid(format!("syntax error in pattern: {part}"));
    // Broken even where nothing is to be matched.
    glob::matches(part, "").map_err(wrong)?;
    let mut found = Vec::new();
    for (name, _) in names(scope.root, path)? {
        if glob::matches(part, &name.to_string_lossy()).map_err(wrong)? {
            found.push(joined(path, name.as_bytes()));
        }
    }
    Ok(found)
}

fn folders_below(scope: Scope<'_>, path: &[u8], found: &mut Vec<Vec<u8>>) -> Result<()> {
    let mut open = vec![path.to_vec()];
    while let Some(path) = open.pop() {
        for (name, kind) in names(scope.root, &path)? {
            let below = joined(&path, name.as_bytes());
            if kind == FileType::Directory && !is_left_out(scope.ignore, &below, kind) {
                found.push(below.clone());
                open.push(below);
            }
        }
    }
    Ok(())
}

/// The names in a folder; none in what is no folder.
fn names(root: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<(CString, FileType)>> {
    let Some(folder) = open_at(root, path, OFlags::RDONLY | OFlags::DIRECTORY)? else { return Ok(Vec::new()) };
    base::tree::entries(folder.as_fd()).map_err(Error::errno("list a folder"))
}

pub(crate) fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// All that counts below a chosen folder, parents first, sorted. A folder that does not count itself comes when something in it
/// does.
pub(crate) struct Each<'a> {
    chosen: &'a Chosen,
    walk: Walk<'a>,
    tracks: Vec<Track<'a>>,
    /// Folders that do not count, and in which something may.
    late: VecDeque<Entry>,
    ready: VecDeque<Entry>,
}

impl<'a> Each<'a> {
    pub fn new(scope: Scope<'a>, chosen: &'a Chosen) -> Result<Each<'a>> {
        let walk = Walk::across(chosen.file.as_fd(), Mounts::Cross).map_err(failed(&chosen.path))?;
        let mut tracks: Vec<Track<'a>> =
            scope.ignore.map(|ignore| Track::new(ignore, &chosen.path)).into_iter().collect();
        tracks.extend(scope.exclude.map(|exclude| Track::new(exclude, b"")));
        Ok(Each { chosen, walk, tracks, late: VecDeque::new(), ready: VecDeque::new() })
    }

    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let Some(step) = self.walk.next_step().map_err(failed(&self.chosen.path))? else { return Ok(None) };
            self.step(step)?;
        }
    }

    fn step(&mut self, step: Step) -> Result<()> {
        self.late.retain(|late| is_below(&step.path, &late.path));
        let look = match Look::of(step.folder.as_fd(), &step.name) {
            Err(e) if is_gone(&e) => return Ok(()),
            other => other.map_err(failed(&step.path))?,
        };
        let verdicts = self.tracks.iter_mut().map(|track| track.judge(&step.path, look.kind));
        let verdict = verdicts.max().unwrap_or(Verdict::In);
        if verdict == Verdict::Out || look.kind == FileType::Socket {
            return Ok(());
        }
        if look.kind == FileType::Directory {
            let folder = archive::pack::open_folder_across(step.folder.as_fd(), &step.name, Mounts::Cross);
            self.walk.enter(&step.path, folder.map_err(failed(&step.path))?).map_err(failed(&step.path))?;
        }
        let entry = Entry { path: step.path, folder: step.folder, name: step.name, look };
        if verdict == Verdict::PerhapsBelow {
            self.late.push_back(entry);
            return Ok(());
        }
        self.ready.append(&mut self.late);
        self.ready.push_back(entry);
        Ok(())
    }
}

fn failed(path: &[u8]) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("read {}", String::from_utf8_lossy(path)))
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    In,
    /// A folder that does not count, and in which something may.
    PerhapsBelow,
    Out,
}

/// Where a walk is in the folders that patterns may match.
struct Track<'a> {
    ignore: &'a Ignore,
    /// What stands before the walk's paths.
    prefix: Vec<u8>,
    /// The folders that the walk is in.
    folders: Vec<(Vec<u8>, Level)>,
}

impl<'a> Track<'a> {
    fn new(ignore: &'a Ignore, prefix: &[u8]) -> Track<'a> {
        let mut level = ignore.root();
        let ends = prefix.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain((!prefix.is_empty()).then_some(prefix.len())) {
            level = ignore.enter(&level, &String::from_utf8_lossy(&prefix[..end])).1;
        }
        Track { ignore, prefix: prefix.to_vec(), folders: vec![(Vec::new(), level)] }
    }

    fn judge(&mut self, path: &[u8], kind: FileType) -> Verdict {
        let is_around = |folder: &[u8]| folder.is_empty() || is_below(path, folder);
        while self.folders.len() > 1 && !self.folders.last().is_some_and(|(folder, _)| is_around(folder)) {
            self.folders.pop();
        }
        let Some((_, level)) = self.folders.last() else { return Verdict::In };
        let whole = joined(&self.prefix, path);
        let text = String::from_utf8_lossy(&whole);
        let (excluded, own) = self.ignore.enter(level, &text);
        let is_folder = kind == FileType::Directory;
        let verdict = match (excluded, is_folder && self.ignore.may_include_below(&own, &text)) {
            (false, _) => Verdict::In,
            (true, true) => Verdict::PerhapsBelow,
            (true, false) => Verdict::Out,
        };
        if is_folder && verdict != Verdict::Out {
            self.folders.push((path.to_vec(), own));
        }
        verdict
    }
}

impl Scope<'_> {
    /// Whether a source that is a file is left out by its path.
    pub fn leaves_out(&self, chosen: &Chosen, path: &[u8]) -> bool {
        let excluded = |exclude: &Ignore| exclude.excludes(&String::from_utf8_lossy(path));
        chosen.look.kind != FileType::Directory && self.exclude.is_some_and(excluded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn tree() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/x.txt", "a/y.log", "a/deep/z.txt", "b/x.txt", "top.txt", "ign/keep/k", "ign/lost"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("out")).unwrap();
        let root = fs::File::open(folder.path()).unwrap().into();
        (folder, root)
    }

    fn chosen(scope: Scope<'_>, text: &str, deep: Deep) -> Vec<String> {
        let found = choose(scope, Pattern { text, deep }).unwrap();
        found.iter().map(|found| String::from_utf8_lossy(&found.path).into_owned()).collect()
    }

    fn below(scope: Scope<'_>, text: &str) -> Vec<String> {
        let found = choose(scope, Pattern { text, deep: Deep::No }).unwrap();
        let mut each = Each::new(scope, &found[0]).unwrap();
        let mut all = Vec::new();
        while let Some(entry) = each.next_entry().unwrap() {
            all.push(String::from_utf8_lossy(&entry.path).into_owned());
        }
        all
    }

    #[test]
    fn names_and_wildcards_are_found_inside_of_the_root_only() {
        let (_folder, root) = tree();
        let scope = Scope { root: root.as_fd(), ignore: None, exclude: None };
        assert_eq!(chosen(scope, "./a/../top.txt", Deep::No), ["top.txt"]);
        assert_eq!(chosen(scope, "../../top.txt", Deep::No), ["top.txt"]);
        assert_eq!(chosen(scope, "*/x.txt", Deep::No), ["a/x.txt", "b/x.txt", "link/x.txt"]);
        assert_eq!(chosen(scope, "**/*.txt", Deep::Yes), ["a/deep/z.txt", "a/x.txt", "b/x.txt", "top.txt"]);
        assert_eq!(chosen(scope, "no*", Deep::No), [""; 0]);
        assert!(choose(scope, Pattern { text: "none", deep: Deep::No }).is_err());
        assert!(choose(scope, Pattern { text: "[", deep: Deep::No }).is_err());
        // The root is what `/` leads to.
        assert_eq!(chosen(scope, "out/top.txt", Deep::No), ["out/top.txt"]);
        assert!(choose(scope, Pattern { text: "out/etc/passwd", deep: Deep::No }).is_err());
    }

    #[test]
    fn what_is_ignored_is_not_there_but_for_exceptions() {
        let (_folder, root) = tree();
        let ignore = Ignore::parse("ign\n!ign/keep\n**/*.log\n").unwrap();
        let scope = Scope { root: root.as_fd(), ignore: Some(&ignore), exclude: None };
        assert_eq!(below(scope, "a"), ["deep", "deep/z.txt", "x.txt"]);
        assert_eq!(below(scope, "ign"), ["keep", "keep/k"]);
        assert!(choose(scope, Pattern { text: "ign/lost", deep: Deep::No }).is_err());
        let all = below(scope, ".");
        assert!(all.contains(&"ign".to_owned()) && !all.contains(&"ign/lost".to_owned()), "{all:?}");
        let exclude = Ignore::new(["deep", "y*"]).unwrap();
        assert_eq!(below(Scope { ignore: None, exclude: Some(&exclude), ..scope }, "a"), ["x.txt"]);
    }
}

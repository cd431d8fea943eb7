//! `docker diff`: the tree that the container sees against the tree of its image, entry by entry.
//!
//! As Docker's overlay2 does it (moby, `ChangesDirs`): what counts is what can be seen, not what was copied up. A file is
//! changed by kind, mode, owner, size, time or capability; a folder by mode, owner or capability, or because something in
//! it is. What is in a folder that is gone is not told one by one.

use archive::pack::{At, Attributes, Look, Step, Walk, is_gone, open, open_folder};
use rustix::fs::{Dir, FileType, OFlags};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One changed path of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Absolute, as the container sees it.
    pub path: Vec<u8>,
    pub kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// 0 in Docker's API.
    Modified,
    /// 1
    Added,
    /// 2
    Deleted,
}

/// What `upper`, whose owners are counted from `owner`, changes of `before`; as if `hidden` were not there.
pub fn between(before: BorrowedFd<'_>, upper: BorrowedFd<'_>, owner: u32, hidden: &[&[u8]]) -> io::Result<Vec<Change>> {
    let attributes = Attributes::new(owner);
    let mut comparison = Comparison { before, attributes, owner, hidden, parents: Vec::new(), found: Vec::new() };
    let mut walk = Walk::new(upper)?;
    let root = open_folder(upper, c".")?;
    comparison.covered(b"", root.as_fd(), &walk)?;
    while let Some(step) = walk.next_step()? {
        if hidden.contains(&&step.path[..]) {
            continue;
        }
        match comparison.step(&step) {
            Ok(None) => {}
            Ok(Some(folder)) => {
                let open = folder.try_clone()?;
                walk.enter(&step.path, folder)?;
                comparison.covered(&step.path, open.as_fd(), &walk)?;
            }
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(e),
        }
    }
    comparison.found.sort_unstable();
    Ok(comparison.found)
}

struct Comparison<'a> {
    before: BorrowedFd<'a>,
    attributes: Attributes,
    owner: u32,
    hidden: &'a [&'a [u8]],
    /// Folders above the current entry that are not told as changed yet.
    parents: Vec<Vec<u8>>,
    found: Vec<Change>,
}

/// What was at a path before.
struct Before {
    look: Look,
    at: OwnedFd,
}

impl Comparison<'_> {
    /// Looks at one name of the upper folder; a folder is returned, to go on with what is in it.
    fn step(&mut self, step: &Step) -> io::Result<Option<OwnedFd>> {
        self.parents.retain(|parent| is_below(&step.path, parent));
        let look = Look::of(step.folder.as_fd(), &step.name)?.counted_from(self.owner);
        let before = self.before(&step.path)?;
        if look.is_whiteout() {
            if before.is_some() {
                self.tell(&step.path, ChangeKind::Deleted);
            }
            return Ok(None);
        }
        let folder = match look.kind {
            FileType::Directory => Some(open_folder(step.folder.as_fd(), &step.name)?),
            _ => None,
        };
        let made_for_hidden = folder.is_some() && self.hidden.iter().any(|hidden| is_below(hidden, &step.path));
        match before {
            None if made_for_hidden => self.parents.push(step.path.clone()),
            None => self.tell(&step.path, ChangeKind::Added),
            Some(before) if self.differs(&before, step, &look)? => self.tell(&step.path, ChangeKind::Modified),
            Some(_) if folder.is_some() => self.parents.push(step.path.clone()),
            Some(_) => {}
        }
        Ok(folder)
    }

    /// What an opaque folder (just entered) hides without having a name for it.
    fn covered(&mut self, path: &[u8], folder: BorrowedFd<'_>, walk: &Walk<'_>) -> io::Result<()> {
        if !self.attributes.is_opaque(folder)? {
            return Ok(());
        }
        let at = if path.is_empty() { c".".to_owned() } else { CString::new(path)? };
        let hidden = match open_folder(self.before, &at) {
            Err(e) if is_gone(&e) => return Ok(()),
            other => other?,
        };
        for entry in Dir::read_from(&hidden)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." || walk.has_listed(name) {
                continue;
            }
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            self.tell(&[path, slash, name.to_bytes()].concat(), ChangeKind::Deleted);
        }
        Ok(())
    }

    fn before(&self, path: &[u8]) -> io::Result<Option<Before>> {
        let at = match open(self.before, &CString::new(path)?, OFlags::PATH) {
            Err(e) if is_gone(&e) => return Ok(None),
            other => other?,
        };
        Ok(Some(Before { look: Look::of_open(&at)?, at }))
    }

    fn differs(&mut self, before: &Before, step: &Step, look: &Look) -> io::Result<bool> {
        let who = |look: &Look| (look.kind, look.mode, look.uid, look.gid, look.device);
        if who(&before.look) != who(look) {
            return Ok(true);
        }
        let folder = look.kind == FileType::Directory;
        if !folder && (before.look.size != look.size || !same_time(&before.look, look)) {
            return Ok(true);
        }
        if !folder && look.kind != FileType::RegularFile {
            return Ok(false);
        }
        let now = self.attributes.capability(At::Name(step.folder.as_fd(), &step.name))?;
        Ok(now != self.attributes.capability(At::Path(before.at.as_fd()))?)
    }

    fn tell(&mut self, path: &[u8], kind: ChangeKind) {
        for parent in std::mem::take(&mut self.parents) {
            self.found.push(Change { path: absolute(&parent), kind: ChangeKind::Modified });
        }
        self.found.push(Change { path: absolute(path), kind });
    }
}

/// Layers may have times without nanoseconds: one that has none is any of its second.
fn same_time(a: &Look, b: &Look) -> bool {
    let (a, b) = (a.modified, b.modified);
    a.seconds == b.seconds && (a.nanoseconds == b.nanoseconds || a.nanoseconds == 0 || b.nanoseconds == 0)
}

fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

fn absolute(path: &[u8]) -> Vec<u8> {
    [b"/", path].concat()
}

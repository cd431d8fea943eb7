//! Paths of a container that are hidden or made read-only.

use super::resolve::{self, Sort};
use super::tree::{self, Tree};
use crate::failure::{at, errno};
use crate::{Failure, Plan, Step};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::mount::{Change, Reach, attribute};

/// A mount that is used many times: moved to the first place, and copied from there to the others. (Copying what is not in
/// our mount namespace is possible since Linux 6.15 only.)
struct Cover<'a> {
    mount: BorrowedFd<'a>,
    used: bool,
}

impl Cover<'_> {
    fn put_over(&mut self, target: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.used {
            let copy = tree::copy(self.mount, OpenTreeFlags::empty())?;
            return tree::attach(copy.as_fd(), target);
        }
        self.used = true;
        tree::attach(self.mount, target)
    }
}

impl Tree<'_> {
    /// Makes paths read-only, then hides paths. What is not there is skipped; anything else that fails is a failure: a path
    /// that stays visible is a hole (CVE-2025-31133).
    pub(super) fn protect(&self, plan: &Plan, null: Option<BorrowedFd<'_>>) -> Result<(), Failure> {
        for path in &plan.readonly_paths {
            self.make_readonly(path).map_err(at(Step::Mask, path))?;
        }
        let mut files = null.map(|mount| Cover { mount, used: false });
        let folder: Option<OwnedFd>;
        let mut folders = None;
        if !plan.masked_paths.is_empty() {
            folder = Some(empty_folder().map_err(at(Step::Mask, "tmpfs"))?);
            folders = folder.as_ref().map(|mount| Cover { mount: mount.as_fd(), used: false });
        }
        for path in &plan.masked_paths {
            self.hide(path, files.as_mut(), folders.as_mut()).map_err(at(Step::Mask, path))?;
        }
        Ok(())
    }

    fn hide(&self, path: &str, files: Option<&mut Cover<'_>>, folders: Option<&mut Cover<'_>>) -> Result<(), Errno> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        match resolve::sort_of(target.as_fd())? {
            Sort::Folder => folders.ok_or(Errno::NODEV)?.put_over(target.as_fd()),
            Sort::File => files.ok_or(Errno::NODEV)?.put_over(target.as_fd()),
        }
    }

    /// Binds a path over itself: the copy keeps nosuid, nodev and noexec.
    fn make_readonly(&self, path: &str) -> Result<(), Errno> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        let copy = tree::copy(target.as_fd(), OpenTreeFlags::AT_RECURSIVE)?;
        let change = Change { set: attribute::RDONLY, ..Change::default() };
        sys::mount::set_attributes(copy.as_fd(), change, Reach::Recursive).map_err(errno)?;
        tree::attach(copy.as_fd(), target.as_fd())
    }
}

/// An empty folder in which nothing can be made.
fn empty_folder() -> Result<OwnedFd, Errno> {
    let small = |key: &str| (key.to_owned(), Some("1".to_owned()));
    let closed = attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;
    tree::create("tmpfs", &[small("nr_blocks"), small("nr_inodes")], closed)
}

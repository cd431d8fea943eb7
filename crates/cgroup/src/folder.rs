//! A folder of a hierarchy, held open: files below it are read and written by relative path.

use crate::Error;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The engine's parent group in one hierarchy, or the root of the mount; or a placed group itself, which then goes by the
/// name [`SELF`].
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// The group that a folder itself is.
pub(crate) const SELF: &str = ".";

/// How deep nested groups are looked into.
const MAX_DEPTH: usize = 64;

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Folder, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Folder { fd, path: path.to_owned() }),
            Err(e) => Err(Error::Io { action: "open", path: path.to_owned(), source: e.into() }),
        }
    }

    /// Opens the folder of that name below, made when missing.
    pub(crate) fn child(&self, name: &str) -> Result<Folder, Error> {
        match self.make(name) {
            Ok(()) | Err(Errno::EXIST) => Folder::open(&self.path.join(name)),
            Err(e) => Err(self.failed("make", name, e)),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn failed(&self, action: &'static str, below: &str, cause: Errno) -> Error {
        // The components leave out `.`.
        Error::Io { action, path: self.path.join(below).components().collect(), source: cause.into() }
    }

    pub(crate) fn make(&self, name: &str) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755))
    }

    pub(crate) fn open_below(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// Writes a kernel file in one write(2), as it wants to be.
    pub(crate) fn put(&self, group: &str, file: &str, value: &str) -> Result<(), Errno> {
        put(&self.open_below(&below(group, file), OFlags::WRONLY)?, value)
    }

    /// Whether one of these files is here.
    pub(crate) fn has_any(&self, files: &[&str]) -> bool {
        files.iter().any(|file| rustix::fs::statat(&self.fd, *file, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }

    /// Reads a kernel file whole.
    pub(crate) fn get(&self, group: &str, file: &str) -> Result<String, Errno> {
        read_all(&self.open_below(&below(group, file), OFlags::RDONLY)?)
    }

    /// Reads a kernel file; `None` when there is no such file.
    pub(crate) fn look(&self, group: &str, file: &str) -> Result<Option<String>, Error> {
        match self.get(group, file) {
            Ok(text) => Ok(Some(text)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.failed("read", &below(group, file), e)),
        }
    }

    /// Sets a limit; the kernel's refusal of the value is the asker's mistake, a missing file the machine's lack.
    pub(crate) fn limit(&self, group: &str, file: &str, value: &str) -> Result<(), Error> {
        self.put(group, file, value).map_err(|e| self.refused(group, file, value, e))
    }

    pub(crate) fn refused(&self, group: &str, file: &str, value: &str, cause: Errno) -> Error {
        let words = std::io::Error::from(cause);
        match cause {
            Errno::NOENT => Error::Unsupported(file.to_owned()),
            Errno::BUSY if file.starts_with("memory.") => {
                let usage = self.get(group, "memory.usage_in_bytes").unwrap_or_default();
                Error::Invalid(format!("{file} cannot be {value}: {} bytes are in use", usage.trim()))
            }
            Errno::INVAL | Errno::RANGE | Errno::BUSY | Errno::NODEV | Errno::NOSPC | Errno::OVERFLOW => {
                Error::Invalid(format!("{file} cannot be {value:?}: {words}"))
            }
            _ => self.failed("write", &below(group, file), cause),
        }
    }

    /// Names of the groups below a group; of those below the folder itself when `group` is empty.
    pub(crate) fn groups(&self, group: &str) -> Result<Vec<String>, Errno> {
        let path = if group.is_empty() { "." } else { group };
        let fd = self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        let mut names = Vec::new();
        for entry in Dir::new(fd)? {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or(".");
            if entry.file_type() == FileType::Directory && name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// The sizes of huge pages that a group has files for, as those have them: `2MB`.
    pub(crate) fn page_sizes(&self, group: &str) -> Result<Vec<String>, Error> {
        let mut sizes = Vec::new();
        let failed = |e| self.failed("list", group, e);
        let directory = self.open_below(group, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        for entry in Dir::new(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let file = entry.file_name().to_str().unwrap_or("");
            let size =
                file.strip_prefix("hugetlb.").and_then(|rest| rest.split_once('.')).map(|(size, _)| size.to_owned());
            sizes.extend(size.filter(|size| !sizes.contains(size)));
        }
        sizes.sort_unstable();
        Ok(sizes)
    }

    /// Makes a user, and a group if told, the owner of a file, or of the folder itself.
    pub(crate) fn give_to(&self, file: &str, (uid, gid): (u32, Option<u32>)) -> Result<(), Errno> {
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), gid.map(rustix::fs::Gid::from_raw));
        rustix::fs::chownat(&self.fd, file, Some(uid), gid, AtFlags::empty())
    }

    /// Removes an empty group.
    pub(crate) fn unmake(&self, name: &str) -> Result<(), Errno> {
        if name == SELF {
            return rustix::fs::rmdir(&self.path);
        }
        rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
    }

    /// Removes the groups below a group, the deepest first. Goes on after failures: the group itself then cannot go.
    pub(crate) fn unmake_children(&self, group: &str) {
        for child in self.descendants(group).iter().rev() {
            let _ = self.unmake(child);
        }
    }

    /// The paths of all groups below a group, parents before their children.
    pub(crate) fn descendants(&self, group: &str) -> Vec<String> {
        let mut all = Vec::new();
        let mut level = vec![group.to_owned()];
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for parent in &level {
                let names = self.groups(parent).unwrap_or_default();
                next.extend(names.into_iter().map(|name| below(parent, &name)));
            }
            all.extend_from_slice(&next);
            level = next;
        }
        all
    }

    /// Process ids in a group and all below it. `0` is a process outside our pid namespace and is left out: as an argument
    /// of kill(2) it would be our own process group.
    pub(crate) fn pids(&self, group: &str) -> Result<Vec<i32>, Error> {
        let mut pids = Vec::new();
        let own = self.get(group, "cgroup.procs").map_err(|e| self.failed("read", &below(group, "cgroup.procs"), e))?;
        let more = self.descendants(group);
        let more = more.iter().filter_map(|child| self.get(child, "cgroup.procs").ok());
        for text in std::iter::once(own).chain(more) {
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
        }
        Ok(pids)
    }
}

/// As [`Folder::open`]; `None` when there is no such folder (any more).
pub(crate) fn open_if_there(path: &Path) -> Result<Option<Folder>, Error> {
    match Folder::open(path) {
        Ok(folder) => Ok(Some(folder)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(crate) fn below(group: &str, file: &str) -> String {
    let mut path = String::with_capacity(group.len() + file.len() + 1);
    let _ = write!(path, "{group}/{file}");
    path
}

pub(crate) fn put(file: &OwnedFd, value: &str) -> Result<(), Errno> {
    rustix::io::retry_on_intr(|| rustix::io::write(file, value.as_bytes())).map(drop)
}

pub(crate) fn read_all(file: &OwnedFd) -> Result<String, Errno> {
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let mut chunk = [0; 4096];
        match rustix::io::retry_on_intr(|| rustix::io::read(file, &mut chunk))? {
            0 => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

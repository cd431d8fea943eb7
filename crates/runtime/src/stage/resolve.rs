//! Paths that may be hostile, resolved below a root descriptor only; mount points made where they are missing.
//!
//! The container's files decide nothing but where inside the container a path leads: no symbolic link, `..` or magic link
//! gets out (CVE-2021-30465, CVE-2025-24965, CVE-2026-41579).

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a missing last component is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Folder,
    File,
}

/// The kernel asks to try again when a rename raced with `..` (openat2(2)).
const TRIES: u32 = 64;
/// statfs(2): the magic number of procfs.
pub(super) const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// As the kernel's own limit, path_resolution(7).
const MAX_LINKS: u32 = 40;

/// Opens `path`, absolute or not, as if `root` were `/`. Magic links are refused (ELOOP).
pub(super) fn in_root(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    open(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` below `base`, through no symbolic link at all and into no other mount.
pub(super) fn strictly_beneath(base: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let strict = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    open(base, path, flags, ResolveFlags::BENEATH | strict)
}

/// Opens `path` below `base`; symbolic links that lead out are refused (EXDEV).
pub(super) fn beneath(base: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    open(base, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
}

fn open(base: BorrowedFd<'_>, path: &str, flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(base, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            other => return other,
        }
    }
}

/// What an open file is.
pub(super) fn sort_of(file: BorrowedFd<'_>) -> Result<Sort, Errno> {
    let stat = rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)?;
    Ok(if FileType::from_raw_mode(stat.st_mode) == FileType::Directory { Sort::Folder } else { Sort::File })
}

/// Opens the place where something is to be mounted, and makes it if it is not there.
pub(super) fn mount_point(root: BorrowedFd<'_>, path: &str, sort: Sort) -> Result<OwnedFd, Errno> {
    match in_root(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => create_last(root, path, sort).or_else(|_| create(root, path, sort)),
        other => other,
    }
}

/// The usual case, with few calls: only the last component is missing, and no link is there in its stead.
fn create_last(root: BorrowedFd<'_>, path: &str, sort: Sort) -> Result<OwnedFd, Errno> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("/", path));
    if matches!(name, "" | "." | "..") {
        return Err(Errno::INVAL);
    }
    let parent = in_root(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    make_new(parent.as_fd(), name.as_bytes(), sort)?;
    strictly_beneath(parent.as_fd(), name, OFlags::PATH)
}

/// Opens a folder, made with its parents if it is not there.
pub(super) fn folder(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    match in_root(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(Errno::NOENT) => create(root, path, Sort::Folder),
        other => other,
    }
}

/// Walks `path` one component at a time and makes what is missing, also behind symbolic links that lead nowhere yet (images
/// have /etc/resolv.conf pointing into /run). Each step is one descriptor further, so nothing is looked up twice.
fn create(root: BorrowedFd<'_>, path: &str, sort: Sort) -> Result<OwnedFd, Errno> {
    let mut ahead = components(path.as_bytes());
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == b".." {
            way.pop();
            continue;
        }
        let here = way.last().map_or(root, AsFd::as_fd);
        let wanted = if ahead.is_empty() { sort } else { Sort::Folder };
        let (next, stat) = step(here, &name, wanted)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            way.push(next);
            continue;
        }
        links += 1;
        // A magic link has a text too, but means something else.
        if links > MAX_LINKS || rustix::fs::fstatfs(&next)?.f_type == PROC_SUPER_MAGIC {
            return Err(Errno::LOOP);
        }
        let target = rustix::fs::readlinkat(&next, "", Vec::new())?;
        if target.as_bytes().starts_with(b"/") {
            way.clear();
        }
        ahead.append(&mut components(target.as_bytes()));
    }
    match way.pop() {
        Some(last) => Ok(last),
        None => root.try_clone_to_owned().map_err(|_| Errno::MFILE),
    }
}

/// The components in reverse order, so that the next one is the last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

fn step(here: BorrowedFd<'_>, name: &[u8], wanted: Sort) -> Result<(OwnedFd, Stat), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let next = match rustix::fs::openat(here, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            make(here, name, wanted)?;
            rustix::fs::openat(here, name, flags, Mode::empty())?
        }
        other => other?,
    };
    let stat = rustix::fs::statat(&next, "", AtFlags::EMPTY_PATH)?;
    Ok((next, stat))
}

/// Somebody else may have made it meanwhile: it is opened without following it, so that is as good.
fn make(here: BorrowedFd<'_>, name: &[u8], wanted: Sort) -> Result<(), Errno> {
    match make_new(here, name, wanted) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn make_new(here: BorrowedFd<'_>, name: &[u8], wanted: Sort) -> Result<(), Errno> {
    match wanted {
        Sort::Folder => rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o755)),
        Sort::File => rustix::fs::mknodat(here, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, OwnedFd) {
        let all = tempfile::tempdir().unwrap();
        std::fs::create_dir(all.path().join("root")).unwrap();
        let root = rustix::fs::open(all.path().join("root"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (all, root)
    }

    #[test]
    fn missing_mount_points_are_made_as_folders_and_files() {
        let (all, root) = tree();
        mount_point(root.as_fd(), "/a/b/c", Sort::Folder).unwrap();
        mount_point(root.as_fd(), "/a/./b//file", Sort::File).unwrap();
        assert!(all.path().join("root/a/b/c").is_dir());
        assert!(all.path().join("root/a/b/file").is_file());
    }

    #[test]
    fn links_and_dots_lead_nowhere_outside() {
        let (all, root) = tree();
        let inside = all.path().join("root");
        symlink("../../../../..", inside.join("up")).unwrap();
        symlink("/etc/nowhere/else", inside.join("absolute")).unwrap();
        symlink(all.path(), inside.join("host")).unwrap();
        mount_point(root.as_fd(), "/up/x", Sort::File).unwrap();
        mount_point(root.as_fd(), "absolute", Sort::File).unwrap();
        mount_point(root.as_fd(), "/host/canary", Sort::Folder).unwrap();
        mount_point(root.as_fd(), "../../../y", Sort::Folder).unwrap();
        assert!(inside.join("x").is_file() && inside.join("y").is_dir());
        assert!(inside.join("etc/nowhere/else").is_file());
        assert!(inside.join(all.path().strip_prefix("/").unwrap()).join("canary").is_dir());
        let names: Vec<_> = std::fs::read_dir(all.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["root"]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let (all, root) = tree();
        symlink("b", all.path().join("root/a")).unwrap();
        symlink("a", all.path().join("root/b")).unwrap();
        assert_eq!(mount_point(root.as_fd(), "a", Sort::File).unwrap_err(), Errno::LOOP);
        assert_eq!(create(root.as_fd(), "a/x", Sort::File).unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let (all, root) = tree();
        std::fs::write(all.path().join("root/file"), "").unwrap();
        assert_eq!(mount_point(root.as_fd(), "file/x", Sort::Folder).unwrap_err(), Errno::NOTDIR);
    }

    #[test]
    fn strict_resolution_takes_no_link() {
        let (all, root) = tree();
        symlink("real", all.path().join("root/link")).unwrap();
        std::fs::write(all.path().join("root/real"), "").unwrap();
        assert!(strictly_beneath(root.as_fd(), "real", OFlags::PATH).is_ok());
        assert_eq!(strictly_beneath(root.as_fd(), "link", OFlags::PATH).unwrap_err(), Errno::LOOP);
        assert_eq!(beneath(root.as_fd(), "../x", OFlags::PATH).unwrap_err(), Errno::XDEV);
    }
}

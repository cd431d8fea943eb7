//! Paths in a container: cleaned as Docker cleans them, and found below the container's root only.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Symlinks followed at most, as the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// An absolute path without `.` and `..`; a `/` or `/.` at its end, which says "the folder itself", stays
/// (docker cp: "SRC_PATH does end with /.").
pub(super) fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut clean = format!("/{}", parts.join("/"));
    let is_dot = path == "." || path.ends_with("/.");
    if (is_dot || path.ends_with('/')) && !clean.ends_with('/') {
        clean.push('/');
    }
    if is_dot {
        clean.push('.');
    }
    clean
}

/// Go's path.Base: what stands behind the last slash, slashes at the end aside; `/` of the root.
pub(super) fn base(path: &str) -> &str {
    let bare = path.trim_end_matches('/');
    match bare.rsplit('/').next() {
        Some(name) if !name.is_empty() => name,
        _ if path.is_empty() => ".",
        _ => "/",
    }
}

/// The name of a cleaned path in its archive; empty for the root, whose archive has absolute names.
pub(super) fn archive_name(path: &str) -> &str {
    match base(path) {
        "/" => "",
        name => name,
    }
}

/// Opens what is at `path`, to be looked at; a symlink at its end itself.
pub(super) fn find(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH | OFlags::NOFOLLOW)
}

/// [`find`], through a symlink at its end.
pub(super) fn follow_to(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH)
}

fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), inside) {
            // A rename somewhere raced with the walk (openat2(2)).
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Where a path leads when all its symlinks are followed, as far as there is something: only a text to be shown.
pub(super) fn evaluated(root: BorrowedFd<'_>, path: &str) -> Result<String, Errno> {
    let mut done: Vec<String> = Vec::new();
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => drop(done.pop()),
            name => match link(root, &done.join("/"), name) {
                None => done.push(part),
                Some(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP);
                    }
                    if target.starts_with('/') {
                        done.clear();
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
            },
        }
    }
    Ok(format!("/{}", done.join("/")))
}

/// The text of a symlink; `None` when it is none, or nothing.
fn link(root: BorrowedFd<'_>, folder: &str, name: &str) -> Option<String> {
    let folder = follow_to(root, if folder.is_empty() { "." } else { folder }).ok()?;
    let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return None;
    }
    let text = rustix::fs::readlinkat(&folder, name, Vec::new()).ok()?;
    Some(text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn paths_are_cleaned_as_docker_does() {
        for (path, clean, name) in [
            ("/", "/", ""),
            ("/.", "/.", "."),
            ("etc", "/etc", "etc"),
            ("/etc/", "/etc/", "etc"),
            ("/etc/.", "/etc/.", "."),
            (".", "/.", "."),
            ("/a/../../b//c", "/b/c", "c"),
            ("../..", "/", ""),
        ] {
            let cleaned = cleaned(path);
            assert_eq!((cleaned.as_str(), archive_name(&cleaned)), (clean, name), "{path}");
        }
    }

    #[test]
    fn links_are_followed_inside_as_far_as_they_lead() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(root.path().join("data")).expect("a folder");
        for (name, target) in [
            ("rel", "data"),
            ("abs", "/etc/passwd"),
            ("up", "../../../../etc/x"),
            ("two", "/rel/seed"),
            ("broken", "nowhere"),
            ("loop", "loop"),
        ] {
            symlink(target, root.path().join(name)).expect("a link");
        }
        let open = std::fs::File::open(root.path()).expect("the root");
        let to = |path: &str| evaluated(open.as_fd(), path);
        assert_eq!(to("/rel"), Ok("/data".into()));
        assert_eq!(to("/abs"), Ok("/etc/passwd".into()));
        assert_eq!(to("/up"), Ok("/etc/x".into()));
        assert_eq!(to("/two"), Ok("/data/seed".into()));
        assert_eq!(to("/broken"), Ok("/nowhere".into()));
        assert_eq!(to("/loop"), Err(Errno::LOOP));
    }
}

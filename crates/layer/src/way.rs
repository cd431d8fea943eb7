//! Which way this kernel's overlayfs takes its folders: found once, on folders of our own.

use archive::overlay::Marks;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How folders are handed to overlayfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By fd, and a lower needs not be attached anywhere: Linux 6.15 (FSCONFIG_SET_FD alone: 6.13).
    Fds,
    /// By path, each lower in a call of its own (`lowerdir+`), and attached: Linux 6.7.
    Paths,
    /// By path, all lowers in one string, and attached.
    List,
}

impl Way {
    /// Asks the kernel. Without an answer (no overlayfs, no right to mount) it is the way of current ones: the first mount
    /// will say what is wrong.
    pub fn find() -> Way {
        let found = try_fds();
        let way = match &found {
            Ok(()) => Way::Fds,
            // Only file systems that have not been moved to the new mount API say so: overlayfs before 6.5.
            Err(Errno::OPNOTSUPP) => Way::List,
            // 6.13 refuses the detached mount, older kernels any O_PATH descriptor.
            Err(_) => match try_paths() {
                Ok(()) => Way::Paths,
                Err(Errno::INVAL) => Way::List,
                Err(_) => Way::Fds,
            },
        };
        tracing::debug!(?way, ?found, "overlayfs");
        way
    }
}

/// A whole overlay of two detached lowers.
fn try_fds() -> Result<(), Errno> {
    let overlay = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let lowers = [empty()?, empty()?];
    for lower in &lowers {
        rustix::mount::fsconfig_set_fd(overlay.as_fd(), "lowerdir+", lower.as_fd())?;
    }
    rustix::mount::fsconfig_create(overlay.as_fd())
}

/// The option alone: it is looked at when it is given.
fn try_paths() -> Result<(), Errno> {
    let overlay = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(overlay.as_fd(), "lowerdir+", by_fd(empty()?.as_fd()))
}

fn empty() -> Result<OwnedFd, Errno> {
    let tmpfs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(tmpfs.as_fd())?;
    rustix::mount::fsmount(tmpfs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// What every overlay is mounted with besides its folders. Each can be a default of the distribution's kernel, and would write
/// into the upper folder what is no plain difference any more.
fn options(marks: Marks) -> &'static [(&'static str, Option<&'static str>)] {
    match marks {
        Marks::Trusted => &[("index", Some("off")), ("redirect_dir", Some("off")), ("metacopy", Some("off"))],
        // `userxattr` takes no other value (overlayfs.rst, "User xattr").
        Marks::User => &[
            ("userxattr", None),
            ("index", Some("off")),
            ("redirect_dir", Some("nofollow")),
            ("metacopy", Some("off")),
        ],
    }
}

/// Sets them, by the new mount API.
pub fn set_options(overlay: BorrowedFd<'_>) -> Result<(), Errno> {
    options(Marks::of_this_process()).iter().try_for_each(|(key, value)| match value {
        Some(value) => rustix::mount::fsconfig_set_string(overlay, *key, *value),
        None => rustix::mount::fsconfig_set_flag(overlay, *key),
    })
}

/// Adds them to a string for mount(2).
pub fn add_options(list: &mut String) {
    for (key, value) in options(Marks::of_this_process()) {
        list.push(',');
        list.push_str(key);
        if let Some(value) = value {
            list.push('=');
            list.push_str(value);
        }
    }
}

/// A path that leads to an open folder; it has none of the letters that overlayfs takes for separators.
pub fn by_fd(folder: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

/// The release of the running kernel when it is too old for containers in a user namespace: they need id-mapped layers in
/// overlayfs, Linux 5.19.
pub fn too_old() -> Option<String> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    (version(&release)? < (5, 19)).then_some(release)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_kernels_are_read() {
        assert_eq!(version("6.1.0-50-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("5.14.0-427.el9"), Some((5, 14)));
        assert_eq!(version("7.2-rc1"), Some((7, 2)));
        assert_eq!(version("strange"), None);
    }

    #[test]
    fn this_kernel_has_a_way() {
        let release = version(&rustix::system::uname().release().to_string_lossy()).unwrap();
        let expected = match release {
            (6, 15..) | (7.., _) => Way::Fds,
            (6, 7..) => Way::Paths,
            _ => Way::List,
        };
        assert_eq!(Way::find(), expected);
    }
}

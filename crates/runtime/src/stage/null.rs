//! Standard streams that are the host's /dev/null become the container's own: criu(8) saves no file from outside a container.

use super::process::Streams;
use super::resolve;
use rustix::fs::{AtFlags, FileType, OFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Major and minor number of /dev/null, Documentation/admin-guide/devices.txt.
const NULL: (u32, u32) = (1, 3);

/// The /dev/null below `root`, if one of the streams is such a device and that is one, too. Opening a device has effects, so
/// what it is comes first (CVE-2025-31133).
pub(super) fn open(streams: &Streams<'_>, root: BorrowedFd<'_>) -> Option<OwnedFd> {
    let Streams::Files(files) = streams else { return None };
    if !files.iter().any(|file| is_null(*file)) {
        return None;
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let null = resolve::in_root(root, "dev/null", OFlags::PATH).ok().filter(|node| is_null(node.as_fd()));
    let null =
        null.and_then(|_| resolve::in_root(root, "dev/null", flags).ok()).filter(|file| is_null(file.as_fd()))?;
    rustix::fs::fcntl_setfl(&null, OFlags::empty()).ok().map(|()| null)
}

/// The same streams, with `null` for each that is /dev/null.
pub(super) fn replace<'a>(streams: Streams<'a>, null: BorrowedFd<'a>) -> Streams<'a> {
    match streams {
        Streams::Files(files) => Streams::Files(files.map(|file| if is_null(file) { null } else { file })),
        terminal @ Streams::Terminal(_) => terminal,
    }
}

fn is_null(file: BorrowedFd<'_>) -> bool {
    rustix::fs::statat(file, "", AtFlags::EMPTY_PATH).is_ok_and(|stat| {
        let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && number == NULL
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn the_null_of_the_root_takes_the_place_of_another_and_of_nothing_else() {
        let root = File::open("/").unwrap();
        let (null, zero) = (File::open("/dev/null").unwrap(), File::open("/dev/zero").unwrap());
        let streams = || Streams::Files([null.as_fd(), zero.as_fd(), null.as_fd()]);
        let own = open(&streams(), root.as_fd()).unwrap();
        let Streams::Files(files) = replace(streams(), own.as_fd()) else { panic!("a terminal") };
        assert_eq!(files.map(|file| file.as_raw_fd()), [own.as_raw_fd(), zero.as_raw_fd(), own.as_raw_fd()]);
        assert!(open(&Streams::Files([zero.as_fd(); 3]), root.as_fd()).is_none());
    }

    #[test]
    fn a_root_without_that_device_has_nothing_to_give() {
        let root = tempfile::tempdir().unwrap();
        let null = File::open("/dev/null").unwrap();
        let streams = || Streams::Files([null.as_fd(); 3]);
        let opened = File::open(root.path()).unwrap();
        assert!(open(&streams(), opened.as_fd()).is_none());
        std::fs::create_dir(root.path().join("dev")).unwrap();
        std::fs::write(root.path().join("dev/null"), "").unwrap();
        assert!(open(&streams(), opened.as_fd()).is_none());
    }
}

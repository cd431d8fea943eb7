//! Has the kernel read the container's program from the disk while the process still makes its mounts.
//!
//! Only a cold start gains from it, and nothing depends on it: what cannot be found is not read.

use oci::runtime::{Process, Spec};
use rustix::fs::{Advice, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Result;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Bytes of a program that are worth reading before it is known which it needs.
const LIMIT: NonZeroU64 = NonZeroU64::new(4 << 20).unwrap();

/// Begins to read the program of `process` below the container's root folder, and does not wait for it.
pub fn read(bundle: &Path, spec: &Spec, process: &Process) {
    let Some(root) = spec.root.as_ref().map(|root| bundle.join(&root.path)) else { return };
    let Ok(root) = rustix::fs::openat(CWD, &root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else { return };
    let Some(program) = process.args.first() else { return };
    if program.contains('/') {
        let _ = begin(root.as_fd(), program);
        return;
    }
    let path = process.env.iter().find_map(|variable| variable.strip_prefix("PATH="));
    let mut folders = path.unwrap_or_default().split(':').filter(|folder| folder.starts_with('/'));
    folders.any(|folder| begin(root.as_fd(), &format!("{folder}/{program}")).is_ok());
}

/// A path of the container leads nowhere but below its root, and only a file is opened: a pipe or a device might wait or act.
fn begin(root: impl AsFd, path: &str) -> Result<()> {
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), how)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?;
    rustix::fs::fadvise(file, 0, Some(LIMIT), Advice::WillNeed)
}

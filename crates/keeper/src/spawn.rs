//! Starts the keeper process, from a copy of its binary that no container can write to.
//!
//! Until a container's init has executed its own program, its `/proc/self/exe` is the keeper's binary, and a hostile image
//! can reach through it (CVE-2019-5736). So the keeper is executed through a read-only overlay mount that is in no
//! directory tree: the pages of the file are still shared with the engine's. Where such a mount cannot be made it is a
//! memfd with all its seals.

use crate::client::{Error, Options};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the keeper writes to its stdout when it listens.
pub const LISTENING: u8 = b'+';
/// What it writes when another keeper of this exec root lives.
pub const TAKEN: u8 = b'=';

/// How long a keeper may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a keeper; returns when it listens. `None`: another one turned out to live.
pub fn spawn(options: &Options) -> Result<Option<Child>, Error> {
    try_spawn(options).map_err(|source| Error::Spawn { binary: options.binary.clone(), source })
}

fn try_spawn(options: &Options) -> io::Result<Option<Child>> {
    let program = sealed(&options.binary)?;
    let (ready, ready_end) = io::pipe()?;
    let mut child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
        .arg0(&options.binary)
        .arg("keeper")
        .arg(&options.exec_root)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(ready_end)
        .stderr(error_output(&options.exec_root))
        .spawn()?;
    let said = wait_until_ready(ready);
    if let Ok(LISTENING) = said {
        return Ok(Some(child));
    }
    if said.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    said.map(|_| None)
}

/// Where the keeper's last words go: a file beside its socket.
fn error_output(exec_root: &Path) -> Stdio {
    let file = File::options().append(true).create(true).open(exec_root.join("keeper.log"));
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}

fn wait_until_ready(mut ready: io::PipeReader) -> io::Result<u8> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| ErrorKind::TimedOut)?;
        match poll(&mut [PollFd::new(&ready, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            other => other?,
        };
        let mut word = [0];
        return match ready.read(&mut word)? {
            1 if word[0] == LISTENING || word[0] == TAKEN => Ok(word[0]),
            _ => Err(io::Error::other("it ended at once, see keeper.log in the exec root")),
        };
    }
}

/// `binary`, opened so that nobody can write to it through /proc/PID/exe.
pub fn sealed(binary: &Path) -> io::Result<OwnedFd> {
    by_overlay(binary).or_else(|_| by_memfd(binary))
}

/// Through a detached, read-only overlay mount: the folder of the binary above an empty one.
fn by_overlay(binary: &Path) -> io::Result<OwnedFd> {
    let binary = binary.canonicalize()?;
    let (Some(folder), Some(name)) = (binary.parent(), binary.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let empty = empty_mount()?;
    // One layer to a call: no separators to be escaped in paths (kernel 6.7).
    fsconfig_set_string(overlay.as_fd(), "lowerdir+", folder)?;
    fsconfig_set_string(overlay.as_fd(), "lowerdir+", format!("/proc/self/fd/{}", empty.as_raw_fd()))?;
    fsconfig_create(overlay.as_fd())?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let mount = fsmount(overlay.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    Ok(rustix::fs::openat(&mount, name, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?)
}

/// A tmpfs with nothing in it: an overlay without an upper layer needs two lower ones.
fn empty_mount() -> io::Result<OwnedFd> {
    let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(tmpfs.as_fd())?;
    Ok(fsmount(tmpfs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)?)
}

/// A copy in memory that can be neither changed nor resized.
fn by_memfd(binary: &Path) -> io::Result<OwnedFd> {
    let mut copy = File::from(rustix::fs::memfd_create("dhow", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    io::copy(&mut File::open(binary)?, &mut copy)?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o500))?;
    rustix::fs::fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    // The writing descriptor would make execve say ETXTBSY.
    let read_only = format!("/proc/self/fd/{}", copy.as_raw_fd());
    Ok(rustix::fs::open(read_only, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Runs `program` and tries to open it for writing through /proc while it runs.
    fn check_cannot_be_written(program: &OwnedFd) {
        let mut child = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()))
            .arg0("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let exe = format!("/proc/{}/exe", child.id());
        // An answer shows that it runs.
        io::Write::write_all(child.stdin.as_mut().unwrap(), b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert!(File::options().write(true).open(&exe).is_err());
        let held = File::open(&exe).unwrap();
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        // Nobody executes it any more: ETXTBSY no longer protects it.
        let path = format!("/proc/self/fd/{}", held.as_raw_fd());
        let refused = File::options().write(true).open(path).and_then(|mut file| io::Write::write_all(&mut file, b"x"));
        assert!(refused.is_err());
    }

    #[test]
    fn the_binary_cannot_be_written_through_proc_by_a_program_run_from_the_overlay() {
        let before = fs::read("/bin/busybox").unwrap();
        check_cannot_be_written(&by_overlay(Path::new("/bin/busybox")).unwrap());
        assert!(fs::read("/bin/busybox").unwrap() == before);
    }

    #[test]
    fn the_copy_in_memory_cannot_be_written_either() {
        check_cannot_be_written(&by_memfd(Path::new("/bin/busybox")).unwrap());
    }

    #[test]
    fn the_overlay_shows_the_file_itself() {
        let sealed = by_overlay(Path::new("/bin/busybox")).unwrap();
        let read = fs::read(format!("/proc/self/fd/{}", sealed.as_raw_fd())).unwrap();
        assert!(read == fs::read("/bin/busybox").unwrap());
    }
}

//! The kernel's floor for a container: one clone into new pid, mount, uts, ipc, network and cgroup namespaces, an overlay of
//! busybox on a temporary folder, proc, pivot_root, execve of `true`, and the wait for it. Prints milliseconds.
//!
//! No user namespace, no address, no cgroup, no filter, no log: what any engine adds is on top of this.
#![forbid(unsafe_code)]

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use sys::process::{Birth, Fork, Namespaces, SingleThread};

fn main() -> ExitCode {
    let folder = std::env::temp_dir().join(format!("dhow-floor-{}", std::process::id()));
    let sampled = prepare(&folder).and_then(|()| sample(&folder));
    let cleaned = std::fs::remove_dir_all(&folder);
    match sampled.and_then(|milliseconds| cleaned.map(|()| milliseconds)) {
        Ok(milliseconds) => {
            println!("{milliseconds}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("cannot measure the floor: {e}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(folder: &Path) -> io::Result<()> {
    for name in ["lower/bin", "lower/proc", "upper", "work"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).find(|path| path.exists());
    let busybox = busybox.ok_or_else(|| io::Error::other("busybox is not installed"))?;
    std::fs::copy(busybox, folder.join("lower/bin/true"))?;
    Ok(())
}

fn sample(folder: &Path) -> io::Result<f64> {
    let thread = SingleThread::prove()?;
    let program = sys::process::Strings::new([b"/bin/true".to_vec()]).ok_or(io::ErrorKind::InvalidInput)?;
    let nothing = sys::process::Strings::new([]).ok_or(io::ErrorKind::InvalidInput)?;
    let namespaces = Namespaces::NEWPID
        | Namespaces::NEWNS
        | Namespaces::NEWUTS
        | Namespaces::NEWIPC
        | Namespaces::NEWNET
        | Namespaces::NEWCGROUP;
    let begun = Instant::now();
    match sys::process::fork(&thread, &Birth { namespaces, ..Birth::default() })? {
        Fork::Child(_) => {
            let failed = enter(folder).err();
            let error = failed.unwrap_or_else(|| sys::process::execve(c"/bin/true", &program, &nothing));
            eprintln!("in the container: {error}");
            sys::process::exit(1)
        }
        Fork::Parent { pidfd, .. } => {
            let id = rustix::process::WaitId::PidFd(pidfd.as_fd());
            let status = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED)?;
            match status.and_then(|status| status.exit_status()) {
                Some(0) => Ok(begun.elapsed().as_secs_f64() * 1000.0),
                _ => Err(io::Error::other("the process failed")),
            }
        }
    }
}

fn enter(folder: &Path) -> io::Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, name) in [("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")] {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, folder.join(name))?;
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let root = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    rustix::mount::move_mount(root.as_fd(), "", CWD, folder.join("lower"), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let place = rustix::fs::open(folder.join("lower"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::fchdir(&place)?;
    rustix::mount::mount("proc", "proc", "proc", MountFlags::empty(), None)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(())
}

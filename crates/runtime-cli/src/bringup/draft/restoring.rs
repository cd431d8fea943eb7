//! The way of a draft that CRIU fills with the processes of a checkpoint.

use super::{Draft, run_hooks, warn_of};
use crate::birth;
use crate::bringup::request::Request;
use crate::criu::session::Session;
use crate::criu::wire::{CgroupRoot, ExternalMount, InheritFd, Kind, Notify, Options};
use crate::criu::{self, DESCRIPTORS, Folders, external};
use crate::error::{Error, Result};
use crate::words::options::Restore;
use base::Undo;
use oci::state::Status;
use rustix::process::{Pid, PidfdFlags};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const LOG: &str = "restore.log";

/// What became of the attempt so far.
#[derive(Debug, Default)]
struct Restored {
    pid: Option<i32>,
    master: Option<OwnedFd>,
}

impl Draft {
    /// Has CRIU make the processes, as children of this one.
    pub fn restore(
        &mut self,
        request: &Request<'_>,
        options: &Restore,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<(i32, OwnedFd, Option<OwnedFd>)> {
        let program = criu::find(request.global)?;
        let folders = Folders::open(&options.criu)?;
        let joined = external::joined(request.spec())?;
        let (root, _mounted) = self.show_root(request)?;
        let inherited: Vec<_> = joined.open.iter().map(|(_, fd)| fd.as_fd()).collect();
        let mut session = Session::start(&program, &inherited, streams)?;
        let entered = self.placed.attach(session.pid(), &request.resources());
        entered.map_err(|e| Error::because("unable to apply cgroup configuration", &e))?;
        let mut asked = ask(request, options, &folders)?;
        asked.root = Some(root.to_string_lossy().into_owned());
        asked.cgroup_roots = cgroup_roots(session.pid())?;
        asked.inherit.extend(joined.open.iter().map(|(key, fd)| InheritFd { key: key.clone(), fd: fd.as_raw_fd() }));
        asked.join = joined.by_path;
        let mut restored = Restored::default();
        let done = session
            .ask(Kind::Restore, asked, |notify, fds| self.answer(request, streams, (notify, fds), &mut restored));
        drop(session);
        done.inspect_err(|_| folders.quote(LOG))?;
        let pid = restored.pid.ok_or_else(|| Error::new("criu restored no process"))?;
        Ok((pid, self.open_restored(pid)?, restored.master))
    }

    /// CRIU wants a root that is a mount of its own.
    fn show_root(&self, request: &Request<'_>) -> Result<(PathBuf, Undo<'static>)> {
        let cannot = |e: io::Error| Error::because("cannot show the root file system to criu", &e);
        let place = self.folder().join("criu-root");
        let root = request.spec().root.as_ref().map(|root| root.path.as_str()).unwrap_or_default();
        let mut undo = Undo::new();
        std::fs::create_dir(&place).map_err(cannot)?;
        let folder = place.clone();
        undo.push(move || warn_of(std::fs::remove_dir(folder).map_err(|e| Error::of(&e))));
        rustix::mount::mount_bind_recursive(request.bundle.path.join(root), &place).map_err(|e| cannot(e.into()))?;
        let mounted = place.clone();
        undo.push(move || {
            let flags = rustix::mount::UnmountFlags::DETACH;
            warn_of(rustix::mount::unmount(mounted, flags).map_err(|e| Error::of(&e)));
        });
        Ok((place, undo))
    }

    /// A point of the way: CRIU waits until this returns.
    fn answer(
        &mut self,
        request: &Request<'_>,
        streams: [BorrowedFd<'_>; 3],
        (notify, fds): (&Notify, Vec<OwnedFd>),
        restored: &mut Restored,
    ) -> Result<()> {
        criu::tell(notify);
        match notify.script() {
            "setup-namespaces" => run_hooks(request, &request.state(Status::Creating, notify.pid()), None),
            "orphan-pts-master" => {
                restored.master = fds.into_iter().next();
                Ok(())
            }
            "post-restore" => {
                restored.pid = Some(notify.pid());
                self.save(request, notify.pid(), streams)
            }
            _ => Ok(()),
        }
    }

    fn open_restored(&mut self, pid: i32) -> Result<OwnedFd> {
        let number = Pid::from_raw(pid).ok_or_else(|| Error::new("criu restored no process"))?;
        let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty());
        let pidfd = pidfd.map_err(|e| Error::because("cannot open the restored process", &e))?;
        birth::watch(&mut self.process, pidfd.as_fd())
    }
}

fn ask(request: &Request<'_>, options: &Restore, folders: &Folders) -> Result<Options> {
    let spec = request.spec();
    let mut mounts = external::mounts(spec, &request.bundle.path, external::Way::Restore);
    mounts.push(ExternalMount { key: "/dev/null".to_owned(), value: "/dev/null".to_owned() });
    Ok(Options {
        evasive_devices: Some(true),
        restore_sibling: Some(true),
        lsm_profile: options.lsm_profile.clone().filter(|profile| !profile.is_empty()),
        lsm_mount_context: options.lsm_mount_context.clone().filter(|context| !context.is_empty()),
        external_mounts: mounts,
        inherit: pipes(&folders.image)?,
        ..criu::common(&options.criu, folders, LOG, &spec.annotations)?
    })
}

/// Standard streams that were pipes become those that CRIU has.
fn pipes(image: &Path) -> Result<Vec<InheritFd>> {
    let path = image.join(DESCRIPTORS);
    let cannot = |e: &dyn std::error::Error| Error::because(format_args!("cannot read {}", path.display()), e);
    let names: Vec<String> =
        serde_json::from_slice(&std::fs::read(&path).map_err(|e| cannot(&e))?).map_err(|e| cannot(&e))?;
    let pipe = |(fd, name): (i32, String)| name.starts_with("pipe:").then_some(InheritFd { key: name, fd });
    Ok((0..3).zip(names).filter_map(pipe).collect())
}

/// Where CRIU stands is where the processes shall be.
fn cgroup_roots(pid: i32) -> Result<Vec<CgroupRoot>> {
    let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let lines = lines.map_err(|e| Error::because("cannot read the cgroups of criu", &e))?;
    let read = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controller, path) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(CgroupRoot { controller: Some(controller), path })
    };
    Ok(lines.lines().filter_map(read).collect())
}

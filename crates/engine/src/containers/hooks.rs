//! Hooks, which specifications of devices bring: the folder they look into, and the points at which they are called.
//!
//! ```text
//!   createRuntime, prestart ── engine, by the process's number, while that waits ──┐
//!   createContainer ────────── the process itself, before its root is `/`         │ launch
//!   startContainer ─────────── the process itself, last of all                  ──┘
//!   poststart, poststop ────── engine; one that fails is said in the log
//! ```
//!
//! A container without hooks has no such folder, and nothing here costs it anything but the question.

use super::start::step;
use crate::roots::Roots;
use crate::{Error, Result};
use base::Id;
use container::Container;
use oci::runtime::{Hook, Hooks, Spec};
use oci::state::{State, Status};
use runtime::{Calls, Interruption, Outside, Prepared};
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Below the exec root: a folder for each container with hooks, named by its id.
const BUNDLES: &str = "bundles";
/// The specification, as hooks read it.
const CONFIG: &str = "config.json";
/// Where the root is while hooks run, as the specification names it. Empty for all but the container.
const ROOT: &str = "rootfs";

/// A container's hooks, and the folder that they are told of.
#[derive(Debug)]
pub(super) struct Bundle {
    folder: PathBuf,
    hooks: Hooks,
    state: State,
}

impl Bundle {
    /// `None`: there are no hooks. `group`: the container's root on the host, who may look into the folder.
    pub(super) fn make(roots: &Roots, record: &Container, spec: &Spec, group: u32) -> Result<Option<Bundle>> {
        let Some(hooks) = spec.hooks.clone() else { return Ok(None) };
        let folder = folder(roots, &record.id);
        let failed = |source| Error::Io { action: format!("make the bundle {}", folder.display()), source };
        remove(&folder).and_then(|()| write(&folder, spec, group)).map_err(failed)?;
        // Down to it the container's root only passes.
        for parent in [&roots.exec, &roots.exec.join(BUNDLES)] {
            let_pass(parent, group, 0o710).map_err(failed)?;
        }
        let state = State {
            oci_version: oci::state::VERSION.to_owned(),
            id: record.id.to_string(),
            status: Status::Creating,
            pid: 0,
            bundle: folder.display().to_string(),
            annotations: spec.annotations.clone(),
        };
        Ok(Some(Bundle { folder, hooks, state }))
    }

    /// Has the process that `prepared` is for stop for its hooks.
    pub(super) fn halt(&self, prepared: &mut Prepared) -> Result<Outside> {
        let made = Outside::of(prepared, &self.hooks, &self.state, &self.folder.join(ROOT));
        made.map_err(|source| Error::Io { action: "make a way to the hooks".into(), source })
    }

    /// What is called while the process waits.
    fn create(&self, pid: i32, pidfd: BorrowedFd<'_>) -> std::result::Result<(), String> {
        let state = State { pid, ..self.state.clone() };
        // Hooks of a container that is killed meanwhile are of no use to anybody.
        let killed = Interruption { fd: pidfd, came: &|| true };
        for (point, hooks) in [("prestart", &self.hooks.prestart), ("createRuntime", &self.hooks.create_runtime)] {
            call(point, hooks, &state, Some(&killed))?;
        }
        Ok(())
    }

    /// The program runs.
    pub(super) fn started(&self, pid: i32) {
        let state = State { pid, status: Status::Running, ..self.state.clone() };
        if let Err(why) = call("poststart", &self.hooks.poststart, &state, None) {
            tracing::warn!("{}: {why}", self.state.id);
        }
    }
}

/// Launches; beside it, who attends to hooks.
pub(super) fn attended<T>(
    bundle: Option<(&Bundle, Outside)>,
    fds: Vec<OwnedFd>,
    launch: impl FnOnce(&[OwnedFd]) -> T,
) -> T {
    let Some((bundle, outside)) = bundle else { return launch(&fds) };
    std::thread::scope(|scope| {
        scope.spawn(|| step("hooks", || outside.attend(|pid, pidfd| bundle.create(pid, pidfd))));
        let launched = launch(&fds);
        // Who attends to a process that did not come that far learns of it by the last end that closes.
        drop(fds);
        launched
    })
}

/// The container has ended, or did not come to its start: the last hooks are called, and the folder goes.
pub(crate) fn end(roots: &Roots, id: &Id) {
    let folder = folder(roots, id);
    let text = match fs::read(folder.join(CONFIG)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        other => other,
    };
    let spec = text.and_then(|text| serde_json::from_slice::<Spec>(&text).map_err(io::Error::other));
    let called = spec.map_err(|e| e.to_string()).and_then(|spec| stopped(&spec, id, &folder));
    if let Err(why) = called {
        tracing::warn!("{id}: {why}");
    }
    if let Err(e) = remove(&folder) {
        tracing::warn!("cannot remove {}: {e}", folder.display());
    }
}

fn stopped(spec: &Spec, id: &Id, folder: &Path) -> std::result::Result<(), String> {
    let Some(hooks) = &spec.hooks else { return Ok(()) };
    let state = State {
        oci_version: oci::state::VERSION.to_owned(),
        id: id.to_string(),
        status: Status::Stopped,
        pid: 0,
        bundle: folder.display().to_string(),
        annotations: spec.annotations.clone(),
    };
    call("poststop", &hooks.poststop, &state, None)
}

fn call(
    point: &str,
    hooks: &[Hook],
    state: &State,
    killed: Option<&Interruption<'_>>,
) -> std::result::Result<(), String> {
    Calls { point, hooks, state, folder: Path::new("/") }.run(killed).map_err(|e| e.to_string())
}

fn folder(roots: &Roots, id: &Id) -> PathBuf {
    roots.exec.join(BUNDLES).join(id.to_string())
}

/// The engine's own: the container's root reads it, and changes nothing.
fn write(folder: &Path, spec: &Spec, group: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o710).create(folder)?;
    DirBuilder::new().mode(0o710).create(folder.join(ROOT))?;
    let config = folder.join(CONFIG);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&config)?;
    file.write_all(&serde_json::to_vec(spec).map_err(io::Error::other)?)?;
    let_pass(&config, group, 0o640)?;
    let_pass(&folder.join(ROOT), group, 0o750)?;
    let_pass(folder, group, 0o750)
}

pub(super) fn let_pass(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    let is = fs::metadata(path)?;
    if is.gid() != group && group != 0 {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    if is.mode() & 0o777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

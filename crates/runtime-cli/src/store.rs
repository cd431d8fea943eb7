//! The state folder: the only file that knows what lies in `<root>/<id>/`.
//!
//! ```text
//!  <root>/<id>/state.json    what the container is (written whole, renamed into place)
//!              config.json   its configuration as it was when it was created; only those who need all of it read it
//!              cgroups       a link to nowhere: the path of its groups, for a `delete` after a `create` that was killed
//!              start.sock    the gate: the created process listens here until `start` (gone when started)
//! ```
//!
//! Calls that change something hold the folder itself (see `folder`). The names inside state.json are runc's where it has the
//! same thing (`id`, `init_process_pid`, `init_process_start`, `created`, `cgroup_paths`, `namespace_paths`), because tools
//! look there.

mod folder;
mod fresh;
mod saved;

pub use fresh::Fresh;
pub use saved::Saved;

use crate::error::{Error, Result};
use crate::log;
use crate::process::{self, Life};
use base::atomic::{self, Durability};
use cgroup::{Driver, Place, Placed, Record};
use oci::runtime::Spec;
use oci::state::{State, Status};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const GROUPS: &str = "cgroups";
/// The name of the gate in the folder, for [`runtime::create::knock`].
pub const GATE: &str = "start.sock";

/// All containers below a root.
#[derive(Debug, Clone)]
pub struct Store {
    pub root: PathBuf,
}

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    pub folder: PathBuf,
    pub saved: Saved,
    directory: OwnedFd,
}

/// What is under a name.
#[derive(Debug)]
pub enum Held {
    Container(Box<Container>),
    Remains(Remains),
}

/// What a `create` that was killed early left of a container that never was.
#[derive(Debug)]
pub struct Remains {
    id: String,
    folder: PathBuf,
    directory: OwnedFd,
}

impl Remains {
    /// Removes its groups and its folder.
    pub fn remove(self) -> Result<()> {
        let noted = rustix::fs::readlinkat(&self.directory, GROUPS, Vec::new()).ok();
        if let Some(path) = noted.and_then(|path| path.into_string().ok()) {
            Place::read(Some(&path), &self.id, Driver::Cgroupfs)
                .and_then(|place| place.find())
                .and_then(|groups| groups.remove())
                .map_err(|e| Error::because("unable to remove container's cgroup", &e))?;
        }
        folder::remove(&self.folder)
    }
}

impl Store {
    /// Checks the id (letters, digits, `_+-.`; not `.` or `..`) and makes its folder. "container with given ID already exists".
    pub fn make(&self, id: &str) -> Result<Fresh> {
        check_id(id)?;
        Fresh::make(&self.root, id)
    }

    /// "container does not exist" when there is none.
    pub fn open(&self, id: &str) -> Result<Container> {
        self.find(id)?.ok_or_else(missing)
    }

    /// The same, held against other calls that change something until it is dropped.
    pub fn lock(&self, id: &str) -> Result<Container> {
        match self.hold(id)? {
            Some(Held::Container(container)) => Ok(*container),
            Some(Held::Remains(_)) | None => Err(missing()),
        }
    }

    /// `None` when there is none, or only a folder that was never filled.
    pub fn find(&self, id: &str) -> Result<Option<Container>> {
        check_id(id)?;
        let path = self.root.join(id);
        log::debug(&format!("reading the state in {}", path.display()));
        let Some(directory) = folder::open(&path).map_err(|e| unreadable(id, &e))? else { return Ok(None) };
        let saved = read_state(&directory).map_err(|e| e.within(&format!("cannot read the state of {id}")))?;
        Ok(saved.map(|saved| Container { folder: path, saved, directory }))
    }

    /// What is there under that name, held until it is dropped.
    pub fn hold(&self, id: &str) -> Result<Option<Held>> {
        check_id(id)?;
        let path = self.root.join(id);
        log::debug(&format!("waiting for the lock of {}", path.display()));
        let Some(directory) = folder::open_locked(&path).map_err(|e| unreadable(id, &e))? else { return Ok(None) };
        let saved = read_state(&directory).map_err(|e| e.within(&format!("cannot read the state of {id}")))?;
        Ok(Some(match saved {
            Some(saved) => Held::Container(Box::new(Container { folder: path, saved, directory })),
            None => Held::Remains(Remains { id: id.to_owned(), folder: path, directory }),
        }))
    }

    /// Ids of all containers, in alphabetical order.
    pub fn ids(&self) -> Result<Vec<String>> {
        let cannot = |e: io::Error| Error::because(format_args!("open {}", self.root.display()), &e);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let (true, Ok(id)) = (folder, entry.file_name().into_string()) {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

impl Container {
    /// From the process (by number and start time), the freezer, the gate.
    pub fn status(&self) -> Status {
        if self.life() != Life::Running {
            return Status::Stopped;
        }
        if self.is_frozen() {
            return Status::Paused;
        }
        match rustix::fs::statat(&self.directory, GATE, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Status::Created,
            Err(_) => Status::Running,
        }
    }

    fn life(&self) -> Life {
        process::life(self.saved.init_process_pid, self.saved.init_process_start)
    }

    /// A group that cannot be read (rootless, or removed by somebody) does not stand still.
    fn is_frozen(&self) -> bool {
        self.freezer().is_ok_and(|group| group.is_frozen().unwrap_or(false))
    }

    /// As hooks and `state` tell it.
    pub fn state(&self) -> State {
        self.state_as(self.status())
    }

    /// The same, in a status that is known, or that is told to hooks.
    pub fn state_as(&self, status: Status) -> State {
        State {
            oci_version: self.saved.oci_version.clone(),
            id: self.saved.id.clone(),
            status,
            pid: if status == Status::Stopped { 0 } else { self.saved.init_process_pid },
            bundle: self.saved.bundle.to_string_lossy().into_owned(),
            annotations: self.saved.annotations.clone(),
        }
    }

    pub fn cgroup(&self) -> Result<Placed> {
        Placed::open(&self.saved.cgroup).map_err(|e| Error::of(&e))
    }

    /// Its groups as far as they are needed to look whether it stands, and to let it go on: on v1 one of ten.
    pub fn freezer(&self) -> Result<Placed> {
        let all = &self.saved.cgroup.paths;
        let name = if all.contains_key("freezer") { "freezer" } else { "" };
        let paths = all.get(name).map(|path| (name.to_owned(), path.clone())).into_iter().collect();
        Placed::open(&Record { paths, ..self.saved.cgroup.clone() }).map_err(|e| Error::of(&e))
    }

    /// The configuration as it was when the container was created, with the resources that `update` gave it.
    pub fn config(&self) -> Result<Spec> {
        let cannot = |e: &dyn std::error::Error| {
            Error::because(format_args!("cannot read the saved configuration of {}", self.saved.id), e)
        };
        let json = read(&self.directory, CONFIG).map_err(|e| cannot(&e))?;
        let json = json.ok_or_else(|| cannot(&io::Error::from(io::ErrorKind::NotFound)))?;
        serde_json::from_slice(&json).map_err(|e| cannot(&e))
    }

    /// A pidfd of its first process, `None` when that is gone.
    pub fn init(&self) -> Result<Option<OwnedFd>> {
        process::open(self.saved.init_process_pid, self.saved.init_process_start)
            .map_err(|e| Error::because("cannot open the first process of the container", &e))
    }

    pub fn save_config(&self, config: &Spec) -> Result<()> {
        write(&self.folder, CONFIG, config)
    }

    /// Nobody waits at the gate any more.
    pub fn close_gate(&self) -> Result<()> {
        match rustix::fs::unlinkat(&self.directory, GATE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Error::because("cannot remove the gate of the container", &e)),
        }
    }

    /// Removes the folder.
    pub fn remove(self) -> Result<()> {
        folder::remove(&self.folder)
    }

    /// Holds it until it is dropped. `None`: somebody else has removed it.
    pub fn hold(self) -> Result<Option<Container>> {
        let held = folder::lock(&self.directory).and_then(|()| folder::is_at(&self.directory, &self.folder));
        let held = held.map_err(|e| unreadable(&self.saved.id, &e))?;
        Ok(held.then_some(self))
    }

    /// Holds it no longer: what follows may take long, or may itself call this program for the same container.
    pub fn release(&self) {
        folder::unlock(&self.directory);
    }

    /// The folder, for [`runtime::create::knock`].
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn missing() -> Error {
    Error::new("container does not exist")
}

fn unreadable(id: &str, error: &dyn std::error::Error) -> Error {
    Error::because(format_args!("cannot read the state of {id}"), error)
}

/// `None`: nothing was saved yet.
fn read_state(directory: &OwnedFd) -> Result<Option<Saved>> {
    let Some(json) = read(directory, STATE).map_err(|e| Error::of(&e))? else { return Ok(None) };
    let saved: Saved = serde_json::from_slice(&json).map_err(|e| Error::of(&e))?;
    match saved.version {
        Saved::VERSION => Ok(Some(saved)),
        other => Err(Error::new(format!(
            "it has the layout {other} of another runtime (this one writes {}): use that runtime, or another --root",
            Saved::VERSION
        ))),
    }
}

/// What can be the name of a file and of a cgroup, and needs no quotes in a shell.
pub fn check_id(id: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+-.".contains(&b);
    match id {
        "" => Err(Error::new("container id cannot be empty")),
        id if id != "." && id != ".." && id.bytes().all(allowed) => Ok(()),
        _ => Err(Error::new("invalid container ID format")),
    }
}

fn read(directory: &OwnedFd, name: &str) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    fs::File::from(file).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn write(folder: &Path, name: &str, value: &impl serde::Serialize) -> Result<()> {
    let cannot = |e: &dyn std::error::Error| Error::because(format_args!("cannot save {name}"), e);
    let json = serde_json::to_vec(value).map_err(|e| cannot(&e))?;
    atomic::write(&folder.join(name), &json, 0o600, Durability::Process).map_err(|e| cannot(&e))
}

#[cfg(test)]
mod tests;

//! Checkpoints: the processes of a container in files, by CRIU, from which they go on later.
//!
//! ```text
//!   containers/ID/checkpoints/NAME/         (or DIR/NAME)
//!       description.json                    what CRIU does not know: the engine's own mounts and pipes
//!       *.img, dump.log                     CRIU's
//! ```
//!
//! A checkpoint has memory, open files and what was mounted as a tmpfs; files of the container and of volumes are where they always
//! are, and go on changing. Whoever can write to a checkpoint decides what root of this machine executes at its restoration: the
//! folder is for its owner alone, and another one is refused.

mod description;
mod dump;
mod folder;
mod mounts;

pub(super) use description::{Description, split_place};
pub(super) use dump::{common, spoken, why};
use folder::{Absent, Folder};

use super::stop::in_turn;
use crate::shelf::{Cell, Life};
use crate::{Engine, Error, Result};
use container::{Config, Container, IpcMode, NetworkMode, PidMode, Status};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Which one is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub name: String,
    /// Where it is if not with its container: a folder of the host.
    pub folder: Option<PathBuf>,
}

/// What becomes of the container whose checkpoint was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It ends.
    Ends,
    /// It goes on as if nothing had happened.
    GoesOn,
}

/// A checkpoint that is to be restored.
#[derive(Debug)]
pub(super) struct Kept {
    /// The folder of CRIU's images.
    pub(super) images: OwnedFd,
    pub(super) description: Description,
}

/// How long processes that CRIU has killed may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

impl Engine {
    /// Makes a checkpoint of a container that runs.
    pub async fn checkpoint(&self, container: &str, which: Checkpoint, afterwards: Afterwards) -> Result<()> {
        check_name(&which.name)?;
        let cell = self.house.shelf.find(container)?;
        let mut life = cell.life.subscribe();
        let before = life.borrow().exits;
        let (engine, name) = (self.clone(), container.to_owned());
        in_turn(&cell, move |cell| engine.make_checkpoint(cell, &name, &which, afterwards)).await?;
        if afterwards == Afterwards::Ends {
            let over = |life: &Life| life.exits > before || !life.running || life.removed;
            // That it takes longer is no fault of the checkpoint.
            let _ = tokio::time::timeout(PATIENCE, life.wait_for(over)).await;
        }
        self.house.tell(&cell, "checkpoint", &[]);
        Ok(())
    }

    fn make_checkpoint(&self, cell: &Arc<Cell>, name: &str, which: &Checkpoint, afterwards: Afterwards) -> Result<()> {
        if !matches!(cell.status(), Status::Running | Status::Paused) {
            return Err(Error::NotRunning(cell.id.to_string()));
        }
        let record = cell.record();
        if record.config.auto_remove && afterwards == Afterwards::Ends && which.folder.is_none() {
            return Err(Error::Conflict(format!(
                "cannot checkpoint container {name}: it is removed when it ends, and its checkpoints with it: leave it running \
                 (--leave-running), or keep the checkpoint elsewhere (--checkpoint-dir)"
            )));
        }
        let cannot = |why: String| Error::Checkpoint(format!("cannot checkpoint container {name}: {why}"));
        let folder = self.checkpoints_of(cell, which.folder.as_deref(), Absent::Make)?;
        let folder = folder.ok_or_else(|| cannot("there is no folder for it".into()))?;
        folder.check_free(&which.name, name).map_err(|e| cannot(e.to_string()))?;
        let program = self.ready_for_checkpoints(&record)?;
        let draft = folder.begin(&which.name)?;
        self.dump(cell, &program, &draft, afterwards)
            .map_err(|e| Error::Checkpoint(format!("Cannot checkpoint container {name}: {}", base::chain(&e))))?;
        draft.keep()
    }

    /// Names of a container's checkpoints.
    pub fn checkpoints(&self, container: &str, folder: Option<&Path>) -> Result<Vec<String>> {
        let cell = self.house.shelf.find(container)?;
        match self.checkpoints_of(&cell, folder, Absent::Leave)? {
            Some(folder) => folder.names(),
            None => match folder {
                None => Ok(Vec::new()),
                Some(path) => Err(Error::NotFound(format!(
                    "checkpoint directory {:?} does not exist for container {container}",
                    path.display().to_string()
                ))),
            },
        }
    }

    /// Deletes a checkpoint, and nothing that is none.
    pub fn remove_checkpoint(&self, container: &str, which: &Checkpoint) -> Result<()> {
        check_name(&which.name)?;
        let cell = self.house.shelf.find(container)?;
        let _turn = crate::streams::lock(&cell.turn);
        let folder = self.checkpoints_of(&cell, which.folder.as_deref(), Absent::Leave)?;
        folder.ok_or_else(|| folder::absent(&which.name, container))?.remove(&which.name, container)
    }

    /// Opens a checkpoint that this container is to go on from.
    pub(super) fn open_checkpoint(&self, cell: &Cell, container: &str, which: &Checkpoint) -> Result<Kept> {
        let folder = self.checkpoints_of(cell, which.folder.as_deref(), Absent::Leave)?;
        folder.ok_or_else(|| folder::absent(&which.name, container))?.kept(&which.name, container)
    }

    fn checkpoints_of(&self, cell: &Cell, folder: Option<&Path>, absent: Absent) -> Result<Option<Folder>> {
        match folder.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) if path.is_relative() => Err(Error::Invalid(format!(
                "the checkpoint directory {:?} is not an absolute path",
                path.display().to_string()
            ))),
            Some(path) => Folder::open(path, absent),
            None => Folder::open(&self.house.roots.container(&cell.id).join("checkpoints"), absent),
        }
    }

    /// CRIU, for a container that can be saved and restored.
    pub(super) fn ready_for_checkpoints(&self, record: &Container) -> Result<PathBuf> {
        if self.house.settings.rootless.is_some() {
            return refuse("checkpoints need an engine of root's: criu cannot restore for an ordinary user");
        }
        if let Some(why) = unsuited(&record.config) {
            return Err(Error::Unsupported(format!("a container {why} cannot be checkpointed or restored")));
        }
        if self.house.groups.version() != cgroup::Version::V2 {
            return refuse("checkpoints need cgroup v2 alone: this machine has v1 hierarchies");
        }
        if self.house.groups.driver() == cgroup::Driver::Systemd {
            return refuse("checkpoints need native.cgroupdriver=cgroupfs: systemd makes no group without a process");
        }
        criu::find().ok_or_else(|| {
            Error::Unsupported(
                "checkpoints need criu, which is not in the PATH of this engine: install it (apt-get install criu, \
                 dnf install criu, https://criu.org)"
                    .into(),
            )
        })
    }
}

fn refuse<T>(why: &str) -> Result<T> {
    Err(Error::Unsupported(why.to_owned()))
}

/// What of a container CRIU can neither save nor make.
fn unsuited(config: &Config) -> Option<&'static str> {
    match () {
        () if matches!(config.network, NetworkMode::Container(_)) => Some("in another container's network"),
        () if config.pid != PidMode::Private => Some("without a pid namespace of its own"),
        () if matches!(config.ipc, IpcMode::Container(_)) => Some("in another container's ipc namespace"),
        () if !config.driver_devices.is_empty() || config.hooks != oci::runtime::Hooks::default() => {
            Some("with devices of a vendor's")
        }
        () => None,
    }
}

/// One component of a path, and never `.` or `..` (moby 4f84bcb967).
pub(super) fn check_name(name: &str) -> Result<()> {
    if container::name::validate(name) && !name.ends_with('.') {
        return Ok(());
    }
    let allowed = "[a-zA-Z0-9][a-zA-Z0-9_.-]";
    Err(Error::Invalid(format!("invalid checkpoint ID {name:?}, only {allowed} are allowed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_plain_component() {
        for name in ["", "a", ".", "..", "../x", "a/b", "/etc", ".new-x", "a.", "a..", "a\0b", "-rf", "a b", "é1"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["cp1", "before-upgrade_2.0", "A0"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_shares_anothers_namespaces_is_refused() {
        let mut config = Config::default();
        assert_eq!(unsuited(&config), None);
        config.network = NetworkMode::Container("x".into());
        assert!(unsuited(&config).is_some());
        config.network = NetworkMode::Host;
        assert_eq!(unsuited(&config), None);
        config.pid = PidMode::Host;
        assert!(unsuited(&config).is_some());
    }
}

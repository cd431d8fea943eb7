//! Volumes whose options name another file system: it is mounted while a container that runs, or a copy, uses it.
//!
//! It is mounted at the volume's own `_data`, where the next engine finds it; so containers share one tmpfs, and a crash of the
//! engine takes nothing away from them.

use crate::streams::lock;
use crate::{Engine, Error, Result};
use container::{Container, MountSource};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use volume::Volume;

/// How many starts and copies hold each volume just now.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<HashMap<String, usize>>);

/// Volumes that stay mounted while this lives.
pub(crate) struct Held<'a> {
    engine: &'a Engine,
    volumes: Vec<Volume>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for volume in &self.volumes {
            self.engine.let_go_of(volume);
        }
    }
}

impl Engine {
    /// Mounts what the volumes of a container need.
    pub(crate) fn hold_volumes(&self, record: &Container) -> Result<Held<'_>> {
        let mut held = Held { engine: self, volumes: Vec::new() };
        for mount in record.mounts.iter().filter(|mount| matches!(mount.request.source, MountSource::Volume { .. })) {
            let volume = self.house.volumes.get(&mount.volume)?;
            if volume.needs_mount() {
                self.hold_volume(&volume)?;
                held.volumes.push(volume);
            }
        }
        Ok(held)
    }

    fn hold_volume(&self, volume: &Volume) -> Result<()> {
        if let Some(host) = volume.host() {
            return Err(Error::Unsupported(format!(
                "error resolving passed in network volume address: lookup {host}: give the address of this host in addr= of volume {}",
                volume.name
            )));
        }
        let mut holds = lock(&self.house.volume_holds.0);
        volume.mount().map_err(|e| mount_failed(volume, &e))?;
        *holds.entry(volume.name.clone()).or_default() += 1;
        Ok(())
    }

    fn let_go_of(&self, volume: &Volume) {
        let mut holds = lock(&self.house.volume_holds.0);
        if let Some(count) = holds.get_mut(&volume.name) {
            *count -= 1;
            if *count == 0 {
                holds.remove(&volume.name);
            }
        }
        self.unmount_unless_used(volume, &holds);
    }

    /// Takes away what nobody uses any more of the volumes of a container that has ended.
    pub(crate) fn unmount_idle(&self, record: &Container) {
        for mount in record.mounts.iter().filter(|mount| !mount.volume.is_empty()) {
            let Ok(volume) = self.house.volumes.get(&mount.volume) else { continue };
            if volume.needs_mount() {
                self.unmount_unless_used(&volume, &lock(&self.house.volume_holds.0));
            }
        }
    }

    /// What an earlier engine mounted for containers that are gone.
    pub(crate) fn unmount_all_idle(&self) {
        let Ok(volumes) = self.house.volumes.list() else { return };
        for volume in volumes.iter().filter(|volume| volume.needs_mount()) {
            self.unmount_unless_used(volume, &lock(&self.house.volume_holds.0));
        }
    }

    fn unmount_unless_used(&self, volume: &Volume, holds: &HashMap<String, usize>) {
        let runs = self.users_of(&volume.name).iter().any(|cell| lock(&cell.live).is_some());
        if holds.contains_key(&volume.name) || runs {
            return;
        }
        if let Err(e) = volume.unmount() {
            tracing::warn!("cannot unmount {}: {e}", volume.mountpoint.display());
        }
    }

    /// Nobody mounts or unmounts a volume meanwhile.
    pub(super) fn alone_with_volumes<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _alone = self.house.volumes_in_use.write().unwrap_or_else(PoisonError::into_inner);
        work()
    }
}

/// mount.cifs(8) knows a password by these names.
fn is_secret(word: &str) -> bool {
    ["password=", "password2=", "pass="].iter().any(|key| word.starts_with(key))
}

/// In Docker's words. A password is not repeated.
fn mount_failed(volume: &Volume, cause: &std::io::Error) -> Error {
    let option = |key: &str| volume.options.get(key).map(String::as_str).unwrap_or_default();
    let (flags, data) = volume.mount_words();
    let data: Vec<&str> = data.split(',').filter(|word| !word.is_empty() && !is_secret(word)).collect();
    let data = if data.is_empty() { String::new() } else { format!(", data: {}", data.join(",")) };
    let flags = if flags == 0 { String::new() } else { format!(", flags: {flags:#x}") };
    let cause = cause.to_string();
    let cause = cause.split(" (os error").next().unwrap_or_default().to_lowercase();
    let at = volume.mountpoint.display();
    Error::Mount(format!(
        "error while mounting volume '{at}': failed to mount local volume: mount {}:{at}{flags}{data}: {cause}",
        option("device")
    ))
}

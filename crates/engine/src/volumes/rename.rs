//! Another name for a volume. Containers that have it keep it, running or not.

use crate::shelf::Cell;
use crate::{Engine, Result};
use container::{Container, MountRequest, MountSource};
use serde_json::Value;
use std::sync::Arc;
use volume::Volume;

impl Engine {
    pub fn volume_rename(&self, name: &str, new: &str) -> Result<Volume> {
        let volume = self.alone_with_volumes(|| {
            let volume = self.house.volumes.rename(name, new)?;
            for cell in self.users_of(name) {
                self.follow_rename(&cell, name, &volume)?;
            }
            Ok(volume)
        })?;
        self.tell_volume("rename", new, &[("oldName", name.to_owned())]);
        Ok(volume)
    }

    fn follow_rename(&self, cell: &Arc<Cell>, old: &str, volume: &Volume) -> Result<()> {
        self.house.change_record(cell, |record| renamed(record, old, volume))
    }
}

fn renamed(record: &mut Container, old: &str, volume: &Volume) {
    for mount in record.mounts.iter_mut().filter(|mount| mount.volume == old) {
        mount.volume.clone_from(&volume.name);
        let below = match &mount.request.source {
            MountSource::Volume { subpath: Some(subpath), .. } => volume.mountpoint.join(subpath),
            _ => volume.mountpoint.clone(),
        };
        mount.source = below.display().to_string();
        rename_request(&mut mount.request, old, &volume.name);
    }
    record.config.mounts.iter_mut().for_each(|request| rename_request(request, old, &volume.name));
    let mut asked = record.config.asked.value();
    rename_asked(&mut asked, old, &volume.name);
    record.config.asked = asked.into();
}

fn rename_request(request: &mut MountRequest, old: &str, new: &str) {
    if let MountSource::Volume { name: Some(name), .. } = &mut request.source
        && name == old
    {
        new.clone_into(name);
    }
}

/// The request as it is shown again.
fn rename_asked(asked: &mut Value, old: &str, new: &str) {
    let Some(host) = asked.get_mut("HostConfig") else { return };
    for bind in host.get_mut("Binds").and_then(Value::as_array_mut).into_iter().flatten() {
        let rest = bind.as_str().and_then(|text| text.strip_prefix(old)).filter(|rest| rest.starts_with(':'));
        if let Some(text) = rest.map(|rest| format!("{new}{rest}")) {
            *bind = Value::String(text);
        }
    }
    for mount in host.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_volume = mount.get("Type").and_then(Value::as_str) == Some("volume");
        if let Some(source) = mount.get_mut("Source").filter(|source| is_volume && source.as_str() == Some(old)) {
            *source = Value::String(new.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_with_the_new_name() {
        let mut asked = serde_json::json!({"HostConfig": {
            "Binds": ["old:/a", "older:/b", "/old:/c"],
            "Mounts": [{"Type": "volume", "Source": "old"}, {"Type": "bind", "Source": "old"}],
        }});
        rename_asked(&mut asked, "old", "new");
        let host = &asked["HostConfig"];
        assert_eq!(host["Binds"], serde_json::json!(["new:/a", "older:/b", "/old:/c"]));
        assert_eq!((&host["Mounts"][0]["Source"], &host["Mounts"][1]["Source"]), (&"new".into(), &"old".into()));
    }
}

//! Events of volumes, with the attributes that Docker's have.

use crate::events::{Event, EventKind, now};
use crate::{Engine, shelf::Cell};
use container::{Container, MountSource};
use std::collections::BTreeMap;

const DRIVER: &str = "local";

impl Engine {
    pub(crate) fn tell_volume(&self, action: &str, name: &str, more: &[(&str, String)]) {
        let mut attributes = BTreeMap::from([("driver".to_owned(), DRIVER.to_owned())]);
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let (action, actor) = (action.to_owned(), name.to_owned());
        self.house.events.tell(Event { kind: EventKind::Volume, action, actor, attributes, at: now() });
    }

    /// A container begins to use its volumes.
    pub(crate) fn tell_mounts(&self, record: &Container) {
        for mount in record.mounts.iter().filter(|mount| is_volume(mount)) {
            let more = [
                ("container", record.id.to_string()),
                ("destination", mount.request.target.clone()),
                ("propagation", String::new()),
                ("read/write", (!mount.request.readonly).to_string()),
            ];
            self.tell_volume("mount", &mount.volume, &more);
        }
    }

    /// A container no longer uses its volumes: what was mounted for them alone is taken away.
    pub(crate) fn leave_volumes(&self, cell: &Cell) {
        let record = cell.record();
        let mut mounts = record.mounts.iter().filter(|mount| is_volume(mount)).peekable();
        if mounts.peek().is_none() {
            return;
        }
        for mount in mounts {
            self.tell_volume("unmount", &mount.volume, &[("container", record.id.to_string())]);
        }
        self.unmount_idle(&record);
    }
}

fn is_volume(mount: &container::MountPoint) -> bool {
    matches!(mount.request.source, MountSource::Volume { .. })
}

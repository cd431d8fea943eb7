//! Events of images, with the attributes that Docker's have: the image's labels and a name.

use crate::Engine;
use crate::events::{Event, EventKind, now};
use std::collections::BTreeMap;

/// The image that an event is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    pub actor: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

impl Subject {
    /// An image, by its id.
    pub(super) fn of(image: &image::Image) -> Subject {
        let id = image.id.to_string();
        Subject { actor: id.clone(), name: id, labels: image.config.config.labels.clone() }
    }

    pub(super) fn named(self, name: String) -> Subject {
        Subject { name, ..self }
    }
}

impl Engine {
    pub(super) fn tell_image(&self, action: &str, subject: Subject) {
        let mut attributes = subject.labels;
        attributes.insert("name".to_owned(), subject.name);
        self.tell_event(EventKind::Image, action, subject.actor, attributes);
    }

    /// What came from a registry or went to one: the actor is the reference, as in Docker.
    pub(super) fn tell_transfer(&self, action: &str, reference: &image::Reference) {
        let actor = reference.familiar();
        let named = reference.tag.is_some() || reference.digest.is_some();
        let image = if named { self.house.images.get(&actor).ok() } else { None };
        let labels = image.map(|image| image.config.config.labels).unwrap_or_default();
        self.tell_image(action, Subject { actor, name: reference.familiar_name(), labels });
    }

    /// An image that was built: its names are told where it got some.
    pub(crate) fn tell_built(&self, image: &image::Image, names: &[String]) {
        for name in names {
            self.tell_image("tag", Subject::of(image).named(name.clone()));
        }
    }

    /// The end of a prune: what it gave back, in bytes.
    pub fn tell_prune(&self, kind: EventKind, reclaimed: u64) {
        let attributes = BTreeMap::from([("reclaimed".to_owned(), reclaimed.to_string())]);
        self.tell_event(kind, "prune", String::new(), attributes);
    }

    fn tell_event(&self, kind: EventKind, action: &str, actor: String, attributes: BTreeMap<String, String>) {
        self.house.events.tell(Event { kind, action: action.into(), actor, attributes, at: now() });
    }
}

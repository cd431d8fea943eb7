//! Names of indexes in the catalogue, and which images are shown.

use super::Group;
use crate::catalog::{Catalog, Found, Name};
use crate::reference::Reference;
use base::Digest;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

impl Catalog {
    /// Gives `reference` to an index; who had it before loses it.
    pub fn name_index(&mut self, reference: &Reference, index: Digest, now: &str) {
        let Some(face) = self.groups.get(&index).and_then(|group| group.face()) else { return };
        let name = Name { id: face, index: Some(index), tagged_at: now.to_owned() };
        self.names.insert(reference.to_string(), name);
    }

    /// The index behind a name; behind an id, the only one that is shown as this image.
    pub fn group_of(&self, found: &Found) -> Option<&Arc<Group>> {
        match found {
            Found::Name { full, .. } => self.groups.get(&self.names.get(full)?.index?),
            Found::Id(id) => match self.groups_shown_as(id)[..] {
                [only] => Some(only),
                _ => None,
            },
        }
    }

    /// The indexes that are shown as this image.
    pub fn groups_shown_as(&self, id: &Digest) -> Vec<&Arc<Group>> {
        self.groups.values().filter(|group| group.face() == Some(*id)).collect()
    }

    /// The image that an index is shown as, or that has this manifest in one.
    pub fn image_behind(&self, digest: &Digest) -> Option<Digest> {
        let face = self.groups.get(digest).and_then(|group| group.face());
        let in_group = || {
            let mut images = self.groups.values().flat_map(|group| group.images());
            images.find(|(part, _, _)| part.descriptor.digest == *digest).map(|(_, id, _)| id)
        };
        face.or_else(in_group)
    }

    /// Indexes without a name that are shown as this image.
    pub fn nameless_groups(&self, id: &Digest) -> Vec<Digest> {
        let named: HashSet<Digest> = self.names.values().filter_map(|name| name.index).collect();
        let shown = self.groups_shown_as(id).into_iter().map(|group| group.index.digest);
        shown.filter(|index| !named.contains(index)).collect()
    }

    /// Images that nobody sees but as parts of an index.
    pub fn hidden(&self) -> HashSet<Digest> {
        let parts = self.groups.values().flat_map(|group| group.images().map(|(_, id, _)| id));
        let faces: HashSet<Digest> = self.groups.values().filter_map(|group| group.face()).collect();
        let named: HashSet<Digest> = self.names.values().map(|name| name.id).collect();
        parts.filter(|id| !faces.contains(id) && !named.contains(id)).collect()
    }

    /// Takes an index away. Its images that nobody sees then are returned.
    pub fn remove_group(&mut self, index: &Digest) -> BTreeSet<Digest> {
        let Some(group) = self.groups.remove(index) else { return BTreeSet::new() };
        let others: HashSet<Digest> =
            self.groups.values().flat_map(|group| group.images().map(|(_, id, _)| id)).collect();
        let named: HashSet<Digest> = self.names.values().map(|name| name.id).collect();
        group.images().map(|(_, id, _)| id).filter(|id| !others.contains(id) && !named.contains(id)).collect()
    }

    /// Whether an image has a name, or an index, besides this index.
    pub fn is_elsewhere(&self, id: &Digest, index: &Digest) -> bool {
        let named = self.names.values().any(|name| name.id == *id && name.index != Some(*index));
        named || self.groups.values().any(|group| group.index.digest != *index && group.has(id))
    }

    /// An image is no longer taken for that of its platform in an index.
    pub fn take_out(&mut self, id: &Digest, index: &Digest) {
        if let Some(group) = self.groups.get_mut(index) {
            Arc::make_mut(group).retain(|own| own != id);
        }
    }

    /// After a change of images: indexes know which of theirs are here, names which image is shown.
    pub(crate) fn settle_groups(&mut self) {
        let records = &self.records;
        for group in self.groups.values_mut() {
            if group.images().any(|(_, id, _)| !records.contains_key(&id)) {
                Arc::make_mut(group).retain(|id| records.contains_key(id));
            }
        }
        self.groups.retain(|_, group| group.face().is_some());
        let groups = &self.groups;
        for name in self.names.values_mut() {
            let Some(index) = name.index else { continue };
            match groups.get(&index).and_then(|group| group.face()) {
                Some(face) => name.id = face,
                None => name.index = None,
            }
        }
        self.names.retain(|_, name| records.contains_key(&name.id));
    }
}

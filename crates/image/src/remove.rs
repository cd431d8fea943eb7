//! Docker's rules of `rmi` (moby, daemon/images/image_delete.go): a name goes first, the image with its last name.

use crate::catalog::{Catalog, Found};
use crate::reference::Reference;
use crate::{Error, Force, HOST, Removed, Store};
use base::Digest;
use oci::image::Platform;
use sha2::Digest as _;
use std::collections::BTreeSet;

impl Store {
    /// Docker's rules: a name untags and, when it was the last one, deletes; an id deletes, with several names only by
    /// force.
    ///
    /// `in_use`: ids of images that containers stand on. Such an image loses its names, and keeps its layers and its
    /// id.
    pub fn remove(&self, name: &str, force: Force, in_use: &[Digest]) -> Result<Vec<Removed>, Error> {
        if self.is_host(name) {
            return Err(Error::BuiltIn(HOST.to_owned()));
        }
        self.change(|catalog| remove(catalog, name, force, in_use))
    }

    /// Takes the images for some platforms out of an index; with the last one goes the name. An image that is in use stays, and one
    /// that has other names is only no longer this one's.
    pub fn remove_platforms(
        &self,
        name: &str,
        platforms: &[Platform],
        in_use: &[Digest],
    ) -> Result<Vec<Removed>, Error> {
        let ids = platforms.iter().map(|platform| self.get_for(name, Some(platform)).map(|image| image.id));
        let ids = ids.collect::<Result<BTreeSet<Digest>, Error>>()?;
        if let Some(used) = ids.iter().find(|id| in_use.contains(id)) {
            return Err(Error::InUse(used.short()));
        }
        self.change(|catalog| {
            let found = catalog.find(name)?;
            let index = catalog
                .group_of(&found)
                .filter(|group| group.images().any(|(_, id, _)| !ids.contains(&id)))
                .map(|group| group.index.digest);
            let Some(index) = index else { return remove(catalog, name, Force::Yes, in_use) };
            let mut removed = Vec::new();
            for id in &ids {
                match catalog.is_elsewhere(id, &index) {
                    true => catalog.take_out(id, &index),
                    false => delete(catalog, id, &mut removed),
                }
            }
            Ok(removed)
        })
    }
}

fn remove(catalog: &mut Catalog, name: &str, force: Force, in_use: &[Digest]) -> Result<Vec<Removed>, Error> {
    let mut removed = Vec::new();
    let found = catalog.find(name)?;
    let groups: Vec<Digest> = match &found {
        Found::Name { .. } => catalog.group_of(&found).into_iter().map(|group| group.index.digest).collect(),
        Found::Id(id) => catalog.groups_shown_as(id).into_iter().map(|group| group.index.digest).collect(),
    };
    let id = match found {
        Found::Name { full, id } => {
            untag(catalog, &full, &mut removed);
            untag_digests(catalog, &full, &id, &mut removed);
            id
        }
        Found::Id(id) => {
            let names = catalog.names_of(&id);
            let repositories: BTreeSet<String> =
                names.iter().filter_map(|full| Reference::parse(full).ok()).map(|reference| reference.name()).collect();
            if names.len() > 1 && force == Force::No && !one_pull(&names, &repositories) {
                return Err(Error::ManyNames { id: id.to_string(), names: names.len() });
            }
            names.iter().for_each(|full| untag(catalog, full, &mut removed));
            id
        }
    };
    let mut gone = BTreeSet::new();
    for index in groups {
        let is_named = catalog.names.values().any(|name| name.index == Some(index));
        let in_use = catalog.groups.get(&index).is_some_and(|group| in_use.iter().any(|used| group.has(used)));
        if !is_named && !in_use {
            gone.append(&mut catalog.remove_group(&index));
        }
    }
    gone.remove(&id);
    let shown = catalog.groups.values().any(|group| group.face() == Some(id));
    if catalog.names_of(&id).is_empty() && !shown && !in_use.contains(&id) {
        delete(catalog, &id, &mut removed);
    }
    gone.iter().for_each(|part| delete(catalog, part, &mut removed));
    Ok(removed)
}

/// A tag and the digest it was pulled by count as one name.
fn one_pull(names: &[String], repositories: &BTreeSet<String>) -> bool {
    let by_digest = names.iter().filter(|full| full.contains('@')).count();
    names.len() == 2 && by_digest == 1 && repositories.len() == 1
}

/// With the last tag of a repository go the digests by which the image was pulled from it.
fn untag_digests(catalog: &mut Catalog, full: &str, id: &Digest, removed: &mut Vec<Removed>) {
    let Ok(gone) = Reference::parse(full) else { return };
    let here = |other: &Reference| other.name() == gone.name();
    let left: Vec<Reference> =
        catalog.names_of(id).iter().filter_map(|full| Reference::parse(full).ok()).filter(here).collect();
    if gone.digest.is_none() && left.iter().all(|other| other.digest.is_some()) {
        left.iter().for_each(|other| untag(catalog, &other.to_string(), removed));
    }
}

fn untag(catalog: &mut Catalog, full: &str, removed: &mut Vec<Removed>) {
    if catalog.names.remove(full).is_some() {
        let familiar = Reference::parse(full).map_or_else(|_| full.to_owned(), |reference| reference.familiar());
        removed.push(Removed::Untagged(familiar));
    }
}

/// The image, and each layer that no other image stands on in the same order, the topmost first.
fn delete(catalog: &mut Catalog, id: &Digest, removed: &mut Vec<Removed>) {
    let Some(record) = catalog.records.remove(id) else { return };
    removed.push(Removed::Deleted(*id));
    let others: BTreeSet<Digest> =
        catalog.records.values().flat_map(|other| chain(&other.config.rootfs.diff_ids)).collect();
    let gone = chain(&record.config.rootfs.diff_ids).into_iter().rev().filter(|link| !others.contains(link));
    removed.extend(gone.map(Removed::Deleted));
}

/// Chain ids, lowest first: image-spec 1.1, config.md, "Layer ChainID".
fn chain(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut links: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let link = match links.last() {
            None => *diff_id,
            Some(below) => Digest::from_bytes(sha2::Sha256::digest(format!("{below} {diff_id}")).into()),
        };
        links.push(link);
    }
    links
}

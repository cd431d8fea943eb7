//! What a build was made of, noted while it goes on: for its provenance.

use crate::solve::lock;
use base::Digest;
use oci::image::Platform;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// A notebook that all stages write into.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Facts>);

/// What was noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub images: Vec<UsedImage>,
    /// Addresses, and what came from there.
    pub fetched: BTreeMap<String, Digest>,
    /// Repositories, and the commit that was taken.
    pub repositories: BTreeMap<String, String>,
    /// Folders of the client's.
    pub folders: BTreeSet<String>,
    /// By id, and whether the step goes on without it.
    pub secrets: BTreeMap<String, bool>,
    pub agents: BTreeMap<String, bool>,
    /// A step could reach a network.
    pub network: bool,
}

/// An image that files or configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsedImage {
    /// The full name.
    pub name: String,
    pub platform: Platform,
    /// As its registry knows it; of one that never was in a registry the manifest's.
    pub digest: Digest,
}

impl Notes {
    pub fn image(&self, image: UsedImage) {
        let mut facts = lock(&self.0);
        if !facts.images.contains(&image) {
            facts.images.push(image);
        }
    }

    pub fn fetched(&self, url: &str, digest: Digest) {
        lock(&self.0).fetched.insert(url.to_owned(), digest);
    }

    pub fn repository(&self, address: &str, commit: &str) {
        lock(&self.0).repositories.insert(address.to_owned(), commit.to_owned());
    }

    pub fn folder(&self, name: &str) {
        lock(&self.0).folders.insert(name.to_owned());
    }

    pub fn secret(&self, id: &str, optional: bool) {
        lock(&self.0).secrets.insert(id.to_owned(), optional);
    }

    pub fn agent(&self, id: &str, optional: bool) {
        lock(&self.0).agents.insert(id.to_owned(), optional);
    }

    pub fn network(&self) {
        lock(&self.0).network = true;
    }

    pub fn all(&self) -> Facts {
        lock(&self.0).clone()
    }
}

impl Facts {
    /// Of several platforms of one build.
    pub fn merge(&mut self, other: Facts) {
        for image in other.images {
            if !self.images.contains(&image) {
                self.images.push(image);
            }
        }
        self.fetched.extend(other.fetched);
        self.repositories.extend(other.repositories);
        self.folders.extend(other.folders);
        self.secrets.extend(other.secrets);
        self.agents.extend(other.agents);
        self.network |= other.network;
    }
}

//! How registries are reached, which may change while the engine runs; and what is asked of them without an image.

use crate::{Engine, Result};
use image::Reference;
use registry::{Cancel, Client, Credentials, Hit, Login, Repository};
use std::io::Read;
use std::sync::{PoisonError, RwLock};

/// How images come and go over the network.
#[derive(Debug, Clone)]
pub struct Registries {
    pub access: registry::Settings,
    /// Layers that one pull downloads at once.
    pub downloads: usize,
    /// Layers that one push uploads at once.
    pub uploads: usize,
}

impl Default for Registries {
    /// Docker's numbers.
    fn default() -> Registries {
        Registries { access: registry::Settings::default(), downloads: 3, uploads: 5 }
    }
}

/// Whether a registry may speak plain HTTP or show any certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    AsConfigured,
    Any,
}

/// The client of registries, and what it was told.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) client: Client,
    told: RwLock<Registries>,
}

impl Exchange {
    pub(crate) fn new(registries: Registries) -> Exchange {
        Exchange { client: Client::new(registries.access.clone()), told: RwLock::new(registries) }
    }

    pub(crate) fn told(&self) -> Registries {
        self.told.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Engine {
    pub fn registries(&self) -> Registries {
        self.house.exchange.told()
    }

    /// New settings, for what begins from now on.
    pub fn set_registries(&self, registries: Registries) {
        self.house.exchange.client.set(registries.access.clone());
        *self.house.exchange.told.write().unwrap_or_else(PoisonError::into_inner) = registries;
    }

    /// The repository of a reference, as one asker sees it.
    pub fn repository(&self, reference: &Reference, credentials: &Credentials, cancel: &Cancel) -> Repository {
        self.house.exchange.client.repository(&reference.domain, &reference.path, credentials, cancel)
    }

    /// The client that asks the registry of a reference, and how many layers it uploads at once.
    pub fn registry_client(&self, reference: &Reference, trust: Trust) -> (Client, usize) {
        let told = self.house.exchange.told();
        let client = match trust {
            Trust::AsConfigured => self.house.exchange.client.clone(),
            Trust::Any => {
                let mut access = told.access;
                access.insecure.push(reference.domain.clone());
                Client::new(access)
            }
        };
        (client, told.uploads)
    }

    /// The content behind any http or https address.
    pub fn fetch(&self, url: &str, cancel: &Cancel) -> Result<Box<dyn Read + Send>> {
        Ok(self.house.exchange.client.fetch(url, cancel)?)
    }

    /// Checks credentials with the registry that they name.
    pub fn login(&self, credentials: &Credentials, cancel: &Cancel) -> Result<Login> {
        Ok(self.house.exchange.client.login(credentials, cancel)?)
    }

    /// At most `limit` repositories that have to do with `term`.
    pub fn search(&self, term: &str, limit: usize, credentials: &Credentials, cancel: &Cancel) -> Result<Vec<Hit>> {
        Ok(self.house.exchange.client.search(term, limit, credentials, cancel)?)
    }
}

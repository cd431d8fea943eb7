//! What is asked of a build, whichever door it comes through.

use image::Reference;
use oci::image::Platform;
use registry::Credentials;
use std::collections::BTreeMap;

/// What is to be built.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The Dockerfile, as it is.
    pub dockerfile: Vec<u8>,
    /// The stage that is wanted, by name or number; the last one unless given.
    pub target: Option<String>,
    pub arguments: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub names: Vec<Reference>,
    /// This machine's unless given.
    pub platform: Option<Platform>,
    pub cache: CacheUse,
    pub pull: Pulling,
    pub order: Order,
    /// How the programs of `RUN` run but for what the Dockerfile says: networks, limits, hosts.
    pub steps: container::Config,
    pub entitlements: Entitlements,
    pub squash: Squash,
}

/// What of the cache may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CacheUse {
    #[default]
    All,
    /// Nothing: every step is done anew.
    Nothing,
    /// Only the steps that these images have, by name.
    Images(Vec<String>),
    /// All but the steps of these stages.
    AllBut(Vec<String>),
}

/// Whether images are asked for at their registries though they are here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pulling {
    #[default]
    Missing,
    Always,
}

/// Whether stages are built side by side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Parallel,
    /// As they stand in the file, for doors that tell one step after the other.
    InTurn,
}

/// Whether the layers of the build become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Squash {
    #[default]
    No,
    Yes,
}

/// What a `RUN` may ask for beyond the ordinary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entitlements {
    pub host_network: Granted,
    pub insecure: Granted,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Granted {
    #[default]
    No,
    Yes,
}

/// Who asks a registry for an image.
pub trait Keys: Sync {
    fn of(&self, reference: &Reference) -> Credentials;
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeys;

impl Keys for NoKeys {
    fn of(&self, _reference: &Reference) -> Credentials {
        Credentials::default()
    }
}

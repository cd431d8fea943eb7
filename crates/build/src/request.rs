//! What is asked of a build, whichever door it comes through.

use crate::cache;
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
    /// One result for each; this machine's unless given.
    pub platforms: Vec<Platform>,
    pub cache: CacheUse,
    /// Caches of other engines that are looked into.
    pub cache_from: Vec<cache::Import>,
    /// Whether the result says what its steps came to (`inline`).
    pub inline_cache: Inline,
    pub pull: Pulling,
    pub order: Order,
    /// How the programs of `RUN` run but for what the Dockerfile says: networks, limits, hosts.
    pub steps: container::Config,
    pub entitlements: Entitlements,
    pub squash: Squash,
    /// What is to be said of the results.
    pub attest: Vec<Attest>,
    /// What was asked in BuildKit's words, for the provenance; made of the rest where it is empty.
    pub frontend_attributes: BTreeMap<String, String>,
}

impl Request {
    /// Also by the argument that BuildKit's clients have for it.
    pub(crate) fn wants_inline_cache(&self) -> bool {
        let argument = self.arguments.get("BUILDKIT_INLINE_CACHE").map(String::as_str);
        self.inline_cache == Inline::Yes || matches!(argument, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
    }
}

/// Whether the configuration of the image tells other builders what the steps came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Inline {
    #[default]
    No,
    Yes,
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

/// Something to be said of a result, by who built it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    pub kind: AttestKind,
    /// As BuildKit has them: `mode`, `inline-only`, `generator`...
    pub attributes: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttestKind {
    /// How it was made.
    Provenance,
    /// What it consists of.
    Sbom,
}

/// What a `RUN` may ask for beyond the ordinary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entitlements {
    pub host_network: Granted,
    pub insecure: Granted,
}

impl Entitlements {
    pub const ALL: Entitlements = Entitlements { host_network: Granted::Yes, insecure: Granted::Yes };

    /// The first of these rights that `allowed` has not, in BuildKit's words.
    pub fn beyond(&self, allowed: &Entitlements) -> Option<&'static str> {
        let rights = [
            ("network.host", self.host_network, allowed.host_network),
            ("security.insecure", self.insecure, allowed.insecure),
        ];
        rights
            .into_iter()
            .find(|(_, own, allowed)| *own == Granted::Yes && *allowed == Granted::No)
            .map(|right| right.0)
    }
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

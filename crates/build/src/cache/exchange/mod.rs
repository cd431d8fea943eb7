//! Caches beyond this engine: what other engines came to is brought in, and what this one came to is taken out.
//!
//! ```text
//!   import   manifest ─► records (key -> layer) ─► a step's key is among them ─► its layer, when something needs it ─► cache
//!   export   steps of a build ─► records, layers ─► manifest
//! ```
//!
//! Who imports a cache believes its writer: the records say what steps came to, and nobody can look whether that is so. Layers are
//! verified to be what the records name, and what a build used stays in the engine's own cache, as with BuildKit.

pub(crate) mod document;
mod export;
pub(crate) mod far;
pub(crate) mod import;
mod layout;
mod place;

pub use export::Mode;
pub(crate) use export::{Taken, export};
pub(crate) use far::{Far, Noted, size_of_tar};
pub use layout::Layout;
pub(crate) use place::Asking;

use crate::{Error, Result};
use oci::image::Descriptor;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::str::FromStr;

/// A cache to be looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub kind: ExchangeKind,
    /// As BuildKit has them: `ref`, `src`, `digest`, `tag`, `registry.insecure`.
    pub attributes: BTreeMap<String, String>,
}

/// A place where what a build came to is to be kept for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub kind: ExchangeKind,
    /// As BuildKit has them: `mode`, `ref`, `dest`, `tag`, `image-manifest`, `oci-mediatypes`, `compression`,
    /// `compression-level`, `force-compression`, `ignore-error`, `registry.insecure`.
    pub attributes: BTreeMap<String, String>,
}

/// Where a cache lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    /// In a repository, as an artifact; to be imported also inside of an image ([`ExchangeKind::Inline`]).
    Registry,
    /// In a folder of the client's.
    Local,
    /// In the configuration of the image that is built.
    Inline,
    /// In a service that this engine does not speak with.
    Foreign(Service),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    GitHub,
    S3,
    Azure,
}

/// A client's folder of blobs: an OCI layout, or what looks like one.
pub trait Blobs: Send + Sync {
    /// The bytes of a blob; `None` when it is not there. Who reads them verifies them.
    fn open(&self, blob: &Descriptor) -> Result<Option<Box<dyn Read + Send>>>;

    fn has(&self, blob: &Descriptor) -> Result<bool>;

    /// Keeps a blob. Its bytes are read from the beginning of `content`, whose offset means nothing.
    fn put(&self, blob: &Descriptor, content: &File) -> Result<()>;

    /// What a tag names, where the folder knows tags. Clients that look themselves say which manifest they mean.
    fn find(&self, _tag: &str) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    /// Gives a manifest a tag, where the folder knows tags.
    fn name(&self, _tag: &str, _manifest: &Descriptor) -> Result<()> {
        Ok(())
    }
}

impl FromStr for ExchangeKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<ExchangeKind> {
        match text {
            "registry" => Ok(ExchangeKind::Registry),
            "local" => Ok(ExchangeKind::Local),
            "inline" => Ok(ExchangeKind::Inline),
            "gha" => Ok(ExchangeKind::Foreign(Service::GitHub)),
            "s3" => Ok(ExchangeKind::Foreign(Service::S3)),
            "azblob" => Ok(ExchangeKind::Foreign(Service::Azure)),
            other => {
                Err(Error::Invalid(format!("unknown cache type {other:?}: it is one of registry, local and inline")))
            }
        }
    }
}

impl ExchangeKind {
    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            ExchangeKind::Registry => "registry",
            ExchangeKind::Local => "local",
            ExchangeKind::Inline => "inline",
            ExchangeKind::Foreign(Service::GitHub) => "gha",
            ExchangeKind::Foreign(Service::S3) => "s3",
            ExchangeKind::Foreign(Service::Azure) => "azblob",
        }
    }

    fn refused(self) -> Error {
        Error::Invalid(format!(
            "the cache type {:?} is not supported: use registry, local or inline (or leave it out)",
            self.name()
        ))
    }
}

impl Import {
    /// An image or a cache of a registry, by its reference.
    pub fn registry(reference: &str) -> Import {
        let attributes = BTreeMap::from([("ref".to_owned(), reference.to_owned())]);
        Import { kind: ExchangeKind::Registry, attributes }
    }

    /// What is shown of it.
    pub fn title(&self) -> String {
        title("importing cache manifest from", self.kind, &self.attributes)
    }
}

impl Export {
    pub fn title(&self) -> String {
        title("exporting cache to", self.kind, &self.attributes)
    }

    /// What cannot be done in the end is said before a build begins.
    pub fn check(&self) -> Result<()> {
        match self.kind {
            foreign @ ExchangeKind::Foreign(_) if !self.may_fail()? => Err(foreign.refused()),
            _ => self.may_fail().map(drop),
        }
    }

    /// Whether a build goes on without it.
    pub fn may_fail(&self) -> Result<bool> {
        flag(&self.attributes, "ignore-error", false)
    }
}

fn title(verb: &str, kind: ExchangeKind, attributes: &BTreeMap<String, String>) -> String {
    let place = ["ref", "src", "dest"].iter().find_map(|name| attributes.get(*name));
    format!("{verb} {}", place.map_or(kind.name(), String::as_str))
}

/// `true`, `false`, and what else Go takes for these (strconv.ParseBool).
fn flag(attributes: &BTreeMap<String, String>, name: &str, usual: bool) -> Result<bool> {
    match attributes.get(name).map(String::as_str) {
        None | Some("") => Ok(usual),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(Error::Invalid(format!("failed to parse {name}: {other:?} is neither true nor false"))),
    }
}

fn needed<'a>(attributes: &'a BTreeMap<String, String>, name: &str, whose: &str) -> Result<&'a str> {
    let found = attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
    found.ok_or_else(|| Error::Invalid(format!("{whose} requires {name}")))
}

//! Images: names, configurations and the layers they stand on.
//!
//! - [`reference`]: `busybox`, `docker.io/library/busybox:latest`, `host:5000/a/b@sha256:...`.
//! - [`Store`]: what is here, under which names (kept in the content store's `index.json`).
//! - `load`: docker-archive (old and new) and OCI archives. `import`: a root file system as a tar.
//! - `host`: the built-in image, this machine's own root.
#![forbid(unsafe_code)]

pub mod reference;

use base::Digest;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The name of the built-in image.
pub const HOST: &str = "host";

/// All images of an engine. Owns the content store and the layer store. Callable from many threads at once.
#[derive(Debug)]
pub struct Store {
    // private
}

/// One image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration, as `docker images` shows it.
    pub id: Digest,
    /// Familiar names with tags (`busybox:latest`), sorted.
    pub tags: Vec<String>,
    /// `name@sha256:...`
    pub digests: Vec<String>,
    pub config: oci::image::Image,
    /// Topmost first, ready for `layer::Store::mount`.
    pub lowers: Vec<layer::Lower>,
    /// Bytes of all its layers, unpacked.
    pub size: u64,
    /// RFC 3339; when it was last tagged here.
    pub tagged_at: String,
}

/// What a removal did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    Untagged(String),
    Deleted(Digest),
}

/// One step of a load or an import, for progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Layer { id: String, current: u64, total: Option<u64> },
    LayerDone { id: String },
    /// `Loaded image: busybox:latest`
    Loaded { tag: String },
    /// `Loaded image ID: sha256:...`
    LoadedUntagged { id: Digest },
}

/// Where the host image may not look.
#[derive(Debug, Clone, Default)]
pub struct HostMask {
    /// Files and folders of this engine: data root, exec root, configuration, keys.
    pub paths: Vec<PathBuf>,
}

/// What an import makes.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// `name[:tag]`, or untagged.
    pub reference: Option<String>,
    pub message: String,
    /// Dockerfile instructions (`CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `LABEL`, `USER`, `VOLUME`, `WORKDIR`, `STOPSIGNAL`).
    pub changes: Vec<String>,
    pub platform: Option<String>,
}

/// Why an image operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such image: {0}")]
    NotFound(String),
    #[error("invalid reference format: {0}")]
    Reference(String),
    #[error("{0} matches more than one image")]
    Ambiguous(String),
    #[error("image {id} is named {names} times: remove it by a name, or force")]
    ManyNames { id: String, names: usize },
    #[error("the image {0:?} is built in and cannot be removed or retagged")]
    BuiltIn(String),
    #[error("not an image archive: {0}")]
    Archive(String),
    #[error("wrong digest: {what} is {actual}, its name says {expected}")]
    WrongDigest { what: String, expected: Digest, actual: Digest },
    #[error("image {name} is for {image}, this machine is {machine}")]
    Platform { name: String, image: String, machine: String },
    #[error("invalid change {0:?}")]
    Change(String),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error("cannot {action}")]
    Io { action: String, source: std::io::Error },
}

impl Store {
    /// Opens (or makes) the stores below `root`: `content/` and `layers/`. Garbage of earlier processes is swept.
    pub fn open(root: &std::path::Path, mask: HostMask) -> Result<Store, Error> {
        let _ = (root, mask);
        todo!()
    }
    pub fn layers(&self) -> &layer::Store {
        todo!()
    }
    /// By name, id, id prefix, or `name@digest`.
    pub fn get(&self, name: &str) -> Result<Image, Error> {
        let _ = name;
        todo!()
    }
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        todo!()
    }
    pub fn tag(&self, source: &str, target: &str) -> Result<(), Error> {
        let _ = (source, target);
        todo!()
    }
    /// Docker's rules: a name untags and, when it was the last one, deletes; an id deletes, with several names only by force.
    /// `in_use`: ids of images that containers stand on; such an image keeps its layers and its id.
    pub fn remove(&self, name: &str, force: Force, in_use: &[Digest]) -> Result<Vec<Removed>, Error> {
        let _ = (name, force, in_use);
        todo!()
    }
    pub fn load(&self, archive: &mut dyn std::io::Read, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        let _ = (archive, progress);
        todo!()
    }
    pub fn import(&self, tar: &mut dyn std::io::Read, import: &Import) -> Result<Digest, Error> {
        let _ = (tar, import);
        todo!()
    }
}

/// Whether a removal may take an image with several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

#[doc(hidden)]
pub type Labels = BTreeMap<String, String>;

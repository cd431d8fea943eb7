//! Images: names, configurations and the layers they stand on.
//!
//! ```text
//!   ROOT/content/   blobs and index.json: an OCI layout (crate content)
//!   ROOT/layers/    the unpacked trees (crate layer)
//!   ROOT/used/      when each image was last used
//!   ROOT/pins/      layers that stay though no image has them, for a build's cache
//! ```
//!
//! - [`reference`]: `busybox`, `docker.io/library/busybox:latest`, `host:5000/a/b@sha256:...`.
//! - [`Store`]: what is here, under which names. The names are annotations in the content store's `index.json`, so that
//!   other tools find an image in the layout: `org.opencontainers.image.ref.name` is the familiar name
//!   (`busybox:latest`), `io.containerd.image.name` the full one.
//! - [`Store::load`]: docker-archive (old and new) and OCI archives. [`Store::import`]: a root file system as a tar.
//! - [`Store::pull`] and [`Store::push`]: from and to a registry.
//! - [`Store::save`] writes them as they came, [`Store::commit`] adds a container's changes.
//! - An index (`group`) stands behind a name where several platforms are one image: the name is that of all of them, the image for
//!   this machine is shown. The index is noted beside the name (`dhow.image.index`), the entry is a plain manifest.
//! - [`upkeep`]: what all of it takes up, whether it is intact, and what goes when it is too much.
//! - [`HOST`]: the built-in image, this machine's own root.
//!
//! **What is kept of a layer.** Always its tree. By default also the blob it came as, because the layout is only valid
//! with it, and a push or a save needs its exact bytes; [`Keep::TreesOnly`] drops blobs of layers and so stores each
//! layer once.
//!
//! **Durability.** A load or an import that has returned survives the end of the engine. Its bytes are then written to
//! disk in the background; an image that a power cut caught before that is unpacked again from its blobs at the next
//! start, or is gone as a whole.
#![forbid(unsafe_code)]

mod admit;
mod assemble;
mod catalog;
mod changes;
mod commit;
mod document;
mod group;
mod host;
mod import;
mod load;
pub mod outbound;
mod platform;
pub mod pull;
pub mod push;
pub mod reference;
mod remove;
mod save;
mod slots;
mod store;
mod taking;
pub mod upkeep;

pub use assemble::{Assembled, Held, Hold};
pub use commit::Commit;
pub use group::{AssembledIndex, Available, Indexed, Kind, PartView};
pub use platform::{
    machine_platform, normal as normal_platform, parse as parse_platform, platform_of, short as short_platform,
    words as platform_words,
};
pub use reference::Reference;
pub use store::{Keep, Store};

use base::Digest;
use std::path::PathBuf;

/// The name of the built-in image.
pub const HOST: &str = "host";

/// One image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its configuration, as `docker images` shows it.
    pub id: Digest,
    /// The digest of its manifest; the id for the built-in image, which has none.
    pub manifest: Digest,
    /// Familiar names with tags (`busybox:latest`), sorted.
    pub tags: Vec<String>,
    /// `name@sha256:...`
    pub digests: Vec<String>,
    pub config: oci::image::Image,
    /// Topmost first, ready for `layer::Store::mount`.
    pub lowers: Vec<layer::Lower>,
    /// Bytes of all its layers, unpacked.
    pub size: u64,
    /// The image that it was committed from, if that is here.
    pub parent: Option<Digest>,
    /// RFC 3339; when it was last tagged here. Empty for an image that never was.
    pub tagged_at: String,
}

impl Image {
    /// One of which only the id is known.
    pub fn nameless(id: Digest) -> Image {
        Image {
            id,
            manifest: id,
            tags: Vec::new(),
            digests: Vec::new(),
            config: oci::image::Image::default(),
            lowers: Vec::new(),
            size: 0,
            parent: None,
            tagged_at: String::new(),
        }
    }
}

/// What a removal did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    Untagged(String),
    /// An image by its id, or one of its layers by its chain id (image-spec 1.1, config.md, "Layer ChainID").
    Deleted(Digest),
}

/// One step of a load or an import, for progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Layer {
        id: String,
        current: u64,
        total: Option<u64>,
    },
    LayerDone {
        id: String,
    },
    /// `Loaded image: busybox:latest`
    Loaded {
        tag: String,
    },
    /// `Loaded image ID: sha256:...`
    LoadedUntagged {
        id: Digest,
    },
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
    /// Dockerfile instructions (`CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `LABEL`, `ONBUILD`, `USER`, `VOLUME`, `WORKDIR`,
    /// `STOPSIGNAL`).
    pub changes: Vec<String>,
    /// `os[/architecture[/variant]]`; this machine's unless given.
    pub platform: Option<String>,
}

/// Why an image operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such image: {0}")]
    NotFound(String),
    /// The whole text, which is also Docker's.
    #[error("{0}")]
    Reference(String),
    #[error("{0} matches more than one image")]
    Ambiguous(String),
    #[error("image {id} is named {names} times: remove it by a name, or force")]
    ManyNames { id: String, names: usize },
    /// By its short id.
    #[error("image {0} is used by a container")]
    InUse(String),
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
    #[error("invalid platform {0:?}: expected os[/architecture[/variant]]")]
    InvalidPlatform(String),
    /// Docker's text: an index has no image for the platform.
    #[error("no matching manifest for {0} in the manifest list entries: no match for platform in manifest: not found")]
    NoMatch(String),
    /// What a registry serves under a name is no image, or not the one that its digests promise. The whole text.
    #[error("{0}")]
    Served(String),
    #[error("failed to register layer")]
    Register(#[source] layer::Error),
    /// The whole text, which is Docker's: a name has no image for a platform.
    #[error("{0}")]
    Unprovided(String),
    /// Docker's text.
    #[error("An image does not exist locally with the tag: {0}")]
    NotLocal(String),
    /// Docker's text.
    #[error("reference does not exist")]
    NoReference,
    /// Docker's text.
    #[error("no suitable export target found for platform {0}")]
    ExportPlatform(String),
    #[error("no image in the archive is for {0}")]
    ImportPlatform(String),
    #[error("the image {name:?} is this machine itself and cannot be {verb}: export a container of it and import that")]
    NotExportable { name: String, verb: &'static str },
    /// Docker's text.
    #[error("tag does not exist: {0}")]
    NoTag(String),
    #[error("layer {0} is here only as a tree, without the bytes that it came as: pull or load its image again")]
    NotKept(Digest),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Layer(#[from] layer::Error),
    #[error(transparent)]
    Content(#[from] content::Error),
    #[error("cannot {action}")]
    Io { action: String, source: std::io::Error },
}

impl base::Kinded for Error {
    fn kind(&self) -> base::Kind {
        match self {
            Error::NotFound(_)
            | Error::Unprovided(_)
            | Error::NoMatch(_)
            | Error::NotLocal(_)
            | Error::NoTag(_)
            | Error::NoReference
            | Error::ExportPlatform(_)
            | Error::ImportPlatform(_) => base::Kind::NotFound,
            Error::NotKept(_) | Error::NotExportable { .. } => base::Kind::Conflict,
            Error::ManyNames { .. } | Error::BuiltIn(_) | Error::InUse(_) => base::Kind::Conflict,
            Error::Reference(_)
            | Error::Ambiguous(_)
            | Error::Archive(_)
            | Error::WrongDigest { .. }
            | Error::Change(_)
            | Error::Served(_)
            | Error::InvalidPlatform(_) => base::Kind::Invalid,
            Error::Platform { .. } => base::Kind::NotFound,
            Error::Registry(error) => error.kind(),
            Error::Layer(error) | Error::Register(error) => error.kind(),
            Error::Content(error) => error.kind(),
            Error::Io { source, .. } => base::Kinded::kind(source),
        }
    }
}

/// The outer archive of a load.
impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Error {
        match error {
            archive::Error::Read(source) if source.raw_os_error().is_some() => {
                Error::Io { action: "read the archive".to_owned(), source }
            }
            archive::Error::Read(source) => Error::Archive(source.to_string()),
            other => Error::Archive(base::chain(&other)),
        }
    }
}

/// Whether a removal may take an image with several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

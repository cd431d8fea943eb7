//! Where a result is to go, and who takes what of it leaves the engine.

use crate::cache::Blobs;
use crate::context::Folder;
use crate::{Error, Result};
use base::Digest;
use image::Reference;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// One place for a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub kind: OutputKind,
    /// As BuildKit's exporters have them: `name`, `push`, `compression`, `annotation.KEY`...
    pub attributes: BTreeMap<String, String>,
}

/// What a result becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// An image in the store, or in a registry.
    Image,
    /// An archive for `docker load`.
    Docker,
    /// An OCI layout, as an archive or as a folder (`tar=false`).
    Oci,
    /// Its files, in a folder of the client's.
    Local,
    /// Its files as one tar.
    Tar,
    /// Nothing: the steps were done, and the cache has them.
    Nothing,
}

impl Output {
    pub fn new(kind: OutputKind) -> Output {
        Output { kind, attributes: BTreeMap::new() }
    }

    /// An image in the store under these names.
    pub fn image(names: &[Reference]) -> Output {
        let names: Vec<String> = names.iter().map(Reference::to_string).collect();
        let mut output = Output::new(OutputKind::Image);
        if !names.is_empty() {
            output.attributes.insert("name".to_owned(), names.join(","));
        }
        output
    }
}

impl std::str::FromStr for OutputKind {
    type Err = Error;

    /// By the name of the exporter.
    fn from_str(name: &str) -> Result<OutputKind> {
        match name {
            "image" | "moby" => Ok(OutputKind::Image),
            "docker" => Ok(OutputKind::Docker),
            "oci" => Ok(OutputKind::Oci),
            "local" => Ok(OutputKind::Local),
            "tar" => Ok(OutputKind::Tar),
            "cacheonly" => Ok(OutputKind::Nothing),
            other => Err(Error::Invalid(format!("exporter {other:?} could not be found"))),
        }
    }
}

/// The client's end of an export. Callable from any thread.
pub trait Sink: Sync {
    /// Takes one archive: of `docker`, `oci` and `tar`.
    fn archive(&self) -> Result<Box<dyn Archive>>;

    /// Takes blobs: of `oci` with `tar=false`.
    fn layout(&self) -> Result<Arc<dyn Blobs>> {
        Err(Error::Invalid("this client takes no folder of blobs: write an archive (tar=true)".to_owned()))
    }

    /// Takes files: of `local`. What comes later stands above what came before.
    fn files(&self, parts: &[Part]) -> Result<()>;
}

/// An archive on its way to a client: one that is dropped before it was finished is not to be kept.
pub trait Archive: Write + Send {
    /// All of it was written, and it has arrived.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Files for a client.
#[derive(Debug)]
pub struct Part {
    /// The folder that they stand in, as `linux_amd64`; `None`: at the top.
    pub below: Option<String>,
    pub folder: Folder,
    /// Seconds since 1970 that all its files are to be of.
    pub times: Option<i64>,
}

/// Nobody: of results that stay with the engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSink;

impl Sink for NoSink {
    fn archive(&self) -> Result<Box<dyn Archive>> {
        Err(Error::Invalid("this client takes no archives".to_owned()))
    }

    fn files(&self, _parts: &[Part]) -> Result<()> {
        Err(Error::Invalid("this client takes no files".to_owned()))
    }
}

/// What an export came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Its id, of an image that is in the store now.
    pub image: Option<Digest>,
    /// The names that it got, as people write them.
    pub names: Vec<String>,
    /// BuildKit's answer: `containerimage.digest`, `containerimage.config.digest`, `image.name`...
    pub response: BTreeMap<String, String>,
}

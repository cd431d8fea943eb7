//! A container's changes become an image: one more layer, one more line of history.

use crate::catalog::Record;
use crate::load::Arrived;
use crate::reference::Reference;
use crate::store::{Arrival, check_free, now};
use crate::taking::{Taken, Taking};
use crate::{Error, HOST, Store, changes};
use base::Digest;
use oci::image::{Descriptor, History, Image, media};
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread::Scope;

/// Bytes that a layer's tar is handed on in.
const PIECE: usize = 256 * 1024;

/// The layer of nothing: two blocks of zeros, which Docker leaves out of the image (moby, layer, `DigestSHA256EmptyTar`).
const EMPTY_LAYER: &str = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/// What is committed.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The image that the container stands on, by its id.
    pub parent: Digest,
    /// Of `layer::Store::mount`.
    pub rw: PathBuf,
    pub owner: u32,
    /// How the new image runs: the container's configuration. `changes` are applied to it.
    pub config: oci::image::Config,
    /// Dockerfile instructions, as for an import.
    pub changes: Vec<String>,
    pub author: String,
    pub comment: String,
    /// The container's command line, for the history.
    pub created_by: String,
    pub reference: Option<Reference>,
}

impl Store {
    /// Makes an image of what a container changed. Returns the image's id.
    ///
    /// A container that changed nothing gives an image with the layers of its parent, as Docker has it.
    pub fn commit(&self, commit: &Commit) -> Result<Digest, Error> {
        if self.is_host(&commit.parent.to_string()) {
            return Err(Error::NotExportable { name: HOST.to_owned(), verb: "committed to" });
        }
        let name = commit.reference.clone().map(name).transpose()?;
        let mut config = commit.config.clone();
        changes::apply(&mut config, &commit.changes)?;

        let mut arrival = self.arrive();
        let parent = self.look(|catalog| catalog.records.get(&commit.parent).cloned());
        let parent = parent.ok_or_else(|| Error::NotFound(commit.parent.to_string()))?;
        let taken = self.capture(commit, &mut arrival)?;
        let changed = taken.diff_id.to_string() != EMPTY_LAYER;
        let image = child(&parent, commit, config, changed.then_some(taken.diff_id));
        let bytes =
            serde_json::to_vec(&image).map_err(|e| Error::Archive(format!("cannot write a configuration: {e}")))?;
        let id = crate::load::digest(&bytes);
        let mut layers: Vec<Descriptor> = parent.layers.iter().map(as_oci).collect();
        layers.extend(changed.then_some(taken.blob));
        let arrived = Arrived::with_own_manifest(bytes, layers, name.into_iter().collect())?;
        self.add(vec![arrived.child_of(commit.parent)], &mut arrival)?;
        drop(arrival);
        self.stores.sync_in_background();
        Ok(id)
    }

    /// The container's changes as a layer in the stores.
    fn capture(&self, commit: &Commit, arrival: &mut Arrival<'_>) -> Result<Taken, Error> {
        std::thread::scope(|scope| {
            let mut feed =
                Feed { store: self, scope, first: Vec::with_capacity(PIECE), taking: None, size: 0, error: None };
            let captured = self.stores.layers.capture(&commit.rw, commit.owner, &mut feed);
            match (captured, feed.error.take()) {
                (Ok(()), None) => feed.finish(arrival),
                (_, Some(error)) => {
                    feed.fail();
                    Err(error)
                }
                (Err(error), None) => {
                    feed.fail();
                    Err(error.into())
                }
            }
        })
    }
}

fn name(reference: Reference) -> Result<Reference, Error> {
    if reference.digest.is_some() {
        return Err(Error::Reference("refusing to create a tag with a digest reference".to_owned()));
    }
    let reference = reference.or_latest();
    check_free(&reference)?;
    Ok(reference)
}

/// The configuration of the new image (moby, image, `NewChildImage`).
fn child(parent: &Record, commit: &Commit, config: oci::image::Config, layer: Option<Digest>) -> Image {
    let created = now();
    let mut image = Image {
        created: Some(created.clone()),
        author: commit.author.clone(),
        config,
        comment: commit.comment.clone(),
        docker_version: String::new(),
        ..parent.config.clone()
    };
    image.rootfs.diff_ids.extend(layer);
    image.history.push(History {
        created: Some(created),
        created_by: commit.created_by.clone(),
        author: commit.author.clone(),
        comment: commit.comment.clone(),
        empty_layer: layer.is_none(),
    });
    image
}

/// A layer of a Docker manifest as it stands in an OCI one.
pub fn as_oci(layer: &Descriptor) -> Descriptor {
    let media_type = match layer.media_type.as_str() {
        media::DOCKER_LAYER => media::LAYER,
        media::DOCKER_LAYER_GZIP => media::LAYER_GZIP,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => media::LAYER_ZSTD,
        other => other,
    };
    Descriptor { media_type: media_type.to_owned(), ..layer.clone() }
}

/// Hands a tar that is being written on to the stores. They begin with its first bytes.
struct Feed<'scope, 'env> {
    store: &'scope Store,
    scope: &'scope Scope<'scope, 'env>,
    first: Vec<u8>,
    taking: Option<Taking<'scope>>,
    size: u64,
    /// Why the stores take no more.
    error: Option<Error>,
}

impl<'scope> Feed<'scope, '_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.taking {
            Some(taking) => taking.write(bytes),
            None => {
                self.first.extend_from_slice(bytes);
                if self.first.len() >= PIECE { self.start() } else { Ok(()) }
            }
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        let first = std::mem::take(&mut self.first);
        self.taking = Some(Taking::start(&self.store.stores, self.store.keep, self.scope, &first)?);
        Ok(())
    }

    fn finish(mut self, arrival: &mut Arrival<'_>) -> Result<Taken, Error> {
        if self.taking.is_none() {
            self.start()?;
        }
        match self.taking {
            Some(taking) => taking.finish().settle(self.size, arrival),
            None => Err(Error::Archive("a layer without bytes".to_owned())),
        }
    }

    fn fail(self) {
        if let Some(taking) = self.taking {
            taking.fail(&io::ErrorKind::UnexpectedEof.into());
        }
    }
}

impl Write for Feed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => {
                self.size += bytes.len() as u64;
                Ok(bytes.len())
            }
            Err(error) => {
                self.error = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

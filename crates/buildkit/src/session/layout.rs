//! An image in an OCI layout of a client's, brought into the store.

use super::Client;
use super::content::ClientBlobs;
use base::Digest;
use build::{Error, Result};
use oci::image::{Descriptor, Index, Manifest, Platform, media};
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::io::{self, Cursor, Read};

/// Bytes of a manifest or an index.
const LARGEST: u64 = 16 << 20;
const BLOCK: usize = 512;

/// An image that came for builds of a client. Unless it has a name by then, or was here before, it goes with the client.
#[derive(Debug)]
pub struct Loaded {
    pub id: Digest,
    gone: Option<engine::Engine>,
}

impl Loaded {
    /// `gone` is who removes it, if anybody.
    pub fn new(id: Digest, gone: Option<engine::Engine>) -> Loaded {
        Loaded { id, gone }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let Some(engine) = self.gone.take() else { return };
        let nameless = |image: &image::Image| image.tags.is_empty() && image.digests.is_empty();
        if engine.image(&self.id.to_string()).is_ok_and(|image| nameless(&image)) {
            // One that something else needs now stays.
            if let Err(error) = engine.image_remove(&self.id.to_string(), image::Force::No) {
                tracing::debug!("the image {} of a build stays: {}", self.id, base::chain(&error));
            }
        }
    }
}

impl Client {
    /// The image `reference` (`STORE:TAG@DIGEST`) for `platform`, from a store of the client's.
    pub(super) fn layout(&self, store: &str, reference: &str, platform: &Platform) -> Result<Loaded> {
        let wrong = || Error::Invalid(format!("could not parse oci-layout reference {reference:?}"));
        let digest: Digest = reference.rsplit('@').next().unwrap_or_default().parse().map_err(|_| wrong())?;
        let blobs = self.blobs(&format!("oci:{store}"));
        let (bytes, manifest) = manifest(&blobs, digest, platform)?;
        let id = manifest.config.digest;
        let engine = self.builder.engine();
        if engine.image(&id.to_string()).is_ok() {
            return Ok(Loaded::new(id, None));
        }
        let mut archive = Archive::of(&blobs, (&bytes, &manifest))?;
        engine.image_load(&mut archive, None, &mut |_| {})?;
        Ok(Loaded::new(id, Some(engine.clone())))
    }
}

/// A manifest, with its bytes: of an index the one for the platform.
fn manifest(blobs: &ClientBlobs, digest: Digest, platform: &Platform) -> Result<(Vec<u8>, Manifest)> {
    let bytes = document(blobs, digest)?;
    let broken = |error: serde_json::Error| Error::Invalid(format!("{digest} is no manifest: {error}"));
    let kind: serde_json::Value = serde_json::from_slice(&bytes).map_err(broken)?;
    if kind.get("manifests").is_none() {
        let manifest = serde_json::from_slice(&bytes).map_err(broken)?;
        return Ok((bytes, manifest));
    }
    let index: Index = serde_json::from_slice(&bytes).map_err(broken)?;
    let fits = |entry: &&Descriptor| {
        entry.platform.as_ref().is_some_and(|own| own.os == platform.os && own.architecture == platform.architecture)
    };
    let none = || Error::Invalid(format!("{digest} has no image for {}/{}", platform.os, platform.architecture));
    let entry = index.manifests.iter().find(fits).or(index.manifests.first().filter(|_| index.manifests.len() == 1));
    let bytes = document(blobs, entry.ok_or_else(none)?.digest)?;
    let manifest = serde_json::from_slice(&bytes).map_err(broken)?;
    Ok((bytes, manifest))
}

fn document(blobs: &ClientBlobs, digest: Digest) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = blobs.read(&digest).take(LARGEST).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { action: format!("get {digest} of the client"), source })?;
    if Digest::from_bytes(Sha256::digest(&bytes).into()) != digest {
        return Err(Error::Invalid(format!("the client sent something else as {digest}")));
    }
    Ok(bytes)
}

/// The image as an OCI archive, which is read as it comes. Who loads it verifies its blobs.
struct Archive {
    parts: VecDeque<Box<dyn Read + Send>>,
}

impl Archive {
    fn of(blobs: &ClientBlobs, (bytes, manifest): (&[u8], &Manifest)) -> Result<Archive> {
        let mut archive = Archive { parts: VecDeque::new() };
        let own = Descriptor {
            media_type: media::MANIFEST.to_owned(),
            digest: Digest::from_bytes(Sha256::digest(bytes).into()),
            size: bytes.len() as u64,
            annotations: Default::default(),
            platform: None,
        };
        let own = Descriptor { media_type: manifest.media_type.clone().unwrap_or(own.media_type), ..own };
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": [&own] });
        archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        archive.file("index.json", index.to_string().into_bytes());
        archive.file(&name(&own.digest), bytes.to_vec());
        let mut known = vec![own.digest];
        for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
            if known.contains(&blob.digest) {
                continue;
            }
            known.push(blob.digest);
            let missing = || Error::Invalid(format!("the client does not have {}", blob.digest));
            let size = blobs.size(&blob.digest)?.ok_or_else(missing)?;
            let content = Later { blobs: blobs.clone(), digest: blob.digest, begun: None };
            archive.put(&name(&blob.digest), size, Box::new(content.take(size)));
        }
        archive.parts.push_back(Box::new(Cursor::new(vec![0; 2 * BLOCK])));
        Ok(archive)
    }

    fn file(&mut self, name: &str, bytes: Vec<u8>) {
        self.put(name, bytes.len() as u64, Box::new(Cursor::new(bytes)));
    }

    fn put(&mut self, name: &str, size: u64, content: Box<dyn Read + Send>) {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        let padding = if over == 0 { 0 } else { BLOCK - over };
        self.parts.push_back(Box::new(Cursor::new(header(name, size))));
        self.parts.push_back(content);
        self.parts.push_back(Box::new(Cursor::new(vec![0; padding])));
    }
}

/// A blob that is asked for when it is its turn.
struct Later {
    blobs: ClientBlobs,
    digest: Digest,
    begun: Option<Box<dyn Read + Send>>,
}

impl Read for Later {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (blobs, digest) = (&self.blobs, &self.digest);
        self.begun.get_or_insert_with(|| blobs.read(digest)).read(buffer)
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.parts.front_mut() {
            match part.read(buffer)? {
                0 if !buffer.is_empty() => drop(self.parts.pop_front()),
                got => return Ok(got),
            }
        }
        Ok(0)
    }
}

fn name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The header of a file in a tar (ustar; sizes from 8 GB as GNU has them).
fn header(name: &str, size: u64) -> Vec<u8> {
    let mut header = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if size < 1 << 33 {
        put(124, format!("{size:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &size.to_be_bytes());
    }
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

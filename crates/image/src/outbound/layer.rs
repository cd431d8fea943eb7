//! A layer in the form that somebody wants it in: the blob that is here, one made of it, or its tree.

use super::Outbound;
use crate::push::gzip;
use crate::taking::descriptor;
use crate::{Error, Store};
use ::archive::Compression;
use base::Digest;
use oci::image::{Descriptor, media};
use registry::Cancel;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};
use std::sync::PoisonError;

/// Of zstd, when nobody says another; its own default, too.
const ZSTD_LEVEL: i32 = 3;
/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// What layers are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub compression: Compression,
    pub level: Option<i32>,
    pub force: Force,
}

/// Whether layers that came in another form become this one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    No,
    Yes,
}

/// A layer that can go out.
#[derive(Debug, Clone)]
pub struct Layer {
    pub diff_id: Digest,
    /// With an OCI type.
    pub blob: Descriptor,
    pub(super) lies: Lies,
}

/// Where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lies {
    Blob,
    /// In its tree, which gives them when it is read.
    Tree,
}

impl Outbound<'_> {
    /// Finds or makes a layer's blob. `tar`: bytes of its tar, when it was made here.
    pub fn layer(&self, diff_id: &Digest, tar: Option<u64>, form: Form, cancel: &Cancel) -> Result<Layer, Error> {
        if let Some(blob) = self.found(diff_id, tar, form) {
            return Ok(Layer { diff_id: *diff_id, blob, lies: Lies::Blob });
        }
        if form.compression == Compression::Plain
            && let Some(size) = tar
        {
            let blob = descriptor(Compression::Plain, *diff_id, size);
            return Ok(Layer { diff_id: *diff_id, blob, lies: Lies::Tree });
        }
        let blob = self.made(diff_id, tar.is_some(), form, cancel)?;
        self.arrival.lock().unwrap_or_else(PoisonError::into_inner).blobs.insert(blob.digest);
        Ok(Layer { diff_id: *diff_id, blob, lies: Lies::Blob })
    }

    /// The same layer with a blob in the store, as a registry wants files.
    pub fn as_blob(&self, layer: &Layer, cancel: &Cancel) -> Result<Layer, Error> {
        if layer.lies == Lies::Blob {
            return Ok(layer.clone());
        }
        let form = Form { compression: Compression::Plain, level: None, force: Force::Yes };
        let blob = self.made(&layer.diff_id, true, form, cancel)?;
        self.arrival.lock().unwrap_or_else(PoisonError::into_inner).blobs.insert(blob.digest);
        Ok(Layer { blob, lies: Lies::Blob, ..layer.clone() })
    }

    /// The bytes of a layer that has a blob in the store.
    pub fn open(&self, layer: &Layer) -> Result<std::fs::File, Error> {
        Ok(self.store.stores.content.open_blob(&layer.blob.digest)?)
    }

    /// The layer as if none of its files were younger than so many seconds after 1970, and the bytes of its tar.
    pub fn clamp(&self, diff_id: &Digest, seconds: i64) -> Result<(Digest, u64), Error> {
        let layers = &self.store.stores.layers;
        let mut size = 0;
        let rewritten = piped(
            |sink| {
                layers.repack_clamped(diff_id, seconds, &mut Counting { sink, size: &mut size }).map_err(Error::from)
            },
            |source| Ok(layers.unpack(source, None)?),
        )?;
        self.arrival.lock().unwrap_or_else(PoisonError::into_inner).layers.insert(rewritten);
        Ok((rewritten, size))
    }

    /// A blob that is here and will do.
    fn found(&self, diff_id: &Digest, tar: Option<u64>, form: Form) -> Option<Descriptor> {
        let own = tar.is_some();
        let wanted = media_type(form.compression);
        let mut known = self.store.look(|catalog| catalog.blobs_of(diff_id));
        known.retain(|blob| self.store.stores.content.has(&blob.digest));
        let same = known.iter().find(|blob| blob.media_type == wanted && (form.level.is_none() || !own));
        // What came compressed stays as it came.
        let as_it_came =
            || known.iter().find(|blob| form.force == Force::No && !own && blob.media_type != media::LAYER);
        same.or_else(as_it_came).cloned()
    }

    fn made(&self, diff_id: &Digest, own: bool, form: Form, cancel: &Cancel) -> Result<Descriptor, Error> {
        let fail = |source| Error::Io { action: format!("compress layer {}", diff_id.short()), source };
        let mut ingest = self.store.stores.content.ingest()?;
        let actual = self.plain(diff_id, own, |source| {
            let mut source = Watched { inner: source, hash: Sha256::new(), cancel };
            squeeze(&mut source, &mut ingest, form).map_err(|error| match cancel.is_cancelled() {
                true => registry::Error::Cancelled.into(),
                false => fail(error),
            })?;
            Ok(Digest::from_bytes(source.hash.finalize().into()))
        })?;
        if actual != *diff_id {
            return Err(Error::NotKept(*diff_id));
        }
        let (digest, size) = ingest.commit(None, None)?;
        Ok(descriptor(form.compression, digest, size))
    }

    /// Reads the plain tar of a layer: of one that was made here of its tree, else of a blob.
    fn plain<T>(
        &self,
        diff_id: &Digest,
        own: bool,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Store { stores, .. } = self.store;
        let blob = self
            .store
            .look(|catalog| catalog.blobs_of(diff_id))
            .into_iter()
            .find(|blob| stores.content.has(&blob.digest));
        match blob.filter(|_| !own) {
            Some(blob) => read(&mut ::archive::decompress(stores.content.open_blob(&blob.digest)?)?),
            None => piped(|sink| Ok(stores.layers.repack(diff_id, sink)?), read),
        }
    }

    /// Writes the bytes of a layer.
    pub(super) fn write(&self, layer: &Layer, sink: &mut dyn Write) -> Result<(), Error> {
        let stores = &self.store.stores;
        match layer.lies {
            Lies::Blob => crate::save::copy(&mut stores.content.open_blob(&layer.blob.digest)?, sink),
            Lies::Tree => {
                let mut sink = Hashing { sink, hash: Sha256::new() };
                stores.layers.repack(&layer.diff_id, &mut sink)?;
                let actual = Digest::from_bytes(sink.hash.finalize().into());
                if actual == layer.diff_id { Ok(()) } else { Err(Error::NotKept(layer.diff_id)) }
            }
        }
    }
}

fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::Plain => media::LAYER,
        Compression::Gzip => media::LAYER_GZIP,
        Compression::Zstd => media::LAYER_ZSTD,
    }
}

/// What one thread writes another reads.
fn piped<T>(
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error> + Send,
    read: impl FnOnce(&mut dyn Read) -> Result<T, Error>,
) -> Result<T, Error> {
    let (mut source, mut sink) = ::archive::pipe::pipe();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || match write(&mut source) {
            Ok(()) => {
                // One who read enough of it is gone.
                let _ = source.finish();
                Ok(())
            }
            Err(error) => {
                source.fail(io::ErrorKind::InvalidData.into());
                Err(error)
            }
        });
        let outcome = read(&mut sink);
        drop(sink);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (written, outcome) {
            // The reader only saw that the writer failed.
            (Err(error), Err(_)) => Err(error),
            (_, outcome) => outcome,
        }
    })
}

fn squeeze(source: &mut dyn Read, sink: &mut dyn Write, form: Form) -> io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    match form.compression {
        Compression::Plain => pour(source, sink),
        Compression::Gzip => {
            let level = form.level.map_or(gzip::LEVEL, |level| level.clamp(0, 9).unsigned_abs());
            gzip::compress(source, sink, level, workers)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(sink, form.level.unwrap_or(ZSTD_LEVEL))?;
            pour(source, &mut encoder)?;
            encoder.finish().map(drop)
        }
    }
}

fn pour(source: &mut dyn Read, sink: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(got) => sink.write_all(&buffer[..got])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A source that is hashed, and that a cancel ends.
struct Watched<'a> {
    inner: &'a mut dyn Read,
    hash: Sha256,
    cancel: &'a Cancel,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let got = self.inner.read(buffer)?;
        self.hash.update(&buffer[..got]);
        Ok(got)
    }
}

/// A sink whose bytes are hashed.
struct Hashing<'a> {
    sink: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// A sink whose bytes are counted.
struct Counting<'a> {
    sink: &'a mut dyn Write,
    size: &'a mut u64,
}

impl Write for Counting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        *self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

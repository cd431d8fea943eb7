//! One layer in one stream: from the registry into the blob and the tree at the same time.

use super::LayerState;
use super::flight::Pilot;
use super::layers::Bringing;
use super::resolve::Layer;
use crate::taking::{Taken, Taking};
use crate::{Error, Keep};
use base::Digest;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Bytes that are handed on at once.
const CHUNK: usize = 256 * 1024;
/// Between two reports of progress.
const REPORT: Duration = Duration::from_millis(100);

/// Fetches a layer into the stores, verifies its blob, and returns the diffID that its bytes have.
pub fn fetch(bringing: &Bringing<'_>, layer: &Layer, pilot: &Pilot<'_>) -> Result<Digest, Error> {
    let stores = &bringing.store.stores;
    let reader = bringing.repository.blob(&layer.blob)?;
    let mut source = Source { bringing, layer, pilot, reader, current: 0, reported: Instant::now() };
    bringing.tell(layer, LayerState::Downloading { current: 0, total: layer.blob.size });
    let taken = if bringing.store.keep == Keep::Blobs && stores.layers.has(&layer.diff_id) {
        blob_alone(bringing, &mut source)?
    } else {
        blob_and_tree(bringing, &mut source)?
    };
    bringing.came(taken.blob.digest, taken.diff_id);
    if taken.blob.digest != layer.blob.digest {
        return Err(wrong_blob(layer));
    }
    if taken.blob.size != layer.blob.size {
        return Err(content::Error::WrongSize { expected: layer.blob.size, actual: taken.blob.size }.into());
    }
    Ok(taken.diff_id)
}

fn wrong_blob(layer: &Layer) -> Error {
    Error::Served(format!("filesystem layer verification failed for digest {}", layer.blob.digest))
}

fn blob_and_tree(bringing: &Bringing<'_>, source: &mut Source<'_>) -> Result<Taken, Error> {
    let mut buffer = vec![0; CHUNK];
    let first = source.fill(&mut buffer)?;
    std::thread::scope(|scope| {
        let stores = &bringing.store.stores;
        let mut taking = Taking::start(stores, bringing.store.keep, scope, &buffer[..first]).map_err(register)?;
        while !taking.is_broken() {
            match source.fill(&mut buffer) {
                Ok(0) => break,
                Ok(got) => taking.write(&buffer[..got])?,
                Err(error) => {
                    taking.fail(&io::ErrorKind::UnexpectedEof.into());
                    return Err(error);
                }
            }
        }
        let pending = taking.finish();
        source.end();
        pending.settle(source.current).map_err(register)
    })
}

/// For a layer whose tree is here: keeps the blob, and looks whether it really is that tree's.
fn blob_alone(bringing: &Bringing<'_>, source: &mut Source<'_>) -> Result<Taken, Error> {
    let write = |source| Error::Io { action: "write a layer".to_owned(), source };
    let mut ingest = bringing.store.stores.content.ingest()?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = source.fill(&mut buffer)?;
        if got == 0 {
            break;
        }
        ingest.write_all(&buffer[..got]).map_err(write)?;
    }
    source.end();
    let mut plain = archive::decompress(ingest.reader().map_err(write)?)?;
    let compression = plain.compression();
    let mut hash = Sha256::new();
    loop {
        match plain.read(&mut buffer).map_err(archive::Error::Read)? {
            0 => break,
            got => hash.update(&buffer[..got]),
        }
        bringing.check()?;
    }
    let blob = &source.layer.blob;
    let committed = ingest.commit(Some(&blob.digest), Some(blob.size));
    let (digest, size) = committed.map_err(|error| match error {
        content::Error::WrongDigest { .. } => wrong_blob(source.layer),
        other => other.into(),
    })?;
    let blob = crate::taking::descriptor(compression, digest, size);
    Ok(Taken { diff_id: Digest::from_bytes(hash.finalize().into()), blob })
}

fn register(error: Error) -> Error {
    match error {
        Error::Layer(error) => Error::Register(error),
        other => other,
    }
}

/// The bytes of a blob as they come, with their progress.
struct Source<'a> {
    bringing: &'a Bringing<'a>,
    layer: &'a Layer,
    pilot: &'a Pilot<'a>,
    reader: Box<dyn Read + Send>,
    current: u64,
    reported: Instant,
}

impl Source<'_> {
    /// As much as fits, or all there is.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            self.bringing.check()?;
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(got) => filled += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(self.failed(source)),
            }
            self.report(filled as u64);
        }
        self.current += filled as u64;
        Ok(filled)
    }

    fn report(&mut self, more: u64) {
        if self.reported.elapsed() < REPORT {
            return;
        }
        self.reported = Instant::now();
        let (current, total) = (self.current + more, self.layer.blob.size);
        self.pilot.progress(current);
        self.bringing.tell(self.layer, LayerState::Downloading { current, total });
    }

    /// All bytes are here.
    fn end(&mut self) {
        let (current, total) = (self.current, self.layer.blob.size);
        self.pilot.progress(current);
        self.bringing.tell(self.layer, LayerState::Downloading { current, total });
    }

    fn failed(&self, source: io::Error) -> Error {
        match self.bringing.check() {
            Err(stopped) => stopped,
            Ok(()) => super::unread(format!("download layer {}", self.layer.blob.digest.short()), source),
        }
    }
}

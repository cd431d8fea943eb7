//! One layer in one stream: from the registry into the blob and the tree at the same time.

use super::LayerState;
use super::flight::Pilot;
use super::layers::Bringing;
use super::resolve::Layer;
use crate::taking::Taking;
use crate::{Error, Keep};
use base::{Digest, Kind, Kinded};
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
    let (current, reported, hash) = (0, Instant::now(), Sha256::new());
    let mut source = Source { bringing, layer, pilot, reader, current, reported, hash };
    bringing.tell(layer, LayerState::Downloading { current, total: layer.blob.size });
    let diff_id = if bringing.store.keep == Keep::Blobs && stores.layers.has(&layer.diff_id) {
        blob_alone(bringing, &mut source)?
    } else {
        blob_and_tree(bringing, &mut source)?
    };
    bringing.came(layer.blob.digest, diff_id);
    Ok(diff_id)
}

fn blob_and_tree(bringing: &Bringing<'_>, source: &mut Source<'_>) -> Result<Digest, Error> {
    let mut buffer = vec![0; CHUNK];
    let first = source.fill(&mut buffer)?;
    std::thread::scope(|scope| {
        let stores = &bringing.store.stores;
        let started = Taking::start(stores, bringing.store.keep, scope, &buffer[..first]);
        let mut taking = match started {
            Ok(taking) => taking.unhashed(),
            Err(error) => return Err(source.blame(&mut buffer, error)),
        };
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
        if !taking.is_broken()
            && let Err(error) = source.end()
        {
            // The tree does not get its name.
            taking.fail(&io::ErrorKind::InvalidData.into());
            return Err(error);
        }
        let settled = taking.finish().settle_as(&source.layer.blob.digest);
        settled.map_err(|error| source.blame(&mut buffer, error))
    })
}

/// For a layer whose tree is here: keeps the blob, and looks whether it really is that tree's.
fn blob_alone(bringing: &Bringing<'_>, source: &mut Source<'_>) -> Result<Digest, Error> {
    let write = |source| Error::Io { action: "write a layer".to_owned(), source };
    let mut ingest = bringing.store.stores.content.ingest()?.unhashed();
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = source.fill(&mut buffer)?;
        if got == 0 {
            break;
        }
        ingest.write_all(&buffer[..got]).map_err(write)?;
    }
    source.end()?;
    let broken = |error: archive::Error| Error::Register(error.into());
    let mut plain = archive::decompress(ingest.reader().map_err(write)?).map_err(broken)?;
    let mut hash = Sha256::new();
    loop {
        match plain.read(&mut buffer).map_err(|e| broken(archive::Error::Read(e)))? {
            0 => break,
            got => hash.update(&buffer[..got]),
        }
        bringing.check()?;
    }
    // Nothing else will: the tree may be on disk for long.
    ingest.sync().map_err(write)?;
    ingest.commit_as(&source.layer.blob.digest)?;
    Ok(Digest::from_bytes(hash.finalize().into()))
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
    /// Of all bytes so far.
    hash: Sha256,
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
        self.hash.update(&buffer[..filled]);
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

    /// All bytes are here, and they are those of the blob.
    fn end(&mut self) -> Result<(), Error> {
        let (current, total) = (self.current, self.layer.blob.size);
        self.pilot.progress(current);
        self.bringing.tell(self.layer, LayerState::Downloading { current, total });
        let expected = self.layer.blob.digest;
        if Digest::from_bytes(self.hash.clone().finalize().into()) != expected {
            return Err(Error::Served(format!("filesystem layer verification failed for digest {expected}")));
        }
        if current != total {
            return Err(content::Error::WrongSize { expected: total, actual: current }.into());
        }
        self.bringing.tell(self.layer, LayerState::Downloaded);
        Ok(())
    }

    /// Why there is no tree. Where the content is to blame it may not be the blob's: then the rest of it is read, and a wrong
    /// digest says more.
    fn blame(&mut self, buffer: &mut [u8], error: Error) -> Error {
        let of_content = error.kind() == Kind::Invalid;
        let rest = || -> Result<(), Error> {
            while self.fill(buffer)? > 0 {}
            self.end()
        };
        match of_content.then(rest) {
            Some(Err(wrong)) => wrong,
            _ => register(error),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        match self.bringing.check() {
            Err(stopped) => stopped,
            Ok(()) => super::unread(format!("download layer {}", self.layer.blob.digest.short()), source),
        }
    }
}

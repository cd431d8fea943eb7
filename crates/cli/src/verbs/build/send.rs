//! What is asked of the engine, and the files behind it where it cannot read them itself.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::client::{Endpoint, Payload, Uploader};
use api::types::LocalBuild;
use archive::{Mounts, Packing, Whiteouts};
use bytes::Bytes;
use dockerfile::ignore::Ignore;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::failure::Failure;

/// Bytes of a piece on its way.
const PIECE: usize = 256 << 10;

/// Whether the engine sees this machine's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It reads them where they lie.
    Here,
    /// They are sent, as they are.
    Near,
    /// They are sent over a network that is slower than a compression.
    Far,
}

impl Reach {
    pub fn of(endpoint: &Endpoint) -> Reach {
        match endpoint {
            Endpoint::Unix(_) => Reach::Here,
            Endpoint::Tcp(address) if address.ip().is_loopback() => Reach::Near,
            Endpoint::Tls(tls) if tls.address.ip().is_loopback() => Reach::Near,
            Endpoint::Tcp(_) | Endpoint::Tls(_) | Endpoint::Command { .. } => Reach::Far,
        }
    }
}

/// Files that are sent.
pub enum Sent {
    /// All of a folder but what is ignored.
    Folder(PathBuf, Option<Ignore>),
    /// An archive as it is.
    Archive(Box<dyn Read + Send>),
}

impl Sent {
    pub fn folder(path: PathBuf, ignore: Option<&str>) -> Result<Sent, Failure> {
        let wrong = |error| Failure::said(format!("cannot read the ignore file: {}", base::chain(&error)));
        Ok(Sent::Folder(path, ignore.map(Ignore::parse).transpose().map_err(wrong)?))
    }
}

/// The request, and how many bytes of files were sent so far.
pub fn request(local: &LocalBuild, sent: Vec<Sent>, reach: Reach) -> Result<(Payload, Arc<AtomicU64>), Failure> {
    let bytes = Arc::new(AtomicU64::new(0));
    if sent.is_empty() {
        return Ok((api::client::json(local)?, bytes));
    }
    let mut head = serde_json::to_vec(local).map_err(api::client::Error::Malformed)?;
    head.push(b'\n');
    let (uploader, payload) = Payload::stream(None);
    let counted = bytes.clone();
    std::thread::spawn(move || {
        if !uploader.feed(Ok(head.into())) {
            return;
        }
        for files in sent {
            let mut pieces = Pieces { uploader: &uploader, piece: Vec::new(), bytes: &counted };
            if let Err(cause) = write(files, reach, &mut pieces).and_then(|()| pieces.end()) {
                uploader.feed(Err(cause));
                return;
            }
        }
    });
    Ok((payload, bytes))
}

fn write(files: Sent, reach: Reach, pieces: &mut Pieces<'_>) -> io::Result<()> {
    match files {
        Sent::Archive(mut archive) => io::copy(&mut archive, pieces).map(drop),
        Sent::Folder(path, ignore) if reach == Reach::Far => {
            let mut packed = GzEncoder::new(pieces, Compression::fast());
            pack(&path, ignore.as_ref(), &mut packed)?;
            packed.finish().map(drop)
        }
        Sent::Folder(path, ignore) => pack(&path, ignore.as_ref(), pieces),
    }
}

fn pack(path: &PathBuf, ignore: Option<&Ignore>, sink: &mut dyn Write) -> io::Result<()> {
    let folder = File::open(path)?;
    let packing = Packing { whiteouts: Whiteouts::None, ..Packing::default() };
    let is_chosen = |step: &archive::pack::Step| {
        let Some(ignore) = ignore else { return true };
        let path = String::from_utf8_lossy(&step.path);
        // A folder that is left out is entered where an exception may bring back what is in it.
        !ignore.excludes(&path) || ignore.may_include_below(&ignore.root(), &path)
    };
    archive::pack_chosen(folder.as_fd(), (packing, Mounts::Cross), &is_chosen, sink)
}

/// Writes one tar as pieces behind their lengths.
struct Pieces<'a> {
    uploader: &'a Uploader,
    piece: Vec<u8>,
    bytes: &'a AtomicU64,
}

impl Pieces<'_> {
    fn send(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.piece.len()).map_err(io::Error::other)?;
        let mut piece = Vec::with_capacity(PIECE + 4);
        piece.extend_from_slice(&length.to_be_bytes());
        piece.append(&mut self.piece);
        self.bytes.fetch_add(u64::from(length), Ordering::Relaxed);
        match self.uploader.feed(Ok(Bytes::from(piece))) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn end(mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.send()?;
        }
        self.send()
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Results on their way to the client: bytes between the lines of the answer.

use crate::stream::begun::Teller;
use api::types::BuildEvent;
use archive::{Packing, Times, Whiteouts};
use build::cache::{Blobs, Layout};
use build::context::Unpacked;
use build::{Archive, Builder, Error, Part, Sink};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a piece.
const PIECE: usize = 128 << 10;

/// One output of a build.
pub struct Stream<'a> {
    output: usize,
    teller: &'a Teller,
    builder: &'a Builder,
    /// Blobs that are not one archive are laid here, and sent when all are there.
    laid: Mutex<Option<Unpacked>>,
}

impl<'a> Stream<'a> {
    pub fn new(output: usize, teller: &'a Teller, builder: &'a Builder) -> Stream<'a> {
        Stream { output, teller, builder, laid: Mutex::default() }
    }

    fn writer(&self) -> Writer {
        Writer { output: self.output, teller: self.teller.clone(), piece: Vec::with_capacity(PIECE) }
    }

    /// The export is done: what was laid down goes to the client.
    pub fn end(&self) -> build::Result<()> {
        let laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(laid) = laid else { return Ok(()) };
        let folder = std::fs::File::open(laid.path()).map_err(failed)?;
        let mut writer = Box::new(self.writer());
        let packing = Packing { whiteouts: Whiteouts::None, ..Packing::default() };
        archive::pack(folder.as_fd(), packing, &mut writer).map_err(failed)?;
        writer.finish()
    }
}

fn failed(source: io::Error) -> Error {
    Error::Io { action: "send the result".to_owned(), source }
}

impl Sink for Stream<'_> {
    fn archive(&self) -> build::Result<Box<dyn Archive>> {
        Ok(Box::new(self.writer()))
    }

    fn layout(&self) -> build::Result<Arc<dyn Blobs>> {
        let folder = Unpacked::make(&self.builder.contexts())?;
        let layout = Arc::new(Layout::at(folder.path()));
        *self.laid.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
        Ok(layout)
    }

    fn files(&self, parts: &[Part]) -> build::Result<()> {
        let trees: Vec<_> = parts.iter().map(|part| (part.below.as_deref(), part.folder.root())).collect();
        let times = parts.first().and_then(|part| part.times).map_or(Times::AsTheyAre, Times::All);
        let packing = Packing { whiteouts: Whiteouts::None, times, ..Packing::default() };
        let mut writer = Box::new(self.writer());
        archive::pack_together(&trees, packing, &mut writer).map_err(failed)?;
        writer.finish()
    }
}

/// Writes pieces behind lines that announce them.
struct Writer {
    output: usize,
    teller: Teller,
    piece: Vec<u8>,
}

impl Writer {
    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let line = BuildEvent::Data { output: self.output, length: self.piece.len() };
        self.teller.pour_with(&line, &self.piece)?;
        self.piece.clear();
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Archive for Writer {
    fn finish(mut self: Box<Self>) -> build::Result<()> {
        self.send().map_err(failed)?;
        self.teller.tell(&BuildEvent::Whole { output: self.output });
        Ok(())
    }
}

//! A bounded pipe of large chunks between the thread that reads an archive and the thread that writes its files.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes of one chunk.
const CHUNK: usize = 256 * 1024;
/// Chunks on the way at most: with their spares the memory of a pipe is bounded by 4 MiB.
const DEPTH: usize = 8;

enum Message {
    Chunk(Vec<u8>),
    Failed(io::Error),
    End,
}

/// Where bytes go in. Dropped without [`Source::finish`], the other end gets an error and not a short stream.
pub struct Source {
    full: SyncSender<Message>,
    spare: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
}

/// Where bytes come out.
pub struct Sink {
    full: Receiver<Message>,
    spare: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
}

/// Both ends of a new pipe.
pub fn pipe() -> (Source, Sink) {
    let (full, full_end) = sync_channel(DEPTH);
    let (spare, spare_end) = channel();
    let source = Source { full, spare: spare_end, chunk: Vec::new() };
    let sink = Sink { full: full_end, spare, chunk: Vec::new(), at: 0, ended: false };
    (source, sink)
}

impl Source {
    /// The stream is complete.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.full.send(Message::End).map_err(|_| gone())
    }

    /// The stream failed: the other end reads `error`.
    pub fn fail(self, error: io::Error) {
        let _ = self.full.send(Message::Failed(error));
    }

    fn fresh(&mut self) -> Vec<u8> {
        let mut chunk = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        chunk.clear();
        chunk
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the reader of the pipe is gone")
}

impl Write for Source {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk = self.fresh();
        }
        let room = CHUNK - self.chunk.len();
        let taken = bytes.len().min(room);
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.full.send(Message::Chunk(chunk)).map_err(|_| gone())
    }
}

impl Read for Sink {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() && !self.ended {
            match self.full.recv() {
                Ok(Message::Chunk(chunk)) => {
                    let used = std::mem::replace(&mut self.chunk, chunk);
                    self.at = 0;
                    if used.capacity() > 0 {
                        let _ = self.spare.send(used);
                    }
                }
                Ok(Message::End) => self.ended = true,
                Ok(Message::Failed(error)) => return Err(error),
                Err(_) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the source of the pipe is gone")),
            }
        }
        let taken = buffer.len().min(self.chunk.len() - self.at);
        buffer[..taken].copy_from_slice(&self.chunk[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let (mut source, mut sink) = pipe();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = sent.clone();
        let writer = std::thread::spawn(move || {
            source.write_all(&sent)?;
            source.finish()
        });
        let mut got = Vec::new();
        sink.read_to_end(&mut got).unwrap();
        writer.join().unwrap().unwrap();
        assert!(got == expected);
        assert_eq!(sink.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn a_source_that_goes_away_is_an_error_and_no_short_stream() {
        let (mut source, mut sink) = pipe();
        source.write_all(b"half").unwrap();
        source.flush().unwrap();
        drop(source);
        assert_eq!(sink.read_to_end(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_reader_that_goes_away_stops_the_source() {
        let (mut source, sink) = pipe();
        drop(sink);
        assert_eq!(source.write_all(&[0; CHUNK]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

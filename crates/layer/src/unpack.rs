//! One pass over a layer's tar: undo the compression and hash on this thread, write the files on another.

use crate::store::fail;
use crate::{Error, Store};
use archive::Unpacked;
use base::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

const CHUNK: usize = 256 * 1024;

pub fn unpack(store: &Store, tar: &mut dyn Read, expected: Option<&Digest>) -> Result<Digest, Error> {
    let draft = store.draft()?;
    let diff = draft.path.join("diff");
    let root = File::open(&diff).map_err(fail("open", &diff))?;
    let (actual, unpacked) = stream(tar, &root)?;
    if let Some(expected) = expected.filter(|expected| **expected != actual) {
        return Err(Error::WrongDiffId { expected: *expected, actual });
    }
    store.keep(&draft, &actual, unpacked.bytes)?;
    Ok(actual)
}

fn stream(tar: &mut dyn Read, root: &File) -> Result<(Digest, Unpacked), Error> {
    let (source, sink) = archive::pipe::pipe();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| archive::extract(sink, root.as_fd()));
        let hashed = hash(tar, source);
        let unpacked = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (hashed, unpacked) {
            (Ok(digest), Ok(unpacked)) => Ok((digest, unpacked)),
            // The writer stopped first: the pipe broke because of it.
            (Err(archive::Error::Read(e)), Err(cause)) if e.kind() == io::ErrorKind::BrokenPipe => Err(cause.into()),
            (Err(cause), _) | (_, Err(cause)) => Err(cause.into()),
        }
    })
}

/// Sends the plain bytes into the pipe; their digest.
fn hash(tar: &mut dyn Read, mut pipe: archive::pipe::Source) -> Result<Digest, archive::Error> {
    let mut plain = match archive::decompress(tar) {
        Ok(plain) => plain,
        Err(error) => {
            pipe.fail(io::ErrorKind::InvalidData.into());
            return Err(error);
        }
    };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                pipe.fail(e.kind().into());
                return Err(archive::Error::Read(e));
            }
        };
        hash.update(&buffer[..got]);
        pipe.write_all(&buffer[..got]).map_err(archive::Error::Read)?;
    }
    pipe.finish().map_err(archive::Error::Read)?;
    Ok(Digest::from_bytes(hash.finalize().into()))
}

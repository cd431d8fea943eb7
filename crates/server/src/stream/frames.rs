//! Docker's frames: two streams in one, each piece after a header of 8 bytes (stream, 3 zeros, length in big endian).

use bytes::{BufMut, BytesMut};
use engine::Chunk;

/// The stream of what the engine itself has to say.
pub const SYSTEM_ERROR: u8 = 3;

/// How output is written to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As it is: terminals.
    Raw,
    /// With a header before each piece.
    Multiplexed,
}

impl Framing {
    pub fn of_terminal(tty: bool) -> Framing {
        if tty { Framing::Raw } else { Framing::Multiplexed }
    }

    /// Adds a piece of output to `out`.
    pub fn put(self, out: &mut BytesMut, chunk: &Chunk) {
        self.put_bytes(out, chunk.stream as u8, &chunk.bytes);
    }

    /// Adds `bytes` of stream 1 (stdout) or 2 (stderr).
    pub fn put_bytes(self, out: &mut BytesMut, stream: u8, bytes: &[u8]) {
        if self == Framing::Raw {
            return out.put_slice(bytes);
        }
        for piece in bytes.chunks(u32::MAX as usize) {
            out.put_slice(&[stream, 0, 0, 0]);
            out.put_u32(u32::try_from(piece.len()).unwrap_or(u32::MAX));
            out.put_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use engine::Chunk;

    #[test]
    fn frames_have_dockers_header() {
        let mut out = BytesMut::new();
        let chunk = Chunk { stream: logs::pump::Stream::Stderr, bytes: Bytes::from_static(b"hello") };
        Framing::Multiplexed.put(&mut out, &chunk);
        assert_eq!(&out[..], b"\x02\0\0\0\0\0\0\x05hello");
        let mut out = BytesMut::new();
        Framing::Raw.put(&mut out, &chunk);
        assert_eq!(&out[..], b"hello");
    }
}

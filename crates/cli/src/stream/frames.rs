//! Docker's multiplexed stream: each frame is one byte of stream number, three zero bytes, a big-endian 32-bit length,
//! and that many bytes.

use std::io;

/// Where the bytes of a stream go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Stdout,
    Stderr,
}

/// Takes a multiplexed stream apart, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct Frames {
    header: Vec<u8>,
    /// Of the current frame: where it goes and how many bytes are to come.
    current: Option<(Target, usize)>,
    /// The engine reports an error of its own as stream 3.
    system_error: Option<Vec<u8>>,
}

impl Frames {
    /// Hands every piece of payload in `bytes` to `write`, in order.
    ///
    /// # Errors
    /// Those of `write`; a header of an unknown stream; the engine's own error.
    pub fn feed(&mut self, mut bytes: &[u8], mut write: impl FnMut(Target, &[u8]) -> io::Result<()>) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.current {
                None => bytes = self.read_header(bytes)?,
                Some((target, left)) => {
                    let (payload, rest) = bytes.split_at(left.min(bytes.len()));
                    match &mut self.system_error {
                        Some(text) => text.extend_from_slice(payload),
                        None => write(target, payload)?,
                    }
                    bytes = rest;
                    self.current = Some((target, left - payload.len()));
                }
            }
            if matches!(self.current, Some((_, 0))) {
                self.current = None;
                if let Some(text) = self.system_error.take() {
                    return Err(io::Error::other(String::from_utf8_lossy(&text).into_owned()));
                }
            }
        }
        Ok(())
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        let (part, rest) = bytes.split_at((8 - self.header.len()).min(bytes.len()));
        self.header.extend_from_slice(part);
        let Ok(header) = <[u8; 8]>::try_from(self.header.as_slice()) else { return Ok(rest) };
        self.header.clear();
        let [stream, _, _, _, length @ ..] = header;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let target = match stream {
            0 | 1 => Target::Stdout,
            2 => Target::Stderr,
            3 => {
                self.system_error = Some(Vec::new());
                Target::Stderr
            }
            other => return Err(io::Error::other(format!("unrecognized stream: {other}"))),
        };
        self.current = Some((target, length));
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], payload].concat()
    }

    fn apart(pieces: &[&[u8]]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (mut frames, mut out, mut err) = (Frames::default(), Vec::new(), Vec::new());
        for piece in pieces {
            frames.feed(piece, |target, bytes| {
                match target {
                    Target::Stdout => out.extend_from_slice(bytes),
                    Target::Stderr => err.extend_from_slice(bytes),
                }
                Ok(())
            })?;
        }
        Ok((out, err))
    }

    #[test]
    fn the_streams_come_apart_wherever_the_pieces_are_cut() {
        let whole = [frame(1, b"out1"), frame(2, b"err"), frame(1, b""), frame(1, b"out2")].concat();
        for cut in 0..=whole.len() {
            let (first, second) = whole.split_at(cut);
            let (out, err) = apart(&[first, second]).expect("good frames");
            assert_eq!((out.as_slice(), err.as_slice()), (&b"out1out2"[..], &b"err"[..]), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(apart(&bytes).expect("good frames").0, b"out1out2");
    }

    #[test]
    fn the_engines_own_error_and_unknown_streams_end_the_copy() {
        let failure = apart(&[&frame(3, b"it broke")]).expect_err("a system error");
        assert_eq!(failure.to_string(), "it broke");
        assert!(apart(&[&frame(9, b"x")]).is_err());
    }
}

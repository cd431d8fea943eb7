//! Docker's multiplexed stream: each frame is one byte of stream number, three zero bytes, a big-endian 32-bit length,
//! and that many bytes.

use api::types::EXIT_CODE;
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
    /// The engine's own words: an error (stream 3), or the exit code in digits ([`EXIT_CODE`]).
    own: Option<(Own, Vec<u8>)>,
    exit_code: Option<i32>,
}

/// What the engine itself says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Error,
    ExitCode,
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
                    match &mut self.own {
                        Some((_, text)) => text.extend_from_slice(payload),
                        None => write(target, payload)?,
                    }
                    bytes = rest;
                    self.current = Some((target, left - payload.len()));
                }
            }
            if matches!(self.current, Some((_, 0))) {
                self.current = None;
                match self.own.take().map(|(own, text)| (own, String::from_utf8_lossy(&text).into_owned())) {
                    Some((Own::Error, text)) => return Err(io::Error::other(text)),
                    Some((Own::ExitCode, digits)) => self.exit_code = digits.parse().ok(),
                    None => {}
                }
            }
        }
        Ok(())
    }

    /// The exit code, if the engine told it after the output.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit_code
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
            3 => self.listen(Own::Error),
            EXIT_CODE => self.listen(Own::ExitCode),
            other => return Err(io::Error::other(format!("unrecognized stream: {other}"))),
        };
        self.current = Some((target, length));
        Ok(rest)
    }

    fn listen(&mut self, own: Own) -> Target {
        self.own = Some((own, Vec::new()));
        Target::Stderr
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
    fn the_exit_code_is_no_output() {
        let mut frames = Frames::default();
        let mut out = Vec::new();
        let whole = [frame(1, b"out"), frame(EXIT_CODE, b"137")].concat();
        for byte in whole.chunks(1) {
            let mut write = |_: Target, bytes: &[u8]| {
                out.extend_from_slice(bytes);
                Ok(())
            };
            frames.feed(byte, &mut write).expect("good frames");
        }
        assert_eq!((out.as_slice(), frames.exit_code()), (&b"out"[..], Some(137)));
    }

    #[test]
    fn the_engines_own_error_and_unknown_streams_end_the_copy() {
        let failure = apart(&[&frame(3, b"it broke")]).expect_err("a system error");
        assert_eq!(failure.to_string(), "it broke");
        assert!(apart(&[&frame(9, b"x")]).is_err());
    }
}

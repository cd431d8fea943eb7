//! The key sequence that leaves a container running, found among what is typed.

/// docker's keys unless others are asked for: Ctrl-P, Ctrl-Q.
const DEFAULT: [u8; 2] = [16, 17];

/// Watches what is typed for the sequence.
#[derive(Debug, PartialEq, Eq)]
pub struct Detach {
    keys: Vec<u8>,
    /// How many keys of the sequence have been typed and are held back.
    held: usize,
}

impl Detach {
    /// Reads `a`, `ctrl-p,ctrl-q`, ...; an empty text means docker's keys.
    ///
    /// # Errors
    /// A key that is neither a letter nor `ctrl-` and one of `a`-`z`, `@`, `[`, `\`, `]`, `^`, `_`.
    pub fn parse(text: &str) -> Result<Detach, String> {
        if text.is_empty() {
            return Ok(Detach { keys: DEFAULT.to_vec(), held: 0 });
        }
        let keys = text.split(',').map(key).collect::<Option<Vec<u8>>>();
        match keys {
            Some(keys) => Ok(Detach { keys, held: 0 }),
            None => Err(format!("invalid detach keys ({text}): unknown character")),
        }
    }

    /// Appends to `out` what of `typed` is for the container; true when the sequence is complete.
    pub fn feed(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in typed {
            if self.keys.get(self.held) != Some(byte) {
                out.extend_from_slice(&self.keys[..self.held]);
                self.held = 0;
            }
            if self.keys.get(self.held) == Some(byte) {
                self.held += 1;
                if self.held == self.keys.len() {
                    return true;
                }
            } else {
                out.push(*byte);
            }
        }
        false
    }
}

fn key(text: &str) -> Option<u8> {
    match text.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Some(letter - b'a' + 1),
        Some([b'@']) => Some(0),
        Some([sign @ b'['..=b'_']) => Some(sign - b'[' + 27),
        Some(_) => None,
        None => match text.as_bytes() {
            [letter] => Some(*letter),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut detach = Detach::parse(keys).expect("good keys");
        let mut out = Vec::new();
        let found = pieces.iter().any(|piece| detach.feed(piece, &mut out));
        (out, found)
    }

    #[test]
    fn the_sequence_is_found_across_reads_and_never_sent() {
        assert_eq!(typed("", &[b"ab\x10", b"\x11cd"]), (b"ab".to_vec(), true));
        assert_eq!(typed("ctrl-a", &[b"x\x01"]), (b"x".to_vec(), true));
        assert_eq!(typed("q,q", &[b"q"]), (vec![], false));
    }

    #[test]
    fn half_a_sequence_is_sent_after_all() {
        assert_eq!(typed("", &[b"\x10x"]), (b"\x10x".to_vec(), false));
        assert_eq!(typed("", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        for (text, keys) in
            [("a", vec![97]), ("ctrl-a,Z", vec![1, 90]), ("ctrl-@,ctrl-_", vec![0, 31]), ("ctrl-\\", vec![28])]
        {
            assert_eq!(Detach::parse(text), Ok(Detach { keys, held: 0 }), "{text}");
        }
        for text in ["foo", "ctrl-", "ctrl-A", "a,,b", "ctrl-aa"] {
            assert!(Detach::parse(text).is_err(), "{text}");
        }
    }
}

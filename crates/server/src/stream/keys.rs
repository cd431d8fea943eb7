//! The keys that detach a client from a terminal, found in what it types.

use crate::status::Refusal;
use base64::Engine;

/// ctrl-p ctrl-q
const DEFAULT: [u8; 2] = [16, 17];

/// Looks for the keys. Those that may begin the sequence are held back until it is clear that they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    held: usize,
}

/// What is left of the input.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    pub bytes: Vec<u8>,
    pub detached: bool,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q` or `a,ctrl-@`; empty is the default.
    pub fn parse(text: &str) -> Result<DetachKeys, Refusal> {
        if text.is_empty() {
            return Ok(DetachKeys { keys: DEFAULT.to_vec(), held: 0 });
        }
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        let wrong = || Refusal::invalid(format!("Invalid detach keys ({text}) provided"));
        Ok(DetachKeys { keys: keys.ok_or_else(wrong)?, held: 0 })
    }

    /// The keys themselves, as Go's JSON writes bytes; nothing for those of the default.
    pub fn base64(text: &str) -> String {
        match DetachKeys::parse(text) {
            Ok(keys) if !text.is_empty() => base64::engine::general_purpose::STANDARD.encode(keys.keys),
            _ => String::new(),
        }
    }

    /// Takes `input` and gives what goes on to the process.
    pub fn take(&mut self, input: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(input.len() + self.held);
        for byte in input {
            if self.keys.get(self.held) == Some(byte) {
                self.held += 1;
                if self.held == self.keys.len() {
                    self.held = 0;
                    return Typed { bytes, detached: true };
                }
                continue;
            }
            bytes.extend_from_slice(&self.keys[..self.held]);
            self.held = 0;
            if self.keys.first() == Some(byte) {
                self.held = 1;
            } else {
                bytes.push(*byte);
            }
        }
        Typed { bytes, detached: false }
    }
}

fn key(name: &str) -> Option<u8> {
    if let [byte] = name.as_bytes() {
        return byte.is_ascii().then_some(*byte);
    }
    match name.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [b'['] => Some(27),
        [b'\\'] => Some(28),
        [b']'] => Some(29),
        [b'^'] => Some(30),
        [b'_'] => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &mut DetachKeys, input: &[u8]) -> (Vec<u8>, bool) {
        let typed = keys.take(input);
        (typed.bytes, typed.detached)
    }

    #[test]
    fn the_default_is_ctrl_p_ctrl_q() {
        let mut keys = DetachKeys::parse("").expect("keys");
        assert_eq!(typed(&mut keys, b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(typed(&mut keys, b"\x11"), (vec![], true));
    }

    #[test]
    fn keys_that_come_to_nothing_are_given_on() {
        let mut keys = DetachKeys::parse("").expect("keys");
        assert_eq!(typed(&mut keys, b"\x10x"), (b"\x10x".to_vec(), false));
        assert_eq!(typed(&mut keys, b"\x10\x10\x11"), (b"\x10".to_vec(), true));
    }

    #[test]
    fn only_keys_are_keys() {
        for text in ["ctrl-", "ctrl-A", "ab", ",", "ctrl-p,", "é"] {
            assert!(DetachKeys::parse(text).is_err(), "{text}");
        }
        assert_eq!(DetachKeys::parse("a,ctrl-@").map(|k| k.keys), Ok(vec![b'a', 0]));
    }
}

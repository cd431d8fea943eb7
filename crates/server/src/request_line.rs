//! Request lines as Go's server takes them: with quotes, angle brackets and the like in them, as `curl -g` sends a filter that
//! somebody typed. The server below takes them percent-encoded only, which means the same, and so they are as soon as they arrive.
//!
//! Only what is surely a request line is touched: the first line of a connection, and that after a request without a body.

use std::collections::VecDeque;

/// How much of a line tells what it is, in bytes.
const TELLING: usize = 32;

/// How an HTTP/2 connection begins (RFC 9113, 3.4).
const HTTP2: &[u8] = b"PRI ";

/// What a connection's input is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    RequestLine,
    Header,
    /// In what no request line is known to follow.
    Elsewhere,
}

/// Follows the input of a connection.
#[derive(Debug)]
pub struct RequestLines {
    at: At,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    /// What found no room, as it is longer now than it arrived.
    spilled: VecDeque<u8>,
}

impl Default for RequestLines {
    fn default() -> RequestLines {
        RequestLines { at: At::RequestLine, line: Vec::with_capacity(TELLING), spilled: VecDeque::new() }
    }
}

impl RequestLines {
    /// Whether nothing is touched any more.
    pub fn are_over(&self) -> bool {
        self.at == At::Elsewhere && self.spilled.is_empty()
    }

    /// What found no room earlier, `most` bytes of it.
    pub fn take_spilled(&mut self, most: usize) -> Vec<u8> {
        self.spilled.drain(..most.min(self.spilled.len())).collect()
    }

    /// What could not be handed on is kept until it is asked for.
    pub fn spill(&mut self, bytes: &[u8]) {
        self.spilled.extend(bytes);
    }

    /// Looks at what has arrived; `None` if it stays as it is.
    pub fn look(&mut self, arrived: &[u8]) -> Option<Vec<u8>> {
        let mut written: Option<Vec<u8>> = None;
        for (index, byte) in arrived.iter().enumerate() {
            if self.at == At::Elsewhere {
                if let Some(written) = &mut written {
                    written.extend_from_slice(&arrived[index..]);
                }
                break;
            }
            if self.at == At::RequestLine && must_be_encoded(*byte) {
                let written = written.get_or_insert_with(|| arrived[..index].to_vec());
                written.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else if let Some(written) = &mut written {
                written.push(*byte);
            }
            self.step(*byte);
        }
        written
    }

    fn step(&mut self, byte: u8) {
        if byte != b'\n' {
            if self.line.len() < TELLING && byte != b'\r' {
                self.line.push(byte);
            }
            return;
        }
        self.at = match self.at {
            // Empty lines before a request are left out by the server as well.
            At::RequestLine if self.line.is_empty() => At::RequestLine,
            At::RequestLine if self.line.starts_with(HTTP2) => At::Elsewhere,
            At::RequestLine => At::Header,
            At::Header if self.line.is_empty() => At::RequestLine,
            At::Header if more_follows(&self.line) => At::Elsewhere,
            other => other,
        };
        self.line.clear();
    }
}

/// Those that Go's parser takes and `http::Uri` does not, or takes for something else (`#` would begin a fragment, which a request
/// has not).
fn must_be_encoded(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | b'#' | 0x80..)
}

/// Whether this field says that what follows the header is no request line.
fn more_follows(line: &[u8]) -> bool {
    let mut halves = line.splitn(2, |byte| *byte == b':');
    let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    match name.trim_ascii().to_ascii_lowercase().as_slice() {
        b"content-length" => value.trim_ascii() != b"0",
        b"transfer-encoding" | b"upgrade" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of `input` that arrives in pieces of `size` bytes.
    fn read(input: &[u8], size: usize) -> Vec<u8> {
        let mut lines = RequestLines::default();
        let piece = |piece: &[u8]| lines.look(piece).unwrap_or_else(|| piece.to_vec());
        input.chunks(size).flat_map(piece).collect()
    }

    fn check(input: &str, expected: &str) {
        for size in [1, 2, 7, input.len()] {
            assert_eq!(String::from_utf8_lossy(&read(input.as_bytes(), size)), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_filter_as_it_was_typed_is_encoded() {
        check(
            "GET /containers/json?filters={\"name\":[\"a<b>`#é\"]} HTTP/1.1\r\nHost: \"x\"\r\n\r\n",
            "GET /containers/json?filters={%22name%22:[%22a%3Cb%3E%60%23%C3%A9%22]} HTTP/1.1\r\nHost: \"x\"\r\n\r\n",
        );
    }

    #[test]
    fn so_are_those_that_follow_on_the_connection() {
        check(
            "\r\nGET /a?\" HTTP/1.1\r\nX: \"\r\n\r\nDELETE /b?\" HTTP/1.1\nContent-Length: 0\n\nGET /c?\" HTTP/1.1\r\n\r\n",
            "\r\nGET /a?%22 HTTP/1.1\r\nX: \"\r\n\r\nDELETE /b?%22 HTTP/1.1\nContent-Length: 0\n\nGET /c?%22 HTTP/1.1\r\n\r\n",
        );
    }

    #[test]
    fn bodies_and_streams_stay_as_they_are() {
        for field in ["Content-Length: 10", "content-length:10", "Transfer-Encoding: chunked", "Upgrade: tcp"] {
            let rest = format!("HTTP/1.1\r\n{field}\r\n\r\n{{\"a\":\"b\"}}\r\n\r\nGET /?\" HTTP/1.1\r\n\r\n");
            check(&format!("POST /a?\" {rest}"), &format!("POST /a?%22 {rest}"));
        }
        let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\"\n\"<>\n\n\"";
        check(http2, http2);
    }

    #[test]
    fn what_finds_no_room_comes_later() {
        let mut lines = RequestLines::default();
        lines.look(b"GET / HTTP/1.1\r\nUpgrade: x\r\n");
        lines.spill(b"abc");
        assert!(!lines.are_over());
        assert_eq!((lines.take_spilled(2), lines.take_spilled(9)), (b"ab".to_vec(), b"c".to_vec()));
        assert!(lines.are_over());
    }
}

//! Requests as bytes on a connection of a test's own: what a well-behaved client never does.

use crate::{Stage, again};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A connection to the engine. Reading gives up after a while.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    /// What came behind an answer's header.
    read: Vec<u8>,
}

/// A piece of a multiplexed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub stream: u8,
    pub bytes: Vec<u8>,
}

impl Stage {
    /// A new connection.
    pub fn wire(&self) -> Wire {
        let path = self.host();
        let stream = UnixStream::connect(path.trim_start_matches("unix://")).expect("the engine listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream.set_write_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Wire { stream, read: Vec::new() }
    }

    /// The status and the body of a request without a body of its own.
    pub fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut wire = self.wire();
        wire.send(format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
        let head = wire.head();
        let body = wire.rest();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(&body) } else { body };
        (status(&head), String::from_utf8_lossy(&body).into_owned())
    }

    /// A connection that carries the streams of `path` (an attach) from here on; what its answer's header said.
    pub fn hijack(&self, path: &str) -> (Wire, String) {
        let mut wire = self.wire();
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
        ));
        let head = wire.head();
        (wire, head)
    }
}

/// The status an answer's header says.
pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let text = String::from_utf8_lossy(&body[..end]).into_owned();
        let length = usize::from_str_radix(text.trim(), 16).unwrap_or(0);
        let from = end + 2;
        if length == 0 || body.len() < from + length {
            break;
        }
        out.extend_from_slice(&body[from..from + length]);
        body = body.get(from + length + 2..).unwrap_or_default();
    }
    out
}

impl Wire {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// Sends as far as the other end listens.
    pub fn send_while_heard(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Nothing more will be sent; what comes is still read.
    pub fn half_close(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    }

    /// The header of an answer.
    pub fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                return String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            }
            assert!(self.more() > 0, "the answer ends in its header");
        }
    }

    /// Exactly `count` bytes, or fewer at the end.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count && self.more() > 0 {}
        let rest = self.read.split_off(count.min(self.read.len()));
        std::mem::replace(&mut self.read, rest)
    }

    /// All until the end.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Bytes until `text` has come; they end with it.
    pub fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.read.windows(text.len()).position(|part| part == text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            }
            assert!(self.more() > 0, "{text:?} did not come: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// The next frame of a multiplexed stream; `None` at the end.
    pub fn frame(&mut self) -> Option<Frame> {
        let head = self.take(8);
        let [stream, 0, 0, 0, a, b, c, d] = *head.as_slice() else {
            assert!(head.is_empty(), "no frame: {head:?}");
            return None;
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let bytes = self.take(length);
        assert_eq!(bytes.len(), length, "a frame is cut short");
        Some(Frame { stream, bytes })
    }

    /// What the streams 1 and 2 say until their end.
    pub fn streams(&mut self) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(frame) = self.frame() {
            if frame.stream == 1 { &mut out } else { &mut err }.extend(frame.bytes);
        }
        (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
    }

    fn more(&mut self) -> usize {
        let mut buffer = [0; 64 << 10];
        match again(|| self.stream.read(&mut buffer)) {
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                count
            }
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(e) => panic!("cannot read: {e}; so far {:?}", String::from_utf8_lossy(&self.read)),
        }
    }
}

//! Requests to an engine's socket, without the start of any command line in them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long an engine may take to say something.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is kept between requests.
#[derive(Debug)]
pub struct Asking(UnixStream);

impl Asking {
    /// A new connection.
    pub fn connect(socket: &Path) -> Result<Asking, String> {
        let stream = UnixStream::connect(socket).map_err(|e| format!("cannot connect to {}: {e}", socket.display()))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| format!("cannot set a timeout: {e}"))?;
        Ok(Asking(stream))
    }

    /// The body of the answer; `Err` when its status is none of success.
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, String> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let asked = |e| format!("{method} {path}: {e}");
        self.0.write_all(request.as_bytes()).map_err(asked)?;
        let (head, body) = self.answer().map_err(asked)?;
        match head.split(' ').nth(1) {
            Some(status) if status.starts_with('2') || status.starts_with('3') => Ok(body),
            _ => Err(format!("{method} {path}: {} {}", head.trim(), String::from_utf8_lossy(&body).trim())),
        }
    }

    fn answer(&mut self) -> std::io::Result<(String, Vec<u8>)> {
        let mut read = Vec::new();
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut read)?;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let mut body = read.split_off(end);
        let length = header(&head, "content-length").and_then(|text| text.parse::<usize>().ok());
        let bare = length.is_none() && header(&head, "transfer-encoding").is_none();
        // JSON has no line ends of its own: the last, empty chunk is told by them alone.
        while !bare && length.map_or(!body.ends_with(b"0\r\n\r\n"), |length| body.len() < length) {
            self.more(&mut body)?;
        }
        Ok((head, body))
    }

    fn more(&mut self, into: &mut Vec<u8>) -> std::io::Result<()> {
        let mut buffer = [0; 64 << 10];
        match self.0.read(&mut buffer)? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                into.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

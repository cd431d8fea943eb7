//! One request on a blocking socket of its own, for a command so short that a runtime, a pool of connections and their machinery
//! would be most of its time.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use bytes::Bytes;

use super::exchange::{MULTIPLEXED, message};
use super::{Error, Hijacked};
use crate::types::EXEC;

/// The header of an answer may be so long.
const LONGEST_HEAD: usize = 64 * 1024;

/// What came of an offer to take the connection over.
#[derive(Debug)]
pub enum Bare {
    Taken(Hijacked),
    /// The body of an answer as any other.
    Left(Vec<u8>),
}

impl Bare {
    /// Posts `json` to the engine at `socket`, and offers the connection; the header `(name, value)` says why it may be taken.
    ///
    /// # Errors
    /// [`Error::Connect`] if nothing answers, [`Error::Refused`] with the engine's words, [`Error::Stream`] if the answer breaks off.
    pub fn offer(socket: &Path, path: &str, json: &str, (name, value): (&str, &str)) -> Result<Bare, Error> {
        let failed = |source| Error::Connect { endpoint: format!("unix://{}", socket.display()), source };
        let mut stream = UnixStream::connect(socket).map_err(failed)?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: api.dhow\r\nUser-Agent: {}\r\nContent-Type: application/json\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\n{name}: {value}\r\nContent-Length: {}\r\n\r\n{json}",
            super::USER_AGENT,
            json.len()
        );
        stream.write_all(request.as_bytes()).map_err(Error::Stream)?;
        Answer::read(stream).and_then(Answer::settled).map_err(Error::Stream)?
    }
}

struct Answer {
    stream: UnixStream,
    status: u16,
    head: String,
    /// What came behind the header.
    rest: Vec<u8>,
}

impl Answer {
    fn read(mut stream: UnixStream) -> io::Result<Answer> {
        let mut read = Vec::with_capacity(4096);
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if read.len() > LONGEST_HEAD {
                return Err(malformed("an endless header"));
            }
            more(&mut stream, &mut read)?;
        };
        let rest = read.split_off(end);
        let head = String::from_utf8(read).map_err(|_| malformed("a header that is no text"))?;
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        Ok(Answer { stream, status: status.ok_or_else(|| malformed("no status"))?, head, rest })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn settled(self) -> io::Result<Result<Bare, Error>> {
        if self.status == 101 {
            let framed = self.header("content-type") == Some(MULTIPLEXED);
            let exec = self.header(EXEC).map(str::to_owned);
            let taken = Hijacked { socket: self.stream.into(), first: Bytes::from(self.rest), framed, exec };
            return Ok(Ok(Bare::Taken(taken)));
        }
        let status = self.status;
        let body = self.body()?;
        Ok(if status < 400 {
            Ok(Bare::Left(body))
        } else {
            Err(Error::Refused { status, message: message(&body, status) })
        })
    }

    fn body(mut self) -> io::Result<Vec<u8>> {
        let length = self.header("content-length").and_then(|text| text.parse::<usize>().ok());
        let chunked = self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let mut body = Vec::new();
        match length {
            Some(length) => {
                while self.rest.len() < length {
                    more(&mut self.stream, &mut self.rest)?;
                }
                body.extend(self.rest.drain(..length));
            }
            None if chunked => while self.chunk(&mut body)? {},
            None => {}
        }
        Ok(body)
    }

    /// Adds the next chunk (RFC 9112, 7.1); false after the last one.
    fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let line = loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\r\n") {
                break self.rest.drain(..end + 2).collect::<Vec<u8>>();
            }
            more(&mut self.stream, &mut self.rest)?;
        };
        let digits = String::from_utf8_lossy(&line);
        let digits = digits.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(|_| malformed("a chunk without a size"))?;
        let whole = size.checked_add(2).ok_or_else(|| malformed("a chunk without end"))?;
        while self.rest.len() < whole {
            more(&mut self.stream, &mut self.rest)?;
        }
        body.extend(self.rest.drain(..whole).take(size));
        Ok(size > 0)
    }
}

fn more(stream: &mut UnixStream, into: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                into.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the engine's answer has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn answered(answer: &'static str) -> Result<Bare, Error> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("a socket");
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"{}") {
                more(&mut stream, &mut request).expect("a request");
            }
            for piece in answer.as_bytes().chunks(7) {
                stream.write_all(piece).expect("written");
            }
            String::from_utf8(request).expect("text")
        });
        let outcome = Bare::offer(&path, "/x", "{}", (EXEC, "start"));
        let request = thread.join().expect("the listener");
        assert!(
            request.starts_with("POST /x HTTP/1.1\r\nHost: ") && request.contains("\r\ndhow-exec: start\r\n"),
            "{request}"
        );
        outcome
    }

    #[test]
    fn a_connection_is_taken_over_with_what_came_early() {
        let answer = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nDhow-Exec: abc\r\n\r\nearly";
        let Ok(Bare::Taken(taken)) = answered(answer) else { panic!("it is taken over") };
        let mut text = taken.first.to_vec();
        UnixStream::from(taken.socket).read_to_end(&mut text).expect("the rest");
        assert_eq!((text.as_slice(), taken.framed, taken.exec.as_deref()), (&b"early"[..], true, Some("abc")));
    }

    #[test]
    fn an_engine_may_as_well_just_answer() {
        for answer in [
            "HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{\"Id\":\"a\"}",
            "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"Id\r\n6;x=y\r\n\":\"a\"}\r\n0\r\n\r\n",
        ] {
            let Ok(Bare::Left(body)) = answered(answer) else { panic!("it is an answer: {answer}") };
            assert_eq!(body, br#"{"Id":"a"}"#);
        }
    }

    #[test]
    fn a_refusal_has_the_engines_words_and_a_broken_answer_is_none() {
        let refused =
            answered("HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\n{\"message\":\"x\"}").expect_err("refused");
        assert_eq!((refused.status(), refused.to_string().as_str()), (Some(404), "x"));
        for answer in ["", "HTTP/1.1 2", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"] {
            assert!(matches!(answered(answer), Err(Error::Stream(_))), "{answer}");
        }
    }
}

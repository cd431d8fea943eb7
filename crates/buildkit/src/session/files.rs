//! Files of a client: what is asked for, and their way here.

use super::channel::Metadata;
use super::receive::{Before, Receiver, State, Written};
use super::sessions::Session;
use super::wire::Packet;
use build::{Error, Result};
use registry::Cancel;
use std::os::fd::OwnedFd;
use tonic::Status;

const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// Packets that are taken at once.
const BATCH: usize = 64;

/// What is wanted of a client's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Wish {
    /// The folder's name.
    pub name: String,
    /// Only these paths, and what links on the way to them lead to; everything unless given.
    pub paths: Vec<String>,
    /// Without what these patterns say, as an ignore file has them.
    pub exclude: Vec<String>,
}

impl Wish {
    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::default();
        put(&mut metadata, "dir-name", std::slice::from_ref(&self.name));
        put(&mut metadata, "followpaths", &self.paths);
        put(&mut metadata, "exclude-patterns", &self.exclude);
        metadata
    }
}

/// Values that a header cannot carry as they are go as a query's would, and it is said so.
fn put(metadata: &mut Metadata, name: &'static str, values: &[String]) {
    let is_plain = |value: &String| {
        value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && value.trim() == value && !value.is_empty()
    };
    let plain = values.iter().all(is_plain);
    for value in values {
        if plain {
            metadata.add(name, value);
        } else {
            metadata.add(name, &escaped(value));
        }
    }
    if !plain {
        metadata.add(&format!("{name}-encoded"), "1");
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// Makes `root` what is wished for; nobody else writes to it. `told` hears of the bytes that came. Returns the bytes of all files
/// that were not kept as they are.
pub fn fetch(
    session: &Session,
    wish: &Wish,
    (root, before, written): (OwnedFd, Before, &mut Written<'_>),
    told: &mut dyn FnMut(u64),
    cancel: &Cancel,
) -> Result<u64> {
    if !session.supports(DIFF_COPY) {
        return Err(Error::Invalid("no local sources enabled".to_owned()));
    }
    let runtime = session.enter();
    let (questions, mut call) = session.channel.call_unbounded::<Packet, Packet>(DIFF_COPY, wish.metadata());
    drop(runtime);
    let mut receiver = Receiver::new(root, before, written).map_err(broken)?;
    let (mut batch, mut answers, mut got) = (Vec::new(), Vec::new(), 0);
    loop {
        let more = session.wait(cancel, async { Ok(call.answers.recv_many(&mut batch, BATCH).await) })?;
        if more.map_err(|status| refused(&wish.name, &status))? == 0 {
            return Err(Error::Invalid(format!("the client sent only a part of {:?}", wish.name)));
        }
        for packet in batch.drain(..) {
            let packet = packet.map_err(|status| refused(&wish.name, &status))?;
            got += packet.data.len() as u64;
            let state = receiver.take(packet, &mut answers).map_err(|error| {
                // The client shows it, too.
                let _ = questions.send(Packet::error(&base::chain(&error)));
                broken(error)
            })?;
            for answer in answers.drain(..) {
                let _ = questions.send(answer);
            }
            if state == State::Over {
                told(got);
                return Ok(receiver.bytes);
            }
        }
        told(got);
    }
}

fn broken(error: super::receive::Error) -> Error {
    Error::Invalid(base::chain(&error))
}

fn refused(name: &str, status: &Status) -> Error {
    Error::Invalid(format!("cannot get {name:?} of the client: {}", status.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_carry_is_escaped() {
        assert_eq!(escaped("a b/ü+c"), "a+b%2F%C3%BC%2Bc");
    }
}

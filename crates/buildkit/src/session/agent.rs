//! A client's agent of keys, and its secrets.

use super::channel::{BytesMessage, Call, Metadata};
use super::sessions::{Nothing, Session};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::sshforward::v1::CheckAgentRequest;
use build::context::Agent;
use build::{Error, Result};
use bytes::{Buf, Bytes};
use registry::Cancel;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Code, Status};

const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
/// How often one who waits for an agent's answer looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// A secret of the client's; `None` when it has none of this name.
pub fn secret(session: &Session, id: &str, cancel: &Cancel) -> Result<Option<Vec<u8>>> {
    if !session.supports(GET_SECRET) {
        return Ok(None);
    }
    let question = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
    let asked = session.channel.ask(GET_SECRET, question, Metadata::default());
    let answer: std::result::Result<GetSecretResponse, Status> = session.wait(cancel, asked)?;
    match answer {
        Ok(answer) => Ok(Some(answer.data)),
        Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => Ok(None),
        Err(status) => Err(Error::Invalid(format!("cannot get the secret {id}: {}", status.message()))),
    }
}

/// A connection to the client's agent; `None` when it lends none of this name.
pub fn agent(session: &Arc<Session>, id: &str, cancel: &Cancel) -> Result<Option<Box<dyn Agent>>> {
    if !session.supports(FORWARD_AGENT) {
        return Ok(None);
    }
    let question = CheckAgentRequest { id: id.to_owned() };
    let asked = session.channel.ask::<_, Nothing>(CHECK_AGENT, question, Metadata::default());
    if let Err(status) = session.wait(cancel, asked)? {
        // BuildKit's client says so of a name that it does not know.
        tracing::debug!("no agent {id}: {}", status.message());
        return Ok(None);
    }
    let runtime = session.enter();
    let metadata = Metadata::default().with("buildkit.ssh.id", id);
    let (to, call) = session.channel.call::<BytesMessage, BytesMessage>(FORWARD_AGENT, metadata);
    drop(runtime);
    Ok(Some(Box::new(Forwarded { session: session.clone(), to, call })))
}

struct Forwarded {
    session: Arc<Session>,
    to: mpsc::Sender<BytesMessage>,
    call: Call<BytesMessage>,
}

impl Agent for Forwarded {
    fn split(self: Box<Self>) -> io::Result<(Box<dyn Read + Send>, Box<dyn Write + Send>)> {
        let answers = Answers { session: self.session.clone(), call: self.call, rest: Bytes::new() };
        Ok((Box::new(answers), Box::new(Words { session: self.session, to: self.to })))
    }
}

/// What an agent says.
struct Answers {
    session: Arc<Session>,
    call: Call<BytesMessage>,
    rest: Bytes,
}

impl Read for Answers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let next = async { Ok(timeout(LOOK, self.call.answers.recv()).await) };
            match self.session.wait(&Cancel::default(), next) {
                Ok(Ok(Ok(Some(Ok(message))))) => self.rest = message.data,
                Ok(Ok(Ok(None))) => return Ok(0),
                Ok(Ok(Err(_))) => return Err(io::ErrorKind::TimedOut.into()),
                _ => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// What is said to an agent; dropped, the agent sees that nothing more comes.
struct Words {
    session: Arc<Session>,
    to: mpsc::Sender<BytesMessage>,
}

impl Write for Words {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let message = BytesMessage { data: Bytes::copy_from_slice(bytes) };
        let sent = async { self.to.send(message).await.map_err(|_| Status::unavailable("it hung up")) };
        match self.session.wait(&Cancel::default(), sent) {
            Ok(Ok(())) => Ok(bytes.len()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

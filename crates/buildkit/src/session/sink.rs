//! Where a client takes what a build came to: archives as they are written, and trees.

use super::channel::{BytesMessage, Call, Metadata};
use super::content::ClientBlobs;
use super::send::{Sender, Top};
use super::sessions::Session;
use super::wire::{self, Packet};
use build::cache::Blobs;
use build::{Archive, Error, Part, Result, Sink};
use bytes::BytesMut;
use prost::Message;
use registry::Cancel;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Code, Status};

const DIFF_COPY: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// The client's store for an OCI layout in a folder; it writes the index itself.
const LAYOUT: &str = "export";
/// How long a client that hung up is waited for to say why.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of one message of an archive.
const PIECE: usize = 1 << 20;

/// A client as one who takes an output.
#[derive(Debug, Clone)]
pub struct ClientSink {
    session: Arc<Session>,
    exporter: usize,
    cancel: Cancel,
}

impl ClientSink {
    pub(super) fn new(session: Arc<Session>, exporter: usize, cancel: Cancel) -> ClientSink {
        ClientSink { session, exporter, cancel }
    }

    fn begin<Q: Message + 'static>(&self, metadata: Metadata) -> Result<(mpsc::Sender<Q>, Call<Packet>)> {
        let session = &self.session;
        if !session.supports(DIFF_COPY) {
            return Err(Error::Invalid(format!("method {DIFF_COPY} not supported by the client")));
        }
        let _runtime = session.enter();
        let metadata = metadata.with("buildkit-attachable-exporter-id", &self.exporter.to_string());
        Ok(session.channel.call(DIFF_COPY, metadata))
    }

    fn send(&self, parts: &[&Part]) -> Result<()> {
        let metadata = Metadata::default().with("buildkit-exporter-multi-platform", "1");
        let (to, mut call) = self.begin::<Packet>(metadata)?;
        let mut put = |packet: Packet| {
            let sent = async { to.send(packet).await.map_err(|_| Status::unavailable("the client hung up")) };
            done(self.wait(sent))
        };
        let parts = parts
            .iter()
            .map(|part| Top { below: part.below.clone(), root: part.folder.root(), times: part.times })
            .collect();
        let mut sender = Sender::new(parts);
        let listed = sender.list(&mut put);
        listed.map_err(|error| self.why(error, &mut call))?;
        loop {
            let next = async { Ok(call.answers.recv().await) };
            let packet = match self.wait(next)? {
                Ok(Some(Ok(packet))) => packet,
                Ok(Some(Err(status))) | Err(status) => return Err(refused(&status)),
                Ok(None) => return Err(Error::Invalid("the client took only a part of the files".to_owned())),
            };
            match packet.kind {
                wire::REQ => {
                    let given = sender.content(packet.id, &mut put);
                    given.map_err(|error| self.why(error, &mut call))?;
                }
                wire::FIN => {
                    put(Packet::end()).map_err(|error| self.why(error, &mut call))?;
                    break;
                }
                wire::ERR => {
                    // The client's end waits for more, or has failed before it said so: the cause comes last.
                    drop(to);
                    let text = String::from_utf8_lossy(&packet.data).into_owned();
                    return Err(self.said(Error::Invalid(format!("error from receiver: {text}")), &mut call));
                }
                _ => return Err(Error::Invalid("the client sent a packet that does not belong here".to_owned())),
            }
        }
        drop(to);
        self.end(&mut call)
    }

    fn wait<T>(
        &self,
        future: impl Future<Output = std::result::Result<T, Status>>,
    ) -> Result<std::result::Result<T, Status>> {
        self.session.wait(&self.cancel, future)
    }

    /// Waits until the client has all of it.
    fn end(&self, call: &mut Call<Packet>) -> Result<()> {
        loop {
            let next = async { Ok(call.answers.recv().await) };
            match self.wait(next)? {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(_))) => {}
                // It has this already, and wants it no more.
                Ok(Some(Err(status))) if status.code() == Code::AlreadyExists => return Ok(()),
                Ok(Some(Err(status))) | Err(status) => return Err(refused(&status)),
            }
        }
    }

    /// Why a client could not be sent to.
    fn why(&self, error: io::Error, call: &mut Call<Packet>) -> Error {
        self.said(Error::Io { action: "send files to the client".to_owned(), source: error }, call)
    }

    /// The client's own words where it has said any, else `error`. They come after it hung up.
    fn said(&self, error: Error, call: &mut Call<Packet>) -> Error {
        let last = async {
            loop {
                match call.answers.recv().await {
                    Some(Err(status)) => return Some(refused(&status)),
                    Some(Ok(_)) => {}
                    None => return None,
                }
            }
        };
        match self.wait(async { Ok(tokio::time::timeout(PATIENCE, last).await) }) {
            Err(cancelled) => cancelled,
            Ok(Ok(Ok(Some(why)))) => why,
            Ok(Err(status)) => refused(&status),
            Ok(_) => error,
        }
    }
}

impl Sink for ClientSink {
    fn archive(&self) -> Result<Box<dyn Archive>> {
        let (to, call) = self.begin::<BytesMessage>(Metadata::default())?;
        Ok(Box::new(Sent { sink: self.clone(), to, call, gathered: BytesMut::new() }))
    }

    fn layout(&self) -> Result<Arc<dyn Blobs>> {
        let store = LAYOUT.to_owned();
        Ok(Arc::new(ClientBlobs::new(self.session.clone(), store, self.cancel.clone())))
    }

    fn files(&self, parts: &[Part]) -> Result<()> {
        // What stands beside each other goes at once; what stands above something else goes after it.
        let mut rest: Vec<&Part> = parts.iter().collect();
        while !rest.is_empty() {
            let mut taken = BTreeSet::new();
            let mut now = Vec::new();
            let mut later = Vec::new();
            for part in rest {
                let fits = later.is_empty()
                    && (now.is_empty() || part.below.is_some() && !taken.contains(&None))
                    && taken.insert(part.below.clone());
                if fits { now.push(part) } else { later.push(part) }
            }
            self.send(&now)?;
            rest = later;
        }
        Ok(())
    }
}

/// An archive on its way.
struct Sent {
    sink: ClientSink,
    to: mpsc::Sender<BytesMessage>,
    call: Call<Packet>,
    gathered: BytesMut,
}

impl Sent {
    fn put(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let message = BytesMessage { data: self.gathered.split().freeze() };
        let sink = &self.sink;
        let sent = async { self.to.send(message).await.map_err(|_| Status::unavailable("the client hung up")) };
        done(sink.wait(sent))
    }
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE.saturating_sub(self.gathered.len()).max(1);
        let taken = bytes.len().min(room);
        self.gathered.extend_from_slice(&bytes[..taken]);
        if self.gathered.len() >= PIECE {
            self.put()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Archive for Sent {
    fn finish(mut self: Box<Self>) -> Result<()> {
        let put = self.put();
        put.map_err(|error| self.sink.why(error, &mut self.call))?;
        let Sent { sink, to, mut call, .. } = *self;
        drop(to);
        sink.end(&mut call)
    }
}

fn done(outcome: Result<std::result::Result<(), Status>>) -> io::Result<()> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(status)) => Err(io::Error::other(status.message().to_owned())),
        Err(error) => Err(io::Error::other(base::chain(&error))),
    }
}

fn refused(status: &Status) -> Error {
    Error::Invalid(format!("the client does not take it: {}", status.message()))
}

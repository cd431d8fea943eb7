//! A client's store of blobs, as containerd's content service has it: caches in folders, and images in OCI layouts.

use super::channel::{Call, Metadata};
use super::sessions::Session;
use base::Digest;
use build::cache::Blobs;
use build::{Error, Result};
use bytes::{Buf, Bytes};
use oci::image::Descriptor;
use prost::Message;
use registry::Cancel;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::mpsc;
use tonic::{Code, Status};

const INFO: &str = "/containerd.services.content.v1.Content/Info";
const READ: &str = "/containerd.services.content.v1.Content/Read";
const WRITE: &str = "/containerd.services.content.v1.Content/Write";
/// The header that says which store is meant.
const STORE: &str = "buildkit-attachable-store-id";
/// Bytes of one message.
const PIECE: usize = 1 << 20;

const STAT_ACTION: i32 = 0;
const WRITE_ACTION: i32 = 1;
const COMMIT_ACTION: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct InfoRequest {
    #[prost(string, tag = "1")]
    digest: String,
}

#[derive(Clone, PartialEq, Message)]
struct InfoResponse {
    #[prost(message, optional, tag = "1")]
    info: Option<Info>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ReadContentRequest {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    offset: i64,
    #[prost(int64, tag = "3")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ReadContentResponse {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "bytes", tag = "2")]
    data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct WriteContentRequest {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(string, tag = "2")]
    reference: String,
    #[prost(int64, tag = "3")]
    total: i64,
    #[prost(string, tag = "4")]
    expected: String,
    #[prost(int64, tag = "5")]
    offset: i64,
    #[prost(bytes = "bytes", tag = "6")]
    data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct WriteContentResponse {
    #[prost(int32, tag = "1")]
    action: i32,
    #[prost(int64, tag = "4")]
    offset: i64,
    #[prost(string, tag = "6")]
    digest: String,
}

/// A store of a client's.
#[derive(Debug, Clone)]
pub struct ClientBlobs {
    session: Arc<Session>,
    store: String,
    cancel: Cancel,
}

impl ClientBlobs {
    pub(super) fn new(session: Arc<Session>, store: String, cancel: Cancel) -> ClientBlobs {
        ClientBlobs { session, store, cancel }
    }

    fn metadata(&self) -> Metadata {
        Metadata::default().with(STORE, &self.store)
    }

    fn failed(&self, action: &str, status: &Status) -> Error {
        Error::Invalid(format!("cannot {action} the client's store {}: {}", self.store, status.message()))
    }

    /// How large a blob is; `None` when it is not there.
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>> {
        let question = InfoRequest { digest: digest.to_string() };
        let asked = self.session.channel.ask(INFO, question, self.metadata());
        let answer: std::result::Result<InfoResponse, Status> = self.session.wait(&self.cancel, asked)?;
        match answer {
            Ok(answer) => Ok(answer.info.map(|info| info.size.max(0).unsigned_abs())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(self.failed("look into", &status)),
        }
    }

    /// The bytes of a blob, as the client sends them: nothing of them is verified.
    pub fn read(&self, digest: &Digest) -> Box<dyn Read + Send> {
        let runtime = self.session.enter();
        let (questions, call) = self.session.channel.call(READ, self.metadata());
        drop(runtime);
        let question = ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 };
        let first = Some((questions, question));
        Box::new(Reading {
            session: self.session.clone(),
            cancel: self.cancel.clone(),
            first,
            call,
            rest: Bytes::new(),
        })
    }
}

impl Blobs for ClientBlobs {
    fn open(&self, blob: &Descriptor) -> Result<Option<Box<dyn Read + Send>>> {
        let found = self.size(&blob.digest)?;
        Ok(found.map(|_| self.read(&blob.digest)))
    }

    fn has(&self, blob: &Descriptor) -> Result<bool> {
        Ok(self.size(&blob.digest)?.is_some())
    }

    fn put(&self, blob: &Descriptor, content: &File) -> Result<()> {
        if self.has(blob)? {
            return Ok(());
        }
        let runtime = self.session.enter();
        let (to, call) = self.session.channel.call(WRITE, self.metadata());
        drop(runtime);
        let mut writing = Writing { blobs: self, to, call };
        match writing.all(blob, content) {
            Err(Failure::Client(status)) if status.code() == Code::AlreadyExists => Ok(()),
            Err(Failure::Client(status)) => Err(self.failed("write to", &status)),
            Err(Failure::Own(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }
}

/// A blob on its way here.
struct Reading {
    session: Arc<Session>,
    cancel: Cancel,
    first: Option<(mpsc::Sender<ReadContentRequest>, ReadContentRequest)>,
    call: Call<ReadContentResponse>,
    rest: Bytes,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let broken = |error: &Error| io::Error::other(base::chain(error));
        if let Some((to, question)) = self.first.take() {
            let sent = async { to.send(question).await.map_err(|_| Status::unavailable("the client hung up")) };
            let sent = self.session.wait(&self.cancel, sent).map_err(|error| broken(&error))?;
            sent.map_err(|status| io::Error::other(status.message().to_owned()))?;
        }
        while self.rest.is_empty() {
            let next = async { Ok(self.call.answers.recv().await) };
            match self.session.wait(&self.cancel, next).map_err(|error| broken(&error))? {
                Ok(Some(Ok(answer))) => self.rest = answer.data,
                Ok(None) => return Ok(0),
                Ok(Some(Err(status))) | Err(status) => return Err(io::Error::other(status.message().to_owned())),
            }
        }
        let length = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

enum Failure {
    Client(Status),
    Own(Error),
}

/// A blob on its way to the client.
struct Writing<'a> {
    blobs: &'a ClientBlobs,
    to: mpsc::Sender<WriteContentRequest>,
    call: Call<WriteContentResponse>,
}

impl Writing<'_> {
    fn all(&mut self, blob: &Descriptor, content: &File) -> std::result::Result<(), Failure> {
        let failed = |source| Failure::Own(Error::Io { action: "read a blob".to_owned(), source });
        let total = content.metadata().map_err(failed)?.len();
        let expected = blob.digest.to_string();
        let begin = WriteContentRequest {
            action: STAT_ACTION,
            reference: format!("upload-{expected}"),
            total: i64::try_from(total).unwrap_or(i64::MAX),
            expected: expected.clone(),
            ..WriteContentRequest::default()
        };
        // Somebody may have begun: it goes on from there.
        let mut offset = self.ask(begin)?.offset.max(0).unsigned_abs().min(total);
        let mut buffer = vec![0; PIECE];
        while offset < total {
            let length = usize::try_from(total - offset).map_or(PIECE, |left| left.min(PIECE));
            content.read_exact_at(&mut buffer[..length], offset).map_err(failed)?;
            let data = Bytes::copy_from_slice(&buffer[..length]);
            let at = i64::try_from(offset).unwrap_or(i64::MAX);
            self.ask(WriteContentRequest { action: WRITE_ACTION, offset: at, data, ..WriteContentRequest::default() })?;
            offset += length as u64;
        }
        let at = i64::try_from(offset).unwrap_or(i64::MAX);
        let commit = WriteContentRequest {
            action: COMMIT_ACTION,
            total: at,
            offset: at,
            expected,
            ..WriteContentRequest::default()
        };
        self.ask(commit).map(drop)
    }

    fn ask(&mut self, request: WriteContentRequest) -> std::result::Result<WriteContentResponse, Failure> {
        let asked = async {
            // What the client has to say to a request that it does not take comes as an answer.
            let _ = self.to.send(request).await;
            match self.call.answers.recv().await {
                Some(answer) => answer,
                None => Err(Status::unavailable("the client hung up")),
            }
        };
        let answer = self.blobs.session.wait(&self.blobs.cancel, asked).map_err(Failure::Own)?;
        answer.map_err(Failure::Client)
    }
}

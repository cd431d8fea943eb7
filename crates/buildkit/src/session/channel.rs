//! Calls to a client's services: gRPC over the connection that it opened.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request as HttpRequest, Response as HttpResponse, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use prost::Message;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Bytes of one message of a client's (gRPC's own limit is 4 MB; containerd's and BuildKit's are these).
const LARGEST_MESSAGE: usize = 16 << 20;
/// Messages of a client's that wait to be read.
const WAITING: usize = 64;

/// The connection to a client, for calls. Clones share it.
#[derive(Clone)]
pub struct Channel(SendRequest<tonic::body::Body>);

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

impl tower::Service<HttpRequest<tonic::body::Body>> for Channel {
    type Response = HttpResponse<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<tonic::body::Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// What is said beside a call: names and values.
#[derive(Debug, Clone, Default)]
pub struct Metadata(MetadataMap);

impl Metadata {
    pub fn with(mut self, name: &'static str, value: &str) -> Metadata {
        self.add(name, value);
        self
    }

    /// One more value of `name`, in UTF-8 as Go's clients take it. What no header can carry is left out.
    pub fn add(&mut self, name: &str, value: &str) {
        let (Ok(name), Ok(value)) = (name.parse::<AsciiMetadataKey>(), AsciiMetadataValue::try_from(value.as_bytes()))
        else {
            tracing::debug!("{name:?} cannot be told to a client");
            return;
        };
        self.0.append(name, value);
    }
}

/// A call while it goes on. Dropped, it is cancelled.
#[derive(Debug)]
pub struct Call<R> {
    /// What the client says; an error ends it, and so does its end.
    pub answers: mpsc::Receiver<Result<R, Status>>,
    reading: tokio::task::JoinHandle<()>,
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Channel {
    pub fn new(send: SendRequest<tonic::body::Body>) -> Channel {
        Channel(send)
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::with_origin(self.clone(), Uri::from_static("http://localhost"))
            .max_decoding_message_size(LARGEST_MESSAGE);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }

    /// One question, one answer.
    pub async fn ask<Q, R>(&self, path: &'static str, question: Q, metadata: Metadata) -> Result<R, Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let mut grpc = self.grpc().await?;
        let mut request = Request::new(question);
        *request.metadata_mut() = metadata.0;
        let answer = grpc.unary(request, PathAndQuery::from_static(path), ProstCodec::<Q, R>::default()).await?;
        Ok(answer.into_inner())
    }

    /// A call to which any number of questions may be put at once; they wait here as long as the client does not take them.
    pub fn call_unbounded<Q, R>(&self, path: &'static str, metadata: Metadata) -> (mpsc::UnboundedSender<Q>, Call<R>)
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let (send, questions) = mpsc::unbounded_channel();
        (send, self.begin(path, UnboundedReceiverStream::new(questions), metadata))
    }

    /// A call in which both sides speak.
    pub fn call<Q, R>(&self, path: &'static str, metadata: Metadata) -> (mpsc::Sender<Q>, Call<R>)
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let (send, questions) = mpsc::channel(4);
        (send, self.begin(path, ReceiverStream::new(questions), metadata))
    }

    /// The answer's header may come only with its first message (grpc-go), so nobody waits for it before he speaks.
    fn begin<Q, R>(
        &self,
        path: &'static str,
        questions: impl Stream<Item = Q> + Send + 'static,
        metadata: Metadata,
    ) -> Call<R>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let (send, answers) = mpsc::channel(WAITING);
        let channel = self.clone();
        let reading = tokio::spawn(async move {
            if let Err(status) = channel.read(path, questions, metadata, &send).await {
                let _ = send.send(Err(status)).await;
            }
        });
        Call { answers, reading }
    }

    async fn read<Q, R>(
        &self,
        path: &'static str,
        questions: impl Stream<Item = Q> + Send + 'static,
        metadata: Metadata,
        send: &mpsc::Sender<Result<R, Status>>,
    ) -> Result<(), Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let mut grpc = self.grpc().await?;
        let mut request = Request::new(questions);
        *request.metadata_mut() = metadata.0;
        let path = PathAndQuery::from_static(path);
        let mut answers = grpc.streaming(request, path, ProstCodec::<Q, R>::default()).await?.into_inner();
        while let Some(answer) = answers.next().await {
            if send.send(Ok(answer?)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Bytes, as the services for archives and agents carry them.
#[derive(Clone, PartialEq, Message)]
pub struct BytesMessage {
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_beside_a_call_need_not_be_ascii() {
        let metadata = Metadata::default().with("store", "local:/tmp/ü").with("odd", "a\nb");
        assert_eq!(metadata.0.get("store").unwrap().as_encoded_bytes(), "local:/tmp/ü".as_bytes());
        assert!(metadata.0.get("odd").is_none());
    }
}

//! Blobs of the history, read by the service that clients of containerd know (`containerd.services.content.v1.Content`): nothing can
//! be written by it.

use super::history::Blobs;
use base::Digest;
use bollard_buildkit_proto::google::protobuf::Timestamp;
use http::{Request as HttpRequest, Response as HttpResponse};
use prost::Message;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Bytes of one piece of a blob.
const PIECE: usize = 1 << 20;

/// The service.
#[derive(Debug, Clone)]
pub struct Content {
    blobs: Blobs,
}

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
    #[prost(message, optional, tag = "3")]
    created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    updated_at: Option<Timestamp>,
    #[prost(map = "string, string", tag = "5")]
    labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(int64, tag = "2")]
    offset: i64,
    #[prost(int64, tag = "3")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(int64, tag = "1")]
    offset: i64,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

impl Content {
    pub fn new(blobs: Blobs) -> Content {
        Content { blobs }
    }

    fn open(&self, digest: &str) -> Result<(std::fs::File, u64), Status> {
        let missing = || Status::not_found(format!("content {digest}: not found"));
        let parsed: Digest =
            digest.parse().map_err(|_| Status::invalid_argument(format!("{digest:?} is no digest")))?;
        let file = self.blobs.open(&parsed).ok_or_else(missing)?;
        let length = file.metadata().map_err(|error| Status::internal(error.to_string()))?.len();
        Ok((file, length))
    }

    fn info(&self, asked: &InfoRequest) -> Result<InfoResponse, Status> {
        let (_, length) = self.open(&asked.digest)?;
        let size = i64::try_from(length).unwrap_or(i64::MAX);
        Ok(InfoResponse { info: Some(Info { digest: asked.digest.clone(), size, ..Info::default() }) })
    }

    fn read(&self, asked: &ReadRequest) -> Result<Vec<ReadResponse>, Status> {
        use std::io::{Seek, SeekFrom};
        let (mut file, length) = self.open(&asked.digest)?;
        let (Ok(offset), Ok(size)) = (u64::try_from(asked.offset), u64::try_from(asked.size)) else {
            return Err(Status::out_of_range("a part of a blob cannot be negative"));
        };
        if offset > length {
            return Err(Status::out_of_range(format!("read past object length {length} bytes")));
        }
        let rest = length - offset;
        let wanted = if size == 0 { rest } else { size.min(rest) };
        let failed = |error: std::io::Error| Status::internal(error.to_string());
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut whole = Vec::new();
        file.take(wanted).read_to_end(&mut whole).map_err(failed)?;
        let piece = |(number, data): (usize, &[u8])| ReadResponse {
            offset: i64::try_from(offset).unwrap_or_default() + i64::try_from(number * PIECE).unwrap_or_default(),
            data: data.to_vec(),
        };
        Ok(whole.chunks(PIECE).enumerate().map(piece).collect())
    }
}

/// `Info`
#[derive(Clone)]
struct AskInfo(Content);

impl UnaryService<InfoRequest> for AskInfo {
    type Response = InfoResponse;
    type Future = std::future::Ready<Result<Response<InfoResponse>, Status>>;

    fn call(&mut self, request: Request<InfoRequest>) -> Self::Future {
        std::future::ready(self.0.info(request.get_ref()).map(Response::new))
    }
}

/// `Read`
#[derive(Clone)]
struct AskBytes(Content);

impl ServerStreamingService<ReadRequest> for AskBytes {
    type Response = ReadResponse;
    type ResponseStream = tokio_stream::Iter<std::vec::IntoIter<Result<ReadResponse, Status>>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<ReadRequest>) -> Self::Future {
        let pieces = self.0.read(request.get_ref());
        let stream = pieces.map(|all| tokio_stream::iter(all.into_iter().map(Ok).collect::<Vec<_>>()));
        std::future::ready(stream.map(Response::new))
    }
}

impl NamedService for Content {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

impl<B> tower::Service<HttpRequest<B>> for Content
where
    B: hyper::body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let own = self.clone();
        Box::pin(async move {
            let answer = match request.uri().path() {
                "/containerd.services.content.v1.Content/Info" => {
                    let mut grpc = Grpc::new(ProstCodec::<InfoResponse, InfoRequest>::default());
                    grpc.unary(AskInfo(own), request).await
                }
                "/containerd.services.content.v1.Content/Read" => {
                    let mut grpc = Grpc::new(ProstCodec::<ReadResponse, ReadRequest>::default());
                    grpc.server_streaming(AskBytes(own), request).await
                }
                _ => Status::unimplemented("blobs can only be read here").into_http(),
            };
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_blobs_are_read_and_strange_ones_refused() {
        let place = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::new(place.path());
        let digest = blobs.put(b"0123456789").expect("put").to_string();
        let content = Content::new(blobs);
        let read = |offset, size| {
            let asked = ReadRequest { digest: digest.clone(), offset, size };
            content.read(&asked).map(|all| all.into_iter().flat_map(|one| one.data).collect::<Vec<u8>>())
        };
        assert_eq!(read(0, 0).expect("read"), b"0123456789");
        assert_eq!(read(8, 100).expect("read"), b"89");
        for (offset, size) in [(-1, 0), (0, -1), (i64::MIN, i64::MAX), (11, 0)] {
            assert!(read(offset, size).is_err(), "{offset} {size}");
        }
        assert!(content.info(&InfoRequest { digest: "../x".to_owned() }).is_err());
        assert_eq!(content.info(&InfoRequest { digest }).expect("known").info.expect("some").size, 10);
    }
}

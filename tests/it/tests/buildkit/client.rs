//! A client of BuildKit's protocol: it asks over one connection, and answers over another.

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::{FileSync, FileSyncServer};
use futures_util::stream::BoxStream;
use hyper_util::rt::TokioIo;
use it::Stage;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

/// Files by the folder's name and the path in it.
pub type Folders = BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>;

/// A connection to the engine's socket that has become a bare one.
async fn hijacked(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> UnixStream {
    let socket = stage.host().strip_prefix("unix://").expect("a unix socket").to_owned();
    let mut stream = UnixStream::connect(socket).await.expect("connected");
    let own: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let asked = format!("POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{own}\r\n");
    stream.write_all(asked.as_bytes()).await.expect("asked");
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        header.push(stream.read_u8().await.expect("an answer"));
    }
    let header = String::from_utf8_lossy(&header).into_owned();
    assert!(header.starts_with("HTTP/1.1 101 "), "{header}");
    stream
}

/// A client of one engine.
pub struct Client {
    pub control: ControlClient<Channel>,
    pub gateway: LlbBridgeClient<Channel>,
}

impl Client {
    pub async fn connect(stage: &Stage) -> Client {
        let mut stream = Some(hijacked(stage, "/v1.51/grpc", &[]).await);
        let endpoint = Endpoint::from_static("http://engine").timeout(Duration::from_secs(240));
        let channel = endpoint
            .connect_with_connector(tower::service_fn(move |_| {
                let stream = stream.take().ok_or_else(|| std::io::Error::other("the connection was used up"));
                std::future::ready(stream.map(TokioIo::new))
            }))
            .await
            .expect("a channel");
        let limit = 16 << 20;
        Client {
            control: ControlClient::new(channel.clone()).max_decoding_message_size(limit),
            gateway: LlbBridgeClient::new(channel).max_decoding_message_size(limit),
        }
    }
}

/// Opens a session that has these folders. It ends when what is returned is dropped.
pub async fn session(stage: &Stage, id: &str, folders: Folders) -> Session {
    let headers = [
        ("X-Docker-Expose-Session-Uuid", id),
        ("X-Docker-Expose-Session-Name", "test"),
        ("X-Docker-Expose-Session-Sharedkey", "test"),
        ("X-Docker-Expose-Session-Grpc-Method", "/moby.filesync.v1.FileSync/DiffCopy"),
    ];
    let stream = hijacked(stage, "/session", &headers).await;
    let files = FileSyncServer::new(Files { folders });
    let one = tokio_stream::once(Ok::<_, std::io::Error>(stream));
    let serving = tokio::spawn(async move {
        // The stream of connections must not end before the connection does.
        let incoming = futures_util::StreamExt::chain(one, futures_util::stream::pending());
        let _ = Server::builder().add_service(files).serve_with_incoming(incoming).await;
    });
    Session(serving)
}

/// A session that is open.
pub struct Session(tokio::task::JoinHandle<()>);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Files {
    folders: Folders,
}

fn packet(kind: PacketType) -> Packet {
    Packet { r#type: kind.into(), ..Packet::default() }
}

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = BoxStream<'static, Result<Packet, Status>>;

    async fn diff_copy(&self, request: Request<Streaming<Packet>>) -> Result<Response<Self::DiffCopyStream>, Status> {
        let name = request.metadata().get("dir-name").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let files = self.folders.get(name).cloned().unwrap_or_default();
        let mut asked = request.into_inner();
        let (send, answers) = mpsc::channel(16);
        tokio::spawn(async move {
            let contents: Vec<&str> = files.values().copied().collect();
            for (path, text) in &files {
                let size = i64::try_from(text.len()).expect("a size");
                let stat = Stat { path: (*path).to_owned(), mode: 0o644, size, ..Stat::default() };
                let _ = send.send(Ok(Packet { stat: Some(stat), ..packet(PacketType::PacketStat) })).await;
            }
            let _ = send.send(Ok(packet(PacketType::PacketStat))).await;
            while let Ok(Some(question)) = asked.message().await {
                match question.r#type() {
                    PacketType::PacketReq => {
                        let id = question.id;
                        let text = contents.get(id as usize).copied().unwrap_or_default();
                        let data = text.as_bytes().to_vec();
                        let data = Packet { id, data, ..packet(PacketType::PacketData) };
                        let end = Packet { id, ..packet(PacketType::PacketData) };
                        let _ = send.send(Ok(data)).await;
                        let _ = send.send(Ok(end)).await;
                    }
                    PacketType::PacketFin => {
                        let _ = send.send(Ok(packet(PacketType::PacketFin))).await;
                        return;
                    }
                    _ => {}
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    type TarStreamStream = BoxStream<'static, Result<Packet, Status>>;

    async fn tar_stream(
        &self,
        _request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("no tars"))
    }
}

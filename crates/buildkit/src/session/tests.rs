//! A client that is not there, over a connection in memory: what it is asked, and what comes of its answers.

use super::channel::BytesMessage;
use super::files::{self, Wish};
use super::receive::Before;
use super::send::{Sender, Top};
use super::sessions::{Session, Sessions};
use super::wire::{self, Packet};
use super::{agent, sink};
use bollard_buildkit_proto::fsutil::types::Packet as Wire;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::{FileSend, FileSendServer};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::{FileSync, FileSyncServer};
use bollard_buildkit_proto::moby::filesync::v1::{
    BytesMessage as Piece, CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::{Ssh, SshServer};
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage as Words, CheckAgentRequest, CheckAgentResponse};
use build::{Keys, Sink};
use http::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use prost::Message;
use registry::Cancel;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Outcome<T> = Result<Response<T>, Status>;

/// What the client has, and what it was asked.
#[derive(Default)]
struct Fake {
    folder: PathBuf,
    asked: Mutex<Vec<String>>,
    archive: Mutex<Vec<u8>>,
    /// Takes an archive's beginning and then nothing any more.
    stalls: bool,
}

#[derive(Clone)]
struct Client(Arc<Fake>);

fn own(packet: &Wire) -> Packet {
    Packet::decode(packet.encode_to_vec().as_slice()).unwrap()
}

fn wire(packet: &Packet) -> Wire {
    Wire::decode(packet.encode_to_vec().as_slice()).unwrap()
}

#[tonic::async_trait]
impl FileSync for Client {
    type DiffCopyStream = Answers<Wire>;
    type TarStreamStream = Answers<Wire>;

    async fn diff_copy(&self, request: Request<Streaming<Wire>>) -> Outcome<Answers<Wire>> {
        for name in ["dir-name", "followpaths", "exclude-patterns", "exclude-patterns-encoded"] {
            let values = request.metadata().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
            self.0.asked.lock().unwrap().extend(values.map(|value| format!("{name}={value}")));
        }
        let (send, answers) = mpsc::channel(4);
        let mut questions = request.into_inner();
        let folder = self.0.folder.clone();
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let root = std::fs::File::open(&folder).unwrap();
            let mut sender = Sender::new(vec![Top { below: None, root: root.as_fd(), times: None }]);
            let mut put = |packet: Packet| send.blocking_send(Ok(wire(&packet))).map_err(std::io::Error::other);
            sender.list(&mut put).unwrap();
            while let Some(Ok(question)) = handle.block_on(questions.next()) {
                match own(&question) {
                    packet if packet.kind == wire::REQ => sender.content(packet.id, &mut put).unwrap(),
                    packet if packet.kind == wire::FIN => put(Packet::end()).unwrap(),
                    packet => panic!("{packet:?}"),
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn tar_stream(&self, _request: Request<Streaming<Wire>>) -> Outcome<Answers<Wire>> {
        Err(Status::unimplemented("no"))
    }
}

#[tonic::async_trait]
impl FileSend for Client {
    type DiffCopyStream = Answers<Piece>;

    /// As Go's: nothing is answered before all has come.
    async fn diff_copy(&self, request: Request<Streaming<Piece>>) -> Outcome<Answers<Piece>> {
        let id = request.metadata().get("buildkit-attachable-exporter-id").unwrap().to_str().unwrap().to_owned();
        self.0.asked.lock().unwrap().push(format!("exporter={id}"));
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.next().await {
            self.0.archive.lock().unwrap().extend(piece?.data);
            if self.0.stalls {
                std::future::pending::<()>().await;
            }
        }
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }
}

#[tonic::async_trait]
impl Secrets for Client {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Outcome<GetSecretResponse> {
        match request.into_inner().id.as_str() {
            "token" => Ok(Response::new(GetSecretResponse { data: b"hidden".to_vec() })),
            "broken" => Err(Status::internal("it is broken")),
            _ => Err(Status::not_found("no such secret")),
        }
    }
}

#[tonic::async_trait]
impl Auth for Client {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Outcome<CredentialsResponse> {
        let host = request.into_inner().host;
        self.0.asked.lock().unwrap().push(host.clone());
        let answer = |username: &str, secret: &str| {
            Ok(Response::new(CredentialsResponse { username: username.to_owned(), secret: secret.to_owned() }))
        };
        match host.as_str() {
            "registry-1.docker.io" => answer("ann", "hidden"),
            "token.example" => answer("", "refresh"),
            "open.example:5000" => answer("", ""),
            _ => Err(Status::internal("the program that keeps passwords failed")),
        }
    }

    async fn fetch_token(&self, _request: Request<FetchTokenRequest>) -> Outcome<FetchTokenResponse> {
        Err(Status::unavailable("client side tokens disabled"))
    }

    async fn get_token_authority(
        &self,
        _request: Request<GetTokenAuthorityRequest>,
    ) -> Outcome<GetTokenAuthorityResponse> {
        Err(Status::unavailable("client side tokens disabled"))
    }

    async fn verify_token_authority(
        &self,
        _request: Request<VerifyTokenAuthorityRequest>,
    ) -> Outcome<VerifyTokenAuthorityResponse> {
        Err(Status::unavailable("client side tokens disabled"))
    }
}

#[tonic::async_trait]
impl Ssh for Client {
    type ForwardAgentStream = Answers<Words>;

    async fn check_agent(&self, request: Request<CheckAgentRequest>) -> Outcome<CheckAgentResponse> {
        if request.into_inner().id == "default" {
            Ok(Response::new(CheckAgentResponse {}))
        } else {
            Err(Status::not_found("unset ssh forward key"))
        }
    }

    /// Says everything twice.
    async fn forward_agent(&self, request: Request<Streaming<Words>>) -> Outcome<Answers<Words>> {
        let twice = request.into_inner().map(|words| words.map(|words| Words { data: words.data.repeat(2) }));
        Ok(Response::new(Box::pin(twice)))
    }
}

/// Runs `test` with the session of a client.
fn with(fake: Fake, test: impl FnOnce(&Arc<Session>, &Fake)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fake = Arc::new(fake);
    let sessions = Sessions::default();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let client = Client(fake.clone());
    runtime.spawn(async move {
        let routes = tonic::service::Routes::new(FileSyncServer::new(client.clone()))
            .add_service(FileSendServer::new(client.clone()))
            .add_service(SecretsServer::new(client.clone()))
            .add_service(AuthServer::new(client.clone()))
            .add_service(SshServer::new(client));
        let service = TowerToHyperService::new(routes);
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(theirs), service)
            .await;
    });
    let mut headers = HeaderMap::new();
    headers.insert("x-docker-expose-session-uuid", "abc".parse().unwrap());
    for method in [
        "/moby.filesync.v1.FileSync/diffcopy",
        "/moby.filesync.v1.FileSend/diffcopy",
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        "/moby.sshforward.v1.SSH/CheckAgent",
        "/moby.sshforward.v1.SSH/ForwardAgent",
    ] {
        headers.append("x-docker-expose-session-grpc-method", method.parse().unwrap());
    }
    let serving = sessions.clone();
    let served = runtime.spawn(async move { serving.serve(ours, &headers).await });
    let session = runtime.block_on(sessions.get("prefix:abc", Duration::from_secs(30))).unwrap();
    test(&session, &fake);
    session.end();
    runtime.block_on(served).unwrap().unwrap();
    assert!(runtime.block_on(sessions.get("abc", Duration::ZERO)).is_err());
}

fn fetch(session: &Session, wish: &Wish, to: &Path, cancel: &Cancel) -> build::Result<u64> {
    let root = std::fs::File::open(to).unwrap().into();
    files::fetch(session, wish, (root, Before::Updated, &mut |_, _| {}), &mut |_| {}, cancel)
}

#[test]
fn files_are_asked_for_by_name_and_arrive() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..300 {
        std::fs::write(from.path().join(format!("file-{number}")), vec![1; number * 100]).unwrap();
    }
    with(Fake { folder: from.path().to_owned(), ..Fake::default() }, |session, fake| {
        let wish = Wish { name: "context".into(), paths: vec!["a".into()], exclude: vec!["ü".into(), "b".into()] };
        let bytes = fetch(session, &wish, to.path(), &Cancel::default()).unwrap();
        assert_eq!(bytes, (0..300).map(|number| number * 100).sum::<u64>());
        let asked = fake.asked.lock().unwrap().clone();
        let expected = [
            "dir-name=context",
            "followpaths=a",
            "exclude-patterns=%C3%BC",
            "exclude-patterns=b",
            "exclude-patterns-encoded=1",
        ];
        assert_eq!(asked, expected);
    });
    assert_eq!(std::fs::read(to.path().join("file-299")).unwrap().len(), 29_900);
}

#[test]
fn a_build_that_is_cancelled_waits_for_no_client() {
    let to = tempfile::tempdir().unwrap();
    with(Fake { folder: to.path().to_owned(), ..Fake::default() }, |session, _| {
        let cancel = Cancel::default();
        cancel.cancel();
        let error = fetch(session, &Wish::default(), to.path(), &cancel).unwrap_err();
        assert!(error.is_cancelled());
    });
}

#[test]
fn secrets_are_given_or_are_not_there() {
    with(Fake::default(), |session, _| {
        let secret = |id| agent::secret(session, id, &Cancel::default());
        assert_eq!(secret("token").unwrap().unwrap(), b"hidden");
        assert_eq!(secret("other").unwrap(), None);
        assert!(secret("broken").unwrap_err().to_string().contains("it is broken"));
    });
}

#[test]
fn a_client_is_asked_once_who_it_is_to_a_registry() {
    with(Fake::default(), |session, fake| {
        let keys = super::keys(session, &Cancel::default());
        let of = |name: &str| keys.of(&image::Reference::parse(name).unwrap());
        let hub = of("alpine");
        assert_eq!((hub.username.as_str(), hub.password.as_str()), ("ann", "hidden"));
        assert_eq!(of("ann/private:1").password, "hidden");
        let token = of("token.example/a");
        assert_eq!((token.identity_token.as_str(), token.password.as_str()), ("refresh", ""));
        assert!(of("open.example:5000/a").is_empty() && of("broken.example/a").is_empty());
        let asked = fake.asked.lock().unwrap().clone();
        assert_eq!(asked, ["registry-1.docker.io", "token.example", "open.example:5000", "broken.example"]);
    });
}

#[test]
fn an_agent_is_spoken_to_both_ways() {
    with(Fake::default(), |session, _| {
        let cancel = Cancel::default();
        assert!(agent::agent(session, "other", &cancel).unwrap().is_none());
        let agent = agent::agent(session, "default", &cancel).unwrap().unwrap();
        let (mut from, mut to) = agent.split().unwrap();
        to.write_all(b"hello").unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 3];
        while answer.len() < 10 {
            match from.read(&mut buffer) {
                Ok(got) => answer.extend_from_slice(&buffer[..got]),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::TimedOut),
            }
        }
        assert_eq!(answer, b"hellohello");
        drop(to);
        loop {
            match from.read(&mut buffer) {
                Ok(got) => break assert_eq!(got, 0),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::TimedOut),
            }
        }
    });
}

#[test]
fn an_archive_arrives_whole() {
    with(Fake::default(), |session, fake| {
        let sink = sink(session, 3, &Cancel::default());
        let mut archive = sink.archive().unwrap();
        for number in 0..=255 {
            archive.write_all(&vec![number; 20_000]).unwrap();
        }
        archive.finish().unwrap();
        let arrived = fake.archive.lock().unwrap();
        assert_eq!((arrived.len(), arrived[0], arrived.last()), (256 * 20_000, 0, Some(&255)));
        assert_eq!(*fake.asked.lock().unwrap(), ["exporter=3"]);
    });
}

#[test]
fn a_client_that_takes_no_more_holds_up_only_its_own_build() {
    with(Fake { stalls: true, ..Fake::default() }, |session, _| {
        let cancel = Cancel::default();
        let sink = sink(session, 0, &cancel);
        let mut archive = sink.archive().unwrap();
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let piece = vec![0; 1 << 20];
                std::iter::repeat_with(|| archive.write_all(&piece)).find_map(Result::err)
            });
            // Another question is answered meanwhile.
            assert!(agent::secret(session, "token", &Cancel::default()).unwrap().is_some());
            cancel.cancel();
            assert!(writing.join().unwrap().is_some());
        });
    });
}

#[test]
fn messages_of_bytes_are_those_of_the_services() {
    let own = BytesMessage { data: "abc".into() }.encode_to_vec();
    assert_eq!(Piece::decode(own.as_slice()).unwrap().data, b"abc");
    assert_eq!(Words::decode(own.as_slice()).unwrap().data, b"abc");
}

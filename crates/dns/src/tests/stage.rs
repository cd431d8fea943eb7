//! A server with one container that asks, and a name server outside that the test plays.

use crate::{Endpoint, Guard, Server, Sockets, View};
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes, unless it never comes.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) guard: Guard,
    pub(super) udp: SocketAddr,
    pub(super) tcp: SocketAddr,
    pub(super) folder: tempfile::TempDir,
}

impl Stage {
    /// A container with this view; the host's file names these servers, all at `port`.
    pub(super) fn new(view: View, servers: &[IpAddr], port: u16) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::asking_at(port, tokio::runtime::Handle::current(), resolv_conf(&folder, servers));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let namespace = Arc::new(File::open("/proc/thread-self/ns/net").unwrap().into());
        let guard = server.serve(Sockets { udp, tcp, namespace }, view).unwrap();
        Stage { server, guard, udp: addresses.0, tcp: addresses.1, folder }
    }

    pub(super) fn join(&self, network: &str, names: &[&str], addresses: &[&str]) {
        let endpoint = Endpoint {
            container: format!("id-of-{}", names[0]),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        };
        self.server.names().join(network, &format!("{network}-name"), endpoint);
    }

    pub(super) async fn ask(&self, name: &str, sort: RecordType) -> Message {
        self.send(&request(name, sort)).await
    }

    pub(super) async fn send(&self, request: &Message) -> Message {
        let answer = self.send_bytes(&request.to_vec().unwrap()).await;
        assert_eq!(answer.metadata.id, request.metadata.id);
        answer
    }

    pub(super) async fn send_bytes(&self, bytes: &[u8]) -> Message {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(bytes, self.udp).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let length = tokio::time::timeout(DEADLINE, socket.recv(&mut buffer)).await.unwrap().unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    pub(super) async fn ask_by_tcp(&self, name: &str, sort: RecordType) -> Message {
        let mut stream = TcpStream::connect(self.tcp).await.unwrap();
        let bytes = request(name, sort).to_vec().unwrap();
        stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        Message::from_vec(&answer).unwrap()
    }

    pub(super) async fn addresses(&self, name: &str) -> Vec<String> {
        texts(&self.ask(name, RecordType::A).await)
    }
}

pub(super) fn resolv_conf(folder: &tempfile::TempDir, servers: &[IpAddr]) -> PathBuf {
    let path = folder.path().join("resolv.conf");
    let lines: Vec<String> = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    path
}

pub(super) fn on(networks: &[&str]) -> View {
    View { networks: networks.iter().map(|&network| network.to_owned()).collect(), ..View::default() }
}

pub(super) fn request(name: &str, sort: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), sort));
    message
}

pub(super) fn with_payload(mut request: Message, payload: u16) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    request.set_edns(edns);
    request
}

/// The data of the answers in order of text.
pub(super) fn texts(message: &Message) -> Vec<String> {
    let mut texts: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
    texts.sort();
    texts
}

pub(super) fn a(name: &Name, ttl: u32, address: Ipv4Addr) -> Record {
    Record::from_rdata(name.clone(), ttl, RData::A(A(address)))
}

/// A name server outside.
pub(super) struct Fake {
    pub(super) asked: Arc<AtomicUsize>,
    pub(super) asked_by_tcp: Arc<AtomicUsize>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Fake {
    /// Answers as `say` does; `None` is silence. With `port` 0 any port is taken.
    pub(super) async fn at(
        address: IpAddr,
        port: u16,
        say: impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static,
    ) -> (Fake, u16) {
        let (udp, tcp) = both(address, port).await;
        let port = udp.local_addr().unwrap().port();
        let (asked, asked_by_tcp) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let say = Arc::new(say);
        let (count, answer) = (asked.clone(), say.clone());
        let by_udp = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            loop {
                let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(said) = answer(&Message::from_vec(&buffer[..length]).unwrap(), false) {
                    udp.send_to(&said.to_vec().unwrap(), peer).await.unwrap();
                }
            }
        });
        let count = asked_by_tcp.clone();
        let by_tcp = tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut question).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let said = say(&Message::from_vec(&question).unwrap(), true).unwrap().to_vec().unwrap();
                stream.write_u16(u16::try_from(said.len()).unwrap()).await.unwrap();
                stream.write_all(&said).await.unwrap();
            }
        });
        (Fake { asked, asked_by_tcp, tasks: [by_udp, by_tcp] }, port)
    }

    pub(super) fn count(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// UDP and TCP at the same port.
async fn both(address: IpAddr, port: u16) -> (tokio::net::UdpSocket, tokio::net::TcpListener) {
    loop {
        let udp = tokio::net::UdpSocket::bind((address, port)).await.unwrap();
        let same = udp.local_addr().unwrap();
        if let Ok(tcp) = tokio::net::TcpListener::bind(same).await {
            return (udp, tcp);
        }
        assert_eq!(port, 0, "port {port} is taken");
    }
}

/// The answer to a question with these records.
pub(super) fn reply(question: &Message, records: Vec<Record>) -> Message {
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.queries.clone_from(&question.queries);
    reply.answers = records;
    reply
}

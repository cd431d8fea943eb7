//! One question to one name server: by UDP, and by TCP when the answer is too long for that.

use super::Question;
use hickory_proto::op::{Edns, Message, MessageType, ResponseCode};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

/// The payload that passes every usual path in one piece (the DNS flag day of 2020).
const PAYLOAD: u16 = 1232;
/// What is read of a datagram. Nothing longer was asked for; a container can have hundreds of questions under way.
const LONGEST_DATAGRAM: usize = 4096;
/// After this long the question is asked once more, without EDNS: some small routers drop what has it.
const AGAIN: Duration = Duration::from_millis(1200);
/// After this long there is no answer; those who ask wait 5 seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which network namespace questions leave from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Host,
    Namespace(Arc<OwnedFd>),
    /// From the host, but for servers on the loopback of this namespace.
    LoopbackWithin(Arc<OwnedFd>),
}

/// Asks a server; an answer of any code is one.
pub(super) async fn ask(server: SocketAddr, origin: &Origin, question: &Question) -> io::Result<Message> {
    let answer = by_udp(server, origin, question).await?;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    // A server that has no TCP leaves us with what it sent.
    match timeout(PATIENCE, by_tcp(server, origin, question)).await {
        Ok(Ok(whole)) => Ok(whole),
        _ => Ok(answer),
    }
}

async fn by_udp(server: SocketAddr, origin: &Origin, question: &Question) -> io::Result<Message> {
    let deadline = Instant::now() + PATIENCE;
    // A socket for each question: its port is as hard to guess as its id.
    let socket = origin.udp(server)?;
    socket.connect(server).await?;
    let with_edns = message(question, Extensions::Used);
    socket.send(&encode(&with_edns)?).await?;
    if let Ok(answer) = timeout(AGAIN, receive(&socket, &[&with_edns])).await {
        let answer = answer?;
        if !matches!(answer.metadata.response_code, ResponseCode::FormErr | ResponseCode::NotImp) {
            return Ok(answer);
        }
    }
    let plain = message(question, Extensions::None);
    socket.send(&encode(&plain)?).await?;
    let answer = timeout_at(deadline, receive(&socket, &[&plain, &with_edns])).await??;
    Ok(answer)
}

/// The answer to one of those `sent`; what is none (forged, late, broken) is passed over.
async fn receive(socket: &UdpSocket, sent: &[&Message]) -> io::Result<Message> {
    let mut buffer = vec![0; LONGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let Ok(answer) = Message::from_vec(&buffer[..length]) else { continue };
        if sent.iter().any(|sent| answers(&answer, sent)) {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, origin: &Origin, question: &Question) -> io::Result<Message> {
    let mut stream = origin.tcp(server)?.connect(server).await?;
    let sent = message(question, Extensions::Used);
    let bytes = encode(&sent)?;
    let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[length.to_be_bytes().as_slice(), &bytes].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let answer = Message::from_vec(&answer).map_err(|_| io::ErrorKind::InvalidData)?;
    if answers(&answer, &sent) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Extensions {
    Used,
    None,
}

/// The question under an id of its own: never the one the container chose, which an attacker inside knows.
fn message(question: &Question, extensions: Extensions) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = question.checking_disabled;
    message.add_query(question.query.clone());
    if extensions == Extensions::Used {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        edns.set_dnssec_ok(question.dnssec_ok);
        message.set_edns(edns);
    }
    message
}

fn encode(message: &Message) -> io::Result<Vec<u8>> {
    message.to_vec().map_err(io::Error::other)
}

fn answers(answer: &Message, sent: &Message) -> bool {
    let is_short_error = answer.queries.is_empty() && answer.metadata.response_code != ResponseCode::NoError;
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == sent.metadata.id
        && (answer.queries == sent.queries || is_short_error)
}

impl Origin {
    fn udp(&self, server: SocketAddr) -> io::Result<UdpSocket> {
        let open = || {
            let socket = std::net::UdpSocket::bind(any(server))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        UdpSocket::from_std(self.within(server, open)?)
    }

    fn tcp(&self, server: SocketAddr) -> io::Result<TcpSocket> {
        self.within(server, || if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })
    }

    /// A socket belongs to the namespace it was made in, whatever the thread does later.
    fn within<T>(&self, server: SocketAddr, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Origin::Namespace(namespace) => netlink::netns::within(namespace.as_fd(), open)?,
            Origin::LoopbackWithin(namespace) if server.ip().is_loopback() => {
                netlink::netns::within(namespace.as_fd(), open)?
            }
            Origin::Host | Origin::LoopbackWithin(_) => open(),
        }
    }
}

fn any(server: SocketAddr) -> SocketAddr {
    let address: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(address, 0)
}

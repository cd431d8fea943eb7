//! Carries connections and datagrams from a socket of the host to a container.
//!
//! The container sees them come from the bridge's gateway: who the client is, is lost.

use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::{AbortHandle, JoinSet};

/// How long a client of UDP is remembered without an answer to it.
const IDLE: Duration = Duration::from_secs(60);
/// Clients of one UDP port at a time; datagrams of others are lost meanwhile.
const MOST_CLIENTS: usize = 4096;
/// The longest datagram, in bytes.
const DATAGRAM: usize = 65_536;
/// Out of descriptors, most often: others must be closed before it is of use to try again.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Connections and clients of all ports together, at the most: whoever reaches a port may open them, and each takes two descriptors
/// and 20 KB of a process that has other work.
const MOST_OPEN: u64 = 32_768;
/// A client of TCP that says nothing is asked so often whether it is still there; ten times, as docker's proxies do.
const STILL_THERE: Duration = Duration::from_secs(15);
/// How long the runtime may take to close a port's socket.
const CLOSING: Duration = Duration::from_secs(5);

/// A published port that works as long as this lives.
#[derive(Debug)]
pub struct Forward {
    task: AbortHandle,
    /// Has no sender any more once the socket is closed.
    closed: Mutex<Receiver<()>>,
}

impl Drop for Forward {
    /// The port is free afterwards: who takes it next, as a container that starts again does, must not find it taken.
    fn drop(&mut self) {
        self.task.abort();
        let closed = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = closed.recv_timeout(CLOSING);
    }
}

impl Forward {
    /// Takes connections from `listener`, each to a connection of its own to `to`.
    pub fn tcp(runtime: &Handle, listener: OwnedFd, to: SocketAddrV4) -> io::Result<Forward> {
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener.into())?;
        let (open, closed) = channel();
        let task = runtime.spawn(async move {
            // Whichever way it ends, the socket goes before the sender.
            let (listener, _open) = (listener, open);
            connections(listener, to, places()).await;
        });
        Ok(Forward { task: task.abort_handle(), closed: Mutex::new(closed) })
    }

    /// Takes datagrams from `socket`, those of each client to a socket of its own.
    pub fn udp(runtime: &Handle, socket: OwnedFd, to: SocketAddrV4) -> io::Result<Forward> {
        let _inside = runtime.enter();
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let (open, closed) = channel();
        let task = runtime.spawn(datagrams(Door { socket, open }, to));
        Ok(Forward { task: task.abort_handle(), closed: Mutex::new(closed) })
    }
}

/// Those of this process: a quarter of its descriptors.
fn places() -> &'static Semaphore {
    static PLACES: OnceLock<Semaphore> = OnceLock::new();
    PLACES.get_or_init(|| {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Semaphore::new(usize::try_from((files / 8).clamp(16, MOST_OPEN)).unwrap_or(16))
    })
}

/// Aborted, it takes its connections along: they are tasks of its set.
async fn connections(listener: TcpListener, to: SocketAddrV4, places: &'static Semaphore) {
    let mut open = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                // The next ones wait in the kernel until somebody leaves.
                let Ok(place) = places.acquire().await else { return };
                open.spawn(connection(client, to, place));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a published port cannot be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
        while open.try_join_next().is_some() {}
    }
}

async fn connection(mut client: TcpStream, to: SocketAddrV4, _place: SemaphorePermit<'static>) {
    let mut server = match TcpStream::connect(to).await {
        Ok(server) => server,
        Err(error) => {
            // The client shall see it refused, not ended.
            let _ = client.set_zero_linger();
            tracing::debug!(%error, %to, "a published port's container does not answer");
            return;
        }
    };
    for side in [&client, &server] {
        let _ = side.set_nodelay(true);
        // One that vanished without a word would be waited for for ever.
        let _ = keep_asking(side);
    }
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

fn keep_asking(stream: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_tcp_keepidle(stream, STILL_THERE)?;
    sockopt::set_tcp_keepintvl(stream, STILL_THERE)?;
    sockopt::set_socket_keepalive(stream, true)
}

struct Client {
    server: Arc<UdpSocket>,
    answers: AbortHandle,
}

/// A port of UDP, and what tells that it is closed. Fields are dropped in this order.
#[derive(Debug, Clone)]
struct Door {
    socket: Arc<UdpSocket>,
    #[expect(dead_code, reason = "its end is what is listened for")]
    open: Sender<()>,
}

async fn datagrams(door: Door, to: SocketAddrV4) {
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut bytes = vec![0; DATAGRAM];
    loop {
        let (length, from) = match door.socket.recv_from(&mut bytes).await {
            Ok(received) => received,
            // What an earlier answer met.
            Err(_) => continue,
        };
        while tasks.try_join_next().is_some() {}
        if clients.get(&from).is_none_or(|client| client.answers.is_finished()) {
            clients.retain(|_, client| !client.answers.is_finished());
            if clients.len() >= MOST_CLIENTS {
                continue;
            }
            let Ok(place) = places().try_acquire() else { continue };
            let Ok(server) = connected(to).await else { continue };
            let answers = tasks.spawn(answers(server.clone(), door.clone(), (from, place)));
            clients.insert(from, Client { server, answers });
        }
        if let (Some(client), Some(datagram)) = (clients.get(&from), bytes.get(..length)) {
            let _ = client.server.send(datagram).await;
        }
    }
}

async fn connected(to: SocketAddrV4) -> io::Result<Arc<UdpSocket>> {
    let server = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    server.connect(to).await?;
    Ok(Arc::new(server))
}

/// Carries answers back until there are none for a while.
async fn answers(server: Arc<UdpSocket>, door: Door, (client, _place): (SocketAddr, SemaphorePermit<'static>)) {
    while let Ok(Ok(())) = tokio::time::timeout(IDLE, server.readable()).await {
        // Not kept while it waits: there may be thousands of these.
        let mut bytes = Vec::with_capacity(DATAGRAM);
        match server.try_recv_buf(&mut bytes) {
            Ok(_) => drop(door.socket.send_to(&bytes, client).await),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn v4(address: SocketAddr) -> SocketAddrV4 {
        match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_is_carried_both_ways_and_ends_with_the_forward() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        door.set_nonblocking(true).unwrap();
        let at = door.local_addr().unwrap();
        let forward = Forward::tcp(&Handle::current(), door.into(), v4(server.local_addr().unwrap())).unwrap();
        let mut client = TcpStream::connect(at).await.unwrap();
        let (mut peer, _) = server.accept().await.unwrap();
        client.write_all(b"to").await.unwrap();
        let mut got = [0; 2];
        peer.read_exact(&mut got).await.unwrap();
        peer.write_all(&got).await.unwrap();
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"to");
        drop(forward);
        assert!(matches!(client.read(&mut got).await, Ok(0) | Err(_)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn datagrams_of_two_clients_get_their_own_answers() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let door = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        door.set_nonblocking(true).unwrap();
        let at = door.local_addr().unwrap();
        let _forward = Forward::udp(&Handle::current(), door.into(), v4(server.local_addr().unwrap())).unwrap();
        let clients = [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
        let mut bytes = [0; 16];
        for (number, client) in clients.iter().enumerate() {
            client.send_to(&[b'0' + u8::try_from(number).unwrap()], at).await.unwrap();
            let (length, from) = server.recv_from(&mut bytes).await.unwrap();
            server.send_to(&bytes[..length], from).await.unwrap();
        }
        for (number, client) in clients.iter().enumerate() {
            let (length, _) = client.recv_from(&mut bytes).await.unwrap();
            assert_eq!(&bytes[..length], &[b'0' + u8::try_from(number).unwrap()]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_too_many_waits_until_somebody_leaves() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = door.local_addr().unwrap();
        let places = Box::leak(Box::new(Semaphore::new(1)));
        let forward = tokio::spawn(connections(door, v4(server.local_addr().unwrap()), places));
        let first = TcpStream::connect(at).await.unwrap();
        let (carried, _) = server.accept().await.unwrap();
        let mut second = TcpStream::connect(at).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), server.accept()).await.is_err());
        drop((first, carried));
        let (mut peer, _) = server.accept().await.unwrap();
        second.write_all(b"to").await.unwrap();
        let mut got = [0; 2];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"to");
        forward.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_port_is_free_once_its_forward_is_gone() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = v4(server.local_addr().unwrap());
        let mut at = "127.0.0.1:0".parse::<SocketAddr>().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for _ in 0..100 {
            let door = std::net::UdpSocket::bind(at).unwrap();
            door.set_nonblocking(true).unwrap();
            at = door.local_addr().unwrap();
            let forward = Forward::udp(&Handle::current(), door.into(), to).unwrap();
            client.send_to(b"x", at).await.unwrap();
            server.recv_from(&mut [0; 8]).await.unwrap();
            drop(forward);
        }
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = v4(server.local_addr().unwrap());
        let mut at = "127.0.0.1:0".parse::<SocketAddr>().unwrap();
        for _ in 0..100 {
            let door = std::net::TcpListener::bind(at).unwrap();
            door.set_nonblocking(true).unwrap();
            at = door.local_addr().unwrap();
            let forward = Forward::tcp(&Handle::current(), door.into(), to).unwrap();
            let _client = TcpStream::connect(at).await.unwrap();
            server.accept().await.unwrap();
            drop(forward);
        }
    }
}

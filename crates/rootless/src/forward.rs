//! Carries connections and datagrams from a socket of the host to a container.
//!
//! The container sees them come from the bridge's gateway: who the client is, is lost.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

/// How long a client of UDP is remembered without an answer to it.
const IDLE: Duration = Duration::from_secs(60);
/// Clients of one UDP port at a time; datagrams of others are lost meanwhile.
const MOST_CLIENTS: usize = 4096;
/// The longest datagram, in bytes.
const DATAGRAM: usize = 65_536;
/// Out of descriptors, most often: others must be closed before it is of use to try again.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// A published port that works as long as this lives.
#[derive(Debug)]
pub struct Forward {
    task: AbortHandle,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forward {
    /// Takes connections from `listener`, each to a connection of its own to `to`.
    pub fn tcp(runtime: &Handle, listener: OwnedFd, to: SocketAddrV4) -> io::Result<Forward> {
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener.into())?;
        Ok(Forward { task: runtime.spawn(connections(listener, to)).abort_handle() })
    }

    /// Takes datagrams from `socket`, those of each client to a socket of its own.
    pub fn udp(runtime: &Handle, socket: OwnedFd, to: SocketAddrV4) -> io::Result<Forward> {
        let _inside = runtime.enter();
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        Ok(Forward { task: runtime.spawn(datagrams(socket, to)).abort_handle() })
    }
}

/// Aborted, it takes its connections along: they are tasks of its set.
async fn connections(listener: TcpListener, to: SocketAddrV4) {
    let mut open = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                open.spawn(connection(client, to));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a published port cannot be accepted");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
        while open.try_join_next().is_some() {}
    }
}

async fn connection(mut client: TcpStream, to: SocketAddrV4) {
    let mut server = match TcpStream::connect(to).await {
        Ok(server) => server,
        Err(error) => {
            // The client shall see it refused, not ended.
            let _ = client.set_zero_linger();
            tracing::debug!(%error, %to, "a published port's container does not answer");
            return;
        }
    };
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

struct Client {
    server: Arc<UdpSocket>,
    answers: AbortHandle,
}

async fn datagrams(socket: Arc<UdpSocket>, to: SocketAddrV4) {
    let mut clients: HashMap<SocketAddr, Client> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut bytes = vec![0; DATAGRAM];
    loop {
        let (length, from) = match socket.recv_from(&mut bytes).await {
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
            let Ok(server) = connected(to).await else { continue };
            let answers = tasks.spawn(answers(server.clone(), socket.clone(), from));
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
async fn answers(server: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr) {
    let mut bytes = vec![0; DATAGRAM];
    while let Ok(Ok(length)) = tokio::time::timeout(IDLE, server.recv(&mut bytes)).await {
        if let Some(datagram) = bytes.get(..length) {
            let _ = socket.send_to(datagram, client).await;
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

    #[tokio::test]
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

    #[tokio::test]
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
}

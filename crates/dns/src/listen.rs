//! The tasks that listen for one container.

use crate::client::{Client, Step};
use crate::reply::Way;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// Bytes of the longest question that is read: a name has 255, options take the rest.
const LONGEST_QUESTION: usize = 4096;
/// Connections of one container at a time.
const MOST_CONNECTIONS: usize = 32;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// After a failure to receive or to accept: descriptors run out for a while, and a loop would be all there is.
const BREATH: Duration = Duration::from_millis(50);

/// Answers datagrams until the task is aborted; what is on its way outside ends with it.
pub(crate) async fn udp(client: Arc<Client>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut errands = JoinSet::new();
    let mut buffer = vec![0; LONGEST_QUESTION];
    loop {
        while errands.try_join_next().is_some() {}
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(BREATH).await;
            continue;
        };
        match client.take(&buffer[..length], Way::Udp) {
            Step::Ignore => {}
            // An asker that is gone, or whose buffer is full, asks again.
            Step::Answer(answer) => drop(socket.send_to(&answer, peer).await),
            Step::Ask(errand) => {
                let socket = socket.clone();
                errands.spawn(async move {
                    if let Some(answer) = errand.run().await {
                        drop(socket.send_to(&answer, peer).await);
                    }
                });
            }
        }
    }
}

/// Answers connections until the task is aborted.
pub(crate) async fn tcp(client: Arc<Client>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let client = client.clone();
                connections.spawn(async move { converse(&client, stream).await });
            }
            Err(_) => tokio::time::sleep(BREATH).await,
        }
    }
}

/// One question after the other.
async fn converse(client: &Client, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let question = tokio::time::timeout(IDLE, receive(&mut stream)).await??;
        let answer = match client.take(&question, Way::Tcp) {
            Step::Ignore => return Ok(()),
            Step::Answer(answer) => Some(answer),
            Step::Ask(errand) => errand.run().await,
        };
        if let Some(answer) = answer {
            tokio::time::timeout(IDLE, send(&mut stream, &answer)).await??;
        }
    }
}

async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST_QUESTION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(question)
}

async fn send(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = Vec::with_capacity(answer.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(answer);
    stream.write_all(&framed).await
}

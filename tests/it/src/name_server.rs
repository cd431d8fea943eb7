//! A name server that knows a few names, played by a thread of the test.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Answers at port 53 of an address; ended when dropped.
pub struct NameServer {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Listens in this network namespace; `name` has the address `answer`, no other name exists.
    pub fn start(namespace: &Path, address: &str, name: &'static str, answer: [u8; 4]) -> NameServer {
        NameServer::of_zone(namespace, address, &[(name, &[IpAddr::from(answer)])])
    }

    /// Listens in this network namespace; these names have these addresses, no other exists.
    pub fn of_zone(namespace: &Path, address: &str, zone: &[(&str, &[IpAddr])]) -> NameServer {
        let zone: Zone = zone.iter().map(|(name, addresses)| (labels(name), addresses.to_vec())).collect();
        let namespace = File::open(namespace).expect("a network namespace");
        let address = format!("{address}:53");
        let ended = Arc::new(AtomicBool::new(false));
        let (told, socket) = std::sync::mpsc::channel();
        let until = ended.clone();
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
            let socket = UdpSocket::bind(address).expect("port 53 is free");
            socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a time limit");
            told.send(()).expect("the test waits");
            serve(&socket, &zone, &until);
        });
        socket.recv().expect("the name server listens");
        NameServer { ended, thread: Some(thread) }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Names as they stand in messages, with their addresses.
type Zone = Vec<(Vec<u8>, Vec<IpAddr>)>;

fn serve(socket: &UdpSocket, zone: &Zone, ended: &AtomicBool) {
    let mut buffer = [0; 1500];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(&buffer[..length], zone) {
            let _ = socket.send_to(&answer, peer);
        }
    }
}

/// The answer to a question: the addresses, nothing (another type), or that there is no such name.
fn answer(question: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let end = question.iter().skip(12).position(|byte| *byte == 0)? + 13;
    let asked = question.get(12..end)?;
    let sort = question.get(end..end + 2)?;
    let known = zone.iter().find(|(name, _)| asked.eq_ignore_ascii_case(name)).map(|(_, addresses)| addresses);
    let wanted = |address: &&IpAddr| sort == if address.is_ipv4() { [0, 1] } else { [0, 28] };
    let found: Vec<&IpAddr> = known.into_iter().flatten().filter(wanted).collect();
    let count = u8::try_from(found.len()).expect("a name has few addresses");
    // Response, recursion; NXDOMAIN (3) as an authority, so that nobody else is asked.
    let flags = if known.is_some() { [0x81, 0x80] } else { [0x85, 0x83] };
    let mut reply = [&question[..2], &flags, &[0, 1, 0, count, 0, 0, 0, 0], question.get(12..end + 4)?].concat();
    for address in found {
        let bytes: Vec<u8> = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let length = u8::try_from(bytes.len()).expect("an address is short");
        reply.extend([0xc0, 12, sort[0], sort[1], 0, 1, 0, 0, 0, 1, 0, length]);
        reply.extend(bytes);
    }
    Some(reply)
}

fn labels(name: &str) -> Vec<u8> {
    name.split('.').flat_map(|label| label_bytes(label).into_iter()).chain([0]).collect()
}

fn label_bytes(label: &str) -> Vec<u8> {
    let length = u8::try_from(label.len()).expect("a label has at most 63 bytes");
    [&[length], label.as_bytes()].concat()
}

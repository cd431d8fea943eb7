//! A name server that knows one name, played by a thread of the test.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::UdpSocket;
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
            serve(&socket, name, answer, &until);
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

fn serve(socket: &UdpSocket, name: &str, address: [u8; 4], ended: &AtomicBool) {
    let mut buffer = [0; 1500];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(&buffer[..length], name, address) {
            let _ = socket.send_to(&answer, peer);
        }
    }
}

/// The answer to a question: the address, nothing (another type), or that there is no such name.
fn answer(question: &[u8], name: &str, address: [u8; 4]) -> Option<Vec<u8>> {
    let labels: Vec<u8> = name.split('.').flat_map(|label| label_bytes(label).into_iter()).chain([0]).collect();
    let end = question.iter().skip(12).position(|byte| *byte == 0)? + 13;
    let asked = question.get(12..end)?;
    let sort = question.get(end..end + 2)?;
    let is_known = asked.eq_ignore_ascii_case(&labels);
    let count = u8::from(is_known && sort == [0, 1]);
    // Response, recursion; NXDOMAIN (3) as an authority, so that nobody else is asked.
    let flags = if is_known { [0x81, 0x80] } else { [0x85, 0x83] };
    let mut reply = [&question[..2], &flags, &[0, 1, 0, count, 0, 0, 0, 0], question.get(12..end + 4)?].concat();
    if count == 1 {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address);
    }
    Some(reply)
}

fn label_bytes(label: &str) -> Vec<u8> {
    let length = u8::try_from(label.len()).expect("a label has at most 63 bytes");
    [&[length], label.as_bytes()].concat()
}

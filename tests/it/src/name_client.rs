//! Somebody in a container who asks its name server, again and again, played by a thread of the test.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long an answer may take, on a machine that is busy or stands still for a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of the questions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Asked {
    pub answered: usize,
    /// Answers that were no address, and questions without an answer.
    pub failures: Vec<String>,
}

/// Asks one question after the other.
pub struct NameClient {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Asked>,
}

impl NameClient {
    /// Asks 127.0.0.11 in this network namespace for the address of `name`.
    pub fn start(namespace: &Path, name: &str) -> NameClient {
        let namespace = File::open(namespace).expect("a network namespace");
        let (name, ended) = (name.to_owned(), Arc::new(AtomicBool::new(false)));
        let until = ended.clone();
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.connect("127.0.0.11:53").expect("an address");
            socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            let mut asked = Asked::default();
            let mut id = 0_u16;
            while !until.load(Ordering::Relaxed) {
                id = id.wrapping_add(1);
                match ask(&socket, id, &name) {
                    None => asked.answered += 1,
                    Some(failure) => asked.failures.push(failure),
                }
            }
            asked
        });
        NameClient { ended, thread }
    }

    /// Asks no more.
    pub fn end(self) -> Asked {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("the thread asks to the end")
    }
}

/// What is wrong with the answer.
fn ask(socket: &UdpSocket, id: u16, name: &str) -> Option<String> {
    let mut question = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).expect("a label has at most 63 bytes"));
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    if let Err(e) = socket.send(&question) {
        return Some(format!("send: {e}"));
    }
    let mut answer = [0; 512];
    loop {
        match socket.recv(&mut answer) {
            // Of an earlier question.
            Ok(length) if length < 12 || answer[..2] != id.to_be_bytes() => {}
            Ok(_) if answer[3] & 0x0f == 0 && answer[7] > 0 => return None,
            Ok(_) => return Some(format!("code {}, {} answers", answer[3] & 0x0f, answer[7])),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Some(format!("receive: {e}")),
        }
    }
}

//! Frames on the control socket: 4 bytes length, 4 bytes number of file descriptors (both little endian), the message.
//!
//! The first 250 descriptors ride on the first byte (the kernel takes 253 at once, SCM_MAX_FD); every 250 more ride on one
//! byte of padding behind the message.

use crate::message::VERSION;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const HEADER: usize = 8;
const GROUP: usize = 250;
const SPACE: usize = rustix::cmsg_space!(ScmRights(GROUP));
/// SCM_MAX_FD of the kernel.
const RECEIVE_SPACE: usize = rustix::cmsg_space!(ScmRights(253));

/// Longest message, bytes; a plan with a compiled filter and a thousand mounts is far below.
const LONGEST: usize = 16 << 20;
const MOST_FDS: usize = 4096;

/// Bytes read at once, and kept between messages.
const CHUNK: usize = 16 << 10;

/// The first bytes on a connection, in both directions and in every version of the protocol.
pub const HELLO: usize = 8;

/// The version in the hello of a keeper that has another engine.
pub const BUSY: u32 = u32::MAX;

/// The keeper's: `dhow` and its version.
pub fn hello() -> [u8; HELLO] {
    hello_of(VERSION)
}

/// Said instead of a hello, before the connection is closed.
pub fn busy() -> [u8; HELLO] {
    hello_of(BUSY)
}

/// The engine's: the version that is to be spoken.
pub fn hello_of(version: u32) -> [u8; HELLO] {
    let mut bytes = *b"dhow\0\0\0\0";
    bytes[4..].copy_from_slice(&version.to_le_bytes());
    bytes
}

/// The version a hello says.
pub fn version(hello: [u8; HELLO]) -> io::Result<u32> {
    match hello {
        [b'd', b'h', b'o', b'w', a, b, c, d] => Ok(u32::from_le_bytes([a, b, c, d])),
        _ => Err(broken("no hello")),
    }
}

/// A message on its way out.
#[derive(Debug)]
pub struct Parcel<F> {
    bytes: Vec<u8>,
    fds: Vec<F>,
    sent: usize,
}

impl<F: AsFd> Parcel<F> {
    /// Packs a message.
    pub fn new(message: &impl Serialize, fds: Vec<F>) -> io::Result<Parcel<F>> {
        let mut bytes = postcard::to_extend(message, vec![0; HEADER]).map_err(|_| broken("unspeakable message"))?;
        let length = bytes.len() - HEADER;
        if length > LONGEST || fds.len() > MOST_FDS {
            return Err(broken("message too long"));
        }
        let number = |n: usize| u32::try_from(n).unwrap_or(0).to_le_bytes();
        bytes[..4].copy_from_slice(&number(length));
        bytes[4..HEADER].copy_from_slice(&number(fds.len()));
        bytes.resize(bytes.len() + padding(fds.len()), 0);
        Ok(Parcel { bytes, fds, sent: 0 })
    }

    /// Raw bytes without a frame: a hello.
    pub fn raw(bytes: &[u8]) -> Parcel<F> {
        Parcel { bytes: bytes.to_vec(), fds: Vec::new(), sent: 0 }
    }

    /// Sends as much as the socket takes; true when all is sent. AGAIN: nothing more for now.
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> Result<bool, Errno> {
        while self.sent < self.bytes.len() {
            match self.send_some(socket) {
                Err(Errno::INTR) => {}
                other => self.sent += other?,
            }
        }
        self.fds.clear();
        Ok(true)
    }

    fn send_some(&self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        let body = self.bytes.len() - padding(self.fds.len());
        let (until, group) = match self.sent {
            0 => (body, Some(0)),
            sent if sent < body => (body, None),
            sent => (sent + 1, Some(sent - body + 1)),
        };
        let group = group.and_then(|group| self.fds.chunks(GROUP).nth(group)).unwrap_or_default();
        let fds: Vec<BorrowedFd<'_>> = group.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::MSGSIZE);
        }
        sendmsg(socket, &[IoSlice::new(&self.bytes[self.sent..until])], &mut control, SendFlags::NOSIGNAL)
    }
}

/// Bytes behind a message that carry what the first byte cannot.
fn padding(fds: usize) -> usize {
    fds.saturating_sub(1) / GROUP
}

/// A message that came in.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

impl Frame {
    /// What it says.
    pub fn message<T: DeserializeOwned>(&self) -> io::Result<T> {
        postcard::from_bytes(&self.bytes).map_err(|_| broken("unknown message"))
    }
}

/// What came in and is not yet a whole message.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Inbox {
    /// One receive; says how many bytes came, 0 is the end.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let have = self.bytes.len();
        self.bytes.resize(have + CHUNK, 0);
        let mut space = [MaybeUninit::uninit(); RECEIVE_SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let result = loop {
            let mut into = [IoSliceMut::new(&mut self.bytes[have..])];
            match recvmsg(socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        self.bytes.truncate(have + result.as_ref().map_or(0, |message| message.bytes));
        let message = result?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = part {
                self.fds.extend(fds);
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) {
            // The limit of open files is reached: what did not fit is lost for good.
            return Err(Errno::MFILE.into());
        }
        Ok(message.bytes)
    }

    /// The hello at the beginning of a connection.
    pub fn take_hello(&mut self) -> io::Result<Option<u32>> {
        let Some((hello, _)) = self.bytes.split_first_chunk() else { return Ok(None) };
        let version = version(*hello)?;
        self.bytes.drain(..HELLO);
        Ok(Some(version))
    }

    /// The next whole message.
    pub fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some((header, rest)) = self.bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let number = |a, b, c, d| usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let [a, b, c, d, e, f, g, h] = *header;
        let (length, fds) = (number(a, b, c, d), number(e, f, g, h));
        if length > LONGEST || fds > MOST_FDS {
            return Err(broken("message too long"));
        }
        let whole = length + padding(fds);
        if rest.len() < whole {
            return Ok(None);
        }
        if self.fds.len() < fds {
            return Err(broken("file descriptors are missing"));
        }
        let bytes = rest[..length].to_vec();
        self.bytes.drain(..HEADER + whole);
        if self.bytes.is_empty() {
            self.bytes.shrink_to(CHUNK);
        }
        Ok(Some(Frame { bytes, fds: self.fds.drain(..fds).collect() }))
    }
}

/// The peer does not speak this protocol.
pub fn broken(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    fn files(count: usize) -> Vec<OwnedFd> {
        let null = File::open("/dev/null").unwrap();
        (0..count).map(|_| null.try_clone().unwrap().into()).collect()
    }

    fn pass(message: &str, fds: usize) -> Frame {
        let (near, far) = UnixStream::pair().unwrap();
        let mut parcel = Parcel::new(&message, files(fds)).unwrap();
        let sender = std::thread::spawn(move || parcel.send(near.as_fd()).map(|_| near));
        let mut inbox = Inbox::default();
        let frame = loop {
            if let Some(frame) = inbox.take().unwrap() {
                break frame;
            }
            assert_ne!(inbox.receive(far.as_fd()).unwrap(), 0);
        };
        sender.join().unwrap().unwrap();
        assert!(inbox.bytes.is_empty() && inbox.fds.is_empty());
        frame
    }

    #[test]
    fn a_message_of_any_size_arrives_with_all_its_descriptors() {
        let null = std::fs::metadata("/dev/null").unwrap().rdev();
        for (length, fds) in
            [(0, 0), (5, 1), (300_000, 0), (300_000, 250), (1, 251), (1, 500), (70_000, 501), (9, 1000)]
        {
            let text = "x".repeat(length);
            let frame = pass(&text, fds);
            assert_eq!(frame.message::<String>().unwrap(), text);
            assert_eq!(frame.fds.len(), fds);
            for fd in frame.fds {
                assert_eq!(File::from(fd).metadata().unwrap().rdev(), null);
            }
        }
    }

    #[test]
    fn messages_that_arrive_together_are_told_apart() {
        let (near, far) = UnixStream::pair().unwrap();
        for (text, fds) in [("one", 2), ("", 0), ("three", 1)] {
            assert_eq!(Parcel::new(&text, files(fds)).unwrap().send(near.as_fd()), Ok(true));
        }
        drop(near);
        let mut inbox = Inbox::default();
        while inbox.receive(far.as_fd()).unwrap() > 0 {}
        for (text, fds) in [("one", 2), ("", 0), ("three", 1)] {
            let frame = inbox.take().unwrap().unwrap();
            assert_eq!((frame.message::<String>().unwrap().as_str(), frame.fds.len()), (text, fds));
        }
        assert!(inbox.take().unwrap().is_none());
    }

    #[test]
    fn a_socket_that_takes_no_more_is_told_apart_from_a_broken_one() {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut parcel = Parcel::new(&"x".repeat(5_000_000), files(300)).unwrap();
        assert_eq!(parcel.send(near.as_fd()), Err(Errno::AGAIN));
        let mut inbox = Inbox::default();
        let frame = loop {
            inbox.receive(far.as_fd()).unwrap();
            let _ = parcel.send(near.as_fd());
            if let Some(frame) = inbox.take().unwrap() {
                break frame;
            }
        };
        assert_eq!((frame.fds.len(), frame.message::<String>().unwrap().len()), (300, 5_000_000));
        drop(far);
        assert_eq!(Parcel::new(&"x", files(0)).unwrap().send(near.as_fd()), Err(Errno::PIPE));
    }

    #[test]
    fn hostile_bytes_are_refused() {
        for bytes in
            [&[0xff_u8; 8][..], &[0, 0, 0, 1, 0, 0, 0, 0], &[0, 0, 0, 0, 1, 0, 0, 0], &[0, 0, 0, 0, 0, 0, 1, 0]]
        {
            let mut inbox = Inbox { bytes: bytes.to_vec(), ..Inbox::default() };
            let taken = inbox.take();
            assert!(taken.is_err() || matches!(taken, Ok(None)) && bytes[3] != 0, "{bytes:?}");
        }
        let frame = Frame { bytes: vec![0xff; 40], fds: Vec::new() };
        assert!(frame.message::<crate::message::Asked>().is_err());
        assert!(version(*b"GET / HT").is_err());
        assert_eq!(version(hello()).unwrap(), VERSION);
    }
}

//! Sends batches to the kernel and reads its answers.
//!
//! The kernel works a request off within send(2): when send returns, every answer but the later parts of a dump is
//! queued already. So answers are read until the queue is empty or the answer to the last request is there.

use crate::batch::{ACK, Batch, DUMP, HEADER};
use crate::{Error, Reader};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The kernel fills at most 32 KiB per part of a dump (af_netlink.c, netlink_recvmsg).
const BUFFER: usize = 32 << 10;
/// A message longer than the default send buffer (212,992 bytes) needs a larger one.
const DEFAULT_SEND_BUFFER: usize = 200_000;

const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;
const FLAG_CAPPED: u16 = 0x100;
const FLAG_WORDS: u16 = 0x200;
const WORDS: u16 = 1;

/// A netlink socket of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket for links, addresses and routes in the calling thread's network namespace.
    pub fn route() -> Result<Socket, Error> {
        Socket::open(None)
    }

    /// Opens a socket for nftables and conntrack in the calling thread's network namespace.
    pub fn netfilter() -> Result<Socket, Error> {
        Socket::open(Some(netlink::NETFILTER))
    }

    /// Its number among the sockets of this sort, by which the kernel says whose a change is ([`crate::nft::Thinned`]).
    pub fn number(&self) -> Result<u32, Error> {
        let failed = |e: Errno| Error::Socket { step: "name", source: e.into() };
        // The kernel gives numbers with the first message; 0 asks for one now. One that has a number keeps it.
        rustix::net::bind(&self.fd, &netlink::SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        let name = rustix::net::getsockname(&self.fd).map_err(failed)?;
        Ok(netlink::SocketAddrNetlink::try_from(name).map_err(failed)?.pid())
    }

    fn open(protocol: Option<Protocol>) -> Result<Socket, Error> {
        let failed = |source: io::Error| Error::Socket { step: "open", source };
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
            .map_err(|e| failed(e.into()))?;
        sys::netlink::explain_refusals(fd.as_fd()).map_err(failed)?;
        Ok(Socket { fd, sequence: 1, buffer: Vec::new() })
    }

    /// Sends all requests in one system call. The first refusal is the error; on a route socket the requests behind
    /// it were tried nevertheless.
    pub fn run(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let last = batch.count().wrapping_sub(1);
        first(self.exchange(batch, last, last, &mut |_| {})?)
    }

    /// As [`Socket::run`], but what is not there is no failure: for removals.
    pub fn run_where_present(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let last = batch.count().wrapping_sub(1);
        let mut refusals = self.exchange(batch, last, last, &mut |_| {})?;
        refusals.retain(|e| !e.is_absent());
        first(refusals)
    }

    /// Sends one request that has answers, a dump too, and gives each answer's body (behind its `nlmsghdr`) to `each`.
    pub(crate) fn ask(&mut self, batch: &mut Batch, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        first(self.exchange(batch, 0, 0, &mut each)?)
    }

    /// As [`Socket::run`], for a batch whose last request gets no answer (nftables before Linux 6.10 acknowledges no
    /// end of a batch).
    pub(crate) fn run_framed(&mut self, batch: &mut Batch) -> Result<(), Error> {
        let last = batch.count().wrapping_sub(2);
        first(self.exchange(batch, last, last, &mut |_| {})?)
    }

    fn exchange(
        &mut self,
        batch: &mut Batch,
        acknowledged: usize,
        last: usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Vec<Error>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(step) = batch.too_long() {
            return Err(Error::TooLong { step });
        }
        let first = self.sequence;
        self.sequence = first.wrapping_add(u32::try_from(batch.count()).unwrap_or(u32::MAX)).max(1);
        self.send(batch.seal(first, acknowledged))?;
        self.receive(batch, first, last, each)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let failed = |e: Errno| Error::Socket { step: "write to", source: e.into() };
        if bytes.len() > DEFAULT_SEND_BUFFER {
            sockopt::set_socket_send_buffer_size_force(&self.fd, bytes.len()).map_err(failed)?;
        }
        rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, bytes, SendFlags::empty())).map_err(failed)?;
        Ok(())
    }

    fn receive(
        &mut self,
        batch: &Batch,
        first: u32,
        last: usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Vec<Error>, Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        let mut conversation = Conversation { batch, first, last, refusals: Vec::new(), finished: false };
        let read = self.read_all(&mut buffer, &mut conversation, each);
        self.buffer = buffer;
        read?;
        Ok(conversation.refusals)
    }

    fn read_all(
        &self,
        buffer: &mut [u8],
        conversation: &mut Conversation<'_>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        while !conversation.finished {
            let got = rustix::io::retry_on_intr(|| rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::DONTWAIT));
            let length = match got {
                Ok((_, length)) => length,
                Err(Errno::AGAIN) if !conversation.refusals.is_empty() => return Ok(()),
                Err(Errno::AGAIN) => return Err(Error::Garbled { step: conversation.batch.step(0) }),
                Err(e) => return Err(Error::Socket { step: "read from", source: e.into() }),
            };
            conversation.hear(buffer.get(..length).unwrap_or_default(), each);
        }
        Ok(())
    }
}

fn first(refusals: Vec<Error>) -> Result<(), Error> {
    refusals.into_iter().next().map_or(Ok(()), Err)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What has been heard of the answers to one batch.
struct Conversation<'a> {
    batch: &'a Batch,
    first: u32,
    last: usize,
    refusals: Vec<Error>,
    finished: bool,
}

impl Conversation<'_> {
    /// Takes in one datagram of answers.
    fn hear(&mut self, mut datagram: &[u8], each: &mut dyn FnMut(&[u8])) {
        while let Some(message) = Heard::parse(datagram) {
            datagram = datagram.get(message.length.next_multiple_of(4)..).unwrap_or_default();
            let index = usize::try_from(message.sequence.wrapping_sub(self.first)).unwrap_or(usize::MAX);
            if index >= self.batch.count() {
                continue;
            }
            match message.kind {
                TYPE_ERROR | TYPE_DONE => self.settle(index, &message),
                _ => each(message.body),
            }
        }
    }

    fn settle(&mut self, index: usize, message: &Heard<'_>) {
        let code = message.body.get(..4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
        if code < 0 {
            let source = io::Error::from_raw_os_error(code.saturating_neg());
            self.refusals.push(Error::Refused { step: self.batch.step(index), words: message.words(), source });
        }
        self.finished |= index >= self.last;
    }
}

struct Heard<'a> {
    length: usize,
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl<'a> Heard<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Heard<'a>> {
        let length = usize::try_from(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?)).ok()?;
        let body = bytes.get(HEADER..length)?;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let flags = u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
        Some(Heard { length, kind, flags, sequence, body })
    }

    /// The kernel's own words: behind the code, the header of the refused request, and (when not capped) its body.
    fn words(&self) -> Option<String> {
        if self.flags & FLAG_WORDS == 0 {
            return None;
        }
        let refused = u32::from_ne_bytes(self.body.get(4..8)?.try_into().ok()?);
        let capped = self.kind == TYPE_ERROR && self.flags & FLAG_CAPPED != 0;
        let skip = match self.kind {
            TYPE_DONE => 4,
            _ if capped => 4 + HEADER,
            _ => 4 + usize::try_from(refused).ok()?.next_multiple_of(4),
        };
        Reader::behind(self.body, skip).text(WORDS).map(str::to_owned)
    }
}

/// The flags of a request for everything of a sort.
pub(crate) const DUMP_FLAGS: u16 = DUMP | ACK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_from_the_socket_is_no_message() {
        for bytes in [&[0u8; 16][..], &[255; 16], &[15, 0, 0, 0], &[], &[17; 16]] {
            assert!(Heard::parse(bytes).is_none(), "{bytes:?}");
        }
    }
}

//! What a keeper and the process it forked say to each other over their socket pair (SOCK_SEQPACKET: one packet, one word).

use crate::failure::at;
use crate::{Extent, Failure, Step};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Keeper: the id maps are written.
pub(crate) const MAPPED: u8 = b'm';
/// Keeper: an order; a byte telling where the plan is, the number of descriptors, the plan.
const ORDER: u8 = b'o';
/// Keeper: more descriptors of the order.
const MORE: u8 = b'+';
/// Child: all namespaces and cgroups are joined.
pub(crate) const READY: u8 = b'r';
/// Child: the master of its pseudo terminal comes with this.
pub(crate) const TERMINAL: u8 = b't';
/// Child: it forked the process that matters, whose pidfd comes with this.
pub(crate) const FORKED: u8 = b'2';
/// Caller: the specification is to be compiled by the child itself, which has it from the fork.
const OWN: u8 = b's';
/// Caller, to a zygote: a new network namespace will be wanted.
pub(crate) const NETWORK: u8 = b'n';
/// Caller: go on.
pub(crate) const PROCEED: u8 = b'p';
/// Child: namespaces and mounts are there; it waits for [`PROCEED`].
pub(crate) const HOOKS: u8 = b'h';
/// Child: it waits at its gate.
pub(crate) const CREATED: u8 = b'c';
/// Child, to who knocked: it goes on.
pub(crate) const GOING: u8 = b'g';
/// Child: the number of its seccomp listener's descriptor (4 bytes) follows; it waits for [`PROCEED`].
const LISTENER: u8 = b'l';
/// Child: a mount of its own, and the user namespace by whose maps the caller is to id-map it, come with this and a byte telling
/// whether all below it is meant; it waits for [`PROCEED`].
const MAP: u8 = b'i';
/// Child: it failed; the rest is the [`Failure`].
const FAILED: u8 = b'f';

/// Longer plans travel in a memfd: a packet must fit into the socket's buffer at once.
const INLINE_LIMIT: usize = 64 << 10;
const HEADER: usize = 6;

pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Says one word. The keeper must never wait for a child: a full buffer is an error.
pub(crate) fn say(socket: BorrowedFd<'_>, word: u8, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    sys::message::send_with_fds_and(socket, &[word], fds, SendFlags::DONTWAIT)?;
    Ok(())
}

/// Hands over a plan and descriptors, however many and however long.
pub(crate) fn order<T: Serialize>(socket: BorrowedFd<'_>, plan: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let plan = postcard::to_stdvec(plan).map_err(io::Error::other)?;
    let inline = plan.len() <= INLINE_LIMIT;
    let memfd = if inline { None } else { Some(sys::sealed_memfd("dhow-plan", &plan)?) };
    let mut fds = fds.to_vec();
    fds.extend(memfd.as_ref().map(AsFd::as_fd));
    let count = u32::try_from(fds.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEADER + if inline { plan.len() } else { 0 });
    bytes.extend([ORDER, u8::from(inline)]);
    bytes.extend(count.to_le_bytes());
    if inline {
        bytes.extend(&plan);
    }
    let (first, rest) = fds.split_at(fds.len().min(sys::message::MAX_FDS));
    sys::message::send_with_fds_and(socket, &bytes, first, SendFlags::DONTWAIT)?;
    for more in rest.chunks(sys::message::MAX_FDS) {
        say(socket, MORE, more)?;
    }
    Ok(())
}

/// Lets the child compile its plan itself.
pub(crate) fn order_own(socket: BorrowedFd<'_>) -> io::Result<()> {
    say(socket, OWN, &[])
}

/// What a child is ordered to do.
#[derive(Debug)]
pub(crate) enum Order<T> {
    /// Plan and descriptors.
    This(T, Vec<OwnedFd>),
    /// What the specification says that it has from the fork.
    Own,
    /// A new network namespace, made ahead.
    Network,
}

/// Waits for the order; `None` when the keeper closed the socket.
pub(crate) fn await_order<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<Order<T>>> {
    let mut bytes = vec![0; HEADER + INLINE_LIMIT];
    let mut fds = Vec::new();
    let read = sys::recv_with_fds(socket, &mut bytes, &mut fds, RecvFlags::empty())?;
    if read == 0 {
        return Ok(None);
    }
    match bytes.get(..read) {
        Some(&[OWN]) => return Ok(Some(Order::Own)),
        Some(&[NETWORK]) => return Ok(Some(Order::Network)),
        _ => {}
    }
    let broken = || io::Error::from(io::ErrorKind::InvalidData);
    let (header, plan) = bytes.get(..read).and_then(<[u8]>::split_first_chunk::<HEADER>).ok_or_else(broken)?;
    let [ORDER, inline, count @ ..] = *header else { return Err(broken()) };
    let count = usize::try_from(u32::from_le_bytes(count)).map_err(io::Error::other)?;
    while fds.len() < count {
        if sys::recv_with_fds(socket, &mut [0], &mut fds, RecvFlags::empty())? == 0 {
            return Ok(None);
        }
    }
    let plan = if inline == 1 {
        postcard::from_bytes(plan)
    } else {
        postcard::from_bytes(&read_all(fds.pop().ok_or_else(broken)?)?)
    };
    Ok(Some(Order::This(plan.map_err(io::Error::other)?, fds)))
}

fn read_all(fd: OwnedFd) -> io::Result<Vec<u8>> {
    let len = usize::try_from(rustix::fs::fstat(&fd)?.st_size).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match rustix::io::pread(&fd, &mut bytes[done..], done as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(bytes)
}

/// Tells the keeper why this process will not be what was asked.
///
/// Plain write(2): a seccomp filter that is in force by now hardly forbids that.
pub(crate) fn report(socket: BorrowedFd<'_>, failure: &Failure) {
    let mut bytes = vec![FAILED];
    bytes.extend(postcard::to_stdvec(failure).unwrap_or_default());
    let _ = rustix::io::write(socket, &bytes);
}

/// Waits for one word of the caller; `None` when it closed the socket. Plain read(2): a filter may be in force.
pub(crate) fn await_word(socket: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let mut word = [0];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut word))?;
    Ok((read == 1).then_some(word[0]))
}

/// Tells the number of a listener's descriptor, by write(2): a filter cannot ask about that one.
pub(crate) fn say_listener(socket: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    let mut bytes = vec![LISTENER];
    bytes.extend(number.to_le_bytes());
    rustix::io::write(socket, &bytes)?;
    Ok(())
}

/// Asks the caller to id-map a mount.
pub(crate) fn ask_for_map(socket: BorrowedFd<'_>, fds: [BorrowedFd<'_>; 2], extent: Extent) -> io::Result<()> {
    sys::message::send_with_fds_and(socket, &[MAP, u8::from(extent == Extent::All)], &fds, SendFlags::DONTWAIT)?;
    Ok(())
}

/// What a child said.
#[derive(Debug)]
pub(crate) enum Word {
    /// One of the bytes above, and what came along.
    Said(u8, Option<OwnedFd>),
    Failed(Failure),
    /// The number of its seccomp listener's descriptor.
    Listener(i32),
    /// A mount, the user namespace whose maps it is to have, and how far.
    Map([OwnedFd; 2], Extent),
    /// It closed the socket: by execve, or by its end.
    End,
}

/// The next word of a child, without waiting.
pub(crate) fn listen(socket: BorrowedFd<'_>) -> Option<Word> {
    let mut bytes = [0; 8 << 10];
    let mut fds = Vec::new();
    match sys::recv_with_fds(socket, &mut bytes, &mut fds, RecvFlags::DONTWAIT) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
        Err(e) => Some(Word::Failed(at(Step::Park, "socket")(e))),
        Ok(0) => Some(Word::End),
        Ok(read) if bytes[0] == FAILED => Some(Word::Failed(failure(&bytes[1..read]))),
        Ok(5) if bytes[0] == LISTENER => {
            Some(Word::Listener(i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]])))
        }
        Ok(2) if bytes[0] == MAP => {
            let extent = if bytes[1] == 0 { Extent::One } else { Extent::All };
            let broken = |_| Word::Failed(Failure::new(Step::Park, Errno::PROTO, "a mount to be mapped"));
            Some(fds.try_into().map_or_else(broken, |fds| Word::Map(fds, extent)))
        }
        Ok(_) => Some(Word::Said(bytes[0], fds.pop())),
    }
}

fn failure(bytes: &[u8]) -> Failure {
    postcard::from_bytes(bytes)
        .unwrap_or_else(|_| Failure::new(Step::Park, Errno::PROTO, "a failure that cannot be read"))
}

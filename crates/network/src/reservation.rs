//! Holds a port of the host, so that no other program takes it while a container has it.
//!
//! The holder is a bound socket that never listens: packets to the port go to the container before any socket is looked
//! for. It is closed with the engine; the next engine binds it again.

use crate::{Error, Protocol};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, ipproto, sockopt};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

/// A held port. `socket` is `None` when the kernel has no sockets of this protocol.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub(crate) port: u16,
    #[expect(dead_code, reason = "holds the port as long as it is open")]
    socket: Option<OwnedFd>,
}

/// Holds `port` of `ip`, or any free one for port 0. `Ok(None)`: it is taken.
pub(crate) fn hold(protocol: Protocol, ip: IpAddr, port: u16) -> Result<Option<Reservation>, Error> {
    let at = SocketAddr::new(ip, port);
    let failed = |e: Errno| Error::io(format!("bind {at}/{protocol}"), e);
    let socket = match open(protocol, ip) {
        Ok(socket) => socket,
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) if protocol == Protocol::Sctp => {
            return Ok((port != 0).then_some(Reservation { port, socket: None }));
        }
        Err(e) => return Err(failed(e)),
    };
    match rustix::net::bind(&socket, &at) {
        Err(Errno::ADDRINUSE) if protocol == Protocol::Tcp && port != 0 => {
            return Ok(hold_over_old_connections(at)?.map(|socket| Reservation { port, socket: Some(socket) }));
        }
        Err(Errno::ADDRINUSE) => return Ok(None),
        other => other.map_err(failed)?,
    }
    let name = rustix::net::getsockname(&socket).map_err(failed)?;
    let port = SocketAddr::try_from(name).map_err(failed)?.port();
    if protocol == Protocol::Udp {
        // Packets that come by no rule of ours would lie here for ever; the kernel's least buffer holds one or two.
        sockopt::set_socket_recv_buffer_size(&socket, 1).map_err(failed)?;
    }
    Ok(Some(Reservation { port, socket: Some(socket) }))
}

/// A socket that is bound to `at`, and the port it got: for somebody who listens on it. `Ok(None)`: it is taken.
pub(crate) fn bound(protocol: Protocol, at: SocketAddr) -> Result<Option<(u16, OwnedFd)>, Error> {
    let tried = || -> Result<(u16, OwnedFd), Errno> {
        let socket = open(protocol, at.ip())?;
        if protocol == Protocol::Tcp {
            // Past connections of a server that has just ended; who listens has the port alone.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        rustix::net::bind(&socket, &at)?;
        let name = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        Ok((name.port(), socket))
    };
    match tried() {
        Ok(bound) => Ok(Some(bound)),
        Err(Errno::ADDRINUSE) => Ok(None),
        Err(e) => Err(Error::io(format!("bind {at}/{protocol}"), e)),
    }
}

fn open(protocol: Protocol, ip: IpAddr) -> Result<OwnedFd, Errno> {
    let (kind, protocol) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    if ip.is_ipv6() {
        // The same port of IPv4 is held, or not, by a socket of its own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// A server that has just ended leaves connections in TIME_WAIT, which forbid a plain bind for a minute. SO_REUSEADDR
/// gets past them, but would let the next program past us as well, as long as nobody listens. So: bind with it, listen
/// (the kernel then takes the port as exclusive, inet_csk_listen_start), stop listening, and take SO_REUSEADDR back.
fn hold_over_old_connections(at: SocketAddr) -> Result<Option<OwnedFd>, Error> {
    let tried = || -> Result<OwnedFd, Errno> {
        let socket = open(Protocol::Tcp, at.ip())?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &at)?;
        rustix::net::listen(&socket, 0)?;
        rustix::net::shutdown(&socket, Shutdown::Both)?;
        sockopt::set_socket_reuseaddr(&socket, false)?;
        Ok(socket)
    };
    match tried() {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::ADDRINUSE) => Ok(None),
        Err(e) => Err(Error::io(format!("bind {at}/tcp"), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn nobody_can_bind_a_held_port_until_it_is_let_go() {
        let held = hold(Protocol::Tcp, HERE, 0).unwrap().unwrap();
        // std sets SO_REUSEADDR on listeners, as most servers do.
        assert!(TcpListener::bind((HERE, held.port)).is_err());
        assert!(hold(Protocol::Tcp, HERE, held.port).unwrap().is_none());
        let port = held.port;
        drop(held);
        TcpListener::bind((HERE, port)).unwrap();
        let held = hold(Protocol::Udp, HERE, 0).unwrap().unwrap();
        assert!(UdpSocket::bind((HERE, held.port)).is_err());
    }

    #[test]
    fn a_port_whose_server_has_just_ended_can_be_held_and_is_held_well() {
        let server = TcpListener::bind((HERE, 0)).unwrap();
        let at = server.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        // The server closes first: its side stays in TIME_WAIT.
        drop(server.accept().unwrap());
        drop(server);
        drop(client);
        let held = hold(Protocol::Tcp, HERE, at.port()).unwrap().expect("the port is free");
        assert!(TcpListener::bind(at).is_err());
        assert!(TcpStream::connect(at).is_err());
        drop(held);
        TcpListener::bind(at).unwrap();
    }

    #[test]
    fn an_address_that_is_not_ours_is_an_error_of_its_own() {
        let error = hold(Protocol::Tcp, Ipv4Addr::new(192, 0, 2, 77).into(), 80).unwrap_err();
        assert_eq!(base::Kinded::kind(&error), base::Kind::Invalid);
    }
}

//! A world in throw-away network namespaces: a host with a bridge, containers, and another host beside it.
//!
//! ```text
//!  other (198.51.100.2) ──veth── host (198.51.100.1, the bridge) ──veth── containers
//! ```
//!
//! A namespace goes with its last descriptor, and every link, table and socket of a test with it.

use ipnet::Ipv4Net;
use netlink::link::{Peer, VethPair};
use netlink::{Batch, Socket};
use network::{Bridge, Endpoint, Options};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection that must not come about is waited for.
const IMPATIENCE: Duration = Duration::from_millis(300);

pub struct World {
    pub host: OwnedFd,
    pub other: OwnedFd,
}

impl World {
    pub fn new() -> World {
        let world = World { host: sys::netns::create().unwrap(), other: sys::netns::create().unwrap() };
        world.on_host(|| {
            let mut batch = Batch::new();
            let peer = Peer { name: "up0", mac: [2, 0, 0, 0, 0, 2], netns: world.other.as_fd() };
            batch.add_veth(&VethPair { name: "up0", master: None, mtu: 1500, peer });
            Socket::route().unwrap().run(&mut batch).unwrap();
            settle("up0", HOST);
        });
        within(&world.other, || {
            settle("up0", OTHER);
            let mut batch = Batch::new();
            batch.add_default_route(HOST);
            Socket::route().unwrap().run(&mut batch).unwrap();
        });
        world
    }

    /// Runs `work` in the host's namespace.
    pub fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.host, work)
    }

    pub fn up(&self, endpoints: &[Endpoint]) -> Bridge {
        self.on_host(|| Bridge::up(options(), endpoints)).unwrap()
    }

    /// Attaches a container that serves on TCP and UDP port 80.
    pub fn container(&self, bridge: &Bridge) -> Container {
        let netns = sys::netns::create().unwrap();
        let endpoint = self.on_host(|| bridge.attach(netns.as_fd())).unwrap();
        let (tcp, udp) = within(&netns, || {
            (TcpListener::bind("0.0.0.0:80").unwrap(), UdpSocket::bind("0.0.0.0:80").unwrap())
        });
        std::thread::spawn(move || serve_tcp(&tcp));
        std::thread::spawn(move || serve_udp(&udp));
        Container { netns, endpoint }
    }
}

pub struct Container {
    pub netns: OwnedFd,
    pub endpoint: Endpoint,
}

pub fn options() -> Options {
    let subnet = Some("172.17.0.1/16".parse().unwrap());
    Options { bridge: "dhow0".into(), table: "dhow0".into(), subnet, mtu: 0 }
}

pub fn within<T: Send>(netns: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    netlink::netns::within(netns.as_fd(), work).unwrap()
}

/// `lo` and `link` up, and an address.
fn settle(link: &str, address: Ipv4Addr) {
    let mut socket = Socket::route().unwrap();
    let index = socket.link(link).unwrap().unwrap().index;
    let mut batch = Batch::new();
    batch.set_up(1);
    batch.set_up(index);
    batch.add_address(index, Ipv4Net::new(address, 24).unwrap());
    socket.run(&mut batch).unwrap();
}

/// Answers every connection with the address it sees, then ends; ends itself with the process.
fn serve_tcp(listener: &TcpListener) {
    while let Ok((mut stream, from)) = listener.accept() {
        let _ = stream.write_all(from.ip().to_string().as_bytes());
    }
}

fn serve_udp(socket: &UdpSocket) {
    let mut buffer = [0; 64];
    while let Ok((_, from)) = socket.recv_from(&mut buffer) {
        let _ = socket.send_to(from.ip().to_string().as_bytes(), from);
    }
}

/// What a server at `to` says over TCP: the address it sees. `None` if there is no way.
pub fn ask_tcp(from: &OwnedFd, to: (Ipv4Addr, u16), wait: Duration) -> Option<String> {
    within(from, || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(to), wait).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    })
}

pub fn ask_udp(from: &OwnedFd, to: (Ipv4Addr, u16), wait: Duration) -> Option<String> {
    within(from, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(to).ok()?;
        socket.set_read_timeout(Some(wait)).unwrap();
        socket.send(b"?").ok()?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

pub fn reach(from: &OwnedFd, to: (Ipv4Addr, u16)) -> String {
    ask_tcp(from, to, PATIENCE).unwrap_or_else(|| panic!("{to:?} cannot be reached"))
}

pub fn reach_udp(from: &OwnedFd, to: (Ipv4Addr, u16)) -> String {
    ask_udp(from, to, PATIENCE).unwrap_or_else(|| panic!("{to:?} cannot be reached"))
}

pub fn unreachable(from: &OwnedFd, to: (Ipv4Addr, u16)) {
    assert_eq!(ask_tcp(from, to, IMPATIENCE), None, "{to:?} can be reached");
}

/// Runs a program of the test's machine in the host's namespace and gives what it says.
pub fn run(world: &World, line: &str) -> String {
    world.on_host(|| {
        let mut words = line.split_whitespace();
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    })
}

/// The links of the host's namespace.
pub fn links(world: &World) -> Vec<String> {
    world.on_host(|| Socket::route().unwrap().links(None).unwrap()).into_iter().map(|l| l.name).collect()
}

//! A world in throw-away network namespaces: a host with a bridge, containers, and another host beside it.
//!
//! ```text
//!  other (198.51.100.2) ──veth── host (198.51.100.1, the bridge) ──veth── containers
//! ```
//!
//! A namespace goes with its last descriptor, and every link, table and socket of a test with it.

#![allow(dead_code, reason = "each file of tests uses a part")]

use ipnet::Ipv4Net;
use netlink::link::{Peer, VethPair};
use netlink::{Batch, Socket};
use network::{Bridge, Endpoint, Options, Pools, PortRequest, Protocol};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const PATIENCE: Duration = Duration::from_secs(30);
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
            address("up0", HOST);
            let mut batch = Batch::new();
            batch.set_up(1);
            Socket::route().unwrap().run(&mut batch).unwrap();
        });
        within(&world.other, || {
            address("up0", OTHER);
            let mut batch = Batch::new();
            batch.add_default_route(HOST);
            Socket::route().unwrap().run(&mut batch).unwrap();
        });
        world
    }

    /// Runs `work` in the host's namespace.
    pub fn on_host<T>(&self, work: impl FnOnce() -> T) -> T {
        within(&self.host, work)
    }

    pub fn up(&self, endpoints: &[Endpoint]) -> Bridge {
        self.on_host(|| Bridge::up(options(), endpoints)).unwrap()
    }

    /// A bridge and a table of this name.
    pub fn up_as(&self, name: &str, subnet: Option<&str>) -> Bridge {
        let subnet = subnet.map(|s| s.parse().unwrap());
        self.on_host(|| Bridge::up(Options { bridge: name.into(), table: name.into(), subnet, ..options() }, &[]))
            .unwrap()
    }

    /// Attaches a container in which nothing runs.
    pub fn bare_container(&self, bridge: &Bridge) -> Container {
        let netns = sys::netns::create().unwrap();
        let endpoint = self.on_host(|| bridge.attach(netns.as_fd())).unwrap();
        Container { netns, endpoint }
    }

    /// Attaches a container that serves on TCP and UDP port 80.
    pub fn container(&self, bridge: &Bridge) -> Container {
        let container = self.bare_container(bridge);
        let (tcp, udp) = within(&container.netns, || {
            (TcpListener::bind("0.0.0.0:80").unwrap(), UdpSocket::bind("0.0.0.0:80").unwrap())
        });
        let address = container.endpoint.address;
        std::thread::spawn(move || serve_tcp(&tcp));
        std::thread::spawn(move || serve_udp(&udp, address));
        container
    }
}

pub struct Container {
    pub netns: OwnedFd,
    pub endpoint: Endpoint,
}

pub fn options() -> Options {
    let subnet = Some("172.17.0.1/16".parse().unwrap());
    Options { bridge: "dhow0".into(), table: "dhow0".into(), subnet, pools: Pools::default(), mtu: 0, together: true }
}

pub fn within<T>(netns: &OwnedFd, work: impl FnOnce() -> T) -> T {
    netlink::netns::within(netns.as_fd(), work).unwrap()
}

/// Brings a link up, with an address. (`lo` of the other host stays down: see the test about 127.0.0.1.)
fn address(link: &str, address: Ipv4Addr) {
    let mut socket = Socket::route().unwrap();
    let index = socket.link(link).unwrap().unwrap().index;
    let mut batch = Batch::new();
    batch.set_up(index);
    batch.add_address(index, Ipv4Net::new(address, 24).unwrap());
    socket.run(&mut batch).unwrap();
}

/// Takes 127.0.0.1 from `lo`, so that it leads out by the default route.
pub fn lower_loopback() {
    let mut batch = Batch::new();
    batch.delete_address(1, "127.0.0.1/8".parse().unwrap());
    Socket::route().unwrap().run(&mut batch).unwrap();
}

pub fn set(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
}

pub fn get(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap().trim().to_owned()
}

/// Port 80 on a port of all the host's addresses.
pub fn request(protocol: Protocol, port: u16) -> PortRequest {
    PortRequest { container_port: 80, protocol, host_ip: None, host_ports: (port, port) }
}

pub fn publish(world: &World, bridge: &Bridge, container: &mut Container, requests: &[PortRequest]) {
    world.on_host(|| bridge.publish(&mut container.endpoint, requests)).unwrap();
}

/// Answers every connection with the address it sees, then ends; ends itself with the process.
pub fn serve_tcp(listener: &TcpListener) {
    while let Ok((mut stream, from)) = listener.accept() {
        let _ = stream.write_all(from.ip().to_string().as_bytes());
    }
}

/// Answers every packet with the address it sees and its own.
fn serve_udp(socket: &UdpSocket, me: Ipv4Addr) {
    let mut buffer = [0; 64];
    while let Ok((_, from)) = socket.recv_from(&mut buffer) {
        let _ = socket.send_to(format!("{} {me}", from.ip()).as_bytes(), from);
    }
}

/// A socket that talks to one server.
pub fn udp_client(from: &OwnedFd, to: (Ipv4Addr, u16)) -> UdpSocket {
    within(from, || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    })
}

/// What the server says to a packet; `None` if nothing.
pub fn say(client: &UdpSocket) -> Option<String> {
    client.send(b"?").ok()?;
    let mut buffer = [0; 64];
    // One with a time limit is not repeated by itself when the machine was stopped for a moment (signal(7)).
    let length = loop {
        match client.recv(&mut buffer) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            outcome => break outcome.ok()?,
        }
    };
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
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

pub fn reach(from: &OwnedFd, to: (Ipv4Addr, u16)) -> String {
    ask_tcp(from, to, PATIENCE).unwrap_or_else(|| panic!("{to:?} cannot be reached"))
}

/// The address that a UDP server sees.
pub fn reach_udp(from: &OwnedFd, to: (Ipv4Addr, u16)) -> String {
    let answer = say(&udp_client(from, to)).unwrap_or_else(|| panic!("{to:?} cannot be reached"));
    answer.split(' ').next().unwrap().to_owned()
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

/// Those of the bridge's containers.
pub fn host_links(world: &World) -> Vec<String> {
    links(world).into_iter().filter(|l| l.starts_with("dh") && !l.starts_with("dhow")).collect()
}

/// Waits for a condition.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// A process that does nothing, killed when dropped.
pub struct Sleeper(Child);

impl Sleeper {
    pub fn in_own_user_and_network_namespace() -> Sleeper {
        let child = Command::new("unshare").args(["--user", "--net", "sleep", "600"]).spawn().unwrap();
        let sleeper = Sleeper(child);
        let name = format!("/proc/{}/comm", sleeper.0.id());
        until("sleep runs", || std::fs::read_to_string(&name).unwrap().trim() == "sleep");
        sleeper
    }

    pub fn netns(&self) -> OwnedFd {
        std::fs::File::open(format!("/proc/{}/ns/net", self.0.id())).unwrap().into()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

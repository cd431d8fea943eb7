//! What containers with an egress policy reach, and what they do not.

mod world;

use network::egress::FirstTime;
use network::{Bridge, Egress, Policy, Stance};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;
use world::{Container, HOST, OTHER, World, within};

const NAME: &str = "0123456789abcdef";
const PATIENCE: Duration = Duration::from_secs(30);

/// Listens on some ports of all addresses, for as long as the process lives.
fn serve(netns: &OwnedFd, ports: &[u16]) {
    for port in ports {
        let listener = within(netns, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).unwrap());
        std::thread::spawn(move || listener.incoming().for_each(drop));
    }
}

/// Whether a connection is made; else it is refused at once, and by the rules.
fn reaches(container: &Container, address: IpAddr, port: u16) -> bool {
    match within(&container.netns, || TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE)) {
        Ok(_) => true,
        Err(e) if e.kind() == ErrorKind::HostUnreachable => false,
        Err(e) => panic!("{address}:{port}: {e}"),
    }
}

fn policy(stance: Stance, allow: &str, deny: &str) -> Policy {
    Policy::read(stance, &[allow.to_owned()], &[deny.to_owned()], false).unwrap()
}

fn enter(world: &World, egress: &Egress, container: &Container, policy: Policy) {
    world.on_host(|| egress.enter(NAME, std::slice::from_ref(&container.endpoint), policy)).unwrap();
}

struct Scene {
    world: World,
    egress: Egress,
    container: Container,
    bridge: Bridge,
}

/// A container; beyond the host 198.51.100.2 and 203.0.113.1 serve ports 80 and 443, and 10.9.9.9 stands for a private network.
fn scene() -> Scene {
    let world = World::new();
    let bridge = world.up(&[]);
    let container = world.bare_container(&bridge);
    let run = |netns: &OwnedFd, line: &str| {
        let done = within(netns, || Command::new("sh").args(["-ec", line]).status().unwrap());
        assert!(done.success(), "{line}");
    };
    let add = "for a in 203.0.113.1 203.0.113.2 10.9.9.9 169.254.169.254; do ip address add $a/32 dev up0; done";
    run(&world.other, add);
    let routes = "for a in 203.0.113.0/24 10.9.9.9 169.254.169.254; do ip route add $a via 198.51.100.2; done";
    run(&world.host, routes);
    serve(&world.other, &[80, 443]);
    serve(&world.host, &[80, 8080]);
    let egress = Egress::new("dhow0");
    world.on_host(|| egress.settle()).unwrap();
    Scene { world, egress, container, bridge }
}

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn what_is_not_on_the_list_is_refused_and_counted() {
    let Scene { world, egress, container, .. } = scene();
    assert!(reaches(&container, OTHER.into(), 80));
    enter(&world, &egress, &container, policy(Stance::Deny, "203.0.113.0/24:443,10.0.0.0/8", ""));
    assert!(reaches(&container, at("203.0.113.1"), 443));
    assert!(reaches(&container, at("10.9.9.9"), 80));
    for (address, port) in [("203.0.113.1", 80), ("198.51.100.2", 80), ("169.254.169.254", 80)] {
        assert!(!reaches(&container, at(address), port), "{address}:{port}");
    }
    // The machine itself, by whichever of its addresses.
    for address in [IpAddr::from(HOST), container.endpoint.gateway.unwrap().into()] {
        assert!(!reaches(&container, address, 80), "{address}");
    }
    let usage = world.on_host(|| egress.usage(NAME)).unwrap().unwrap();
    let mut refused: Vec<_> = usage.refused.iter().map(|tried| (tried.address.to_string(), tried.port)).collect();
    refused.sort();
    let gateway = container.endpoint.gateway.unwrap().to_string();
    let wanted =
        [("169.254.169.254", 80), (&*gateway, 80), ("198.51.100.1", 80), ("198.51.100.2", 80), ("203.0.113.1", 80)];
    assert_eq!(refused, wanted.map(|(address, port)| (address.to_owned(), port)));
    assert!(usage.refused.iter().all(|tried| tried.protocol == 6 && tried.packets >= 1));
    let left = world.on_host(|| egress.leave(NAME)).unwrap().unwrap();
    assert_eq!(left.refused.len(), 5);
    assert!(reaches(&container, OTHER.into(), 80));
    let tables = within(&world.host, || Command::new("nft").args(["list", "tables"]).output().unwrap());
    assert!(!String::from_utf8_lossy(&tables.stdout).contains("egress"), "the tables go with the last policy");
}

#[test]
fn ports_alone_open_the_world_and_the_host_only_where_it_is_said() {
    let Scene { world, egress, container, .. } = scene();
    enter(&world, &egress, &container, policy(Stance::Deny, "tcp/80,host:8080", ""));
    assert!(reaches(&container, at("203.0.113.2"), 80));
    assert!(!reaches(&container, at("203.0.113.2"), 443));
    assert!(!reaches(&container, at("10.9.9.9"), 80));
    assert!(!reaches(&container, at("169.254.169.254"), 80));
    assert!(!reaches(&container, HOST.into(), 80));
    assert!(reaches(&container, HOST.into(), 8080));
    enter(&world, &egress, &container, policy(Stance::Deny, "tcp/80@private", ""));
    assert!(reaches(&container, at("10.9.9.9"), 80));
    assert!(!reaches(&container, HOST.into(), 80));
    enter(&world, &egress, &container, policy(Stance::Allow, "", "host:80,10.0.0.0/8,tcp/443"));
    assert!(!reaches(&container, HOST.into(), 80));
    assert!(reaches(&container, HOST.into(), 8080));
    assert!(!reaches(&container, at("10.9.9.9"), 80));
    assert!(!reaches(&container, at("203.0.113.2"), 443));
    assert!(reaches(&container, at("203.0.113.2"), 80));
}

#[test]
fn names_open_what_they_lead_to_and_private_places_only_where_it_is_said() {
    let Scene { world, egress, container, .. } = scene();
    enter(&world, &egress, &container, policy(Stance::Deny, "*.example.org:443,db.corp@private", "bad.example.org"));
    assert_eq!(egress.admits(NAME, "elsewhere.net"), Err(FirstTime(true)));
    assert_eq!(egress.admits(NAME, "elsewhere.net"), Err(FirstTime(false)));
    assert_eq!(egress.admits(NAME, "bad.example.org"), Err(FirstTime(true)));
    assert_eq!(egress.admits(NAME, "a.example.org"), Ok(()));
    let pin = |name: &str, addresses: &[&str]| {
        let found: Vec<_> = addresses.iter().map(|address| (at(address), Duration::from_secs(5))).collect();
        let opened = world.on_host(|| egress.pin(NAME, name, &found)).unwrap();
        opened.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(!reaches(&container, at("203.0.113.1"), 443));
    // A public name that leads to a private place, or to the metadata service of a cloud, opens nothing there.
    assert_eq!(pin("a.example.org", &["203.0.113.1", "10.9.9.9", "169.254.169.254", "127.0.0.1"]), ["203.0.113.1"]);
    assert!(reaches(&container, at("203.0.113.1"), 443));
    assert!(!reaches(&container, at("203.0.113.1"), 80));
    assert!(!reaches(&container, at("10.9.9.9"), 443));
    assert_eq!(pin("db.corp", &["10.9.9.9", "169.254.169.254"]), ["10.9.9.9"]);
    assert!(reaches(&container, at("10.9.9.9"), 80));
    assert_eq!(pin("db.corp", &[&HOST.to_string()]), [HOST.to_string()]);
    assert!(!reaches(&container, HOST.into(), 80), "a name never opens the machine itself");
    // Once more, and with another one beside it: those that are there hold on.
    assert_eq!(pin("b.example.org", &["203.0.113.1", "203.0.113.2"]), ["203.0.113.1", "203.0.113.2"]);
    assert!(reaches(&container, at("203.0.113.2"), 443) && reaches(&container, at("203.0.113.1"), 443));
    let usage = world.on_host(|| egress.usage(NAME)).unwrap().unwrap();
    assert!(usage.pins.iter().any(|pin| pin.name == "db.corp" && pin.left > Duration::from_secs(60)));
    assert!(usage.refused_names.iter().any(|(name, count, _)| name == "elsewhere.net" && *count == 2));
    assert!(usage.refused.iter().any(|tried| tried.name.as_deref() == Some("b.example.org") && tried.port == 80));
    // What a changed list no longer names is closed, whatever its answers were.
    enter(&world, &egress, &container, policy(Stance::Deny, "db.corp@private", ""));
    assert!(!reaches(&container, at("203.0.113.1"), 443));
    assert!(reaches(&container, at("10.9.9.9"), 80));
}

#[test]
fn the_next_engine_finds_pins_where_they_were_and_what_was_flushed_is_made_anew() {
    let Scene { world, egress, container, .. } = scene();
    let list = || policy(Stance::Deny, "a.org:443", "");
    enter(&world, &egress, &container, list());
    let found = [(at("203.0.113.1"), Duration::from_secs(600))];
    world.on_host(|| egress.pin(NAME, "a.org", &found)).unwrap();
    let next = Egress::new("dhow0");
    enter(&world, &next, &container, list());
    assert!(reaches(&container, at("203.0.113.1"), 443), "nothing is changed before all are there");
    world.on_host(|| next.settle()).unwrap();
    assert!(reaches(&container, at("203.0.113.1"), 443));
    assert!(!reaches(&container, at("203.0.113.2"), 443));
    for line in ["nft flush ruleset", "nft flush table ip dhow0-egress", "nft delete table bridge dhow0-egress"] {
        world.on_host(|| assert!(Command::new("sh").args(["-c", line]).status().unwrap().success()));
        world.on_host(|| next.check()).unwrap();
        assert!(!reaches(&container, at("203.0.113.2"), 443), "{line}");
        assert!(reaches(&container, at("203.0.113.1"), 443), "{line}");
    }
    world.on_host(|| next.leave(NAME)).unwrap();
    let idle = Egress::new("dhow0");
    world.on_host(|| idle.settle()).unwrap();
}

#[test]
fn another_address_is_no_way_around() {
    let Scene { world, egress, container, bridge } = scene();
    let free = world.bare_container(&bridge);
    enter(&world, &egress, &container, policy(Stance::Deny, "203.0.113.1", ""));
    let stolen = "172.17.200.7";
    within(&container.netns, || {
        let line =
            format!("ip address add {stolen}/16 dev eth0 && ip route replace default via 172.17.0.1 src {stolen}");
        assert!(Command::new("sh").args(["-ec", &line]).status().unwrap().success());
    });
    let target = SocketAddr::new(at("203.0.113.2"), 80);
    let tried = within(&container.netns, || TcpStream::connect_timeout(&target, Duration::from_millis(600)));
    assert!(tried.is_err(), "its packets do not leave the link");
    assert!(reaches(&free, at("203.0.113.2"), 80), "others go on");
}

#[test]
fn what_was_refused_once_is_told_once() {
    let Scene { world, egress, container, .. } = scene();
    enter(&world, &egress, &container, policy(Stance::Deny, "203.0.113.1", ""));
    let log = world.on_host(|| network::Log::open(egress.log_group())).unwrap();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Some(packets) = log.wait() {
            if packets.into_iter().try_for_each(|packet| tell.send(packet)).is_err() {
                return;
            }
        }
    });
    for port in [81, 81, 82] {
        assert!(!reaches(&container, at("203.0.113.2"), port));
    }
    let told: Vec<_> = (0..2).map(|_| heard.recv_timeout(PATIENCE).unwrap()).collect();
    let ports: Vec<u16> = told.iter().map(|packet| packet.port).collect();
    assert_eq!(ports, [81, 82]);
    let whose = egress.whose(told[0].source, told[0].destination).unwrap();
    assert_eq!(whose.0, NAME);
}

#[test]
fn what_is_learned_is_what_was_reached() {
    let Scene { world, egress, container, .. } = scene();
    let policy = Policy::read(Stance::Allow, &[], &[], true).unwrap();
    enter(&world, &egress, &container, policy);
    let found = [(at("203.0.113.1"), Duration::from_secs(5))];
    assert_eq!(world.on_host(|| egress.pin(NAME, "a.org", &found)).unwrap(), [at("203.0.113.1")]);
    assert!(reaches(&container, at("203.0.113.1"), 443));
    assert!(reaches(&container, at("198.51.100.2"), 80));
    within(&container.netns, || {
        let done = Command::new("ping").args(["-c", "2", "-W", "30", "203.0.113.2"]).output();
        drop(done);
    });
    let usage = world.on_host(|| egress.usage(NAME)).unwrap().unwrap();
    let lesson = usage.lesson();
    assert!(lesson.contains(&"a.org:tcp/443".to_owned()), "{lesson:?}");
    assert!(lesson.contains(&"198.51.100.2:tcp/80".to_owned()), "{lesson:?}");
}

/// What is written to this port, byte by byte.
fn hear(netns: &OwnedFd, port: u16) -> std::sync::mpsc::Receiver<u8> {
    let listener = within(netns, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) && tell.send(byte[0]).is_ok() {}
            });
        }
    });
    heard
}

#[test]
fn what_was_connected_before_the_first_policy_is_judged_by_it() {
    let Scene { world, egress, container, .. } = scene();
    let heard = hear(&world.other, 7000);
    let target = SocketAddr::new(at("203.0.113.2"), 7000);
    let mut goes = within(&container.netns, || TcpStream::connect_timeout(&target, PATIENCE).unwrap());
    goes.write_all(b"x").unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), b'x');
    enter(&world, &egress, &container, policy(Stance::Deny, "203.0.113.1", ""));
    goes.write_all(b"y").unwrap();
    world::until("it is refused", || {
        let usage = world.on_host(|| egress.usage(NAME)).unwrap().unwrap();
        usage.refused.iter().any(|tried| tried.address == at("203.0.113.2") && tried.port == 7000)
    });
    assert!(heard.try_recv().is_err());
}

#[test]
fn frames_that_bridges_keep_for_themselves_are_no_way_around() {
    let Scene { world, egress, container, .. } = scene();
    let links = ["all", &container.endpoint.host_link];
    world.on_host(|| links.iter().for_each(|link| world::set(&format!("ipv4/conf/{link}/rp_filter"), "0")));
    let server = world.on_host(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 5353)).unwrap());
    let client = within(&container.netns, || {
        let line = "ip address add 172.17.200.7/16 dev eth0 \
             && ip neigh replace 172.17.0.1 lladdr 01:80:c2:00:00:0e dev eth0 nud permanent";
        assert!(Command::new("sh").args(["-ec", line]).status().unwrap().success());
        UdpSocket::bind("172.17.200.7:0").unwrap()
    });
    let mut buffer = [0; 8];
    client.send_to(b"x", (HOST, 5353)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.recv_from(&mut buffer).expect("without a policy the bridge hands it to the machine");
    enter(&world, &egress, &container, policy(Stance::Deny, "203.0.113.1", ""));
    client.send_to(b"y", (HOST, 5353)).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    assert!(server.recv_from(&mut buffer).is_err());
}

#[test]
fn what_is_connected_goes_on_as_far_as_the_new_list_lets_it() {
    let Scene { world, egress, container, .. } = scene();
    let heard = hear(&world.other, 7000);
    enter(&world, &egress, &container, policy(Stance::Deny, "203.0.113.0/24", ""));
    let connect = |address: &str| {
        let target = SocketAddr::new(at(address), 7000);
        within(&container.netns, || TcpStream::connect_timeout(&target, PATIENCE).unwrap())
    };
    let (mut stays, mut goes) = (connect("203.0.113.1"), connect("203.0.113.2"));
    enter(&world, &egress, &container, policy(Stance::Deny, "203.0.113.1", ""));
    goes.write_all(b"x").unwrap();
    stays.write_all(b"y").unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), b'y');
    world::until("the other one is refused", || {
        let usage = world.on_host(|| egress.usage(NAME)).unwrap().unwrap();
        usage.refused.iter().any(|tried| tried.address == at("203.0.113.2") && tried.port == 7000)
    });
    assert!(heard.try_recv().is_err());
}

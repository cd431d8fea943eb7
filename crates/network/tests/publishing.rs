//! Published ports: rows of them, ports that come and go, who decides about them, and networks that do without rewriting.

mod world;

use ipnet::Ipv4Net;
use network::{Bridge, Design, Firewall, Gateway, Ground, Manners, News, Plan, Port, PortRequest, Protocol};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use world::{
    Container, HOST, OTHER, World, options, publish, reach, reach_udp, request, run, serve_tcp, set, unreachable,
};
use world::{until, within};

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn listen(container: &Container, port: u16) {
    let listener = within(&container.netns, || TcpListener::bind(("0.0.0.0", port)).unwrap());
    std::thread::spawn(move || serve_tcp(&listener));
}

fn same(protocol: Protocol, port: u16) -> PortRequest {
    PortRequest { container_port: port, protocol, host_ip: None, host_ports: (port, port) }
}

/// A bridge on a ground of its own.
fn grounded(world: &World, firewall: Firewall) -> (Arc<Ground>, Bridge) {
    world.on_host(|| {
        let ground = Arc::new(Ground::new("dhow0", None).unwrap().obeying(firewall));
        let bridge = Bridge::first(&ground, options(), &[]).unwrap();
        bridge.check().unwrap();
        (ground, bridge)
    })
}

/// A further network, of 10.77.0.0/24.
fn raised(world: &World, ground: &Arc<Ground>, manners: Manners) -> Bridge {
    let subnet: Ipv4Net = "10.77.0.1/24".parse().unwrap();
    let plan = Plan { subnet, range: None, subnet6: None, range6: None, reserved: Vec::new() };
    let internal = manners.v4 == Gateway::Isolated;
    let bridge = "dhow1".to_owned();
    let design = Design { bridge, plan, mtu: 0, internal, together: true, masquerade: true, manners };
    world.on_host(|| {
        let bridge = Bridge::raise(ground, design, &[]).unwrap();
        ground.check().unwrap();
        bridge
    })
}

/// Each published port is a socket of this process; many are started with a limit of 1,024 files.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

#[test]
fn ten_thousand_ports_are_one_element_and_lead_to_the_same_ports() {
    allow_many_files();
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let all: Vec<PortRequest> = (20_000..=30_000).map(|port| same(Protocol::Tcp, port)).collect();
    publish(&world, &bridge, &mut container, &all);
    let table = run(&world, "nft list map ip dhow0 rows");
    assert!(table.contains("tcp . 20000-30000 : 172.17.0.2"), "{table}");
    assert!(!run(&world, "nft list map ip dhow0 ports").contains("elements"));
    for port in [20_000, 25_000, 30_000] {
        listen(&container, port);
        assert_eq!(reach(&world.other, (HOST, port)), OTHER.to_string());
        assert_eq!(reach(&world.host, (LOCAL, port)), bridge.gateway().to_string());
    }
    unreachable(&world.other, (HOST, 19_999));
    unreachable(&world.other, (HOST, 30_001));
    let taken = world.on_host(|| TcpListener::bind(("0.0.0.0", 29_000)).map(drop));
    assert!(taken.is_err(), "the host's ports are held");
    world.on_host(|| bridge.unpublish(&container.endpoint)).unwrap();
    assert!(!run(&world, "nft list map ip dhow0 rows").contains("elements"));
}

#[test]
fn a_row_that_loses_a_port_in_its_middle_is_two() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let all: Vec<PortRequest> = (7000..=7009).map(|port| same(Protocol::Tcp, port)).collect();
    publish(&world, &bridge, &mut container, &all);
    [7004, 7005].iter().for_each(|port| listen(&container, *port));
    assert_eq!(reach(&world.other, (HOST, 7005)), OTHER.to_string());
    let gone: Vec<Port> = container.endpoint.ports.iter().filter(|port| port.host_port == 7005).cloned().collect();
    world.on_host(|| bridge.unpublish_some(&mut container.endpoint, &gone)).unwrap();
    unreachable(&world.other, (HOST, 7005));
    assert_eq!(reach(&world.other, (HOST, 7004)), OTHER.to_string());
    let table = run(&world, "nft list map ip dhow0 rows");
    assert!(table.contains("7000-7004") && table.contains("7006-7009"), "{table}");
    assert_eq!(container.endpoint.ports.len(), 9);
    publish(&world, &bridge, &mut container, &[same(Protocol::Tcp, 7005)]);
    assert_eq!(reach(&world.other, (HOST, 7005)), OTHER.to_string());
    let table = run(&world, "nft list map ip dhow0 rows");
    assert!(table.contains("7000-7009"), "{table}");
}

#[test]
fn a_row_of_one_address_is_reached_there_only() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let at = |port| PortRequest { host_ip: Some(LOCAL.into()), ..same(Protocol::Tcp, port) };
    publish(&world, &bridge, &mut container, &[at(7000), at(7001)]);
    listen(&container, 7001);
    assert_eq!(reach(&world.host, (LOCAL, 7001)), bridge.gateway().to_string());
    unreachable(&world.other, (HOST, 7001));
    unreachable(&world.host, (HOST, 7001));
}

#[test]
fn a_port_that_is_taken_back_ends_the_connections_that_came_by_it() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.bare_container(&bridge);
    let listener = within(&container.netns, || TcpListener::bind("0.0.0.0:80").unwrap());
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080), request(Protocol::Tcp, 8081)]);
    let connect = |port| within(&world.other, || TcpStream::connect((HOST, port)).unwrap());
    let (cut, kept) = (connect(8080), connect(8081));
    let mut inside = [listener.accept().unwrap().0, listener.accept().unwrap().0];
    let gone = vec![container.endpoint.ports[0].clone()];
    world.on_host(|| bridge.unpublish_some(&mut container.endpoint, &gone)).unwrap();
    let of = |port: u16| run(&world, "cat /proc/self/net/nf_conntrack").matches(&format!("dport={port} ")).count();
    assert_eq!((of(8080), of(8081)), (0, 1));
    use std::io::{Read, Write};
    inside.iter_mut().for_each(|stream| stream.write_all(b"x").unwrap());
    for stream in [&kept, &cut] {
        stream.set_read_timeout(Some(Duration::from_secs(if std::ptr::eq(stream, &kept) { 30 } else { 1 }))).unwrap();
    }
    let mut byte = [0];
    (&kept).read_exact(&mut byte).unwrap();
    // An interrupted read is not repeated: on a machine that is stopped again and again its time would never be over.
    assert!((&cut).read(&mut byte).is_err(), "nothing comes by the port that was taken back");
}

#[test]
fn what_others_take_out_of_our_tables_is_put_back() {
    let world = World::new();
    let (ground, bridge) = grounded(&world, Firewall::Open);
    let mut container = world.container(&bridge);
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    let news = world.on_host(|| News::open().unwrap());
    let whole = run(&world, "nft list table ip dhow0");
    for line in [
        "nft flush table ip dhow0",
        "nft flush chain ip dhow0 forward",
        "nft flush map ip dhow0 ports",
        "nft delete element ip dhow0 ports { tcp . 8080 }",
        "nft delete element ip dhow0 bridges { dhow0 }",
        "nft delete table ip dhow0",
        "nft flush ruleset",
    ] {
        run(&world, line);
        until(line, || {
            let mut heard = news.wait().unwrap();
            news.gather(&mut heard);
            ground.hear(&heard);
            world.on_host(|| bridge.check()).unwrap();
            run(&world, "nft list table ip dhow0") == whole
        });
    }
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    unreachable(&world.other, (container.endpoint.address, 80));
}

#[test]
fn our_own_changes_are_no_reason_to_make_the_tables_anew() {
    let world = World::new();
    let (ground, bridge) = grounded(&world, Firewall::Open);
    let mut container = world.container(&bridge);
    let news = world.on_host(|| News::open().unwrap());
    let handle = || run(&world, "nft -a list table ip dhow0").lines().next().unwrap().to_owned();
    let before = handle();
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    world.on_host(|| bridge.unpublish(&container.endpoint)).unwrap();
    let heard = news.wait().unwrap();
    assert!(!heard.thinned.is_empty());
    ground.hear(&heard);
    world.on_host(|| bridge.check()).unwrap();
    assert_eq!(handle(), before);
}

/// What a machine's own rules say of packets to itself.
fn firewall(world: &World, rules: &[&str]) {
    run(world, "nft add table inet fw");
    run(world, "nft add chain inet fw input { type filter hook input priority 0 ; policy drop ; }");
    run(world, "nft add rule inet fw input iifname lo accept");
    run(world, "nft add rule inet fw input ct state established accept");
    run(world, "nft add rule inet fw input icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept");
    rules.iter().for_each(|rule| drop(run(world, &format!("nft add rule inet fw input {rule}"))));
}

#[test]
fn a_machine_s_own_denials_win_where_they_are_to() {
    let world = World::new();
    world.on_host(|| set("ipv4/conf/all/rp_filter", "1"));
    let (_ground, bridge) = grounded(&world, Firewall::Host);
    let mut container = world.container(&bridge);
    let all = [(Protocol::Tcp, 8080), (Protocol::Udp, 8080), (Protocol::Tcp, 8081), (Protocol::Udp, 8081)];
    publish(&world, &bridge, &mut container, &all.map(|(protocol, port)| request(protocol, port)));
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    firewall(&world, &["tcp dport 8080 ip saddr 198.51.100.2 accept", "udp dport 8080 accept"]);
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    assert_eq!(reach_udp(&world.other, (HOST, 8080)), OTHER.to_string());
    unreachable(&world.other, (HOST, 8081));
    let denied = world::udp_client(&world.other, (HOST, 8081));
    denied.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(world::say(&denied), None);
    let gateway = bridge.gateway().to_string();
    assert_eq!(reach(&world.host, (LOCAL, 8081)), gateway);
    assert_eq!(reach(&world.host, (HOST, 8081)), HOST.to_string());
    let neighbour = world.container(&bridge);
    assert_eq!(reach(&neighbour.netns, (HOST, 8081)), gateway);
    run(&world, "nft insert rule inet fw input tcp dport 8080 reject");
    unreachable(&world.other, (HOST, 8080));
    world.on_host(|| bridge.down()).unwrap();
    assert!(!world::links(&world).iter().any(|link| link.starts_with("dp")), "{:?}", world::links(&world));
}

#[test]
fn links_that_a_killed_engine_had_only_begun_are_made_ready() {
    let world = World::new();
    drop(grounded(&world, Firewall::Host));
    let links = world::links(&world);
    for link in links.iter().filter(|link| link.starts_with("dp")) {
        run(&world, &format!("ip link set {link} down arp on"));
        run(&world, &format!("ip address flush dev {link}"));
    }
    let (_ground, bridge) = grounded(&world, Firewall::Host);
    let mut container = world.container(&bridge);
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
}

#[test]
fn without_that_publishing_goes_past_the_machine_s_denials() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    firewall(&world, &[]);
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
}

#[test]
fn iptables_denials_of_both_sorts_win_where_they_are_to() {
    for iptables in ["iptables-nft", "iptables-legacy"] {
        let world = World::new();
        let (_ground, bridge) = grounded(&world, Firewall::Host);
        let mut container = world.container(&bridge);
        publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080), request(Protocol::Tcp, 8081)]);
        run(&world, &format!("{iptables} -A INPUT -p tcp --dport 8080 -j ACCEPT"));
        run(&world, &format!("{iptables} -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT"));
        run(&world, &format!("{iptables} -P INPUT DROP"));
        assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
        unreachable(&world.other, (HOST, 8081));
    }
}

/// A way from the other host to the containers' own addresses.
fn route(world: &World, subnet: &str) {
    within(&world.other, || {
        let words = ["route", "replace", subnet, "via", "198.51.100.1"];
        assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
    });
}

fn attached(world: &World, bridge: &Bridge) -> Container {
    world.container(bridge)
}

#[test]
fn a_routed_network_is_reached_at_its_own_addresses_and_published_ports_only() {
    let world = World::new();
    let (ground, first) = grounded(&world, Firewall::Open);
    let bridge = raised(&world, &ground, Manners { v4: Gateway::Routed, ..Manners::default() });
    let mut container = attached(&world, &bridge);
    route(&world, "10.77.0.0/24");
    let address = container.endpoint.address;
    unreachable(&world.other, (address, 80));
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    assert_eq!(container.endpoint.ports[0].host_port, 0);
    listen(&container, 81);
    assert_eq!(reach(&world.other, (address, 80)), OTHER.to_string());
    unreachable(&world.other, (address, 81));
    unreachable(&world.other, (HOST, 8080));
    within(&world.other, || {
        let ping =
            std::process::Command::new("busybox").args(["ping", "-c1", "-W20", &address.to_string()]).output().unwrap();
        assert!(ping.status.success(), "{ping:?}");
    });
    let neighbour = world.container(&first);
    assert!(!reach(&neighbour.netns, (address, 80)).is_empty());
    unreachable(&neighbour.netns, (address, 81));
    // Nothing rewrites its packets.
    let outside = within(&world.other, || TcpListener::bind("0.0.0.0:99").unwrap());
    std::thread::spawn(move || serve_tcp(&outside));
    assert_eq!(reach(&container.netns, (OTHER, 99)), address.to_string());
    world.on_host(|| bridge.unpublish(&container.endpoint)).unwrap();
    unreachable(&world.other, (address, 80));
}

#[test]
fn an_unprotected_network_is_reached_at_all_ports_by_who_has_a_route() {
    let world = World::new();
    let (ground, _first) = grounded(&world, Firewall::Open);
    let bridge = raised(&world, &ground, Manners { v4: Gateway::Unprotected, ..Manners::default() });
    let mut container = attached(&world, &bridge);
    route(&world, "10.77.0.0/24");
    assert_eq!(reach(&world.other, (container.endpoint.address, 80)), OTHER.to_string());
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
}

#[test]
fn a_trusted_link_leads_to_published_ports_at_the_containers_own_addresses() {
    let world = World::new();
    let (ground, _first) = grounded(&world, Firewall::Open);
    let bridge = raised(&world, &ground, Manners { trusted: vec!["up0".to_owned()], ..Manners::default() });
    let mut container = attached(&world, &bridge);
    route(&world, "10.77.0.0/24");
    let address = container.endpoint.address;
    unreachable(&world.other, (address, 80));
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080), request(Protocol::Tcp, 8081)]);
    listen(&container, 81);
    assert_eq!(reach(&world.other, (address, 80)), OTHER.to_string());
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    unreachable(&world.other, (address, 81));
    let gone = vec![container.endpoint.ports[0].clone()];
    world.on_host(|| bridge.unpublish_some(&mut container.endpoint, &gone)).unwrap();
    assert_eq!(reach(&world.other, (address, 80)), OTHER.to_string());
    unreachable(&world.other, (HOST, 8080));
}

#[test]
fn an_isolated_network_has_no_address_of_the_host() {
    let world = World::new();
    let (ground, _first) = grounded(&world, Firewall::Open);
    let bridge = raised(&world, &ground, Manners { v4: Gateway::Isolated, ..Manners::default() });
    let (one, two) = (attached(&world, &bridge), attached(&world, &bridge));
    assert!(!run(&world, "ip -4 addr show dev dhow1").contains("inet"));
    assert_eq!(reach(&one.netns, (two.endpoint.address, 80)), one.endpoint.address.to_string());
    unreachable(&world.host, (one.endpoint.address, 80));
}

/// The other family: rows, a machine's denials, and the source address.
#[test]
fn ports_of_ipv6_are_as_those_of_ipv4() {
    let world = World::new();
    let (ground, _first) = grounded(&world, Firewall::Host);
    let plan = Plan {
        subnet: "10.77.0.1/24".parse().unwrap(),
        range: None,
        subnet6: Some("fd77::1/64".parse().unwrap()),
        range6: None,
        reserved: Vec::new(),
    };
    let (bridge, manners) = ("dhow1".to_owned(), Manners::default());
    let design = Design { bridge, plan, mtu: 0, internal: false, together: true, masquerade: true, manners };
    let bridge = world.on_host(|| {
        let bridge = Bridge::raise(&ground, design, &[]).unwrap();
        ground.check().unwrap();
        bridge
    });
    six(&world.host, &["addr", "add", "fd98::1/64", "dev", "up0", "nodad"]);
    six(&world.host, &["addr", "add", "::1/128", "dev", "lo"]);
    six(&world.other, &["addr", "add", "fd98::2/64", "dev", "up0", "nodad"]);
    let netns = sys::netns::create().unwrap();
    let wish = network::Wish { default_route: true, ..network::Wish::default() };
    let mut endpoint = world.on_host(|| bridge.attach_as(netns.as_fd(), &wish)).unwrap();
    let requests: Vec<PortRequest> = (7000..=7009).map(|port| same(Protocol::Tcp, port)).collect();
    world.on_host(|| bridge.publish(&mut endpoint, &requests)).unwrap();
    assert_eq!(endpoint.ports.len(), 20);
    let listener = within(&netns, || TcpListener::bind("[::]:7003").unwrap());
    std::thread::spawn(move || serve_tcp(&listener));
    let asked = |from: &OwnedFd, to: &str, wait: u64| {
        let to: SocketAddr = to.parse().unwrap();
        within(from, || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(wait)).ok()?;
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut stream, &mut answer).ok()?;
            Some(answer)
        })
    };
    let table = run(&world, "nft list map ip6 dhow0 rows");
    assert!(table.contains("tcp . 7000-7009 : fd77::2"), "{table}");
    assert_eq!(asked(&world.other, "[fd98::1]:7003", 30_000).as_deref(), Some("fd98::2"));
    assert_eq!(asked(&world.host, "[fd98::1]:7003", 30_000).as_deref(), Some("fd98::1"));
    firewall(&world, &[]);
    assert_eq!(asked(&world.other, "[fd98::1]:7003", 300), None);
    run(&world, "nft add rule inet fw input tcp dport 7003 accept");
    assert_eq!(asked(&world.other, "[fd98::1]:7003", 30_000).as_deref(), Some("fd98::2"));
    assert!(asked(&world.host, "[fd77::2]:7003", 30_000).is_some());
    let udp = PortRequest { host_ip: Some(IpAddr::V6("::".parse().unwrap())), ..same(Protocol::Udp, 7003) };
    world.on_host(|| bridge.publish(&mut endpoint, &[udp])).unwrap();
    let server = within(&netns, || UdpSocket::bind("[::]:7003").unwrap());
    let client = within(&world.host, || UdpSocket::bind("[::]:0").unwrap());
    client.send_to(b"?", "[fd98::1]:7003").unwrap();
    let from = server.recv_from(&mut [0; 8]).unwrap().1;
    assert_eq!(from.ip().to_string(), "fd98::1");
}

fn six(netns: &OwnedFd, words: &[&str]) {
    within(netns, || {
        let output = std::process::Command::new("ip").arg("-6").args(words).output().unwrap();
        let there = String::from_utf8_lossy(&output.stderr).contains("assigned");
        assert!(output.status.success() || there, "{output:?}");
    });
}

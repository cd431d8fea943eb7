//! Who reaches whom: published ports, masquerade, isolation.

mod world;

use network::{PortRequest, Protocol};
use std::net::{Ipv4Addr, TcpListener};
use world::{HOST, OTHER, World, publish, reach, reach_udp, request, serve_tcp, set, unreachable, within};

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// On all addresses, TCP and UDP; with and without the kernel's habit of showing bridged packets to iptables.
fn everywhere(show_to_iptables: &str) {
    let world = World::new();
    world.on_host(|| set("bridge/bridge-nf-call-iptables", show_to_iptables));
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080), request(Protocol::Udp, 8080)]);
    let neighbour = world.container(&bridge);
    let gateway = bridge.gateway().to_string();
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    assert_eq!(reach_udp(&world.other, (HOST, 8080)), OTHER.to_string());
    assert_eq!(reach(&world.host, (HOST, 8080)), HOST.to_string());
    assert_eq!(reach_udp(&world.host, (HOST, 8080)), HOST.to_string());
    assert_eq!(reach(&world.host, (LOCAL, 8080)), gateway);
    assert_eq!(reach_udp(&world.host, (LOCAL, 8080)), gateway);
    assert_eq!(reach(&world.host, (bridge.gateway(), 8080)), gateway);
    assert_eq!(reach(&neighbour.netns, (HOST, 8080)), gateway);
    assert_eq!(reach_udp(&neighbour.netns, (bridge.gateway(), 8080)), gateway);
    assert_eq!(reach(&container.netns, (HOST, 8080)), gateway);
    assert_eq!(reach_udp(&container.netns, (bridge.gateway(), 8080)), gateway);
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    everywhere("0");
}

#[test]
fn a_published_port_is_reached_from_everywhere_where_iptables_sees_bridged_packets() {
    everywhere("1");
}

#[test]
fn containers_reach_each_other_the_host_and_by_its_address_the_outside() {
    let world = World::new();
    let bridge = world.up(&[]);
    let (one, two) = (world.container(&bridge), world.container(&bridge));
    let outside = within(&world.other, || TcpListener::bind("0.0.0.0:99").unwrap());
    std::thread::spawn(move || serve_tcp(&outside));
    assert_eq!(reach(&one.netns, (OTHER, 99)), HOST.to_string());
    assert_eq!(reach(&one.netns, (two.endpoint.address, 80)), one.endpoint.address.to_string());
    assert_eq!(reach(&one.netns, (LOCAL, 80)), LOCAL.to_string());
    assert_eq!(reach(&world.host, (one.endpoint.address, 80)), bridge.gateway().to_string());
}

#[test]
fn containers_are_not_reached_directly_from_outside() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let address = container.endpoint.address;
    unreachable(&world.other, (address, 80));
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    unreachable(&world.other, (address, 80));
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
}

#[test]
fn a_port_of_one_address_is_reached_at_that_address_only() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let at = |ip: Ipv4Addr, port| PortRequest { host_ip: Some(ip.into()), ..request(Protocol::Tcp, port) };
    publish(&world, &bridge, &mut container, &[at(LOCAL, 8081), at(HOST, 8082)]);
    assert_eq!(reach(&world.host, (LOCAL, 8081)), bridge.gateway().to_string());
    assert_eq!(reach(&world.other, (HOST, 8082)), OTHER.to_string());
    unreachable(&world.other, (HOST, 8081));
    unreachable(&world.host, (LOCAL, 8082));
}

/// `route_localnet`, and a neighbour on the wire that sends to 127.0.0.1 (compare CVE-2020-8558).
#[test]
fn nobody_on_the_wire_or_in_a_container_reaches_127_0_0_1_of_the_host() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let local = PortRequest { host_ip: Some(LOCAL.into()), ..request(Protocol::Tcp, 8081) };
    publish(&world, &bridge, &mut container, &[local]);
    let listener = world.on_host(|| TcpListener::bind((LOCAL, 99)).unwrap());
    std::thread::spawn(move || serve_tcp(&listener));
    // The attacker's own `lo` is down: 127.0.0.1 leads out by the default route. That this is so is seen when the
    // host itself opens the way that `route_localnet` of its outer link is.
    within(&world.other, || set("ipv4/conf/up0/route_localnet", "1"));
    unreachable(&world.other, (LOCAL, 99));
    world.on_host(|| set("ipv4/conf/up0/route_localnet", "1"));
    assert_eq!(reach(&world.other, (LOCAL, 99)), OTHER.to_string());
    unreachable(&world.other, (LOCAL, 8081));
    let rogue = world.bare_container(&bridge);
    within(&rogue.netns, || {
        world::lower_loopback();
        set("ipv4/conf/eth0/route_localnet", "1");
    });
    unreachable(&rogue.netns, (LOCAL, 99));
}

#[test]
fn a_udp_flow_follows_its_port_to_the_next_container() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut first = world.container(&bridge);
    let mut second = world.container(&bridge);
    let client = world::udp_client(&world.other, (HOST, 5353));
    publish(&world, &bridge, &mut first, &[request(Protocol::Udp, 5353)]);
    assert_eq!(world::say(&client).as_deref(), Some("198.51.100.2 172.17.0.2"));
    world.on_host(|| bridge.unpublish(&first.endpoint)).unwrap();
    publish(&world, &bridge, &mut second, &[request(Protocol::Udp, 5353)]);
    assert_eq!(world::say(&client).as_deref(), Some("198.51.100.2 172.17.0.3"));
}

#[test]
fn two_engines_do_not_reach_into_each_others_bridges() {
    let world = World::new();
    let one = world.up(&[]);
    let two = world.up_as("dhow-two", Some("172.18.0.1/16"));
    let mut here = world.container(&one);
    let there = world.container(&two);
    unreachable(&there.netns, (here.endpoint.address, 80));
    unreachable(&here.netns, (there.endpoint.address, 80));
    publish(&world, &one, &mut here, &[request(Protocol::Tcp, 8080)]);
    assert!(!reach(&there.netns, (HOST, 8080)).is_empty());
    world.on_host(|| two.down()).unwrap();
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
}

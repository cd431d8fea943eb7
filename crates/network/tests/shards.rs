//! A network with more containers than a bridge has ports.

mod world;

use network::{Bridge, Endpoint, Options, Protocol, Wish};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use world::{
    HOST, OTHER, World, host_links, links, options, publish, reach, reach_udp, request, run, serve_tcp, set,
    unreachable, within,
};

/// Containers on the first bridge of a network; there are 1,023 ports, of which some are kept.
const FIRST: usize = 959;

/// As many ends as fill the first bridge but for `less`, all of one namespace.
fn crowd(world: &World, bridge: &Bridge, less: usize) -> (OwnedFd, Vec<Endpoint>) {
    let netns = sys::netns::create().unwrap();
    let wish = |number: usize| Wish { link: format!("e{number}"), ..Wish::default() };
    let attach = |number| world.on_host(|| bridge.attach_as(netns.as_fd(), &wish(number))).unwrap();
    let ends = (0..FIRST - less).map(attach).collect();
    (netns, ends)
}

fn bridges(world: &World) -> Vec<String> {
    let names = links(world);
    names
        .into_iter()
        .filter(|name| name == "dhow0" || (name.starts_with("dh") && name.get(3..4) == Some("-")))
        .collect()
}

/// The bridge that a container's link is a port of.
fn bridge_of(world: &World, end: &Endpoint) -> String {
    let told = run(world, &format!("ip -o link show {}", end.host_link));
    told.split_once(" master ").unwrap().1.split(' ').next().unwrap().to_owned()
}

/// `show_to_iptables`: the kernel shows bridged packets to iptables.
fn reached_from_everywhere(show_to_iptables: &str) {
    let world = World::new();
    world.on_host(|| {
        set("bridge/bridge-nf-call-iptables", show_to_iptables);
        set("ipv4/conf/all/rp_filter", "1");
    });
    let bridge = world.up(&[]);
    let first = world.container(&bridge);
    let (_crowd, _ends) = crowd(&world, &bridge, 1);
    let mut last = world.container(&bridge);
    let neighbour = world.container(&bridge);
    assert_eq!(bridges(&world).len(), 2);
    assert_eq!(bridge_of(&world, &first.endpoint), "dhow0");
    assert_ne!(bridge_of(&world, &last.endpoint), "dhow0");
    let (gateway, address) = (bridge.gateway().to_string(), last.endpoint.address);
    for one in [&first, &neighbour] {
        assert_eq!(reach(&one.netns, (address, 80)), one.endpoint.address.to_string());
    }
    assert_eq!(reach(&last.netns, (first.endpoint.address, 80)), address.to_string());
    publish(&world, &bridge, &mut last, &[request(Protocol::Tcp, 8080), request(Protocol::Udp, 8080)]);
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    assert_eq!(reach_udp(&world.other, (HOST, 8080)), OTHER.to_string());
    assert_eq!(reach(&world.host, (HOST, 8080)), HOST.to_string());
    assert_eq!(reach(&world.host, (Ipv4Addr::LOCALHOST, 8080)), gateway);
    let on_the_same = if show_to_iptables == "0" { vec![&neighbour, &last] } else { Vec::new() };
    for one in [vec![&first], on_the_same].concat() {
        assert_eq!(reach(&one.netns, (HOST, 8080)), gateway);
        assert_eq!(reach_udp(&one.netns, (bridge.gateway(), 8080)), gateway);
    }
    let outside = within(&world.other, || TcpListener::bind("0.0.0.0:99").unwrap());
    std::thread::spawn(move || serve_tcp(&outside));
    assert_eq!(reach(&last.netns, (OTHER, 99)), HOST.to_string());
    unreachable(&world.other, (address, 80));
}

#[test]
fn a_container_beyond_the_ports_of_a_bridge_is_as_the_others() {
    reached_from_everywhere("0");
}

#[test]
fn a_container_beyond_the_ports_of_a_bridge_is_as_the_others_where_iptables_sees_bridged_packets() {
    reached_from_everywhere("1");
}

#[test]
fn containers_that_are_to_be_alone_are_so_on_all_bridges_of_a_network() {
    let world = World::new();
    let alone = Options { together: false, ..options() };
    let bridge = world.on_host(|| Bridge::up(alone, &[])).unwrap();
    let first = world.container(&bridge);
    let (_crowd, _ends) = crowd(&world, &bridge, 1);
    let (last, neighbour) = (world.container(&bridge), world.container(&bridge));
    let here = world.on_host(|| TcpListener::bind((bridge.gateway(), 99)).unwrap());
    std::thread::spawn(move || serve_tcp(&here));
    let all = [&first, &last, &neighbour];
    for one in all {
        assert_eq!(reach(&one.netns, (bridge.gateway(), 99)), one.endpoint.address.to_string());
        for other in all.iter().filter(|other| other.endpoint.id != one.endpoint.id) {
            unreachable(&one.netns, (other.endpoint.address, 80));
        }
    }
}

#[test]
fn the_next_engine_finds_all_bridges_of_a_network_and_its_end_leaves_none() {
    let world = World::new();
    let bridge = world.up(&[]);
    let (_crowd, ends) = crowd(&world, &bridge, 0);
    let (kept, stale) = (world.container(&bridge), world.bare_container(&bridge));
    let before = bridges(&world);
    drop(bridge);
    let used: Vec<Endpoint> = ends.iter().chain([&kept.endpoint]).cloned().collect();
    let bridge = world.up(&used);
    assert_eq!(bridges(&world), before);
    assert!(!links(&world).contains(&stale.endpoint.host_link));
    // The first bridge is as full as it was; what leaves it makes room there.
    let next = world.container(&bridge);
    assert_ne!(bridge_of(&world, &next.endpoint), "dhow0");
    assert_eq!(reach(&next.netns, (kept.endpoint.address, 80)), next.endpoint.address.to_string());
    world.on_host(|| bridge.detach(&ends[0])).unwrap();
    assert_eq!(bridge_of(&world, &world.bare_container(&bridge).endpoint), "dhow0");
    world.on_host(|| bridge.down()).unwrap();
    assert_eq!(host_links(&world), Vec::<String>::new());
    assert!(links(&world).iter().all(|link| link == "lo" || link == "up0"), "{:?}", links(&world));
    assert!(!run(&world, "nft list ruleset").contains("dh"));
}

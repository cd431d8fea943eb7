//! Up, adopted, mended, taken down; and what is left afterwards.

mod world;

use base::{Kind, Kinded};
use network::{Bridge, Endpoint, Error, Options, PortRequest, Protocol};
use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use world::{HOST, OTHER, World, host_links, links, options, publish, reach, request, run, unreachable, within};

fn range(first: u16, last: u16) -> PortRequest {
    PortRequest { host_ports: (first, last), ..request(Protocol::Tcp, 0) }
}

#[test]
fn a_container_gets_address_route_and_settings() {
    let world = World::new();
    let bridge = world.up(&[]);
    let container = world.bare_container(&bridge);
    let endpoint = &container.endpoint;
    assert_eq!((endpoint.address, endpoint.prefix), (Ipv4Addr::new(172, 17, 0, 2), 16));
    assert_eq!((endpoint.gateway, endpoint.mac.as_str()), (Some(bridge.gateway()), "02:42:ac:11:00:02"));
    assert!(endpoint.host_link.len() <= 15);
    within(&container.netns, || {
        let mut socket = netlink::Socket::route().unwrap();
        let eth0 = socket.link("eth0").unwrap().unwrap();
        assert!(eth0.up && socket.link("lo").unwrap().unwrap().up);
        assert_eq!(eth0.mac, Some([0x02, 0x42, 0xac, 0x11, 0, 2]));
        let default = socket.routes().unwrap().into_iter().find(|r| r.destination.prefix_len() == 0);
        assert_eq!(default.unwrap().link, Some(eth0.index));
        for (name, value) in [
            ("ipv4/ip_unprivileged_port_start", "0"),
            ("ipv4/ping_group_range", "0\t2147483647"),
            ("ipv6/conf/eth0/disable_ipv6", "1"),
            ("ipv6/conf/eth0/accept_ra", "0"),
        ] {
            assert_eq!(world::get(name), value, "{name}");
        }
    });
}

/// As the engine has them: the namespace belongs to a user namespace in which nobody of the host is root.
#[test]
fn a_namespace_of_another_user_namespace_is_attached_from_outside() {
    let world = World::new();
    let bridge = world.up(&[]);
    let process = world::Sleeper::in_own_user_and_network_namespace();
    let netns = process.netns();
    let endpoint = world.on_host(|| bridge.attach(netns.as_fd())).unwrap();
    within(&netns, || {
        assert_eq!(world::get("ipv4/ip_unprivileged_port_start"), "0");
        assert_eq!(world::get("ipv4/ping_group_range"), "0\t2147483647");
    });
    world.on_host(|| bridge.leave(&endpoint)).unwrap();
    drop((netns, process));
    world::until("the kernel removes the veth", || host_links(&world).is_empty());
}

#[test]
fn a_namespace_without_a_bridge_gets_lo_and_the_same_settings() {
    let netns = sys::netns::create().unwrap();
    network::loopback_up(netns.as_fd()).unwrap();
    within(&netns, || {
        assert!(netlink::Socket::route().unwrap().link("lo").unwrap().unwrap().up);
        assert_eq!(world::get("ipv4/ip_unprivileged_port_start"), "0");
    });
}

#[test]
fn down_leaves_nothing_of_ours() {
    let world = World::new();
    let before = (links(&world), run(&world, "nft list ruleset"));
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080), request(Protocol::Udp, 8080)]);
    world.on_host(|| bridge.down()).unwrap();
    assert_eq!((links(&world), run(&world, "nft list ruleset")), before);
    world.on_host(|| TcpListener::bind("0.0.0.0:8080")).unwrap();
    world.on_host(|| bridge.down()).unwrap();
}

#[test]
fn detach_takes_everything_back_even_when_the_namespace_is_gone() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut living = world.container(&bridge);
    publish(&world, &bridge, &mut living, &[request(Protocol::Tcp, 8080)]);
    let netns = sys::netns::create().unwrap();
    let mut dead = world.on_host(|| bridge.attach(netns.as_fd())).unwrap();
    world.on_host(|| bridge.publish(&mut dead, &[request(Protocol::Tcp, 8081)])).unwrap();
    drop(netns);
    world.on_host(|| {
        bridge.detach(&living.endpoint).unwrap();
        bridge.detach(&dead).unwrap();
        bridge.detach(&dead).unwrap();
    });
    assert_eq!(host_links(&world), Vec::<String>::new());
    let rules = run(&world, "nft list ruleset");
    assert!(!rules.contains("8080") && !rules.contains("8081"), "{rules}");
    world.on_host(|| TcpListener::bind("0.0.0.0:8080")).unwrap();
}

#[test]
fn an_attach_that_fails_half_way_leaves_nothing() {
    let world = World::new();
    let bridge = world.up(&[]);
    let taken = world.bare_container(&bridge);
    let again = world.on_host(|| bridge.attach(taken.netns.as_fd()));
    assert_eq!(again.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(host_links(&world), std::slice::from_ref(&taken.endpoint.host_link));
    let no_namespace = std::fs::File::open("/dev/null").unwrap();
    assert!(world.on_host(|| bridge.attach(no_namespace.as_fd())).is_err());
    world.on_host(|| bridge.detach(&taken.endpoint)).unwrap();
    assert_eq!(host_links(&world), Vec::<String>::new());
}

#[test]
fn the_next_engine_adopts_what_is_in_use_and_sweeps_the_rest() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut kept = world.container(&bridge);
    let mut stale = world.container(&bridge);
    publish(&world, &bridge, &mut kept, &[request(Protocol::Tcp, 8080)]);
    publish(&world, &bridge, &mut stale, &[request(Protocol::Tcp, 8081)]);
    drop(bridge);
    let bridge = world.up(std::slice::from_ref(&kept.endpoint));
    assert_eq!(host_links(&world), std::slice::from_ref(&kept.endpoint.host_link));
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    unreachable(&world.other, (HOST, 8081));
    assert!(world.on_host(|| TcpListener::bind("0.0.0.0:8080")).is_err());
    world.on_host(|| TcpListener::bind("0.0.0.0:8081")).unwrap();
    let next = world.bare_container(&bridge);
    assert_ne!(next.endpoint.address, kept.endpoint.address);
    world.on_host(|| bridge.detach(&kept.endpoint)).unwrap();
    unreachable(&world.other, (HOST, 8080));
}

#[test]
fn a_bridge_keeps_its_subnet_and_one_that_would_cut_off_containers_is_refused() {
    let world = World::new();
    let any = Options { subnet: None, ..options() };
    let first = world.on_host(|| Bridge::up(any.clone(), &[])).unwrap();
    assert_eq!(first.subnet().to_string(), "172.17.0.0/16");
    let used = world.bare_container(&first);
    let second =
        world.on_host(|| Bridge::up(Options { bridge: "dhow1".into(), table: "dhow1".into(), ..any.clone() }, &[]));
    assert_eq!(second.unwrap().subnet().to_string(), "172.18.0.0/16");
    let again = world.on_host(|| Bridge::up(any.clone(), std::slice::from_ref(&used.endpoint))).unwrap();
    assert_eq!(again.gateway(), first.gateway());
    let moved = Options { subnet: Some("10.77.0.1/24".parse().unwrap()), ..any };
    let refused = world.on_host(|| Bridge::up(moved.clone(), std::slice::from_ref(&used.endpoint)));
    assert!(matches!(refused, Err(Error::Invalid(_))));
    let moved = world.on_host(|| Bridge::up(moved, &[])).unwrap();
    assert_eq!(world.bare_container(&moved).endpoint.address.to_string(), "10.77.0.2");
}

#[test]
fn a_link_that_is_no_bridge_is_not_touched() {
    let world = World::new();
    let refused = world.on_host(|| Bridge::up(Options { bridge: "up0".into(), ..options() }, &[]));
    assert!(matches!(refused, Err(Error::Invalid(_))));
}

#[test]
fn rules_that_were_flushed_are_back_with_the_next_container() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    publish(&world, &bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    let rules = run(&world, "nft list ruleset");
    run(&world, "nft flush ruleset");
    unreachable(&world.other, (HOST, 8080));
    let _next = world.bare_container(&bridge);
    assert_eq!(run(&world, "nft list ruleset"), rules);
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    run(&world, "nft flush ruleset");
    world.on_host(|| bridge.detach(&container.endpoint)).unwrap();
}

#[test]
fn a_taken_port_names_who_has_it_and_nothing_is_published() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let program = world.on_host(|| TcpListener::bind("0.0.0.0:8090")).unwrap();
    let wanted = [request(Protocol::Tcp, 8080), request(Protocol::Tcp, 8090)];
    let refused = world.on_host(|| bridge.publish(&mut container.endpoint, &wanted)).unwrap_err();
    let pid = format!("(pid {})", std::process::id());
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(matches!(refused, Error::PortTaken { port: 8090, owner: Some(o), .. } if o.ends_with(&pid)));
    assert_eq!(container.endpoint.ports, []);
    unreachable(&world.other, (HOST, 8080));
    drop(program);
    publish(&world, &bridge, &mut container, &wanted);
    let mut other = world.bare_container(&bridge);
    let refused = world.on_host(|| bridge.publish(&mut other.endpoint, &wanted)).unwrap_err();
    assert_eq!(refused.to_string(), "port 0.0.0.0:8080/tcp is taken by container 172.17.0.2");
}

#[test]
fn a_range_gives_its_first_free_port_and_port_zero_any() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let _program = world.on_host(|| TcpListener::bind("0.0.0.0:8000")).unwrap();
    publish(&world, &bridge, &mut container, &[range(8000, 8002), range(8000, 8002), range(0, 0)]);
    let ports: Vec<u16> = container.endpoint.ports.iter().map(|p| p.host_port).collect();
    assert_eq!(ports[..2], [8001, 8002]);
    assert_eq!(reach(&world.other, (HOST, ports[2])), OTHER.to_string());
    let full = world.on_host(|| bridge.publish(&mut container.endpoint, &[range(8000, 8002)]));
    assert!(matches!(full, Err(Error::PortsExhausted(8000, 8002))));
    let sctp = PortRequest { protocol: Protocol::Sctp, ..range(0, 0) };
    publish(&world, &bridge, &mut container, &[sctp]);
    assert_eq!(container.endpoint.ports.len(), 4);
}

#[test]
fn thousands_of_ports_are_published_at_once() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let many: Vec<PortRequest> = (20_000..23_000).map(|p| request(Protocol::Tcp, p)).collect();
    publish(&world, &bridge, &mut container, &many);
    assert_eq!(reach(&world.other, (HOST, 22_999)), OTHER.to_string());
    world.on_host(|| bridge.detach(&container.endpoint)).unwrap();
    assert!(!run(&world, "nft list ruleset").contains("22999"));
}

#[test]
fn containers_that_start_at_once_get_different_addresses_until_none_is_left() {
    let world = World::new();
    let bridge = world.up_as("dhow-small", Some("10.66.0.1/27"));
    let spaces: Vec<_> = (0..30).map(|_| sys::netns::create().unwrap()).collect();
    let attach = |some: &[std::os::fd::OwnedFd]| -> Vec<Result<Endpoint, Error>> {
        world.on_host(|| some.iter().map(|n| bridge.attach(n.as_fd())).collect())
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = spaces.chunks(8).map(|some| scope.spawn(move || attach(some))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let endpoints: Vec<Endpoint> = results.iter().filter_map(|r| r.as_ref().ok().cloned()).collect();
    let addresses: HashSet<Ipv4Addr> = endpoints.iter().map(|e| e.address).collect();
    assert_eq!((endpoints.len(), addresses.len()), (29, 29));
    assert!(results.iter().any(|r| matches!(r, Err(Error::AddressesExhausted(_)))));
    world.on_host(|| bridge.detach_all(&endpoints)).unwrap();
    assert_eq!(host_links(&world), Vec::<String>::new());
}

#[test]
fn an_address_that_was_left_is_given_out_again_when_its_link_is_gone() {
    let world = World::new();
    let bridge = world.up_as("dhow-small", Some("10.66.0.1/30"));
    let held = world.bare_container(&bridge);
    world.on_host(|| bridge.leave(&held.endpoint)).unwrap();
    // The only address: its namespace is still held here, so its link is removed first.
    let next = world.bare_container(&bridge);
    assert_eq!(next.endpoint.address, held.endpoint.address);
    assert_eq!(host_links(&world), std::slice::from_ref(&next.endpoint.host_link));
}

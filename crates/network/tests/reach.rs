//! Who reaches whom: published ports, masquerade, isolation.

mod world;

use network::{PortRequest, Protocol};
use std::net::Ipv4Addr;
use world::{HOST, OTHER, World, reach, reach_udp, unreachable};

fn request(protocol: Protocol, host_ip: Option<Ipv4Addr>, port: u16) -> PortRequest {
    PortRequest { container_port: 80, protocol, host_ip, host_ports: (port, port) }
}

#[test]
fn timing() {
    use std::os::fd::AsFd;
    let world = World::new();
    let bridge = world.up(&[]);
    let spaces: Vec<_> = (0..30).map(|_| sys::netns::create().unwrap()).collect();
    world.on_host(|| {
        let (mut a, mut p, mut u, mut d) = (vec![], vec![], vec![], vec![]);
        for (i, s) in spaces.iter().enumerate() {
            let t = std::time::Instant::now();
            let mut e = bridge.attach(s.as_fd()).unwrap();
            a.push(t.elapsed().as_micros());
            let t = std::time::Instant::now();
            bridge.publish(&mut e, &[request(Protocol::Tcp, None, 8000 + i as u16)]).unwrap();
            p.push(t.elapsed().as_micros());
            let t = std::time::Instant::now();
            bridge.unpublish(&e).unwrap();
            u.push(t.elapsed().as_micros());
            let t = std::time::Instant::now();
            bridge.detach(&e).unwrap();
            d.push(t.elapsed().as_micros());
        }
        for v in [&mut a, &mut p, &mut u, &mut d] { v.sort(); eprintln!("{:?} median {}", v, v[v.len()/2]); }
    });
}

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let requests = [request(Protocol::Tcp, None, 8080), request(Protocol::Udp, None, 8080)];
    world.on_host(|| bridge.publish(&mut container.endpoint, &requests)).unwrap();
    eprintln!("{}", world::run(&world, "nft list ruleset"));
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    assert_eq!(reach_udp(&world.other, (HOST, 8080)), OTHER.to_string());
    assert_eq!(reach(&world.host, (HOST, 8080)), HOST.to_string());
    assert_eq!(reach(&world.host, (Ipv4Addr::LOCALHOST, 8080)), "172.17.0.1");
    assert_eq!(reach_udp(&world.host, (Ipv4Addr::LOCALHOST, 8080)), "172.17.0.1");
    assert_eq!(reach(&world.host, (bridge.gateway(), 8080)), "172.17.0.1");
    let neighbour = world.container(&bridge);
    if let Ok(v) = std::env::var("BRNF") { world::run(&world, &format!("sysctl -w net.bridge.bridge-nf-call-iptables={v}")); }
    if std::env::var("TRACE").is_ok() {
        world::run(&world, "nft add table ip tr");
        world.on_host(|| std::process::Command::new("sh").arg("-c").arg("nft add chain ip tr t '{ type filter hook prerouting priority -350; }'; nft add rule ip tr t meta nftrace set 1; (timeout 3 nft monitor trace > /tmp/nettrace.txt 2>&1 &) ; sleep 0.5").status().unwrap());
    }
    assert_eq!(reach(&neighbour.netns, (HOST, 8080)), "172.17.0.1");
    assert_eq!(reach(&container.netns, (HOST, 8080)), "172.17.0.1");
    assert_eq!(reach(&container.netns, (bridge.gateway(), 8080)), "172.17.0.1");
    assert_eq!(reach(&neighbour.netns, (container.endpoint.address, 80)), neighbour.endpoint.address.to_string());
}

#[test]
fn nothing_but_published_ports_is_reached_from_outside() {
    let world = World::new();
    let bridge = world.up(&[]);
    let mut container = world.container(&bridge);
    let address = container.endpoint.address;
    unreachable(&world.other, (address, 80));
    let local = [request(Protocol::Tcp, Some(Ipv4Addr::LOCALHOST), 8081)];
    world.on_host(|| bridge.publish(&mut container.endpoint, &local)).unwrap();
    assert_eq!(reach(&world.host, (Ipv4Addr::LOCALHOST, 8081)), "172.17.0.1");
    unreachable(&world.other, (HOST, 8081));
    unreachable(&world.other, (address, 80));
}

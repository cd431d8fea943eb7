//! What is said of a port is what becomes of packets to it.

mod world;

use network::{Bridge, Explanation, Firewall, Ground, How, Outcome, Place, Port, PortRequest, Protocol, Sender};
use std::net::Ipv4Addr;
use std::sync::Arc;
use world::{HOST, OTHER, World, options, publish, reach, request, run, unreachable};

struct Scene {
    world: World,
    ground: Arc<Ground>,
    bridge: Arc<Bridge>,
}

impl Scene {
    fn new(firewall: Firewall) -> Scene {
        let world = World::new();
        let (ground, bridge) = world.on_host(|| {
            let ground = Arc::new(Ground::new("dhow0", None).unwrap().obeying(firewall));
            let bridge = Bridge::first(&ground, options(), &[]).unwrap();
            bridge.check().unwrap();
            (ground, Arc::new(bridge))
        });
        Scene { world, ground, bridge }
    }

    fn explain(&self, port: u16) -> Explanation {
        self.world.on_host(|| self.ground.explain(Protocol::Tcp, port, std::slice::from_ref(&self.bridge))).unwrap()
    }

    fn outcome(&self, sender: Sender, port: u16) -> Outcome {
        self.explain(port).ways.into_iter().find(|way| way.sender == sender).unwrap().outcome
    }

    /// What is said of packets from another machine, and that it is so.
    fn outside(&self, port: u16) -> Outcome {
        let outcome = self.outcome(Sender::Outside, port);
        match outcome {
            Outcome::Reaches => assert_eq!(reach(&self.world.other, (HOST, port)), OTHER.to_string()),
            Outcome::Stops(..) | Outcome::LoopbackOnly => unreachable(&self.world.other, (HOST, port)),
            Outcome::MayStop(..) => {}
        }
        outcome
    }

    /// The chain that stops packets from another machine, where it is and how.
    fn stop(&self, port: u16) -> (Place, String, How) {
        match self.outside(port) {
            Outcome::Stops(place, stop) => (place, format!("{} {} {}", stop.family, stop.table, stop.chain), stop.how),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_port_that_nobody_stops_is_reached_from_everywhere() {
    let scene = Scene::new(Firewall::Open);
    let mut container = scene.world.container(&scene.bridge);
    let local = PortRequest { host_ip: Some(Ipv4Addr::LOCALHOST.into()), ..request(Protocol::Tcp, 8081) };
    publish(&scene.world, &scene.bridge, &mut container, &[request(Protocol::Tcp, 8080), local]);
    assert_eq!(scene.outside(8080), Outcome::Reaches);
    for sender in [Sender::Machine, Sender::Container] {
        assert_eq!(scene.outcome(sender, 8080), Outcome::Reaches);
    }
    assert_eq!(scene.outside(8081), Outcome::LoopbackOnly);
    assert_eq!(scene.outcome(Sender::Machine, 8081), Outcome::Reaches);
    let nobody = scene.explain(8082);
    assert_eq!((nobody.ways, nobody.listener), (Vec::new(), None));
}

#[test]
fn a_program_of_the_machine_is_named_where_no_container_has_the_port() {
    let scene = Scene::new(Firewall::Open);
    let _listener = scene.world.on_host(|| std::net::TcpListener::bind("0.0.0.0:8083").unwrap());
    let told = scene.explain(8083).listener.unwrap();
    assert!(told.ends_with(&format!("(pid {})", std::process::id())), "{told}");
}

#[test]
fn the_rule_that_stops_it_is_named() {
    let scene = Scene::new(Firewall::Open);
    let mut container = scene.world.container(&scene.bridge);
    publish(&scene.world, &scene.bridge, &mut container, &[request(Protocol::Tcp, 8080), request(Protocol::Tcp, 8081)]);
    let nft = |line: &str| run(&scene.world, &format!("nft {line}"));
    nft("add table inet mine");
    nft("add chain inet mine out { type filter hook forward priority 10 ; policy drop ; }");
    nft("add set inet mine ports { type inet_service ; flags interval ; }");
    nft("add element inet mine ports { 80-89 }");
    nft("add rule inet mine out ct state established,related accept");
    nft("add rule inet mine out oifname dhow0 tcp dport @ports accept");
    assert_eq!(scene.outside(8080), Outcome::Reaches);
    nft("flush set inet mine ports");
    assert_eq!(scene.stop(8080), (Place::Forward, "inet mine out".to_owned(), How::Policy));
    nft("add rule inet mine out ct status dnat accept");
    assert_eq!(scene.outside(8080), Outcome::Reaches);
    nft("add chain inet mine deny");
    nft("add rule inet mine deny ip daddr 172.17.0.0/16 reject");
    nft("insert rule inet mine out iifname vmap { up0 : jump deny }");
    assert_eq!(scene.stop(8080), (Place::Forward, "inet mine deny".to_owned(), How::Reject));
    assert_eq!(scene.outcome(Sender::Machine, 8080), Outcome::Reaches);
}

#[test]
fn chains_of_iptables_are_read() {
    let scene = Scene::new(Firewall::Open);
    let mut container = scene.world.container(&scene.bridge);
    publish(&scene.world, &scene.bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    run(&scene.world, "ip route add default dev up0");
    let iptables = |line: &str| run(&scene.world, &format!("iptables-nft {line}"));
    iptables("-N DOCKER-USER");
    iptables("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
    iptables("-A FORWARD -j DOCKER-USER");
    for allowing in
        ["-p tcp --dport 80", "-m conntrack --ctstate NEW", "-p tcp -m multiport --dports 22,70:90", "-d 172.17.0.0/16"]
    {
        iptables(&format!("-I DOCKER-USER -i up0 {allowing} -m comment --comment no -j DROP"));
        assert_eq!(scene.stop(8080), (Place::Forward, "ip filter DOCKER-USER".to_owned(), How::Drop), "{allowing}");
        iptables(&format!("-D DOCKER-USER -i up0 {allowing} -m comment --comment no -j DROP"));
        assert_eq!(scene.outside(8080), Outcome::Reaches, "{allowing}");
    }
    for passing in [
        "-p udp",
        "-p tcp --dport 81",
        "-m conntrack --ctstate INVALID",
        "-p tcp -m multiport --dports 1:79",
        "-i eth9",
        "-s 127.0.0.0/8 -p udp",
    ] {
        iptables(&format!("-I DOCKER-USER {passing} -j REJECT"));
        assert_eq!(scene.outside(8080), Outcome::Reaches, "{passing}");
    }
}

#[test]
fn where_the_machine_s_own_rules_decide_they_are_told() {
    let scene = Scene::new(Firewall::Host);
    let mut container = scene.world.container(&scene.bridge);
    publish(&scene.world, &scene.bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    run(&scene.world, "ip route add default dev up0");
    assert_eq!(scene.outside(8080), Outcome::Reaches);
    run(&scene.world, "iptables-nft -P INPUT DROP");
    assert_eq!(scene.stop(8080), (Place::Input, "ip filter INPUT".to_owned(), How::Policy));
    run(&scene.world, "iptables-nft -A INPUT -p tcp --dport 8080 -j ACCEPT");
    assert_eq!(scene.outside(8080), Outcome::Reaches);
}

#[test]
fn rules_that_cannot_be_read_are_told_of() {
    let scene = Scene::new(Firewall::Open);
    assert!(!scene.explain(8080).has_legacy);
    run(&scene.world, "iptables-legacy -A FORWARD -j ACCEPT");
    assert!(scene.explain(8080).has_legacy);
}

#[test]
fn ports_of_a_container_are_explained_from_each_address_they_are_published_on() {
    let scene = Scene::new(Firewall::Open);
    let mut container = scene.world.container(&scene.bridge);
    let at = PortRequest { host_ip: Some(HOST.into()), ..request(Protocol::Tcp, 8080) };
    publish(&scene.world, &scene.bridge, &mut container, &[at]);
    let ports: Vec<Port> = scene.explain(8080).ways.into_iter().map(|way| way.port).collect();
    assert_eq!(ports, [container.endpoint.ports[0].clone(), ports[1].clone(), ports[2].clone()]);
    assert_eq!(scene.outside(8080), Outcome::Reaches);
}

//! On a host with Docker's rules in iptables (the nf_tables variant, as on Debian).

mod world;

use network::Protocol;
use std::net::TcpListener;
use world::{HOST, OTHER, World, publish, reach, request, run, serve_tcp, unreachable, within};

/// What dockerd 20.10 and later set up, in the order of its log.
const DOCKER: &[&str] = &[
    "-N DOCKER",
    "-N DOCKER-ISOLATION-STAGE-1",
    "-N DOCKER-ISOLATION-STAGE-2",
    "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
    "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
    "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
    "-A DOCKER-ISOLATION-STAGE-2 -j RETURN",
    "-N DOCKER-USER",
    "-A DOCKER-USER -j RETURN",
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A FORWARD -o docker0 -j DOCKER",
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
    "-A FORWARD -i docker0 -o docker0 -j ACCEPT",
    "-P FORWARD DROP",
];

fn dockerd(world: &World) {
    DOCKER.iter().for_each(|line| drop(run(world, &format!("iptables {line}"))));
}

fn reaches_in_and_out(world: &World, bridge: &network::Bridge) {
    let mut container = world.container(bridge);
    publish(world, bridge, &mut container, &[request(Protocol::Tcp, 8080)]);
    assert_eq!(reach(&world.other, (HOST, 8080)), OTHER.to_string());
    let outside = within(&world.other, || TcpListener::bind("0.0.0.0:0").unwrap());
    let port = outside.local_addr().unwrap().port();
    std::thread::spawn(move || serve_tcp(&outside));
    assert_eq!(reach(&container.netns, (OTHER, port)), HOST.to_string());
    let neighbour = world.container(bridge);
    assert!(!reach(&container.netns, (neighbour.endpoint.address, 80)).is_empty());
    unreachable(&world.other, (container.endpoint.address, 80));
}

#[test]
fn packets_pass_dockers_policy_and_its_rules_are_as_before_when_we_are_gone() {
    let world = World::new();
    dockerd(&world);
    let before = run(&world, "iptables -S");
    let bridge = world.up(&[]);
    reaches_in_and_out(&world, &bridge);
    let during = run(&world, "iptables -S DOCKER-USER");
    assert!(during.contains("-i dhow0"), "iptables reads our rules: {during}");
    run(&world, "iptables -C DOCKER-USER -j RETURN");
    world.on_host(|| bridge.down()).unwrap();
    assert_eq!(run(&world, "iptables -S"), before);
}

#[test]
fn a_dockerd_that_comes_later_is_noticed_with_the_next_container() {
    let world = World::new();
    let bridge = world.up(&[]);
    dockerd(&world);
    reaches_in_and_out(&world, &bridge);
    run(&world, "iptables -F DOCKER-USER");
    let _next = world.bare_container(&bridge);
    assert!(run(&world, "iptables -S DOCKER-USER").contains("-o dhow0 "));
    // An engine that comes after a kill -9 finds its own rules.
    drop(bridge);
    reaches_in_and_out(&world, &world.up(&[]));
    assert_eq!(run(&world, "iptables -S DOCKER-USER").matches("-o dhow0 ").count(), 1);
}

#[test]
fn a_closed_forward_chain_without_docker_is_opened_for_us_alone() {
    let world = World::new();
    run(&world, "iptables -P FORWARD DROP");
    let bridge = world.up(&[]);
    reaches_in_and_out(&world, &bridge);
    dockerd(&world);
    world.on_host(|| bridge.check()).unwrap();
    assert!(!run(&world, "iptables -S FORWARD").contains("dhow0"));
    world.on_host(|| bridge.down()).unwrap();
    assert!(!run(&world, "iptables -S").contains("dhow0"));
}

#[test]
fn an_open_forward_chain_is_left_alone() {
    let world = World::new();
    run(&world, "iptables -A FORWARD -i nobody -j DROP");
    let before = run(&world, "iptables -S");
    let _bridge = world.up(&[]);
    assert_eq!(run(&world, "iptables -S"), before);
}

/// Docker's own containers stay as closed to ours as to everybody: they are where our bridge's rules lead back to Docker's.
#[test]
fn dockers_containers_are_not_opened_by_our_rules() {
    let world = World::new();
    dockerd(&world);
    let docker0 = world.up_as("docker0", Some("172.30.0.1/16"));
    let theirs = world.container(&docker0);
    // Docker's network is played by a bridge of that name: its own table would protect it better than Docker's rules.
    run(&world, "nft delete table ip docker0");
    let bridge = world.up(&[]);
    let ours = world.bare_container(&bridge);
    unreachable(&ours.netns, (theirs.endpoint.address, 80));
    // It is Docker's rules that forbid it: without ours before them the way would be open.
    run(&world, "iptables -I DOCKER-USER -i dhow0 -j ACCEPT");
    assert_eq!(reach(&ours.netns, (theirs.endpoint.address, 80)), docker0.gateway().to_string());
}

//! Networks that people make: who reaches whom, by name and address, while containers and engines come and go.

use it::{Stage, within};

/// Serves `page` on port 80.
const SERVE: &[&str] = &["busybox", "sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"];
/// What a server says to a container, by name or address.
const FETCH: &str = "printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 $0 80 | tail -n 1";

fn serve(stage: &Stage, name: &str, flags: &[&str]) {
    let mut words = vec!["run", "-d", "--name", name];
    words.extend(flags);
    words.extend(SERVE);
    stage.dhow(words).ok();
}

/// What a container on `network` gets from `address`.
fn fetched(stage: &Stage, network: &str, address: &str) -> String {
    stage.dhow(["run", "--rm", "--network", network, "busybox", "sh", "-c", FETCH, address]).out
}

/// What the machine gets from `address:port`. By bash, which needs no name service.
fn from_machine(stage: &Stage, host: &str, port: u16) -> String {
    let line = format!(
        "timeout 2 bash -c 'exec 3<>/dev/tcp/{host}/{port} && printf \"GET /index.html HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3'"
    );
    let said = stage.shell_inside(&line).out;
    said.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

fn address(stage: &Stage, container: &str, network: &str) -> String {
    let template = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    stage.dhow(["inspect", "-f", &template, container]).ok().trim().to_owned()
}

fn routes(stage: &Stage, container: &str) -> String {
    stage.dhow(["exec", container, "ip", "route"]).ok()
}

#[test]
fn containers_of_a_network_reach_each_other_by_name_and_those_of_others_do_not() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "front"]).ok();
    stage.dhow(["network", "create", "back"]).ok();
    serve(&stage, "web", &["--network", "front", "--network-alias", "www"]);
    for name in ["web", "www", "web.front"] {
        within("it answers by name", || fetched(&stage, "front", name) == "page\n");
    }
    let there = address(&stage, "web", "front");
    for network in ["back", "bridge"] {
        assert_eq!(fetched(&stage, network, &there), "", "{network}");
        assert_eq!(fetched(&stage, network, "web"), "", "{network}");
    }
    assert_eq!(from_machine(&stage, &there, 80), "page\n");
    let refused = stage.dhow(["network", "rm", "front"]);
    assert!(refused.err.contains("has active endpoints (name:\"web\""), "{}", refused.err);
    stage.clear_networks(&["web"]);
}

#[test]
fn a_network_is_as_it_was_asked_for() {
    let stage = Stage::new();
    let words = "network create --subnet 10.61.0.0/16 --ip-range 10.61.7.0/24 --gateway 10.61.0.9 --aux-address r=10.61.7.0 --label a=b -o com.docker.network.driver.mtu=1400 net";
    stage.docker(words.split(' ')).ok();
    let shown =
        stage.docker(["network", "inspect", "-f", "{{json .IPAM.Config}} {{.Labels.a}} {{.Options}}", "net"]).ok();
    let config = r#"[{"Subnet":"10.61.0.0/16","IPRange":"10.61.7.0/24","Gateway":"10.61.0.9","AuxiliaryAddresses":{"r":"10.61.7.0"}}]"#;
    assert_eq!(shown, format!("{config} b map[com.docker.network.driver.mtu:1400]\n"));
    stage.dhow(["run", "-d", "--name", "one", "--network", "net", "busybox", "sleep", "1000"]).ok();
    assert_eq!(address(&stage, "one", "net"), "10.61.7.1");
    assert!(routes(&stage, "one").contains("default via 10.61.0.9"));
    assert!(stage.dhow(["exec", "one", "ip", "link", "show", "eth0"]).ok().contains("mtu 1400"));
    for (words, fault) in [
        ("network create net", "network with name net already exists"),
        ("network create --subnet 10.61.3.0/24 other", "Pool overlaps with other one on this address space"),
        ("network create bridge", "operation is not permitted on predefined bridge network"),
        ("network rm host", "host is a pre-defined network and cannot be removed"),
        ("network create --subnet 10.62.0.1/16 other", "invalid subnet 10.62.0.1/16: it should be 10.62.0.0/16"),
        ("network create -o com.docker.network.bridge.enable_icc=maybe other", "enable_icc"),
    ] {
        let said = stage.dhow(words.split(' '));
        assert!(said.code != 0 && said.err.contains(fault), "{words}: {}", said.err);
    }
    assert_eq!(stage.dhow(["network", "ls", "-q", "-f", "type=custom"]).ok().lines().count(), 1);
    stage.clear_networks(&["one"]);
}

#[test]
fn addresses_and_macs_of_choice_are_kept_over_restarts_and_not_given_twice() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "--subnet", "10.62.0.0/24", "net"]).ok();
    let mac = "02:42:00:00:00:99";
    stage
        .dhow([
            "run",
            "-d",
            "--name",
            "one",
            "--network",
            "net",
            "--ip",
            "10.62.0.50",
            "--mac-address",
            mac,
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    for _ in 0..2 {
        let shown = stage.dhow(["exec", "one", "ip", "addr", "show", "eth0"]).ok();
        assert!(shown.contains("10.62.0.50/24") && shown.contains(mac), "{shown}");
        stage.dhow(["restart", "-t", "0", "one"]).ok();
    }
    for (ip, fault) in [("10.62.0.50", "Address already in use"), ("10.9.9.9", "no configured subnet")] {
        let said = stage.dhow(["run", "--rm", "--network", "net", "--ip", ip, "busybox", "true"]);
        assert!(said.err.contains(fault), "{}", said.err);
    }
    stage.dhow(["network", "create", "free"]).ok();
    let said = stage.dhow(["run", "--rm", "--network", "free", "--ip", "172.18.0.9", "busybox", "true"]);
    assert!(said.code == 125 && said.err.contains("subnet"), "{}", said.err);
    stage.dhow(["rm", "-f", "one"]).ok();
    let others = stage.dhow(["ps", "-aq"]).ok();
    stage.clear_networks(&others.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_running_container_joins_and_leaves_networks() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "front"]).ok();
    stage.dhow(["network", "create", "zack"]).ok();
    serve(&stage, "web", &["--network", "front", "-p", "18082:80"]);
    stage.dhow(["network", "connect", "--alias", "also", "zack", "web"]).ok();
    within("it answers there too", || fetched(&stage, "zack", "also") == "page\n");
    assert!(routes(&stage, "web").contains("default") && routes(&stage, "web").contains("dev eth1"));
    let again = stage.dhow(["network", "connect", "zack", "web"]);
    assert!(again.err.contains("endpoint with name web already exists in network zack"), "{}", again.err);
    stage.dhow(["network", "disconnect", "front", "web"]).ok();
    let left = routes(&stage, "web");
    assert!(left.contains("default") && !left.contains("eth0"), "{left}");
    assert_eq!(fetched(&stage, "front", "web"), "");
    // The port goes with the default route.
    assert_eq!(from_machine(&stage, "127.0.0.1", 18082), "page\n");
    let template =
        "{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{$end.Aliases}} {{len $end.DNSNames}}{{end}}";
    assert_eq!(stage.docker(["inspect", "-f", template, "web"]).ok(), "zack [also] 3\n");
    stage.dhow(["restart", "-t", "0", "web"]).ok();
    within("it is there after a restart", || fetched(&stage, "zack", "also") == "page\n");
    stage.dhow(["rename", "web", "shop"]).ok();
    assert_eq!(fetched(&stage, "zack", "shop"), "page\n");
    stage.clear_networks(&["shop"]);
}

#[test]
fn a_container_of_the_default_bridge_that_joins_a_network_asks_the_engine_for_names() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "net"]).ok();
    serve(&stage, "web", &["--network", "net"]);
    stage.dhow(["run", "-d", "--name", "plain", "busybox", "sleep", "1000"]).ok();
    assert!(!stage.dhow(["exec", "plain", "cat", "/etc/resolv.conf"]).ok().contains("127.0.0.11"));
    stage.dhow(["network", "connect", "net", "plain"]).ok();
    assert!(
        stage
            .dhow(["exec", "plain", "cat", "/etc/resolv.conf"])
            .ok()
            .contains("nameserver 127.0.0.11\noptions ndots:0")
    );
    assert_eq!(stage.dhow(["exec", "plain", "sh", "-c", FETCH, "web"]).ok(), "page\n");
    // Port 53 is free for the container's own programs.
    stage.dhow(["exec", "plain", "httpd", "-p", "53", "-h", "/tmp"]).ok();
    assert_eq!(stage.dhow(["exec", "plain", "sh", "-c", FETCH, "web"]).ok(), "page\n");
    stage.clear_networks(&["web", "plain"]);
}

#[test]
fn the_default_route_is_that_of_the_highest_priority() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "--subnet", "10.63.0.0/24", "aa"]).ok();
    stage.dhow(["network", "create", "--subnet", "10.64.0.0/24", "bb"]).ok();
    let ways = |second: &str| {
        let words = ["run", "--rm", "--network", "aa", "--network", second, "busybox", "ip", "route"];
        stage.dhow(words).ok()
    };
    assert!(ways("bb").contains("default via 10.63.0.1 dev eth0"));
    assert!(ways("name=bb,gw-priority=1").contains("default via 10.64.0.1 dev eth1"));
    stage.clear_networks(&[]);
}

#[test]
fn an_internal_network_has_no_way_out_and_none_in() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "--internal", "inner"]).ok();
    stage.dhow(["network", "create", "outer"]).ok();
    serve(&stage, "web", &["--network", "inner"]);
    serve(&stage, "other", &["--network", "outer"]);
    within("it answers inside", || fetched(&stage, "inner", "web") == "page\n");
    let there = address(&stage, "web", "inner");
    assert_eq!(fetched(&stage, "outer", &there), "");
    assert_eq!(fetched(&stage, "inner", &address(&stage, "other", "outer")), "");
    assert!(!routes(&stage, "web").contains("default"));
    // What is asked of names does not leave either (CVE-2024-29018).
    let said = stage.dhow(["exec", "web", "nslookup", "example.com"]);
    assert!(said.out.contains("SERVFAIL"), "{}", said.out);
    stage.clear_networks(&["web", "other"]);
}

#[test]
fn containers_of_a_network_without_icc_reach_published_ports_only() {
    let stage = Stage::new();
    // Where br_netfilter rewrites bridged packets in passing, a published port of a neighbour is a neighbour as well.
    stage.shell_inside("test ! -e /proc/sys/net/bridge || echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables").ok();
    stage.dhow(["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart"]).ok();
    serve(&stage, "web", &["--network", "apart", "-p", "80:80"]);
    within("it answers the machine", || from_machine(&stage, "127.0.0.1", 80) == "page\n");
    assert_eq!(fetched(&stage, "apart", "web"), "");
    let gateway = stage.dhow(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "apart"]).ok();
    assert_eq!(fetched(&stage, "apart", gateway.trim()), "page\n");
    stage.clear_networks(&["web"]);
}

#[test]
fn a_network_with_ipv6_has_addresses_and_ports_of_both_families() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "--ipv6", "dual"]).ok();
    serve(&stage, "web", &["--network", "dual", "-p", "18083:80"]);
    assert_eq!(stage.dhow(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:18083\n80/tcp -> [::]:18083\n");
    let end = "{{.NetworkSettings.Networks.dual.GlobalIPv6Address}} {{.NetworkSettings.Networks.dual.IPv6Gateway}}";
    let said = stage.dhow(["inspect", "-f", end, "web"]).ok();
    let (there, gateway) = said.trim().split_once(' ').unwrap();
    assert!(there.starts_with("fd"), "{there}");
    within("it answers at its own address", || fetched(&stage, "dual", there) == "page\n");
    within("its port answers at the machine's", || from_machine(&stage, gateway, 18083) == "page\n");
    stage.clear_networks(&["web"]);
}

#[test]
fn what_comes_on_ipv6_is_carried_to_a_container_that_has_ipv4_only() {
    let mut stage = Stage::new();
    serve(&stage, "web", &["-p", "18084:80"]);
    serve(&stage, "own", &["-p", "[::1]:18086:80"]);
    assert_eq!(stage.dhow(["port", "web"]).ok(), "80/tcp -> 0.0.0.0:18084\n80/tcp -> [::]:18084\n");
    assert_eq!(stage.dhow(["port", "own"]).ok(), "80/tcp -> [::1]:18086\n");
    within("it answers on IPv6", || from_machine(&stage, "::1", 18084) == "page\n");
    within("so does the one on an address", || from_machine(&stage, "::1", 18086) == "page\n");
    assert_eq!(from_machine(&stage, "127.0.0.1", 18086), "");
    stage.dhow(["run", "-d", "--name", "echo", "-p", "18087:53/udp", "busybox", "sleep", "1000"]).ok();
    let pid = stage.dhow(["inspect", "-f", "{{.State.Pid}}", "echo"]).ok();
    let echo = "import socket; s = socket.socket(2, 2); s.bind(('', 53)); told = s.recvfrom(99); s.sendto(*told)";
    let mut server = stage.inside("nsenter").args(["-t", pid.trim(), "-n", "python3", "-c", echo]).spawn().unwrap();
    let say = "exec 3<>/dev/udp/::1/18087; echo hello >&3; timeout 1 head -n 1 <&3";
    within("a datagram comes back", || stage.inside("bash").args(["-c", say]).output().unwrap().stdout == b"hello\n");
    let _ = server.wait();
    let taken = stage.dhow(["run", "--rm", "-p", "[::]:18084:80", "busybox", "true"]);
    assert!(taken.code == 125 && taken.err.contains("18084"), "{}", taken.err);
    stage.kill_engine();
    stage.start_engine();
    within("the next engine carries on", || from_machine(&stage, "::1", 18084) == "page\n");
    stage.dhow(["rm", "-f", "web"]).ok();
    assert_eq!(from_machine(&stage, "::1", 18084), "");
    stage.clear_networks(&["own", "echo"]);
}

#[test]
fn networks_and_those_on_them_outlive_the_engine() {
    let mut stage = Stage::new();
    stage.dhow(["network", "create", "--subnet", "10.65.0.0/24", "net"]).ok();
    serve(&stage, "web", &["--network", "net", "--network-alias", "www", "-p", "18085:80"]);
    stage.dhow(["network", "connect", "bridge", "web"]).ok();
    let before = stage.dhow(["network", "inspect", "net"]).ok();
    within("it answers", || from_machine(&stage, "127.0.0.1", 18085) == "page\n");
    stage.kill_engine();
    assert_eq!(from_machine(&stage, "127.0.0.1", 18085), "page\n");
    stage.start_engine();
    assert_eq!(stage.dhow(["network", "inspect", "net"]).ok(), before);
    assert_eq!(fetched(&stage, "net", "www"), "page\n");
    assert_eq!(from_machine(&stage, "127.0.0.1", 18085), "page\n");
    stage.shell_inside("nft flush ruleset").ok();
    assert_eq!(fetched(&stage, "net", "www"), "page\n");
    assert_eq!(from_machine(&stage, "127.0.0.1", 18085), "page\n");
    stage.dhow(["network", "disconnect", "net", "web"]).ok();
    stage.dhow(["network", "rm", "net"]).ok();
    stage.clear_networks(&["web"]);
}

#[test]
fn events_tell_who_comes_and_goes() {
    let stage = Stage::new();
    stage.docker(["network", "create", "net"]).ok();
    stage.docker(["run", "--rm", "--network", "net", "busybox", "true"]).ok();
    stage.docker(["network", "rm", "net"]).ok();
    let format = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}";
    let words = ["events", "--since", "1h", "--until", "0s", "--filter", "type=network", "--format", format];
    within("all are told", || stage.docker(words).out.lines().count() == 4);
    assert_eq!(
        stage.docker(words).ok(),
        "create net bridge\nconnect net bridge\ndisconnect net bridge\ndestroy net bridge\n"
    );
}

#[test]
fn containers_of_a_macvlan_network_are_hosts_of_the_network_beneath() {
    let stage = Stage::new();
    stage.shell_inside("ip link add lan type veth peer name wire && ip addr add 10.66.0.9/24 dev wire && ip link set lan up && ip link set wire up").ok();
    let words = "network create -d macvlan -o parent=lan --subnet 10.66.0.0/24 lan";
    stage.dhow(words.split(' ')).ok();
    serve(&stage, "web", &["--network", "lan"]);
    within("containers reach it by name", || fetched(&stage, "lan", "web") == "page\n");
    // From the far end of the wire, as another machine.
    within("others reach it", || from_machine(&stage, &address(&stage, "web", "lan"), 80) == "page\n");
    stage.clear_networks(&["web"]);
    stage.shell_inside("ip link del lan").ok();
}

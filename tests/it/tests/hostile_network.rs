//! What containers, neighbours and firewalls may try on networks.

use it::{Stage, within};

const SERVE: &[&str] = &["busybox", "sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"];
const FETCH: &str = "printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 $0 80 | tail -n 1";

fn serve(stage: &Stage, name: &str, flags: &[&str]) {
    stage.dhow(["run", "-d", "--name", name].iter().chain(flags).chain(SERVE)).ok();
}

fn fetched(stage: &Stage, container: &str, address: &str) -> String {
    stage.dhow(["exec", container, "sh", "-c", FETCH, address]).out
}

fn from_machine(stage: &Stage, port: u16) -> bool {
    let line = format!(
        "timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && printf \"GET /index.html HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3'"
    );
    stage.shell_inside(&line).out.contains("page")
}

fn told(stage: &Stage, template: &str, name: &str) -> String {
    stage.dhow(["inspect", "-f", template, name]).ok().trim().to_owned()
}

fn address(stage: &Stage, name: &str, network: &str) -> String {
    told(stage, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"), name)
}

/// `ip` in the network namespace of a container.
fn ip_of(stage: &Stage, name: &str, words: &str) -> String {
    let pid = told(stage, "{{.State.Pid}}", name);
    stage.shell_inside(&format!("nsenter -t {pid} --net ip {words}")).ok()
}

#[test]
fn a_link_of_the_machine_is_never_taken_away() {
    let stage = Stage::new();
    stage.shell_inside("ip link add veth1 type veth peer name veth2 && ip link add br1 type bridge").ok();
    stage.shell_inside("ip address add 10.99.0.1/24 dev br1 && ip link set br1 up").ok();
    let create = |bridge: &str, name: &str| {
        let option = format!("com.docker.network.bridge.name={bridge}");
        stage.dhow(["network", "create", "--subnet", "10.98.0.0/24", "-o", &option, name])
    };
    let refused = create("veth1", "wrong");
    assert!(refused.err.contains("veth1 is a link of this host, and no bridge"), "{refused:?}");
    create("br1", "borrowed").ok();
    assert_eq!(stage.dhow(["run", "--rm", "--network", "borrowed", "busybox", "ping", "-c1", "10.98.0.1"]).code, 0);
    stage.dhow(["network", "rm", "borrowed"]).ok();
    let macvlan =
        ["network", "create", "-d", "macvlan", "-o", "com.docker.network.bridge.name=veth1", "-o", "parent=no", "m"];
    assert_ne!(stage.dhow(macvlan).code, 0);
    let links = stage.shell_inside("ip -o -4 address show dev br1; ip -o link show dev veth1").ok();
    assert!(links.contains("10.99.0.1/24") && links.contains("veth1"), "{links}");
    stage.shell_inside("ip link del br1 && ip link del veth1").ok();
}

#[test]
fn containers_kept_apart_do_not_meet_by_way_of_the_host() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart"]).ok();
    stage.dhow(["network", "create", "near"]).ok();
    for network in ["apart", "near"] {
        let names = [format!("{network}1"), format!("{network}2")];
        names.iter().for_each(|name| serve(&stage, name, &["--network", network]));
        let gateway = stage.dhow(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network]).ok();
        let bridge = stage.shell_inside(&format!("ip -o address show to {}", gateway.trim())).ok();
        let bridge = bridge.split_whitespace().nth(1).expect("a bridge").to_owned();
        let link = stage.shell_inside(&format!("ip -o link show dev {bridge}")).ok();
        let mac = link.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a MAC").to_owned();
        // As a program with raw sockets does: frames for the neighbour go to the host's MAC.
        for (one, other) in [(0, 1), (1, 0)] {
            let there = address(&stage, &names[other], network);
            ip_of(&stage, &names[one], &format!("neigh replace {there} lladdr {mac} dev eth0 nud permanent"));
        }
        let got = || fetched(&stage, &names[0], &address(&stage, &names[1], network));
        match network {
            "near" => within("neighbours meet", || got() == "page\n"),
            _ => assert_eq!(got(), ""),
        }
    }
    stage.clear_networks(&["apart1", "apart2", "near1", "near2"]);
}

#[test]
fn rules_that_a_firewall_flushed_are_back_before_anything_starts() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "front"]).ok();
    stage.dhow(["network", "create", "--internal", "inner"]).ok();
    serve(&stage, "web", &["--network", "front", "-p", "18090:80"]);
    serve(&stage, "hidden", &["--network", "inner"]);
    within("it answers", || from_machine(&stage, 18090));
    for _ in 0..3 {
        stage.shell_inside("nft flush ruleset").ok();
        within("the rules are back", || from_machine(&stage, 18090));
        assert_eq!(fetched(&stage, "hidden", &address(&stage, "web", "front")), "");
        assert_eq!(fetched(&stage, "web", &address(&stage, "hidden", "inner")), "");
    }
    // A firewall that is closed comes and goes (firewalld, ufw): the way through it is opened at once.
    let closed =
        "nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'";
    stage.shell_inside(closed).ok();
    let opened = || stage.shell_inside("nft list chain ip filter FORWARD").out.contains("accept");
    within("the way is open", opened);
    stage.shell_inside("nft flush chain ip filter FORWARD").ok();
    within("the way is open again", opened);
    stage.clear_networks(&["web", "hidden"]);
    assert!(!stage.shell_inside("nft list ruleset").out.contains("dh-"), "nothing is left of networks that are gone");
    stage.shell_inside("nft delete table ip filter").ok();
}

#[test]
fn an_internal_network_publishes_nothing() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "--internal", "inner"]).ok();
    serve(&stage, "web", &["--network", "inner", "-p", "18091:80"]);
    within("it serves", || fetched(&stage, "web", "127.0.0.1") == "page\n");
    assert!(!from_machine(&stage, 18091));
    assert!(!stage.shell_inside("nft list ruleset").out.contains("18091"));
    stage.clear_networks(&["web"]);
}

#[test]
fn names_of_other_networks_are_nobodys() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "one"]).ok();
    stage.dhow(["network", "create", "two"]).ok();
    serve(&stage, "web", &["--network", "one", "--network-alias", "secret"]);
    serve(&stage, "spy", &["--network", "two"]);
    let there = address(&stage, "web", "one");
    let short = told(&stage, "{{printf \"%.12s\" .Id}}", "web");
    for name in ["web", "secret", "web.one", "secret.one", &short] {
        let said = stage.dhow(["exec", "spy", "nslookup", name]).out;
        assert!(!said.contains(&there), "{name}: {said}");
    }
    let said = stage.dhow(["exec", "spy", "nslookup", &there]).out;
    assert!(!said.contains("web"), "{said}");
    stage.clear_networks(&["web", "spy"]);
}

#[test]
fn garbage_for_the_name_server_disturbs_nobody() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "net"]).ok();
    serve(&stage, "web", &["--network", "net"]);
    let garbage = "for n in 1 2 3 4 5 6 7 8 9 10; do
          head -c $((n * 40)) /dev/urandom | nc -u -w 1 127.0.0.11 53 > /dev/null &
          printf '\\377\\377' | nc -w 1 127.0.0.11 53 > /dev/null &
          (printf '\\002\\000'; head -c 512 /dev/urandom) | nc -w 1 127.0.0.11 53 > /dev/null &
        done; wait";
    stage.dhow(["exec", "web", "sh", "-c", garbage]).ok();
    assert_eq!(fetched(&stage, "web", "web"), "page\n");
    assert!(!stage.log_text().contains("panicked"));
    stage.clear_networks(&["web"]);
}

#[test]
fn nobody_else_makes_routes_or_addresses_for_a_container() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "--ipv6", "dual"]).ok();
    for (network, disabled) in [("dual", "0"), ("bridge", "1")] {
        let line = "cd /proc/sys/net/ipv6/conf/eth0 && cat accept_ra disable_ipv6";
        let said = stage.dhow(["run", "--rm", "--network", network, "busybox", "sh", "-c", line]).ok();
        // CVE-2020-13401: router advertisements of a neighbour.
        let mut lines = said.lines();
        let (accepts, is_off) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        assert!(accepts == "0" || is_off == "1", "{network}: {said}");
        assert_eq!(is_off, disabled, "{network}");
    }
    stage.clear_networks(&[]);
}

#[test]
fn the_engine_listens_nowhere_that_a_container_reaches() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "net"]).ok();
    serve(&stage, "web", &["--network", "net"]);
    // State 0A is "listens" (include/net/tcp_states.h). CVE-2025-9074 was an API on a port, CVE-2020-15257 one on an abstract socket.
    let line = "cat /proc/net/tcp /proc/net/tcp6 | grep ' 0A ' ; cat /proc/net/unix | grep ' @' ; true";
    assert_eq!(stage.dhow(["run", "--rm", "--network", "host", "busybox", "sh", "-c", line]).ok(), "");
    stage.clear_networks(&["web"]);
}

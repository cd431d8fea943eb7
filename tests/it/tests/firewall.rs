//! Published ports and the firewalls of others: who reaches what, from another machine, after flushes, crashes and changes.

use it::{ASK, Neighbour, Stage, within};

const SERVE: &[&str] = &["busybox", "sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"];
fn serve(stage: &Stage, name: &str, flags: &[&str]) {
    stage.dhow(["run", "-d", "--name", name].iter().chain(flags).chain(SERVE)).ok();
    within("the server listens", || listens(stage, name));
}

fn listens(stage: &Stage, name: &str) -> bool {
    stage.dhow(["exec", name, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6"]).out.contains(":0050 ")
}

fn from_machine(stage: &Stage, host: &str, port: u16, seconds: u32) -> bool {
    let port = port.to_string();
    stage.tool("timeout", [&seconds.to_string(), "bash", "-c", ASK, host, &port]).out.contains("page")
}

fn told(stage: &Stage, template: &str, name: &str) -> String {
    stage.dhow(["inspect", "-f", template, name]).ok().trim().to_owned()
}

fn address(stage: &Stage, name: &str) -> String {
    told(stage, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
}

/// The name of the engine's nft tables.
fn table(stage: &Stage) -> String {
    let tables = stage.shell_inside("nft list tables ip").ok();
    tables
        .lines()
        .filter_map(|line| line.strip_prefix("table ip "))
        .find(|name| name.starts_with("dhow") && !name.contains("egress"))
        .unwrap()
        .to_owned()
}

#[test]
fn what_is_published_on_loopback_or_not_at_all_is_kept_from_the_neighbours() {
    let mut stage = Stage::new();
    let neighbour = Neighbour::new(&stage);
    stage.dhow(["network", "create", "front"]).ok();
    serve(&stage, "open", &["-p", "18100:80"]);
    serve(&stage, "local", &["-p", "127.0.0.1:18101:80"]);
    serve(&stage, "hidden", &["--network", "front"]);
    let (open, local, hidden) = (address(&stage, "open"), address(&stage, "local"), address(&stage, "hidden"));
    let holds = |stage: &Stage| {
        within("the open port is reached", || neighbour.asks("10.99.0.1", 18100, 5));
        assert!(neighbour.is_kept_from("10.99.0.1", 18101), "CVE-2025-54388");
        neighbour.run("ip route replace 127.0.0.1 via 10.99.0.1 dev wan0 table local 2>/dev/null; true");
        for there in [&open, &local, &hidden] {
            assert!(neighbour.is_kept_from(there, 80), "{there} by route");
        }
        assert!(from_machine(stage, "127.0.0.1", 18101, 20));
        assert!(from_machine(stage, "127.0.0.1", 18100, 20));
    };
    holds(&stage);
    for line in ["nft flush ruleset".to_owned(), format!("nft flush table ip {}", table(&stage))] {
        stage.shell_inside(&line).ok();
        within("the rules are back", || from_machine(&stage, "127.0.0.1", 18101, 5));
        holds(&stage);
    }
    stage.kill_engine();
    assert!(neighbour.is_kept_from("10.99.0.1", 18101));
    assert!(neighbour.reaches("10.99.0.1", 18100), "ports stay without an engine");
    stage.start_engine();
    holds(&stage);
    let docker = "nft 'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; \
                  add chain ip filter DOCKER-USER; add rule ip filter FORWARD jump DOCKER-USER'";
    stage.shell_inside(docker).ok();
    holds(&stage);
    stage.shell_inside("nft delete table ip filter").ok();
    stage.clear_networks(&["open", "local", "hidden"]);
    neighbour.leave(&stage);
}

#[test]
fn ports_of_a_running_container_come_and_go_and_stay_so_over_restarts() {
    let mut stage = Stage::new();
    serve(&stage, "web", &["-p", "18110:80"]);
    let ports = |stage: &Stage| stage.dhow(["port", "web"]).ok();
    stage.dhow(["update", "--publish-add", "127.0.0.1:18111:80", "--publish-add", "18112-18113:90-91/udp", "web"]).ok();
    let all = ports(&stage);
    for line in
        ["80/tcp -> 0.0.0.0:18110", "80/tcp -> 127.0.0.1:18111", "90/udp -> [::]:18112", "91/udp -> 0.0.0.0:18113"]
    {
        assert!(all.lines().any(|own| own == line), "{line}: {all}");
    }
    assert_eq!(all.lines().count(), 7, "both families, but for the one on an address: {all}");
    assert!(from_machine(&stage, "127.0.0.1", 18111, 20));
    let pid = told(&stage, "{{.State.Pid}}", "web");
    let refused = stage.dhow([
        "update",
        "--publish-rm",
        "18110",
        "--publish-add",
        "18199:80",
        "--publish-add",
        "18111:81",
        "web",
    ]);
    assert!(refused.code != 0 && refused.err.contains("18111"), "{refused:?}");
    assert_eq!(ports(&stage), all, "all of it or nothing");
    assert!(from_machine(&stage, "127.0.0.1", 18110, 20));
    stage.dhow(["update", "--publish-rm", "18110", "--publish-rm", "18112-18113/udp", "web"]).ok();
    assert_eq!(ports(&stage), "80/tcp -> 127.0.0.1:18111\n");
    assert!(!from_machine(&stage, "127.0.0.1", 18110, 1));
    assert_eq!(told(&stage, "{{.State.Pid}}", "web"), pid, "it ran on");
    assert_eq!(
        told(&stage, "{{json .HostConfig.PortBindings}}", "web"),
        r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"18111"}]}"#
    );
    stage.kill_engine();
    stage.start_engine();
    assert_eq!(ports(&stage), "80/tcp -> 127.0.0.1:18111\n");
    stage.dhow(["restart", "-t", "1", "web"]).ok();
    assert_eq!(ports(&stage), "80/tcp -> 127.0.0.1:18111\n");
    within("it answers again", || from_machine(&stage, "127.0.0.1", 18111, 5));
    stage.dhow(["stop", "-t", "1", "web"]).ok();
    stage.dhow(["update", "--publish-rm", "18111", "--publish-add", "80", "web"]).ok();
    stage.dhow(["start", "web"]).ok();
    let any = ports(&stage);
    let port = any.lines().next().and_then(|line| line.strip_prefix("80/tcp -> 0.0.0.0:")).unwrap().to_owned();
    stage.dhow(["update", "--publish-rm", &port, "web"]).ok();
    stage.dhow(["restart", "-t", "1", "web"]).ok();
    assert_eq!(ports(&stage), "");
    let unknown = stage.dhow(["update", "--publish-rm", "18111", "web"]);
    assert!(
        unknown.code != 0 && unknown.err.contains("port 18111/tcp of the host does not lead to this container"),
        "{unknown:?}"
    );
    stage.dhow(["rm", "-f", "web"]).ok();
}

#[test]
fn a_row_of_ports_is_one_element_and_inspect_shows_each() {
    let mut stage = Stage::new();
    stage
        .dhow(["run", "-d", "--name", "web", "-p", "20000-22000:20000-22000", "busybox", "httpd", "-f", "-p", "21234"])
        .ok();
    let rows = |stage: &Stage| stage.shell_inside(&format!("nft list map ip {} rows", table(stage))).ok();
    assert!(rows(&stage).contains("tcp . 20000-22000"), "{}", rows(&stage));
    assert_eq!(stage.dhow(["port", "web"]).ok().lines().count(), 2001);
    assert_eq!(stage.dhow(["port", "web", "21999"]).ok(), "0.0.0.0:21999\n");
    stage.kill_engine();
    stage.start_engine();
    assert!(rows(&stage).contains("tcp . 20000-22000"), "{}", rows(&stage));
    let taken = stage.dhow(["run", "-d", "--name", "other", "-p", "21000:80", "busybox", "true"]);
    assert!(taken.code != 0 && taken.err.contains("21000"), "{taken:?}");
    stage.dhow(["rm", "-f", "web", "other"]).ok();
    assert!(!rows(&stage).contains("elements"));
}

#[test]
fn a_closed_machine_is_closed_for_published_ports_where_that_is_asked_for() {
    let mut stage = Stage::new();
    stage.restart_with(&["--publish-firewall", "host"]);
    let neighbour = Neighbour::new(&stage);
    serve(&stage, "web", &["-p", "18120:80", "-p", "18121:80"]);
    assert!(neighbour.reaches("10.99.0.1", 18120));
    let rules = "add table inet fw; add chain inet fw input { type filter hook input priority 0; policy drop; }; \
                 add rule inet fw input iifname lo accept; add rule inet fw input ct state established,related accept; \
                 add rule inet fw input tcp dport 18120 accept";
    stage.shell_inside(&format!("nft '{rules}'")).ok();
    assert!(neighbour.reaches("10.99.0.1", 18120));
    assert!(neighbour.is_kept_from("10.99.0.1", 18121));
    assert!(from_machine(&stage, "127.0.0.1", 18121, 20));
    let said = stage.dhow(["network", "firewall", "explain", "18121"]).ok();
    assert!(
        said.contains("from other machines: stopped at the hook input by table inet fw, chain input: policy drop"),
        "{said}"
    );
    assert!(said.contains("from this machine: reached") && said.contains("web"), "{said}");
    let said = stage.dhow(["network", "firewall", "explain", "18120/tcp"]).ok();
    assert!(said.contains("from other machines: reached"), "{said}");
    stage.kill_engine();
    assert!(neighbour.reaches("10.99.0.1", 18120));
    assert!(neighbour.is_kept_from("10.99.0.1", 18121));
    stage.start_engine();
    stage.shell_inside("nft flush ruleset").ok();
    within("the rules are back", || neighbour.asks("10.99.0.1", 18121, 5));
    stage.restart_with(&[]);
    assert!(neighbour.reaches("10.99.0.1", 18121), "an engine that is told nothing asks nobody");
    stage.shell_inside(&format!("nft '{rules}'")).ok();
    assert!(neighbour.reaches("10.99.0.1", 18121));
    stage.shell_inside("nft delete table inet fw").ok();
    stage.dhow(["rm", "-f", "web"]).ok();
    neighbour.leave(&stage);
}

#[test]
fn ports_are_published_where_the_engine_is_told_to_when_nothing_else_is_said() {
    let mut stage = Stage::new();
    stage.restart_with(&["--publish-default", "127.0.0.1"]);
    serve(&stage, "web", &["-p", "18130:80"]);
    stage.dhow(["update", "--publish-add", "18131:80", "web"]).ok();
    stage.dhow(["update", "--publish-add", "0.0.0.0:18132:80", "web"]).ok();
    let ports = stage.dhow(["port", "web"]).ok();
    assert_eq!(ports, "80/tcp -> 0.0.0.0:18132\n80/tcp -> 127.0.0.1:18130\n80/tcp -> 127.0.0.1:18131\n");
    stage.dhow(["rm", "-f", "web"]).ok();
}

#[test]
fn networks_have_the_gateway_modes_of_docker() {
    let stage = Stage::new();
    let neighbour = Neighbour::new(&stage);
    let mode = "com.docker.network.bridge.gateway_mode_ipv4";
    let create = |name: &str, flags: &[&str]| stage.dhow(["network", "create"].iter().chain(flags).chain([&name]));
    create("routed", &["-o", &format!("{mode}=routed"), "--subnet", "10.81.0.0/24"]).ok();
    create("loose", &["-o", &format!("{mode}=nat-unprotected"), "--subnet", "10.82.0.0/24"]).ok();
    create("lone", &["--internal", "-o", &format!("{mode}=isolated"), "--subnet", "10.83.0.0/24"]).ok();
    let refused = create("wrong", &["-o", &format!("{mode}=isolated")]);
    assert!(refused.err.contains("gateway mode 'isolated' can only be used for an internal network"), "{refused:?}");
    let refused = create("wrong", &["-o", &format!("{mode}=open")]);
    assert!(refused.err.contains("unknown gateway mode open"), "{refused:?}");
    serve(&stage, "one", &["--network", "routed", "-p", "18140:80"]);
    serve(&stage, "closed", &["--network", "routed"]);
    serve(&stage, "two", &["--network", "loose"]);
    serve(&stage, "three", &["--network", "lone"]);
    assert!(neighbour.reaches(&address(&stage, "one"), 80));
    assert!(neighbour.is_kept_from("10.99.0.1", 18140));
    assert!(neighbour.is_kept_from(&address(&stage, "closed"), 80));
    assert!(neighbour.reaches(&address(&stage, "two"), 80));
    assert!(neighbour.is_kept_from(&address(&stage, "three"), 80));
    assert!(!from_machine(&stage, &address(&stage, "three"), 80, 1), "the machine is not on it");
    stage.clear_networks(&["one", "closed", "two", "three"]);
    neighbour.leave(&stage);
}

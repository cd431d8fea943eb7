//! Many networks, many ends, and changes while an engine is killed.

use it::{NameClient, Stage, within};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// More than Docker's address pools have.
const NETWORKS: usize = 300;
/// More than a bridge has ports.
const ENDS: usize = 1100;
const AT_ONCE: usize = 8;

/// What a file server in the container says to a client elsewhere.
fn serve(stage: &Stage, name: &str, words: &[&str]) {
    let line = "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp";
    let words = [&["run", "-d", "--name", name], words, &["busybox", "sh", "-c", line]].concat();
    stage.dhow(words).ok();
}

/// What a server says, by name or address, to a container.
const FETCH: &str = "printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 10 $0 80 | tail -n 1";

fn fetched(stage: &Stage, container: &str, from: &str) -> String {
    stage.dhow(["exec", container, "sh", "-c", FETCH, from]).out
}

/// What it says to the machine. By bash, which needs no name service.
fn from_machine(stage: &Stage, port: u16) -> String {
    let line = format!(
        "timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && printf \"GET /index.html HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3'"
    );
    let said = stage.shell_inside(&line).out;
    said.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

fn network_of(stage: &Stage, container: &str) -> PathBuf {
    let pid = stage.dhow(["inspect", "-f", "{{.State.Pid}}", container]).ok();
    PathBuf::from(format!("/proc/{}/ns/net", pid.trim()))
}

#[test]
fn hundreds_of_networks_have_subnets_of_their_own_and_names_and_ports_on_each() {
    let mut stage = Stage::new();
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let stage = &stage;
            scope.spawn(move || {
                for number in (worker..NETWORKS).step_by(AT_ONCE) {
                    stage.dhow(["network", "create", &format!("net{number}")]).ok();
                }
            });
        }
    });
    let format = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
    let names: Vec<String> = (0..NETWORKS).map(|number| format!("net{number}")).collect();
    let words =
        [&["network", "inspect", "-f", format][..], &names.iter().map(String::as_str).collect::<Vec<_>>()].concat();
    let subnets = stage.docker(words).ok();
    assert_eq!(subnets.lines().collect::<BTreeSet<_>>().len(), NETWORKS, "{subnets}");
    for (number, port) in [(0, "18090:80"), (NETWORKS / 2, "18091:80"), (NETWORKS - 1, "18092:80")] {
        let net = format!("net{number}");
        serve(&stage, &format!("web{number}"), &["--network", &net, "--network-alias", "www", "-p", port]);
    }
    let all = |stage: &Stage| {
        for (number, port) in [(0, 18_090), (NETWORKS / 2, 18_091), (NETWORKS - 1, 18_092)] {
            let web = format!("web{number}");
            within("it answers", || fetched(stage, &web, "www") == "page\n");
            within("its port answers", || from_machine(stage, port) == "page\n");
        }
    };
    all(&stage);
    stage.kill_engine();
    stage.start_engine();
    all(&stage);
    stage.clear_networks(&["web0", &format!("web{}", NETWORKS / 2), &format!("web{}", NETWORKS - 1)]);
}

#[test]
fn more_containers_than_a_bridge_has_ports_are_on_one_network() {
    let mut stage = Stage::new();
    stage.dhow(["network", "create", "crowd"]).ok();
    serve(&stage, "first", &["--network", "crowd"]);
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let stage = &stage;
            scope.spawn(move || {
                for number in (worker..ENDS).step_by(AT_ONCE) {
                    let name = format!("m{number}");
                    stage.dhow(["run", "-d", "--name", &name, "--network", "crowd", "busybox", "sleep", "100000"]).ok();
                }
            });
        }
    });
    serve(&stage, "last", &["--network", "crowd", "-p", "18093:80"]);
    let bridges = stage.shell_inside("ip -o link show type bridge | grep -c ': dh[-1]'").ok();
    assert_eq!(bridges, "2\n");
    let all = |stage: &Stage| {
        for (container, other) in [("first", "last"), ("last", "first"), ("m0", "last"), ("last", "last")] {
            within(&format!("{container} reaches {other}"), || fetched(stage, container, other) == "page\n");
        }
        within("its port answers", || from_machine(stage, 18_093) == "page\n");
    };
    all(&stage);
    let last = format!("m{}", ENDS - 1);
    assert_eq!(stage.dhow(["exec", "m0", "ping", "-c", "1", "-W", "30", &last]).code, 0);
    stage.kill_engine();
    stage.start_engine();
    all(&stage);
    let ids = stage.dhow(["ps", "-aq"]).ok();
    let ids: Vec<&str> = ids.split_whitespace().collect();
    for some in ids.chunks(100) {
        stage.dhow([&["rm", "-f"], some].concat()).ok();
    }
    stage.clear_networks(&[]);
}

#[test]
fn no_name_is_missed_while_containers_come_and_go() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "busy"]).ok();
    for name in ["one", "two", "asked"] {
        stage.dhow(["run", "-d", "--name", name, "--network", "busy", "busybox", "sleep", "1000"]).ok();
    }
    let clients: Vec<NameClient> = ["one", "two", "asked"]
        .iter()
        .flat_map(|container| [*container; 2])
        .map(|container| NameClient::start(&network_of(&stage, container), "asked.busy"))
        .collect();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let stage = &stage;
            scope.spawn(move || {
                for number in 0..10 {
                    let name = format!("guest{worker}-{number}");
                    stage.dhow(["run", "--rm", "--name", &name, "--network", "busy", "busybox", "true"]).ok();
                }
            });
        }
    });
    stage.dhow(["network", "connect", "bridge", "one"]).ok();
    stage.dhow(["network", "disconnect", "bridge", "one"]).ok();
    for client in clients {
        let asked = client.end();
        assert_eq!(asked.failures, Vec::<String>::new());
        assert!(asked.answered > 10, "{asked:?}");
    }
    stage.clear_networks(&["one", "two", "asked"]);
}

/// The links of a container but `lo`, as it sees them.
fn links(stage: &Stage, container: &str) -> usize {
    stage.dhow(["exec", container, "ls", "/sys/class/net"]).ok().split_whitespace().filter(|link| *link != "lo").count()
}

#[test]
fn an_engine_killed_while_networks_are_joined_and_left_leaves_nothing_half_done() {
    let mut stage = Stage::new();
    // The first by name has the default route.
    for words in ["network create aa", "network create mm", "network create -d macvlan zz"] {
        stage.dhow(words.split(' ')).ok();
    }
    serve(&stage, "web", &["--network", "mm", "-p", "18094:80"]);
    for round in 0..8_u64 {
        let changes: Vec<_> = ["aa", "zz"]
            .into_iter()
            .map(|network| {
                let host = stage.host();
                let binary = it::binary();
                std::thread::spawn(move || {
                    for verb in ["connect", "disconnect"].into_iter().cycle().take(200) {
                        let mut command = std::process::Command::new(&binary);
                        command.args(["-H", &host, "network", verb, network, "web"]);
                        let done =
                            command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).status();
                        if !done.is_ok_and(|status| status.success()) {
                            return;
                        }
                    }
                })
            })
            .collect();
        std::thread::park_timeout(std::time::Duration::from_millis(100 + round * 37));
        stage.kill_engine();
        changes.into_iter().for_each(|change| change.join().expect("the thread ends"));
        stage.start_engine();
        let format = "{{len .NetworkSettings.Networks}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let told = stage.docker(["inspect", "-f", format, "web"]).ok();
        let mut words = told.split_whitespace();
        let count: usize = words.next().unwrap().parse().unwrap();
        assert_eq!(words.count(), count, "each has an address: {told}");
        assert_eq!(links(&stage, "web"), count, "round {round}: {told}");
        let routes = stage.dhow(["exec", "web", "ip", "route"]).ok();
        assert_eq!(routes.lines().filter(|line| line.starts_with("default ")).count(), 1, "round {round}: {routes}");
        within("its port answers", || from_machine(&stage, 18_094) == "page\n");
        for network in ["aa", "zz"] {
            stage.dhow(["network", "disconnect", "-f", network, "web"]);
        }
        assert_eq!(links(&stage, "web"), 1);
        within("its port answers", || from_machine(&stage, 18_094) == "page\n");
    }
    stage.clear_networks(&["web"]);
}

#[test]
fn an_ipvlan_network_is_had_where_the_kernel_has_it_and_refused_in_words_where_not() {
    let stage = Stage::new();
    for (option, fault) in [
        ("ipvlan_mode=l4", "requested ipvlan mode 'l4' is not valid, 'l2' mode is the ipvlan driver default"),
        ("ipvlan_flag=all", "requested ipvlan flag 'all' is not valid, 'bridge' is the ipvlan driver default flag"),
    ] {
        let said = stage.dhow(["network", "create", "-d", "ipvlan", "-o", option, "net"]);
        assert!(said.code != 0 && said.err.contains(fault), "{}", said.err);
    }
    stage.shell_inside("ip link add lan type veth peer name wire && ip addr add 10.66.0.9/24 dev wire && ip link set lan up && ip link set wire up").ok();
    for mode in ["l2", "l3", "l3s"] {
        let option = format!("ipvlan_mode={mode}");
        let words =
            ["network", "create", "-d", "ipvlan", "-o", "parent=lan", "-o", &option, "--subnet", "10.66.0.0/24", "net"];
        let made = stage.dhow(words);
        if made.code != 0 {
            assert!(made.err.contains("this kernel has no ipvlan"), "{}", made.err);
            continue;
        }
        serve(&stage, "web", &["--network", "net"]);
        serve(&stage, "other", &["--network", "net"]);
        within("they reach each other", || fetched(&stage, "other", "web") == "page\n");
        let routes = stage.dhow(["exec", "web", "ip", "route"]).ok();
        let way = if mode == "l2" { "default via 10.66.0.1 dev eth0" } else { "default dev eth0" };
        assert!(routes.contains(way), "{mode}: {routes}");
        let mac = ["run", "--rm", "--network", "net", "--mac-address", "02:42:00:00:00:07", "busybox", "true"];
        let said = stage.dhow(mac);
        assert!(said.err.contains("ipvlan interfaces do not support custom mac address assignment"), "{}", said.err);
        let created = stage.dhow(["ps", "-aq", "-f", "status=created"]).ok();
        stage.clear_networks(&[vec!["web", "other"], created.split_whitespace().collect()].concat());
    }
    stage.shell_inside("ip link del lan").ok();
}

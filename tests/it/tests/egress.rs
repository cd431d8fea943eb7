//! What containers with an egress policy reach of a test-made internet, and what they do not.

use it::{NameServer, Stage, within};
use std::net::IpAddr;
use std::path::PathBuf;

/// A machine beyond the engine's, with some addresses of the world, a private one, and a cloud's metadata service; all serve port 80 and 443.
struct Internet {
    child: std::process::Child,
    /// Who has the engine's namespaces.
    holder: u32,
    _names: NameServer,
}

const SETUP: &str = "set -e
ip link set lo up
echo; read _
for a in 203.0.113.1 203.0.113.2 203.0.113.3 10.9.9.9 169.254.169.254; do ip address add $a/32 dev far; done
ip address add 198.51.100.2/24 dev far
ip address add 2001:db8:1::2/64 dev far nodad
ip address add 2001:db8:2::1/128 dev far nodad
ip link set far up
ip route add default via 198.51.100.1
ip -6 route add default via 2001:db8:1::1
echo; exec sleep 100000";

impl Internet {
    fn beside(stage: &Stage) -> Internet {
        use std::io::{Read, Write};
        let mut command = stage.inside("unshare");
        command.args(["--net", "sh", "-c", SETUP]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("unshare(1) runs");
        let pid = child.id();
        let mut line = [0];
        let mut out = child.stdout.take().expect("a pipe");
        out.read_exact(&mut line).expect("the namespace is made");
        let wire = format!(
            "ip link add near type veth peer name far netns {pid} && ip address add 198.51.100.1/24 dev near \
             && ip address add 2001:db8:1::1/64 dev near nodad && ip link set near up"
        );
        stage.shell_inside(&wire).ok();
        child.stdin.take().expect("a pipe").write_all(b"go\n").expect("it reads");
        out.read_exact(&mut line).expect("the addresses are there");
        let routes = "for a in 203.0.113.0/24 10.9.9.9 169.254.169.254; do ip route add $a via 198.51.100.2; done; \
             ip -6 route add 2001:db8:2::/64 via 2001:db8:1::2";
        stage.shell_inside(routes).ok();
        let namespace = PathBuf::from(format!("/proc/{pid}/ns/net"));
        for port in [80, 443] {
            serve(&namespace, port);
        }
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        let zone: [(&str, &[IpAddr]); 6] = [
            ("web.example.org", &[at("203.0.113.1"), at("2001:db8:2::1")]),
            ("other.example.org", &[at("203.0.113.2")]),
            ("elsewhere.net", &[at("203.0.113.3")]),
            ("rebound.example.org", &[at("10.9.9.9"), at("169.254.169.254")]),
            ("db.corp", &[at("10.9.9.9")]),
            ("us.example.org", &[at("198.51.100.1")]),
        ];
        stage.shell_inside("ip address add 10.53.0.1/32 dev lo").ok();
        let names = NameServer::of_zone(&stage.network(), "10.53.0.1", &zone);
        let file = stage.folder().join("resolv.conf");
        std::fs::write(&file, "nameserver 10.53.0.1\n").expect("a file");
        stage.shell_inside(&format!("mount --bind {} /etc/resolv.conf", file.display())).ok();
        Internet { child, holder: stage.holder_pid(), _names: names }
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        // The threads that serve there hold the namespace, and with it its end of the link.
        let words = ["-t", &self.holder.to_string(), "--net", "ip", "link", "del", "near"];
        let _ = std::process::Command::new("nsenter").args(words).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers connections with their end, for as long as the process lives.
fn serve(namespace: &std::path::Path, port: u16) {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd;
    let file = std::fs::File::open(namespace).expect("a network namespace");
    let (told, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter");
        let listener = std::net::TcpListener::bind(("::", port)).expect("the port is free");
        told.send(()).expect("the test waits");
        listener.incoming().for_each(drop);
    });
    ready.recv().expect("it listens");
}

/// Whether a connection to it is made. What is refused is refused at once; a time limit would be another failure.
fn reaches(stage: &Stage, container: &str, place: &str, port: u16) -> bool {
    let line = format!("nc -w 30 {place} {port} </dev/null; echo code $?");
    let said = stage.dhow(["exec", container, "sh", "-c", &line]);
    assert!(said.out.contains("code "), "{said:?}");
    said.out.contains("code 0")
}

fn run(stage: &Stage, name: &str, flags: &[&str]) {
    let words = ["run", "-d", "--init", "--name", name];
    stage.dhow(words.iter().chain(flags).chain(&["busybox", "sleep", "100000"])).ok();
}

fn egress(stage: &Stage, name: &str) -> serde_json::Value {
    serde_json::from_str(&stage.dhow(["network", "egress", "--format", "json", name]).ok()).expect("JSON")
}

#[test]
fn names_on_the_list_are_open_and_nothing_else_is() {
    let stage = Stage::new();
    let _net = Internet::beside(&stage);
    // On the engine's own bridge, where nobody asks the engine for names otherwise.
    run(&stage, "box", &["--egress", "deny", "--egress-allow", "*.example.org:443,203.0.113.3:80"]);
    assert!(!reaches(&stage, "box", "203.0.113.1", 443), "not before its name was asked for");
    assert!(reaches(&stage, "box", "web.example.org", 443));
    assert!(!reaches(&stage, "box", "web.example.org", 80));
    assert!(!reaches(&stage, "box", "elsewhere.net", 80), "its name is not told");
    assert!(reaches(&stage, "box", "203.0.113.3", 80));
    // Public names that lead to private places, to the metadata service or to the machine itself.
    for name in ["rebound.example.org", "us.example.org"] {
        assert!(!reaches(&stage, "box", name, 443), "{name}");
    }
    let gateway = stage.dhow(["inspect", "-f", "{{.NetworkSettings.Networks.bridge.Gateway}}", "box"]).ok();
    for address in ["10.9.9.9", "169.254.169.254", "198.51.100.1", "10.53.0.1", gateway.trim()] {
        assert!(!reaches(&stage, "box", address, 443), "{address}");
    }
    let asked = stage.dhow(["exec", "box", "nslookup", "web.example.org", "10.53.0.1"]);
    assert_ne!(asked.code, 0, "no other name server is reached: {asked:?}");
    let seen = egress(&stage, "box");
    let shown = seen.to_string();
    for word in ["elsewhere.net", "169.254.169.254", "web.example.org", "\"deny\""] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(seen["Denied"].as_u64().is_some_and(|count| count >= 8), "{shown}");
    let text = stage.dhow(["network", "egress", "box"]).ok();
    assert!(text.starts_with("Policy: deny\n  allow *.example.org:443,203.0.113.3:80\nDenied: "), "{text}");
    // What was denied is an event, once.
    let events = stage.dhow(["events", "--since", "0", "--until", "0s", "--filter", "event=egress_denied"]).ok();
    assert_eq!(events.matches("destinationName=elsewhere.net").count(), 1, "{events}");
    within("packets are told", || {
        let events = stage.dhow(["events", "--since", "0", "--until", "0s", "--filter", "event=egress_denied"]).ok();
        events.contains("destination=10.9.9.9") && events.contains("port=443")
    });
    // nft(8) can read what stands there.
    let listed = stage.shell_inside("nft list ruleset").ok();
    assert!(listed.contains("egress"), "{listed}");
    stage.clear_networks(&["box"]);
    assert!(!stage.shell_inside("nft list tables").ok().contains("egress"));
}

#[test]
fn lists_are_changed_while_it_runs() {
    let stage = Stage::new();
    let _net = Internet::beside(&stage);
    stage.dhow(["network", "create", "front"]).ok();
    run(&stage, "box", &["--network", "front"]);
    assert!(reaches(&stage, "box", "elsewhere.net", 80));
    stage.dhow(["update", "--egress-allow", "web.example.org", "box"]).ok();
    assert!(!reaches(&stage, "box", "203.0.113.3", 80));
    assert!(!reaches(&stage, "box", "elsewhere.net", 80));
    assert!(reaches(&stage, "box", "web.example.org", 80));
    stage
        .dhow([
            "update",
            "--egress",
            "allow",
            "--egress-allow",
            "",
            "--egress-deny",
            "203.0.113.1,elsewhere.net",
            "box",
        ])
        .ok();
    assert!(!reaches(&stage, "box", "web.example.org", 80));
    assert!(!reaches(&stage, "box", "elsewhere.net", 80));
    assert!(reaches(&stage, "box", "other.example.org", 80));
    let wrong = stage.dhow(["update", "--egress-allow", "10.0.0.0/99", "box"]);
    assert!(wrong.err.contains("invalid egress rule \"10.0.0.0/99\""), "{wrong:?}");
    assert!(reaches(&stage, "box", "other.example.org", 80), "what is refused changes nothing");
    let kept = stage.dhow(["inspect", "-f", "{{json .HostConfig.Egress}}", "box"]).ok();
    assert_eq!(kept.trim(), r#"{"Default":"allow","Deny":["203.0.113.1","elsewhere.net"]}"#);
    stage.dhow(["restart", "-t", "0", "box"]).ok();
    assert!(!reaches(&stage, "box", "203.0.113.1", 80), "it holds at the next start");
    stage.clear_networks(&["box"]);
}

#[test]
fn a_policy_outlives_the_engine_and_a_flush() {
    let mut stage = Stage::new();
    let _net = Internet::beside(&stage);
    run(&stage, "box", &["--egress-allow", "web.example.org", "--cap-add", "NET_ADMIN"]);
    assert!(reaches(&stage, "box", "web.example.org", 80));
    let pid = stage.dhow(["inspect", "-f", "{{.State.Pid}}", "box"]).ok();
    let from_box = |stage: &Stage, address: &str| {
        let line =
            format!("nsenter -t {} --net timeout 30 bash -c 'exec 3<>/dev/tcp/{address}/80'; echo code $?", pid.trim());
        let said = stage.shell_inside(&line);
        assert!(said.out.contains("code 0") || said.err.contains("No route to host"), "{said:?}");
        said.out.contains("code 0")
    };
    // Whoever may change its links and rules changes nothing about it.
    stage.dhow(["exec", "box", "ip", "address", "add", "172.17.77.7/16", "dev", "eth0"]);
    stage.shell_inside(&format!("nsenter -t {} --net nft flush ruleset", pid.trim())).ok();
    assert!(!from_box(&stage, "203.0.113.2"));
    stage.kill_engine();
    assert!(!from_box(&stage, "203.0.113.2"), "while no engine runs");
    stage.start_engine();
    assert!(!from_box(&stage, "203.0.113.2"));
    assert!(from_box(&stage, "203.0.113.1"), "what its name had opened still is");
    assert!(reaches(&stage, "box", "web.example.org", 80));
    stage.shell_inside("nft flush ruleset").ok();
    within("the rules are back", || !from_box(&stage, "203.0.113.2") && from_box(&stage, "203.0.113.1"));
    stage.clear_networks(&["box"]);
}

#[test]
fn labels_and_networks_say_the_same_and_ipv6_is_no_way_around() {
    let stage = Stage::new();
    let _net = Internet::beside(&stage);
    stage
        .dhow(["network", "create", "--ipv6", "--egress", "deny", "--egress-allow", "web.example.org:80", "shut"])
        .ok();
    stage.dhow(["network", "create", "--ipv6", "free"]).ok();
    run(&stage, "of-network", &["--network", "shut"]);
    run(&stage, "neighbour", &["--network", "shut"]);
    run(
        &stage,
        "own",
        &["--network", "shut", "--label", "dhow.egress=deny", "--label", "dhow.egress.allow=203.0.113.2"],
    );
    run(&stage, "open", &["--network", "free"]);
    assert!(reaches(&stage, "open", "2001:db8:2::1", 80));
    assert!(!reaches(&stage, "of-network", "2001:db8:2::1", 80));
    assert!(reaches(&stage, "of-network", "web.example.org", 80));
    assert!(reaches(&stage, "of-network", "2001:db8:2::1", 80), "both of its addresses were opened");
    assert!(!reaches(&stage, "of-network", "2001:db8:1::1", 443), "the machine itself");
    assert!(!reaches(&stage, "of-network", "203.0.113.2", 80));
    assert!(reaches(&stage, "own", "203.0.113.2", 80));
    assert!(!reaches(&stage, "own", "web.example.org", 80), "its own policy counts before its network's");
    // The first address of a network is its router's, too: this machine's.
    run(&stage, "asker", &["--network", "shut", "--egress-allow", "udp/53"]);
    stage.dhow(["exec", "asker", "nslookup", "web.example.org", "2001:db8:1::"]);
    let denied = egress(&stage, "asker")["DeniedDestinations"].to_string();
    assert!(denied.contains(r#""2001:db8:1::""#), "{denied}");
    // Its own network stays open to it.
    assert_eq!(stage.dhow(["exec", "of-network", "ping", "-c", "1", "-W", "30", "neighbour"]).code, 0);
    // It comes to a network with a policy while it runs.
    stage.dhow(["network", "disconnect", "free", "open"]).ok();
    stage.dhow(["network", "connect", "shut", "open"]).ok();
    assert!(!reaches(&stage, "open", "203.0.113.2", 80));
    stage.clear_networks(&["of-network", "neighbour", "own", "open", "asker"]);
}

#[test]
fn who_shares_a_network_has_none_when_its_policy_goes() {
    let stage = Stage::new();
    let _net = Internet::beside(&stage);
    run(&stage, "box", &["--egress-allow", "203.0.113.1"]);
    run(&stage, "guest", &["--network", "container:box"]);
    assert!(reaches(&stage, "guest", "203.0.113.1", 80));
    assert!(!reaches(&stage, "guest", "203.0.113.2", 80));
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    assert!(!reaches(&stage, "guest", "203.0.113.2", 80));
    stage.clear_networks(&["box", "guest"]);
}

#[test]
fn what_was_learned_can_be_given_back() {
    let stage = Stage::new();
    let _net = Internet::beside(&stage);
    run(&stage, "box", &["--egress-learn"]);
    assert!(reaches(&stage, "box", "web.example.org", 443));
    assert!(reaches(&stage, "box", "203.0.113.2", 80));
    stage.dhow(["stop", "-t", "0", "box"]).ok();
    let lesson = stage.dhow(["network", "egress", "--lesson", "box"]).ok();
    assert_eq!(lesson.trim(), "--egress deny --egress-allow '203.0.113.2:tcp/80,web.example.org:tcp/443'");
    run(&stage, "next", &["--egress", "deny", "--egress-allow", "203.0.113.2:tcp/80,web.example.org:tcp/443"]);
    assert!(reaches(&stage, "next", "web.example.org", 443));
    assert!(reaches(&stage, "next", "203.0.113.2", 80));
    assert!(!reaches(&stage, "next", "203.0.113.2", 443));
    stage.clear_networks(&["box", "next"]);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let stage = Stage::new();
    let create = |flags: &[&str]| stage.dhow(["create"].iter().chain(flags).chain(&["busybox", "true"])).err;
    for (flags, words) in [
        (&["--network", "host", "--egress", "deny"][..], "the host's network cannot be given an egress policy"),
        (&["--egress-allow", "no..name"], "invalid egress rule \"no..name\""),
        (&["--label", "dhow.egress=perhaps"], "invalid dhow.egress \"perhaps\": deny or allow"),
        (&["--rm", "--egress-learn"], "leave --rm out"),
        (&["--egress-deny", "a.org:80"], "a name that is denied has no ports"),
    ] {
        let said = create(flags);
        assert!(said.contains(words), "{flags:?}: {said}");
    }
    let macvlan = stage.dhow(["network", "create", "-d", "macvlan", "--egress", "deny", "m"]);
    assert!(macvlan.err.contains("an egress policy cannot be kept on a network of the driver macvlan"), "{macvlan:?}");
    stage.dhow(["network", "create", "-d", "macvlan", "m"]).ok();
    let run = stage.dhow(["run", "--network", "m", "--egress", "deny", "busybox", "true"]);
    assert!(run.err.contains("an egress policy cannot be kept on the network m"), "{run:?}");
    stage.dhow(["container", "prune", "-f"]).ok();
    stage.clear_networks(&[]);
}

#[test]
fn refusals_are_counted_for_metrics() {
    let stage = Stage::new();
    let _net = Internet::beside(&stage);
    run(&stage, "box", &["--egress", "deny"]);
    assert!(!reaches(&stage, "box", "203.0.113.1", 80));
    assert!(!reaches(&stage, "box", "web.example.org", 80));
    let line = format!("curl -s --unix-socket {}/dhow.sock http://x/metrics", stage.folder().display());
    within("the counter is there", || {
        let text = stage.shell_inside(&line).ok();
        let counter = text.lines().find(|line| line.starts_with("dhow_container_egress_denied_total{"));
        counter.is_some_and(|line| line.contains("name=\"box\"") && !line.ends_with(" 0"))
    });
    stage.clear_networks(&["box"]);
}

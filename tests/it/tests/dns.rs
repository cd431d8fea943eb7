//! The name server of containers, asked by programs inside them; name servers outside are played by the test.

use it::{NameServer, Stage, within};
use std::path::Path;

/// A name server in the engine's network namespace, at an address that is put on its `lo`.
fn outside(stage: &Stage, address: &str, name: &'static str, answer: [u8; 4]) -> NameServer {
    stage.shell_inside(&format!("ip address add {address}/32 dev lo || true")).ok();
    NameServer::start(&stage.network(), address, name, answer)
}

/// The host's resolv.conf as the engine sees it.
fn resolv_conf(stage: &Stage, text: &str) {
    let file = stage.folder().join("resolv.conf");
    std::fs::write(&file, text).expect("a file can be written");
    let mount = format!("mountpoint -q /etc/resolv.conf || mount --bind {} /etc/resolv.conf", file.display());
    stage.shell_inside(&mount).ok();
}

fn run(stage: &Stage, name: &str, words: &[&str]) -> String {
    let words = [&["run", "-d", "--name", name], words, &["busybox", "sleep", "1000"]].concat();
    stage.dhow(words).ok().trim().to_owned()
}

/// What the name server at 127.0.0.11 says to a container, as text.
fn said(stage: &Stage, container: &str, name: &str) -> String {
    stage.dhow(["exec", container, "sh", "-c", &format!("nslookup {name} 127.0.0.11 2>&1 || true")]).ok()
}

fn lookup(stage: &Stage, container: &str, name: &str) -> Vec<String> {
    let said = said(stage, container, name);
    let answers = said.lines().skip_while(|line| !line.starts_with("Name:"));
    answers.filter_map(|line| line.strip_prefix("Address: ")).map(str::to_owned).collect()
}

fn address(stage: &Stage, container: &str, network: &str) -> String {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    stage.docker(["inspect", "-f", &format, container]).ok().trim().to_owned()
}

fn remove(stage: &Stage, containers: &[&str], networks: &[&str]) {
    stage.dhow([&["rm", "-f"], containers].concat()).ok();
    stage.dhow([&["network", "rm"], networks].concat()).ok();
}

#[test]
fn containers_of_a_network_find_each_other_by_every_name() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "blue"]).ok();
    let id = run(&stage, "web", &["--network", "blue", "--network-alias", "www"]);
    run(&stage, "client", &["--network", "blue"]);
    let web = address(&stage, "web", "blue");
    for name in ["web", "WWW", &id[..12], "web.blue", "www.blue."] {
        assert_eq!(lookup(&stage, "client", name), [web.as_str()], "{name}");
    }
    let said = said(&stage, "client", &web);
    assert!(said.contains("name = web.blue"), "{said}");
    assert_eq!(lookup(&stage, "web", "web"), [web.as_str()]);
    assert_eq!(stage.dhow(["exec", "client", "ping", "-c", "1", "-W", "5", "www"]).code, 0);
    remove(&stage, &["web", "client"], &["blue"]);
}

#[test]
fn a_name_that_only_has_v4_is_never_said_not_to_exist() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "blue"]).ok();
    run(&stage, "web", &["--network", "blue"]);
    for sort in ["aaaa", "mx", "txt"] {
        let line = format!("nslookup -type={sort} web 127.0.0.11 2>&1");
        let said = stage.dhow(["exec", "web", "sh", "-c", &line]);
        assert!(!said.out.contains("NXDOMAIN") && !said.out.contains("SERVFAIL"), "{sort}: {}", said.out);
    }
    remove(&stage, &["web"], &["blue"]);
}

#[test]
fn names_follow_what_happens_to_containers() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "blue"]).ok();
    stage.dhow(["network", "create", "red"]).ok();
    run(&stage, "web", &["--network", "blue"]);
    run(&stage, "client", &["--network", "red"]);
    assert_eq!(lookup(&stage, "client", "web"), [""; 0]);
    stage.dhow(["network", "connect", "--alias", "shop", "red", "web"]).ok();
    let on_red = address(&stage, "web", "red");
    for name in ["web", "shop", "web.red"] {
        assert_eq!(lookup(&stage, "client", name), [on_red.as_str()], "{name}");
    }
    stage.dhow(["rename", "web", "site"]).ok();
    assert_eq!(lookup(&stage, "client", "site"), [on_red.as_str()]);
    assert_eq!(lookup(&stage, "client", "web"), [""; 0]);
    stage.dhow(["stop", "-t", "0", "site"]).ok();
    assert_eq!(lookup(&stage, "client", "site"), [""; 0]);
    stage.dhow(["start", "site"]).ok();
    assert_eq!(lookup(&stage, "client", "shop"), [address(&stage, "site", "red")]);
    stage.dhow(["network", "disconnect", "red", "site"]).ok();
    assert_eq!(lookup(&stage, "client", "shop"), [""; 0]);
    remove(&stage, &["site", "client"], &["blue", "red"]);
}

#[test]
fn the_hosts_servers_are_asked_and_followed() {
    let stage = Stage::new();
    let _first = outside(&stage, "10.53.0.1", "outside.example", [192, 0, 2, 1]);
    let _second = outside(&stage, "127.0.0.53", "outside.example", [192, 0, 2, 2]);
    resolv_conf(&stage, "nameserver 10.53.0.1\nsearch corp.example\n");
    stage.dhow(["network", "create", "blue"]).ok();
    run(&stage, "client", &["--network", "blue"]);
    assert_eq!(lookup(&stage, "client", "outside.example"), ["192.0.2.1"]);
    let resolv = stage.dhow(["exec", "client", "cat", "/etc/resolv.conf"]).ok();
    assert!(resolv.contains("nameserver 127.0.0.11\nsearch corp.example\n"), "{resolv}");
    // A server on the host's loopback is reached as well: it is asked from the host's namespace.
    resolv_conf(&stage, "nameserver 127.0.0.53\n");
    within("the file is followed", || lookup(&stage, "client", "outside.example") == ["192.0.2.2"]);
    remove(&stage, &["client"], &["blue"]);
}

#[test]
fn a_containers_own_servers_are_asked_from_inside() {
    let stage = Stage::new();
    let _host = outside(&stage, "127.0.0.1", "which.example", [192, 0, 2, 1]);
    resolv_conf(&stage, "nameserver 127.0.0.1\n");
    stage.dhow(["network", "create", "blue"]).ok();
    run(&stage, "client", &["--network", "blue", "--dns", "127.0.0.1"]);
    let pid = stage.docker(["inspect", "-f", "{{.State.Pid}}", "client"]).ok();
    let inside = format!("/proc/{}/ns/net", pid.trim());
    // Port 53 of all addresses is free for programs: ours is at another one.
    let _own = NameServer::start(Path::new(&inside), "0.0.0.0", "which.example", [192, 0, 2, 7]);
    assert_eq!(lookup(&stage, "client", "which.example"), ["192.0.2.7"]);
    remove(&stage, &["client"], &["blue"]);
}

#[test]
fn an_internal_network_asks_nobody_outside() {
    let stage = Stage::new();
    let _outside = outside(&stage, "10.53.0.1", "secret.example", [192, 0, 2, 1]);
    resolv_conf(&stage, "nameserver 10.53.0.1\n");
    stage.dhow(["network", "create", "--internal", "vault"]).ok();
    stage.dhow(["network", "create", "blue"]).ok();
    run(&stage, "web", &["--network", "vault"]);
    run(&stage, "client", &["--network", "vault"]);
    assert_eq!(lookup(&stage, "client", "web").len(), 1);
    let refused = said(&stage, "client", "secret.example");
    assert!(refused.contains("SERVFAIL"), "{refused}");
    stage.dhow(["network", "connect", "blue", "client"]).ok();
    assert_eq!(lookup(&stage, "client", "secret.example"), ["192.0.2.1"]);
    stage.dhow(["network", "disconnect", "blue", "client"]).ok();
    assert!(said(&stage, "client", "secret.example").contains("SERVFAIL"));
    remove(&stage, &["web", "client"], &["vault", "blue"]);
}

#[test]
fn names_are_answered_after_a_crash_of_the_engine() {
    let mut stage = Stage::new();
    stage.dhow(["network", "create", "blue"]).ok();
    run(&stage, "web", &["--network", "blue", "--network-alias", "www"]);
    run(&stage, "client", &["--network", "blue"]);
    let web = address(&stage, "web", "blue");
    stage.kill_engine();
    stage.start_engine();
    for name in ["web", "www"] {
        assert_eq!(lookup(&stage, "client", name), [web.as_str()], "{name}");
    }
    remove(&stage, &["web", "client"], &["blue"]);
}

#[test]
fn links_name_other_containers_for_one_alone() {
    let stage = Stage::new();
    stage.dhow(["network", "create", "blue"]).ok();
    run(&stage, "web", &["--network", "blue"]);
    run(&stage, "client", &["--network", "blue", "--link", "web:shop"]);
    let web = address(&stage, "web", "blue");
    assert_eq!(lookup(&stage, "client", "shop"), [web.as_str()]);
    assert_eq!(lookup(&stage, "web", "shop"), [""; 0]);
    remove(&stage, &["client", "web"], &["blue"]);
}

//! The default bridge and published ports, seen from the machine, from containers and from another machine.

use it::{Stage, within};

const SERVE: &[&str] = &["busybox", "sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"];

fn serve(stage: &Stage, flags: &[&str]) {
    let mut words = vec!["run", "-d", "--name", "web"];
    words.extend(flags);
    words.extend(SERVE);
    stage.dhow(words).ok();
}

/// What a web server says at `address`; nothing when none answers. By bash, which needs no name service.
fn fetch(stage: &Stage, address: &str) -> String {
    let (host, port) = address.split_once(':').unwrap_or((address, "80"));
    let line = format!(
        "timeout 2 bash -c 'exec 3<>/dev/tcp/{host}/{port} && printf \"GET /index.html HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3'"
    );
    let said = stage.shell_inside(&line).out;
    said.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

/// The same from inside a container.
const FETCH: &str = "printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 $0 80 | tail -n 1";

#[test]
fn a_published_port_answers_on_every_address_of_the_machine() {
    let stage = Stage::new();
    stage.shell_inside("ip link add other type veth peer name wire && ip addr add 10.99.0.1/24 dev other && ip link set other up && ip link set wire up").ok();
    serve(&stage, &["-p", "18080:80"]);
    within("it answers on loopback", || fetch(&stage, "127.0.0.1:18080") == "page\n");
    assert_eq!(fetch(&stage, "10.99.0.1:18080"), "page\n");
    assert_eq!(stage.dhow(["port", "web", "80"]).ok(), "0.0.0.0:18080\n[::]:18080\n");
    stage.dhow(["rm", "-f", "web"]).ok();
    assert_eq!(fetch(&stage, "127.0.0.1:18080"), "");
    stage.shell_inside("ip link del other").ok();
}

#[test]
fn a_port_can_be_bound_to_one_address_or_be_any() {
    let stage = Stage::new();
    stage.shell_inside("ip addr add 10.98.0.1/32 dev lo").ok();
    serve(&stage, &["-p", "127.0.0.1::80"]);
    let said = stage.dhow(["port", "web", "80"]).ok();
    let port = said.trim().strip_prefix("127.0.0.1:").unwrap();
    within("it answers", || fetch(&stage, &format!("127.0.0.1:{port}")) == "page\n");
    assert_eq!(fetch(&stage, &format!("10.98.0.1:{port}")), "");
}

#[test]
fn a_taken_port_is_refused_and_nothing_is_left() {
    let stage = Stage::new();
    let mut squatter =
        stage.inside("busybox").args(["nc", "-l", "-p", "18081"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    within("the port is taken", || stage.shell_inside("cat /proc/net/tcp /proc/net/tcp6").out.contains(":46A1 "));
    let said = stage.dhow(["run", "-d", "--name", "web", "-p", "18081:80", "busybox", "sleep", "1000"]);
    assert_eq!(said.code, 125);
    assert!(said.err.contains("18081"), "{}", said.err);
    let _ = squatter.kill();
    let _ = squatter.wait();
    assert_eq!(stage.dhow(["inspect", "-f", "{{.State.Status}}", "web"]).ok(), "created\n");
    stage.dhow(["start", "web"]).ok();
}

#[test]
fn containers_reach_each_other_by_address() {
    let stage = Stage::new();
    serve(&stage, &[]);
    let address = stage.dhow(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"]).ok();
    within("it answers", || stage.dhow(["run", "--rm", "busybox", "sh", "-c", FETCH, address.trim()]).out == "page\n");
}

#[test]
fn none_host_and_shared_networks() {
    let stage = Stage::new();
    let links =
        |network: &str| stage.dhow(["run", "--rm", "--network", network, "busybox", "ls", "/sys/class/net"]).ok();
    assert_eq!(links("none"), "lo\n");
    assert!(links("host").contains("dhow-"), "the bridge is seen on the host's network");
    serve(&stage, &[]);
    let said = stage.dhow(["run", "--rm", "--network", "container:web", "busybox", "sh", "-c", FETCH, "127.0.0.1"]);
    assert_eq!(said.ok(), "page\n");
}

#[test]
fn names_for_addresses_are_written_into_hosts() {
    let stage = Stage::new();
    let said = stage.dhow([
        "run",
        "--rm",
        "--add-host",
        "db:10.1.2.3",
        "--dns",
        "10.9.9.9",
        "--dns-search",
        "example.org",
        "--hostname",
        "me",
        "busybox",
        "sh",
        "-c",
        "grep -w db /etc/hosts; grep -c me /etc/hosts; cat /etc/resolv.conf | grep -v '^#'",
    ]);
    let text = said.ok();
    assert!(text.starts_with("10.1.2.3\tdb\n1\n"), "{text}");
    assert!(text.contains("nameserver 10.9.9.9") && text.contains("search example.org"), "{text}");
}

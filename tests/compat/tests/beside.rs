//! dockerd and dhow on one machine: both publish, and neither opens the other's containers.

use compat::{Dockerd, Seat};
use it::{Neighbour, Stage, within};

const SERVE: &str = "busybox sh -c 'echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp'";

#[track_caller]
fn said(seat: &Seat, line: &str) -> String {
    let answer = seat.run(line);
    assert_eq!(answer.code, 0, "{line}\n{}{}", answer.out, answer.err);
    answer.out
}

fn address(seat: &Seat, name: &str) -> String {
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    said(seat, &format!("docker inspect -f '{template}' {name}")).trim().to_owned()
}

fn serve(seat: &Seat, name: &str, flags: &str) {
    said(seat, &format!("docker run -d --name {name} {flags} {SERVE}"));
    let listens = || seat.run(&format!("docker exec {name} cat /proc/net/tcp /proc/net/tcp6")).out.contains(":0050 ");
    within("the server listens", listens);
}

/// Whether a container of that engine reaches a web server.
fn reaches(seat: &Seat, container: &str, address: &str, port: u16) -> bool {
    let line = format!("printf \"GET /index.html HTTP/1.0\\r\\n\\r\\n\" | nc -w 2 {address} {port}");
    seat.run(&format!("docker exec {container} sh -c '{line}'")).out.contains("page")
}

#[test]
fn each_publishes_beside_the_other_and_opens_nothing_of_it() {
    let mut stage = Stage::new();
    let ours = Seat { host: stage.host(), data_root: stage.data_root() };
    serve(&ours, "early", "-p 18200:80");
    // Its rules come when ours are there.
    let dockerd = Dockerd::beside(&stage);
    // dockerd closes FORWARD where it is the one that switches forwarding on.
    stage.shell_inside("iptables -P FORWARD DROP").ok();
    let theirs = dockerd.seat();
    let neighbour = Neighbour::new(&stage);
    serve(&theirs, "web", "-p 18201:80");
    serve(&theirs, "hidden", "");
    serve(&ours, "late", "-p 18202:80");
    serve(&ours, "secret", "");
    let holds = || {
        for port in [18200, 18201, 18202] {
            within("published ports are reached", || neighbour.asks("10.99.0.1", port, 5));
        }
        let (hidden, secret) = (address(&theirs, "hidden"), address(&ours, "secret"));
        for there in [&hidden, &secret] {
            assert!(neighbour.is_kept_from(there, 80), "{there}");
        }
        assert!(!reaches(&ours, "late", &hidden, 80), "dockerd's containers are closed to ours");
        assert!(!reaches(&theirs, "web", &secret, 80), "ours are closed to dockerd's");
        assert!(reaches(&ours, "late", "10.99.0.1", 18201), "its published ports are open to ours");
        assert!(reaches(&theirs, "web", "10.99.0.1", 18202), "and ours to its");
    };
    holds();
    stage.kill_engine();
    stage.start_engine();
    holds();
    stage.shell_inside("iptables -F FORWARD && iptables -F DOCKER-USER").ok();
    within("our rules are back", || neighbour.asks("10.99.0.1", 18202, 5));
    said(&ours, "docker rm -f early late secret");
    let left = stage.shell_inside("iptables -S").ok();
    assert!(left.contains("DOCKER-USER"), "{left}");
    drop(dockerd);
    neighbour.leave(&stage);
    // dockerd leaves its bridge and its rules behind.
    stage.shell_inside("ip link del docker0; iptables -P FORWARD ACCEPT; iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X").ok();
}

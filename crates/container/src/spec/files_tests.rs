//! The two texts, as Docker 28 writes them.

use super::*;
use crate::spec::tests::container;

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn hosts_has_local_names_then_extra_ones_then_the_containers_own() {
    let mut container = container();
    container.config.hostname = "web".to_owned();
    container.config.domainname = "example.org".to_owned();
    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    container.config.extra_hosts = vec![
        pair("db", "10.0.0.9"),
        pair("host.docker.internal", "host-gateway"),
        pair("six", "[2001:db8::1]"),
        pair("bad", "not-an-address"),
        pair("evil\n1.2.3.4 bank.example", "10.0.0.1"),
    ];
    let text = hosts_text(&container, &["172.17.0.2".parse().unwrap()], Some("172.17.0.1".parse().unwrap()));
    let own = "10.0.0.9\tdb\n172.17.0.1\thost.docker.internal\n2001:db8::1\tsix\n172.17.0.2\tweb.example.org web\n";
    assert_eq!(text, format!("{HOSTS}{own}"));
}

#[test]
fn a_container_without_an_address_has_no_own_line() {
    assert_eq!(hosts_text(&container(), &[], None), HOSTS);
    let container = container();
    let text = hosts_text(&container, &["10.0.0.2".parse().unwrap()], None);
    assert!(text.ends_with(&format!("10.0.0.2\t{}\n", container.id.short())));
}

#[test]
fn servers_that_the_bridge_cannot_reach_are_left_out() {
    let config = Config::default();
    let host = "# made by x\n; y\nnameserver 127.0.0.53\nnameserver 10.1.1.1\nnameserver fe80::1%eth0\nnameserver junk\n\
                search a.example b.example\noptions edns0\noptions trust-ad ndots:2\nsortlist 10.0.0.0\nnameserver\n";
    assert_eq!(
        lines(&resolv_text(&config, host)),
        ["nameserver 10.1.1.1", "search a.example b.example", "options edns0 trust-ad ndots:2", "sortlist 10.0.0.0"]
    );
}

#[test]
fn public_servers_stand_in_when_none_is_left() {
    for host in ["", "nameserver 127.0.0.53\n", "nameserver ::1\nnameserver 127.0.1.1\n"] {
        assert_eq!(
            lines(&resolv_text(&Config::default(), host)),
            ["nameserver 8.8.8.8", "nameserver 8.8.4.4"],
            "{host:?}"
        );
    }
}

#[test]
fn the_hosts_network_keeps_the_hosts_servers() {
    let config = Config { network: NetworkMode::Host, ..Config::default() };
    assert_eq!(lines(&resolv_text(&config, "nameserver 127.0.0.53\n")), ["nameserver 127.0.0.53"]);
}

#[test]
fn what_the_user_set_replaces_its_part() {
    let config = Config {
        dns: vec!["127.0.0.1".parse().unwrap(), "2001:db8::53".parse().unwrap()],
        dns_search: vec![".".to_owned()],
        dns_options: vec!["ndots:1".to_owned(), "evil\nnameserver 6.6.6.6".to_owned()],
        ..Config::default()
    };
    let text = resolv_text(&config, "nameserver 10.1.1.1\nsearch host.example\noptions edns0\n");
    assert_eq!(lines(&text), ["nameserver 127.0.0.1", "nameserver 2001:db8::53", "options ndots:1"]);
}

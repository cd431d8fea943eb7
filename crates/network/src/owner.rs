//! Which program has a port, for the words of an error.

use crate::Protocol;
use std::fs;
use std::net::IpAddr;

/// "nginx (pid 812)", when it can be told: the socket of /proc/net that has the port, and a process that has it open.
pub(crate) fn of_port(protocol: Protocol, ip: IpAddr, port: u16) -> Option<String> {
    let (v4, v6) = match protocol {
        Protocol::Tcp => ("tcp", "tcp6"),
        Protocol::Udp => ("udp", "udp6"),
        Protocol::Sctp => return None,
    };
    // By the thread: /proc/net is of the namespace of the process' first thread.
    let table = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let of_v4 = if ip.is_ipv4() { inode(&table(v4), protocol, ip, port) } else { None };
    let inode = of_v4.or_else(|| inode(&table(v6), protocol, ip, port))?;
    holder(&format!("socket:[{inode}]"))
}

/// Finds the socket that is bound to the port, of `ip` or of all addresses (of IPv6 too).
fn inode(table: &str, protocol: Protocol, ip: IpAddr, port: u16) -> Option<u64> {
    let wanted = [digits(ip), "0".repeat(8), "0".repeat(32)];
    let port = format!("{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (at, bound) = fields.nth(1)?.rsplit_once(':')?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        // A socket that is bound and does not listen yet is in no state's list; one in a connection is no owner.
        let owns = protocol != Protocol::Tcp || state == "0A";
        let covers = ip.is_unspecified() || wanted.iter().any(|w| w == at);
        (bound == port && owns && covers && inode != 0).then_some(inode)
    })
}

/// An address as the tables have it: words of 32 bits, each in the machine's order.
fn digits(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
        IpAddr::V6(ip) => {
            let words = ip.octets().as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word)).collect::<Vec<_>>();
            words.into_iter().map(|word| format!("{word:08X}")).collect()
        }
    }
}

fn holder(socket: &str) -> Option<String> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(process.path().join("fd")).ok()?;
        let has_it = open.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == socket));
        if !has_it {
            return None;
        }
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some(format!("{} (pid {pid})", name.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn a_listening_program_is_named_with_its_pid() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let owner = of_port(Protocol::Tcp, Ipv4Addr::UNSPECIFIED.into(), port).unwrap();
        assert!(owner.ends_with(&format!("(pid {})", std::process::id())), "{owner}");
        assert_eq!(of_port(Protocol::Tcp, Ipv4Addr::new(127, 0, 0, 2).into(), port), None);
    }

    #[test]
    fn a_table_that_makes_no_sense_names_nobody() {
        for table in ["", "head\n", "head\n0: x", "head\n0: 0100007F:1F90 0 0A 0 0 0 0 0 word", "head\n: : : :"] {
            assert_eq!(inode(table, Protocol::Tcp, Ipv4Addr::LOCALHOST.into(), 8080), None, "{table:?}");
        }
    }
}

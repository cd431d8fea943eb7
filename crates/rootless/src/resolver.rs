//! The name servers of the engine's network namespace.
//!
//! A name server at the host's loopback (systemd-resolved, dnsmasq) cannot be reached from there: pasta forwards for it. The
//! engine's mount namespace then has a resolv.conf of its own, which the engine and all containers go by.

use crate::pasta::NAME_SERVER;
use rustix::mount::{mount_bind, mount_change};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

const PATH: &str = "/etc/resolv.conf";

/// Writes the own file and puts it over the host's; `ours`: it lies there already.
pub fn prepare(exec_root: &Path, ours: bool) -> io::Result<()> {
    let own = exec_root.join("resolv.conf");
    if ours {
        return Ok(());
    }
    let Some(text) = fs::read_to_string(PATH).ok().as_deref().and_then(replaced) else { return Ok(()) };
    fs::write(&own, text)?;
    mount_bind(&own, PATH)?;
    Ok(mount_change(PATH, rustix::mount::MountPropagationFlags::PRIVATE)?)
}

/// The text with our name server in place of those at a loopback; `None` when there are none.
fn replaced(text: &str) -> Option<String> {
    let mut own = String::new();
    let mut any = false;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let server = (words.next() == Some("nameserver")).then(|| words.next()).flatten();
        if server.and_then(|text| text.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback()) {
            if !any {
                own.push_str(&format!("nameserver {NAME_SERVER}\n"));
            }
            any = true;
        } else {
            own.push_str(line);
            own.push('\n');
        }
    }
    any.then_some(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_servers_at_the_loopback_are_replaced() {
        assert_eq!(replaced("nameserver 10.0.0.1\nsearch a\n"), None);
        let text = "# stub\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.1\noptions edns0\n";
        let own = format!("# stub\nnameserver {NAME_SERVER}\nnameserver 10.0.0.1\noptions edns0\n");
        assert_eq!(replaced(text), Some(own));
    }
}

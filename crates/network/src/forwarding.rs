//! Forwarding beside Docker: keeps a door open for our bridge in iptables' table `filter`.
//!
//! A packet passes the hook `forward` only if every base chain there accepts it, and dockerd (and ufw) set the policy
//! of iptables' chain FORWARD to DROP. On hosts whose iptables is the nf_tables variant (Debian since 10) that chain is
//! an nft chain as well, so it can be amended over netlink, in the form iptables itself writes and can read back:
//!
//! - In Docker's chain DOCKER-USER, the place Docker leaves to others and never flushes:
//!   `-i BRIDGE -o docker0 RETURN`, `-i BRIDGE -o br-+ RETURN`, `-i BRIDGE ACCEPT`, `-o BRIDGE ACCEPT`. The first two let
//!   Docker's own rules judge what goes to Docker's networks; what comes in to ours is judged by our own chain.
//! - Without such a chain (or without a way from FORWARD to it), and only if the policy of FORWARD is DROP, the two ACCEPTs at the beginning of FORWARD.
//!
//! With neither, nothing is touched. iptables-legacy cannot be amended so; its users run
//! `iptables-legacy -I FORWARD -i BRIDGE -j ACCEPT` and the same with `-o`. firewalld users put the bridge into the
//! zone `trusted`.

use netlink::nft::{Rule, Transaction};
use netlink::{Error, Socket};

const TABLE: &str = "filter";
const DOCKER: &str = "DOCKER-USER";
const FORWARD: &str = "FORWARD";

/// A way to write one of our rules for the bridge of this name.
type Door = fn(Rule<'_, '_>, &str);

/// In the order they stand in the chain.
const BESIDE_DOCKER: [Door; 4] = [to_docker, to_docker_networks, out, inward];
const ALONE: [Door; 2] = [out, inward];

fn to_docker(rule: Rule<'_, '_>, bridge: &str) {
    rule.from_link(bridge).to_link("docker0").counter().back();
}

fn to_docker_networks(rule: Rule<'_, '_>, bridge: &str) {
    rule.from_link(bridge).to_links("br-").counter().back();
}

fn out(rule: Rule<'_, '_>, bridge: &str) {
    rule.from_link(bridge).counter().accept();
}

fn inward(rule: Rule<'_, '_>, bridge: &str) {
    rule.to_link(bridge).counter().accept();
}

/// What of ours stands in iptables' table.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    standing: Option<Standing>,
    /// Its bridge is gone, and somebody may still be checking it.
    closed: bool,
}

/// The chain our rules are in and the number of the last of them.
#[derive(Debug, Clone, Copy)]
struct Standing {
    chain: &'static str,
    last: u64,
}

impl Doors {
    /// Sees to it that our rules stand where they must: two or three questions to the kernel when nothing has changed.
    pub(crate) fn keep_open(&mut self, socket: &mut Socket, bridge: &str) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        let wanted = wanted_chain(socket)?;
        match (self.standing, wanted) {
            (None, None) => return Ok(()),
            (Some(s), Some(chain)) if s.chain == chain && socket.has_rule(TABLE, chain, s.last)? => return Ok(()),
            _ => {}
        }
        self.standing = None;
        close(socket, bridge)?;
        if let Some(chain) = wanted {
            self.standing = open(socket, bridge, chain)?;
            tracing::info!("packets of {bridge} may pass the chain {chain} of iptables");
        }
        Ok(())
    }

    /// Takes our rules away, those of an earlier engine too.
    pub(crate) fn close(&mut self, socket: &mut Socket, bridge: &str) -> Result<(), Error> {
        self.standing = None;
        self.closed = true;
        close(socket, bridge)
    }
}

fn comment(bridge: &str) -> String {
    format!("dhow: {bridge}")
}

fn wanted_chain(socket: &mut Socket) -> Result<Option<&'static str>, Error> {
    // Somebody may have flushed FORWARD: then nothing comes to Docker's chain any more.
    if socket.chain(TABLE, DOCKER)?.is_some() && socket.leads(TABLE, FORWARD, DOCKER)? {
        return Ok(Some(DOCKER));
    }
    let forward = socket.chain(TABLE, FORWARD)?;
    Ok(forward.is_some_and(|c| c.at_forward && c.drops).then_some(FORWARD))
}

fn open(socket: &mut Socket, bridge: &str, chain: &'static str) -> Result<Option<Standing>, Error> {
    let doors: &[Door] = if chain == DOCKER { &BESIDE_DOCKER } else { &ALONE };
    let mut t = Transaction::new();
    for door in doors.iter().rev() {
        t.insert_rule(TABLE, chain, &comment(bridge), |rule| door(rule, bridge));
    }
    t.commit(socket)?;
    let last = ours(socket, bridge, chain)?.last().copied();
    Ok(last.map(|last| Standing { chain, last }))
}

fn close(socket: &mut Socket, bridge: &str) -> Result<(), Error> {
    for chain in [DOCKER, FORWARD] {
        let mut t = Transaction::new();
        for handle in ours(socket, bridge, chain)? {
            t.delete_rule(TABLE, chain, handle);
        }
        match t.commit(socket) {
            Err(e) if !e.is_absent() => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// The numbers of our rules in a chain.
fn ours(socket: &mut Socket, bridge: &str, chain: &str) -> Result<Vec<u64>, Error> {
    let comment = comment(bridge);
    let rules = socket.rules(TABLE, chain)?;
    Ok(rules.into_iter().filter(|r| r.comment.as_deref() == Some(&comment)).map(|r| r.handle).collect())
}

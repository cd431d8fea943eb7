//! What one container may see of names.

use crate::Gatekeeper;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What one container may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Ids of the networks it is on, in the order in which they are searched; the first that knows a name answers.
    pub networks: Vec<String>,
    /// `--link`: names for this container alone, each of a container (name, alias or id) on one of its networks.
    pub links: BTreeMap<String, String>,
    /// Who is asked for names that no network knows.
    pub outside: Outside,
    /// What becomes of unknown names without a dot.
    pub dotless: Dotless,
    /// Who judges what is asked outside; `None`: everything may be.
    pub gate: Option<Gatekeeper>,
}

/// Who is asked for names that no network knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outside {
    /// The servers of the host's resolv.conf as they are at the time, asked from the host's network namespace.
    #[default]
    Host,
    /// Those of `--dns`, asked at port 53 from the container's network namespace: 127.0.0.1 is the container itself.
    Own(Vec<IpAddr>),
    /// The same, asked from the host's network namespace but for those on the container's loopback: its own packets may not get there.
    OwnFromHost(Vec<IpAddr>),
    /// Nobody: the container has no way out, so its questions have none either (CVE-2024-29018). They end as SERVFAIL.
    Closed,
}

/// What becomes of addresses asked for unknown names without a dot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dotless {
    /// They are asked outside as any other.
    #[default]
    Asked,
    /// They have no address: with `--dns-opt ndots:1` or more the search domains are tried by the one who asks.
    Kept,
}

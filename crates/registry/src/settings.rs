//! How registries are reached: what an engine's configuration says about them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How registries are reached. Built from `daemon.json` and flags.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Mirrors of Docker Hub, tried first in this order: `https://mirror.example[:port][/prefix]`.
    pub mirrors: Vec<String>,
    /// Registries (`host`, `host:port`, or a CIDR of addresses) that may speak plain HTTP or show any certificate.
    /// Loopback addresses are always among them, as for Docker.
    pub insecure: Vec<String>,
    /// Folders with one folder for each registry (`host:port`): `*.crt` (CA), `NAME.cert` + `NAME.key` (client),
    /// `hosts.toml` (containerd's format: mirrors for any registry).
    pub hosts_folders: Vec<PathBuf>,
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<String>,
}

impl Settings {
    /// Whether the registry is insecure by its name or by an address that is written out.
    pub(crate) fn names_insecure(&self, host: &str, port: Option<u16>) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host == "localhost" || host.ends_with(".localhost") {
            return true;
        }
        let with_port =
            port.map(|port| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") });
        let named = |entry: &String| {
            let entry = entry.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
            entry == host || Some(entry) == with_port.as_deref()
        };
        self.insecure.iter().any(named) || host.parse().is_ok_and(|address| self.holds_insecure(address))
    }

    /// Whether an address is in one of the insecure networks.
    pub(crate) fn holds_insecure(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.networks().any(|network| network.contains(&address))
    }

    /// Whether a name has to be resolved to know whether its registry is insecure.
    pub(crate) fn has_insecure_networks(&self) -> bool {
        self.networks().next().is_some()
    }

    fn networks(&self) -> impl Iterator<Item = ipnet::IpNet> {
        self.insecure.iter().filter_map(|entry| entry.parse().ok())
    }
}

/// How long a transfer waits for what.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// For a connection, its TLS included.
    pub connect: Duration,
    /// For the first or the next byte of an answer.
    pub stall: Duration,
    /// For a registry to check and keep a blob whose last byte it has.
    pub commit: Duration,
    /// Before the first repetition; doubled for each further one.
    pub backoff: Duration,
    /// The longest `Retry-After` that is obeyed.
    pub longest_wait: Duration,
    /// Repetitions without any progress.
    pub repetitions: u32,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(60),
            commit: Duration::from_secs(15 * 60),
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            repetitions: 5,
        }
    }
}

impl Patience {
    /// The wait before repetition `count` (0 is the first).
    pub(crate) fn before(&self, count: u32) -> Duration {
        self.backoff.saturating_mul(1 << count.min(6)).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insecure_registries_are_loopback_and_those_named_by_host_port_or_network() {
        let insecure = ["lan.example", "other.example:5000", "10.1.0.0/16", "[2001:db8::1]:5000"].map(str::to_owned);
        let settings = Settings { insecure: insecure.to_vec(), ..Settings::default() };
        for (host, port) in [
            ("localhost", Some(5000)),
            ("127.3.2.1", None),
            ("[::1]", Some(5000)),
            ("lan.example", Some(80)),
            ("other.example", Some(5000)),
            ("10.1.2.3", Some(1)),
            ("[2001:db8::1]", Some(5000)),
        ] {
            assert!(settings.names_insecure(host, port), "{host} {port:?}");
        }
        for (host, port) in [("other.example", None), ("10.2.0.1", None), ("notlocalhost", None), ("8.8.8.8", None)] {
            assert!(!settings.names_insecure(host, port), "{host} {port:?}");
        }
    }
}

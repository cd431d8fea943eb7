//! Names to addresses: `localhost`, /etc/hosts, then DNS; never getaddrinfo.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Resolves names. Clones share the cache.
#[derive(Clone, Default)]
pub(crate) struct Names(Arc<Mutex<Option<Dns>>>);

/// A resolver and the age of the configuration it was made from.
struct Dns {
    configured: Option<SystemTime>,
    resolver: TokioResolver,
}

/// A name without addresses.
#[derive(Debug, thiserror::Error)]
#[error("lookup {host}: {reason}")]
pub struct NameError {
    host: String,
    reason: String,
}

/// The addresses of a host, which may itself be one: as registries are found, and never by getaddrinfo.
pub async fn lookup(host: &str) -> Result<Vec<IpAddr>, NameError> {
    Names::default().lookup(host).await
}

impl Names {
    /// The addresses of a host, which may itself be one.
    pub(crate) async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let written = addresses_in(&hosts, bare);
        if !written.is_empty() {
            return Ok(written);
        }
        let lower = bare.trim_end_matches('.').to_ascii_lowercase();
        if lower == "localhost" || lower.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.ask(bare).await
    }

    async fn ask(&self, host: &str) -> Result<Vec<IpAddr>, NameError> {
        let fail = |reason: String| NameError { host: host.to_owned(), reason };
        let resolver = self.resolver().map_err(|error| fail(error.to_string()))?;
        match resolver.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_nx_domain() || error.is_no_records_found() => Err(fail("no such host".to_owned())),
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// The resolver, made anew when /etc/resolv.conf has changed.
    fn resolver(&self) -> Result<TokioResolver, hickory_resolver::net::NetError> {
        let configured = std::fs::metadata("/etc/resolv.conf").and_then(|found| found.modified()).ok();
        let mut dns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = dns.as_ref().filter(|known| known.configured == configured) {
            return Ok(known.resolver.clone());
        }
        let mut builder = TokioResolver::builder_tokio()?;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build()?;
        *dns = Some(Dns { configured, resolver: resolver.clone() });
        Ok(resolver)
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let found = names.lookup(name.as_str()).await?;
            Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// The addresses that a hosts file gives to a name.
fn addresses_in(hosts: &str, name: &str) -> Vec<IpAddr> {
    let name = name.trim_end_matches('.');
    let address = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    hosts.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read_as_hosts_5_says() {
        let hosts = "# 9.9.9.9 reg\n10.0.0.1\tReg.Example reg # other\n::1 reg\nnonsense reg\n";
        assert_eq!(addresses_in(hosts, "REG"), ["10.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert!(addresses_in(hosts, "other").is_empty());
    }
}

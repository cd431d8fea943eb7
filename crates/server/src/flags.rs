//! The flags of `dhow engine`: dockerd's names, and a few of our own.

use clap::Parser;
use std::path::PathBuf;

/// The container engine: serves the Docker API
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "dhow engine", version, disable_help_subcommand = true)]
pub struct Flags {
    /// Where images, containers and volumes are kept [default: /var/lib/dhow; of a user: $XDG_DATA_HOME/dhow]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Where sockets and live state are kept [default: /run/dhow; of a user: $XDG_RUNTIME_DIR/dhow]
    #[arg(long, value_name = "DIR")]
    pub exec_root: Option<PathBuf>,
    /// Where to listen: unix:///path, tcp://address:port or fd:// [default: unix://EXEC_ROOT/dhow.sock; of a user: unix://$XDG_RUNTIME_DIR/dhow.sock]
    #[arg(short = 'H', long = "host", value_name = "ADDRESS")]
    pub hosts: Vec<String>,
    /// Allow tcp:// although nothing is encrypted and nobody is asked who they are
    #[arg(long)]
    pub insecure_tcp: bool,
    /// The bridge's gateway and subnet, as 172.30.0.1/16
    #[arg(long, value_name = "CIDR")]
    pub bip: Option<String>,
    /// The bridge's name
    #[arg(short = 'b', long, value_name = "NAME")]
    pub bridge: Option<String>,
    /// The bridge's MTU in bytes [default: 1500]
    #[arg(long, value_name = "BYTES")]
    pub mtu: Option<u32>,
    /// Settings as a JSON file [default: /etc/dhow/daemon.json; of a user: ~/.config/dhow/daemon.json]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// How much to log: trace, debug, info, warn, error, fatal [default: info]
    #[arg(short = 'l', long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Log what is of use to those who search for a fault
    #[arg(short = 'D', long)]
    pub debug: bool,
    /// A file to write the process id into
    #[arg(short = 'p', long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// Words about this engine, as key=value
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// A mirror of Docker Hub that is asked first, as https://mirror.example
    #[arg(long = "registry-mirror", value_name = "URL")]
    pub registry_mirrors: Vec<String>,
    /// A registry (host, host:port or CIDR) that may speak plain HTTP or show any certificate
    #[arg(long = "insecure-registry", value_name = "REGISTRY")]
    pub insecure_registries: Vec<String>,
    /// Layers that one pull downloads at once [default: 3]
    #[arg(long, value_name = "NUMBER")]
    pub max_concurrent_downloads: Option<i64>,
    /// Layers that one push uploads at once [default: 5]
    #[arg(long, value_name = "NUMBER")]
    pub max_concurrent_uploads: Option<i64>,
    /// The proxy for plain HTTP [default: HTTP_PROXY of the environment]
    #[arg(long, value_name = "URL")]
    pub http_proxy: Option<String>,
    /// The proxy for HTTPS [default: HTTPS_PROXY of the environment]
    #[arg(long, value_name = "URL")]
    pub https_proxy: Option<String>,
    /// Hosts that are reached without a proxy, with commas between [default: NO_PROXY of the environment]
    #[arg(long, value_name = "HOSTS")]
    pub no_proxy: Option<String>,
    /// What images may take up, as 20GB: those not used for longest go first
    #[arg(long, value_name = "SIZE")]
    pub disk_budget: Option<String>,
    /// A descriptor that gets one byte when the engine listens
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub ready_fd: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockerds_flags_are_understood() {
        let words = "engine --data-root /d --exec-root=/e -H unix:///s -H tcp://127.0.0.1:1 --insecure-tcp --bip 10.0.0.1/24 \
            -b dhow9 --registry-mirror https://m --insecure-registry a:1 --insecure-registry b \
            --max-concurrent-downloads 4 --max-concurrent-uploads=2 --http-proxy http://p --https-proxy http://q \
            --no-proxy localhost --disk-budget 20GB --mtu 1400 --config-file /c -l warn -D -p /pid --label a=b --label c=d --ready-fd 3";
        let flags = Flags::try_parse_from(words.split_whitespace()).expect("flags");
        assert_eq!(flags.hosts, ["unix:///s", "tcp://127.0.0.1:1"]);
        assert_eq!((flags.labels.len(), flags.mtu, flags.ready_fd, flags.debug), (2, Some(1400), Some(3), true));
        assert_eq!((flags.insecure_registries.len(), flags.max_concurrent_downloads), (2, Some(4)));
        assert_eq!((flags.disk_budget.as_deref(), flags.no_proxy.as_deref()), (Some("20GB"), Some("localhost")));
        assert!(Flags::try_parse_from(["engine", "--no-such-flag"]).is_err());
    }
}

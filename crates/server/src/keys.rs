//! Every setting of dockerd: its flag, its name in `daemon.json`, and what it means here.

use self::Kind::{
    Feature, List, NetworkOption, Number, Object, Pairs, Pool, RuntimePath, Size, Switch, Text, UlimitPair,
};
use self::Meaning::{Acts, Idle, Only};

/// How a setting is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Switch,
    Number,
    /// A size with a unit, or a number of bytes.
    Size,
    /// A flag that may be repeated; in the file an array.
    List,
    /// `key=value`; in the file an object of texts.
    Pairs,
    /// `key=true`; in the file an object of truths.
    Feature,
    /// `nofile=1024:4096`; in the file an object by name.
    UlimitPair,
    /// `base=10.0.0.0/8,size=24`; in the file an array of objects.
    Pool,
    /// `name=path`; in the file an object of objects.
    RuntimePath,
    /// `driver=key=value`; in the file an object of objects of texts.
    NetworkOption,
    /// In the file only.
    Object,
}

/// What comes of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Acts,
    /// Accepted, and said in the log once: why nothing comes of it.
    Idle(&'static str),
    /// As Go prints it, it must be one of these; anything else would be a promise that is not kept.
    Only(&'static [&'static str], &'static str),
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The flag's name; empty: in the file only.
    pub flag: &'static str,
    pub short: Option<char>,
    /// The name in the file.
    pub file: &'static str,
    pub kind: Kind,
    /// What its value is called in the help.
    pub value: &'static str,
    pub does: &'static str,
    pub meaning: Meaning,
}

const fn key(flag: &'static str, kind: Kind, value: &'static str, does: &'static str) -> Key {
    Key { flag, short: None, file: flag, kind, value, does, meaning: Acts }
}

const fn short(letter: char, key: Key) -> Key {
    Key { short: Some(letter), ..key }
}

/// A setting with another name in the file.
const fn named(file: &'static str, key: Key) -> Key {
    Key { file, ..key }
}

/// A setting of dockerd's that has no part here.
const fn idle(flag: &'static str, kind: Kind, why: &'static str) -> Key {
    Key { meaning: Idle(why), ..key(flag, kind, "VALUE", "Accepted for dockerd's sake") }
}

const fn only(flag: &'static str, kind: Kind, values: &'static [&'static str], why: &'static str) -> Key {
    Key { meaning: Only(values, why), ..key(flag, kind, "VALUE", "Accepted for dockerd's sake") }
}

const SWARM: &str = "there is no swarm mode";
const CONTAINERD: &str = "there is no containerd under this engine";
const NFT: &str = "the rules are nftables of the engine's own";

/// Every setting, by the order of the help.
pub const KEYS: &[Key] = &[
    key(
        "data-root",
        Text,
        "DIR",
        "Where images, containers and volumes are kept [default: /var/lib/dhow; of a user: $XDG_DATA_HOME/dhow]",
    ),
    key(
        "exec-root",
        Text,
        "DIR",
        "Where sockets and live state are kept [default: /run/dhow; of a user: $XDG_RUNTIME_DIR/dhow]",
    ),
    named(
        "hosts",
        short(
            'H',
            key(
                "host",
                List,
                "ADDRESS",
                "Where to listen: unix:///path, tcp://address:port or fd:// [default: unix://EXEC_ROOT/dhow.sock; of a user: unix://$XDG_RUNTIME_DIR/dhow.sock]",
            ),
        ),
    ),
    short('G', key("group", Text, "GROUP", "Who may use unix sockets, by name or number [default: docker]")),
    key("tls", Switch, "", "Encrypt tcp:// [implied by --tlsverify]"),
    key("tlsverify", Switch, "", "Encrypt tcp://, and let in only who has a certificate of --tlscacert"),
    key(
        "tlscacert",
        Text,
        "FILE",
        "Who signs clients' certificates [default: ca.pem in $DOCKER_CERT_PATH or ~/.docker]",
    ),
    key("tlscert", Text, "FILE", "This engine's certificate [default: cert.pem there]"),
    key("tlskey", Text, "FILE", "Its key [default: key.pem there]"),
    key(
        "insecure-tcp",
        Switch,
        "",
        "Allow tcp:// although nobody is asked who they are; --tls=false and --tlsverify=false say it, too",
    ),
    short('p', key("pidfile", Text, "FILE", "A file to write the process id into")),
    short('D', key("debug", Switch, "", "Log what is of use to those who search for a fault")),
    short(
        'l',
        key("log-level", Text, "LEVEL", "How much to log: trace, debug, info, warn, error, fatal [default: info]"),
    ),
    key("log-format", Text, "FORMAT", "How to log: text or json [default: text]"),
    idle("raw-logs", Switch, "lines of the log are never coloured"),
    named("labels", key("label", List, "KEY=VALUE", "Words about this engine")),
    key("metrics-addr", Text, "ADDRESS:PORT", "Where to answer GET /metrics for Prometheus, over plain HTTP"),
    key(
        "live-restore",
        Switch,
        "",
        "Let containers go on when the engine ends [default: true; --live-restore=false stops them]",
    ),
    key(
        "shutdown-timeout",
        Number,
        "SECONDS",
        "How long containers may take to stop when the engine ends and live-restore is false [default: 15]",
    ),
    key("disk-budget", Size, "SIZE", "What images may take up, as 20GB: those not used for longest go first"),
    // Registries.
    named(
        "registry-mirrors",
        key("registry-mirror", List, "URL", "A mirror of Docker Hub that is asked first, as https://mirror.example"),
    ),
    named(
        "insecure-registries",
        key(
            "insecure-registry",
            List,
            "REGISTRY",
            "A registry (host, host:port or CIDR) that may speak plain HTTP or show any certificate",
        ),
    ),
    key("max-concurrent-downloads", Number, "NUMBER", "Layers that one pull downloads at once [default: 3]"),
    key("max-concurrent-uploads", Number, "NUMBER", "Layers that one push uploads at once [default: 5]"),
    idle("max-download-attempts", Number, "transfers that break are resumed until they no longer move"),
    key("http-proxy", Text, "URL", "The proxy for plain HTTP [default: HTTP_PROXY of the environment]"),
    key("https-proxy", Text, "URL", "The proxy for HTTPS [default: HTTPS_PROXY of the environment]"),
    key(
        "no-proxy",
        Text,
        "HOSTS",
        "Hosts that are reached without a proxy, with commas between [default: NO_PROXY of the environment]",
    ),
    Key { flag: "", ..idle("allow-nondistributable-artifacts", Object, "such layers are pushed as any other") },
    // Networks.
    short('b', key("bridge", Text, "NAME", "The bridge's name")),
    key("bip", Text, "CIDR", "The bridge's gateway and subnet, as 172.30.0.1/16"),
    key("mtu", Number, "BYTES", "The bridge's MTU [default: 1500]"),
    named(
        "default-address-pools",
        key("default-address-pool", Pool, "base=CIDR,size=BITS", "Where subnets of new networks are taken from"),
    ),
    named(
        "default-network-opts",
        key("default-network-opt", NetworkOption, "DRIVER=KEY=VALUE", "An option of every new network of a driver"),
    ),
    key("icc", Switch, "", "Let containers of the bridge reach each other [default: true]"),
    key("ip", Text, "ADDRESS", "The host's address that ports are published at when none is told [default: 0.0.0.0]"),
    key("publish-default", Text, "ADDRESS", "The same as --ip"),
    key(
        "publish-firewall",
        Text,
        "WHO",
        "Who decides who reaches published ports: open, nobody but who publishes them; host, this machine's rules for what comes to \
         itself, too [default: open]",
    ),
    key("dns", List, "ADDRESS", "Name servers of containers"),
    named("dns-opts", key("dns-opt", List, "OPTION", "Options of resolv.conf in containers")),
    key("dns-search", List, "DOMAIN", "Search domains of containers"),
    named(
        "host-gateway-ips",
        key(
            "host-gateway-ip",
            List,
            "ADDRESS",
            "What host-gateway in --add-host means [default: the bridge's gateway]",
        ),
    ),
    Key { flag: "", ..key("host-gateway-ip", Text, "ADDRESS", "The older name of host-gateway-ips") },
    only("iptables", Switch, &["true"], "published ports and masquerading need the engine's own nftables rules"),
    idle("ip6tables", Switch, NFT),
    idle("firewall-backend", Text, NFT),
    only("ip-forward", Switch, &["true"], "containers reach nothing without forwarding"),
    idle("ip-forward-no-drop", Switch, "the FORWARD chain's policy is never changed"),
    only("ip-masq", Switch, &["true"], "containers of the bridge leave the machine under its address"),
    only("ipv6", Switch, &["false"], "the default bridge speaks IPv4 only; networks made with --ipv6 speak both"),
    only("bip6", Text, &[""], "the default bridge speaks IPv4 only"),
    only("fixed-cidr", Text, &[""], "addresses of the bridge are taken from all of --bip"),
    only("fixed-cidr-v6", Text, &[""], "the default bridge speaks IPv4 only"),
    only("default-gateway", Text, &[""], "the gateway is the bridge itself; --bip says its address"),
    only("default-gateway-v6", Text, &[""], "the default bridge speaks IPv4 only"),
    idle("userland-proxy", Switch, "ports are published by the kernel, without a process for each"),
    idle("userland-proxy-path", Text, "ports are published by the kernel, without a process for each"),
    only("allow-direct-routing", Switch, &["false"], "published ports are reached through the host's addresses"),
    only("bridge-accept-fwmark", Text, &[""], "rules about marks belong into a table of your own"),
    idle("network-control-plane-mtu", Number, SWARM),
    idle("network-diagnostic-port", Number, SWARM),
    // Containers.
    key("log-driver", Text, "DRIVER", "The log driver of containers that name none"),
    named("log-opts", key("log-opt", Pairs, "KEY=VALUE", "Options of that driver")),
    named(
        "default-ulimits",
        key("default-ulimit", UlimitPair, "NAME=SOFT[:HARD]", "Limits of containers that have none of their own"),
    ),
    key("default-shm-size", Size, "SIZE", "The size of /dev/shm in containers [default: 64M]"),
    key("default-ipc-mode", Text, "MODE", "shareable or private [default: private]"),
    key("default-cgroupns-mode", Text, "MODE", "host or private [default: private]"),
    key("default-stop-timeout", Number, "SECONDS", "How long a container may take to stop [default: 10]"),
    key("init", Switch, "", "Run a small init as process 1 of every container"),
    idle("init-path", Text, "the init is part of this program"),
    key("no-new-privileges", Switch, "", "No program in a container gains rights by being executed"),
    key("seccomp-profile", Text, "FILE", "The profile of system calls, builtin or unconfined [default: builtin]"),
    key("cgroup-parent", Text, "PATH", "The parent group of containers that name none"),
    named(
        "exec-opts",
        key("exec-opt", List, "KEY=VALUE", "How containers are run: native.cgroupdriver=cgroupfs or systemd"),
    ),
    only(
        "default-runtime",
        Text,
        &["runc", "dhow", "io.containerd.runc.v2"],
        "containers are run by this program itself",
    ),
    named("runtimes", key("add-runtime", RuntimePath, "NAME=PATH", "Another name that --runtime may say")),
    only("cpu-rt-period", Number, &["0"], "give containers their own: --cpu-rt-period"),
    only("cpu-rt-runtime", Number, &["0"], "give containers their own: --cpu-rt-runtime"),
    named(
        "cdi-spec-dirs",
        key("cdi-spec-dir", List, "DIR", "Where devices are described [default: /etc/cdi, /var/run/cdi]"),
    ),
    idle("userns-remap", Text, "containers have user namespaces of their own in any case"),
    only("selinux-enabled", Switch, &["false"], "there are no SELinux labels here"),
    idle("rootless", Switch, "an engine of an ordinary user is rootless by itself"),
    Key { short: Some('r'), ..idle("restart", Switch, "restart policies say it") },
    // Plugins, clusters, other daemons.
    named(
        "authorization-plugins",
        only("authorization-plugin", List, &["[]"], "there are no plugins: nothing would be authorized"),
    ),
    short('s', only("storage-driver", Text, &["", "overlay2", "overlayfs"], "layers are mounted with overlayfs")),
    named("storage-opts", idle("storage-opt", List, "overlayfs needs none")),
    named(
        "features",
        Key {
            meaning: Idle("there is nothing to be switched"),
            ..key("feature", Feature, "NAME[=BOOL]", "Accepted for dockerd's sake")
        },
    ),
    Key {
        flag: "",
        ..key(
            "builder",
            Object,
            "",
            "What of the build cache goes by itself (builder.gc), what builds may be granted (builder.entitlements)",
        )
    },
    Key { flag: "", ..key("min-api-version", Text, "VERSION", "The oldest version of the API that is spoken") },
    Key { flag: "", ..idle("deprecated-key-path", Text, "there is no such key") },
    idle("resolv-conf", Text, "the host's /etc/resolv.conf is read"),
    key(
        "experimental",
        Switch,
        "",
        "Say so of this engine: docker shows its verbs for checkpoints only then [default: false; nothing is held back]",
    ),
    idle("containerd", Text, CONTAINERD),
    idle("containerd-namespace", Text, CONTAINERD),
    named("containerd-plugin-namespace", idle("containerd-plugins-namespace", Text, CONTAINERD)),
    idle("cri-containerd", Switch, CONTAINERD),
    idle("nri-opts", Object, "there is no NRI"),
    idle("swarm-default-advertise-addr", Text, SWARM),
    Key { flag: "", ..idle("swarm-raft-heartbeat-tick", Number, SWARM) },
    Key { flag: "", ..idle("swarm-raft-election-tick", Number, SWARM) },
    named("node-generic-resources", idle("node-generic-resource", List, SWARM)),
];

/// Keys whose value is an object; what stands in any other object stands in the file itself (moby, daemon/config, flatOptions).
pub fn is_flat(file: &str) -> bool {
    file == "cluster-store-opts"
        || find(file)
            .is_some_and(|key| matches!(key.kind, Pairs | Feature | UlimitPair | RuntimePath | NetworkOption | Object))
}

/// Every setting of the file that does something: its name, how it is written, and what it does.
pub fn settings() -> Vec<(&'static str, &'static str, &'static str)> {
    let shape = |kind| match kind {
        Kind::Text => "text",
        Kind::Switch => "true or false",
        Kind::Number => "number",
        Kind::Size => "size, as \"20GB\"",
        Kind::List => "array of texts",
        Kind::Pairs => "object of texts",
        Kind::Feature => "object of true or false",
        Kind::UlimitPair => "object: {\"nofile\": {\"Name\": \"nofile\", \"Soft\": 1024, \"Hard\": 4096}}",
        Kind::Pool => "array: [{\"base\": \"10.0.0.0/8\", \"size\": 24}]",
        Kind::RuntimePath => "object: {\"name\": {\"path\": \"/program\"}}",
        Kind::NetworkOption => "object: {\"bridge\": {\"option\": \"value\"}}",
        Kind::Object => "object",
    };
    KEYS.iter().filter(|key| key.meaning == Acts).map(|key| (key.file, shape(key.kind), key.does)).collect()
}

/// The setting of that name in the file.
pub fn find(file: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.file == file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_stands_once() {
        let files: BTreeSet<_> = KEYS.iter().map(|key| key.file).collect();
        let flags: BTreeSet<_> = KEYS.iter().map(|key| key.flag).filter(|flag| !flag.is_empty()).collect();
        assert_eq!(files.len(), KEYS.len());
        assert_eq!(flags.len(), KEYS.iter().filter(|key| !key.flag.is_empty()).count());
        let letters: Vec<_> = KEYS.iter().filter_map(|key| key.short).collect();
        assert_eq!(letters.len(), letters.iter().collect::<BTreeSet<_>>().len());
    }
}

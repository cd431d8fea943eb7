//! What a container is.

use crate::Asked;
use base::{Digest, Id};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the user means. Fields that the image can default are `Option` or empty until [`crate::merge()`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The image as it was asked for.
    pub image: String,
    /// The platform that was asked for.
    pub platform: Option<oci::image::Platform>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    /// `KEY=value`; `KEY` alone removes what the image set.
    pub env: Vec<String>,
    /// Further variables of its first program, which no record keeps and nobody is shown: a build's secrets.
    #[serde(skip)]
    pub secret_env: Vec<String>,
    pub working_dir: String,
    /// `user[:group]`, names or numbers.
    pub user: String,
    /// Empty: the first 12 digits of the id.
    pub hostname: String,
    pub domainname: String,
    pub labels: BTreeMap<String, String>,
    pub exposed_ports: BTreeSet<PortProtocol>,
    pub tty: bool,
    pub open_stdin: bool,
    /// stdin closes when the first attached client goes.
    pub stdin_once: bool,
    pub stop_signal: Option<String>,
    /// Seconds; `None` is 10, negative is "never kill".
    pub stop_timeout: Option<i64>,
    /// How to ask for its health, as Docker's API writes it (`Test`, `Interval`, ...); `Test` of `["NONE"]` switches the image's off.
    pub healthcheck: Option<serde_json::Value>,
    /// The shell of a health check that is one line of text; `None`: `/bin/sh -c`.
    pub shell: Option<Vec<String>>,

    pub mounts: Vec<MountRequest>,
    pub network: NetworkMode,
    /// What is asked of the container's end on a network, by the network's name or id: of the one of `network`, and of further
    /// ones. Changed by connect and disconnect.
    pub endpoints: BTreeMap<String, EndpointRequest>,
    /// Other containers of the engine's own bridge that it knows by names of its own.
    pub links: Vec<Link>,
    pub ports: Vec<PublishRequest>,
    /// Publish every exposed port to a random one.
    pub publish_all: bool,
    /// At this address of the host; `None`: at all.
    pub publish_all_at: Option<IpAddr>,
    pub dns: Vec<IpAddr>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// (host name, address or `host-gateway`)
    pub extra_hosts: Vec<(String, String)>,

    /// What it may reach outside of its networks; `None`: what they let it.
    pub egress: Option<EgressRequest>,

    pub pid: PidMode,
    pub ipc: IpcMode,
    pub uts: UtsMode,
    pub user_namespace: UserNamespaceMode,
    pub cgroup_namespace: CgroupNamespaceMode,

    pub privileged: bool,
    /// `CAP_X`, `X` or `ALL`.
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub group_add: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: SeccompChoice,
    /// `unconfined` or a profile name.
    pub apparmor: Option<String>,
    /// No masked and no read-only paths (`systempaths=unconfined`).
    pub system_paths_unconfined: bool,
    /// In place of the defaults.
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
    pub readonly_rootfs: bool,
    pub devices: Vec<DeviceRequest>,
    /// Devices that a driver knows, or a Container Device Interface specification.
    pub driver_devices: Vec<DriverDevices>,
    /// What specifications of devices want to have called; known only while the container is started.
    #[serde(skip)]
    pub hooks: oci::runtime::Hooks,
    /// Words of the user's for programs outside, which hooks read in the container's state.
    pub annotations: BTreeMap<String, String>,
    /// The container may change its own cgroups, and make some below.
    pub writable_cgroups: bool,
    pub sysctls: BTreeMap<String, String>,
    pub ulimits: Vec<Ulimit>,
    pub oom_score_adj: Option<i32>,
    /// Run a small init as process 1.
    pub init: bool,
    /// Bytes that its own files may take up.
    pub storage_size: Option<u64>,
    /// Bytes of /dev/shm; 0 is 64 MiB.
    pub shm_size: u64,
    /// Limits; device rules are added by [`crate::spec`].
    pub resources: oci::runtime::Resources,

    /// The parent of its cgroup: a path, or a slice of systemd's; empty is the engine's own.
    pub cgroup_parent: String,

    pub restart: RestartPolicy,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    pub log: LogConfig,

    /// The layers of its root, lowest first, in place of its image's: a step of a build, which stands on no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Digest>>,

    /// The request as it came, to be shown again by inspect; nothing reads it for its meaning.
    pub asked: Asked,
}

/// Another container, and the name that it is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its id.
    pub container: String,
    /// Its name when the link was made.
    pub name: String,
    pub alias: String,
}

/// `80/tcp`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortProtocol {
    pub port: u16,
    pub protocol: Protocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

/// A port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    pub container: PortProtocol,
    /// `None`: all addresses.
    pub host_ip: Option<IpAddr>,
    /// Inclusive; (0, 0) is any ephemeral port.
    pub host_ports: (u16, u16),
}

/// Something to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// Absolute, in the container.
    pub target: String,
    pub readonly: bool,
    pub source: MountSource,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    Bind {
        path: String,
        /// Make a missing source folder (`-v` does, `--mount` does not).
        create: bool,
        recursive: bool,
        /// `private`, `rprivate`, `shared`, ...; empty is `rprivate`.
        propagation: String,
        /// Read-only is made recursive.
        recursive_readonly: bool,
    },
    /// `name: None` makes an anonymous volume.
    Volume {
        name: Option<String>,
        copy_up: bool,
        subpath: Option<String>,
        labels: BTreeMap<String, String>,
        /// Of the driver, for a volume that is made.
        #[serde(default)]
        options: BTreeMap<String, String>,
    },
    /// The files of an image, which cannot be changed.
    Image { image: String, subpath: Option<String> },
    /// The files of layers, lowest first: of a build's stage. What is written lies in `scratch` and goes with it; without one
    /// they cannot be changed.
    Layers { layers: Vec<Digest>, subpath: Option<String>, scratch: Option<String> },
    Tmpfs {
        /// Bytes; `None` is the kernel's default (half of memory).
        size: Option<u64>,
        mode: Option<u32>,
        /// `noexec`, `uid=1000`, ... as in mount(8).
        options: Vec<String>,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    #[default]
    Bridge,
    None,
    Host,
    /// The id of the container whose network is shared.
    Container(String),
    /// A network that somebody made: its name or id, as it was asked for.
    User(String),
}

/// What is asked of a container's end on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointRequest {
    /// Further names of the container on this network.
    pub aliases: Vec<String>,
    /// `container:alias`: names that only this container knows others by.
    pub links: Vec<String>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    /// Further addresses, of the links' own subnets (169.254.0.0/16, fe80::/10).
    pub link_local: Vec<IpAddr>,
    /// `02:42:ac:11:00:02`; `None` is one that follows from the address.
    pub mac: Option<String>,
    pub driver_options: BTreeMap<String, String>,
    /// The network with the highest one has the default route; then the first by name.
    pub gateway_priority: i64,
}

/// What may be reached outside: lists as people write them, read by the network noun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EgressRequest {
    /// What becomes of what no list speaks of; `None`: it is denied if anything is allowed, and allowed if not.
    pub default: Option<EgressDefault>,
    pub allow: Vec<String>,
    /// Comes before `allow`.
    pub deny: Vec<String>,
    /// Keep a record of what is reached.
    pub learn: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EgressDefault {
    Deny,
    Allow,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    #[default]
    Private,
    Host,
    Container(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    #[default]
    Private,
    /// Private, and others may join.
    Shareable,
    Host,
    /// Private without /dev/shm.
    None,
    Container(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UtsMode {
    #[default]
    Private,
    Host,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespaceMode {
    /// Private, unless something else asked for needs the host's (privileged, host pid or network).
    #[default]
    Default,
    Host,
    Private,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupNamespaceMode {
    #[default]
    Private,
    Host,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompChoice {
    #[default]
    Default,
    Unconfined,
    /// The text of a profile.
    Profile(String),
}

/// A host device to show in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    pub host_path: String,
    pub container_path: String,
    /// Of `r`, `w`, `m`.
    pub access: String,
}

/// Devices of a driver: `--gpus`, or by their Container Device Interface names (the driver `cdi`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriverDevices {
    /// Empty: any that has the capabilities.
    pub driver: String,
    /// How many; -1 is all.
    pub count: i64,
    /// Which, in place of a count.
    pub ids: Vec<String>,
    /// One of these sets, all of it.
    pub capabilities: Vec<Vec<String>>,
    pub options: BTreeMap<String, String>,
}

/// `nofile=1024:2048`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Without `RLIMIT_`, lower case.
    pub name: String,
    /// -1 is unlimited.
    pub soft: i64,
    pub hard: i64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    #[default]
    No,
    Always,
    UnlessStopped,
    /// 0 is without end.
    OnFailure {
        most: u32,
    },
}

/// Where output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// `json-file` (default), `local`, `none`, or one that sends: `journald`, `syslog`, `gelf`, `fluentd`.
    pub driver: String,
    pub options: BTreeMap<String, String>,
}

/// The record of a container, fixed at creation but for its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    pub id: Id,
    /// Without the slash that Docker puts before it.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    pub image_id: Digest,
    /// With the image's defaults merged in.
    pub config: Config,
    /// Resolved: every volume has its name, every bind its absolute source.
    pub mounts: Vec<MountPoint>,
    /// Whether it gets a user namespace of its own; decided at creation because the owner of its files depends on it.
    pub own_user_namespace: bool,
}

/// A mount as inspect shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    pub request: MountRequest,
    /// The volume's name; empty for others.
    pub volume: String,
    /// The host's path; empty for a tmpfs.
    pub source: String,
    /// The volume was made for this container and goes with it when asked to.
    pub anonymous: bool,
    /// What is forbidden on it besides: `nosuid`, `nodev`, `noexec`, as a device's specification has it.
    #[serde(default)]
    pub restrictions: Vec<String>,
}

impl MountPoint {
    /// Of no volume.
    #[must_use]
    pub fn plain(request: MountRequest, source: String) -> MountPoint {
        MountPoint { request, volume: String::new(), source, anonymous: false, restrictions: Vec::new() }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

/// What changes in a container's life. Times in nanoseconds since the epoch, 0 is never.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub status: Status,
    pub pid: i32,
    pub exit_code: i32,
    pub error: String,
    pub oom_killed: bool,
    pub started_at: i64,
    pub finished_at: i64,
    pub restart_count: u32,
    /// The user stopped it: `unless-stopped` and `always` leave it so.
    pub stopped_by_user: bool,
    /// Of one that has a health check and was started.
    pub health: Option<crate::Health>,
    /// Was it ever started.
    pub has_run: bool,
    /// Where its cgroup is when it has a place of its own, kept by the engine; opaque here.
    pub group: Option<serde_json::Value>,
    /// The ends on its networks while it runs, kept by the network noun; opaque here.
    pub endpoints: Vec<serde_json::Value>,
    /// While its networks are changed as it runs: the link that comes or goes. What an engine that is killed leaves half done, the next
    /// one sets right.
    pub rewiring: Option<String>,
}

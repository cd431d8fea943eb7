//! What a container is.

use base::{Digest, Id};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// What the user means. Fields that the image can default are `Option` or empty until [`crate::merge()`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The image as it was asked for.
    pub image: String,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    /// `KEY=value`; `KEY` alone removes what the image set.
    pub env: Vec<String>,
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

    pub mounts: Vec<MountRequest>,
    pub network: NetworkMode,
    pub ports: Vec<PublishRequest>,
    /// Publish every exposed port to a random one.
    pub publish_all: bool,
    pub dns: Vec<IpAddr>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// (host name, address or `host-gateway`)
    pub extra_hosts: Vec<(String, String)>,

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
    pub sysctls: BTreeMap<String, String>,
    pub ulimits: Vec<Ulimit>,
    pub oom_score_adj: Option<i32>,
    /// Run a small init as process 1.
    pub init: bool,
    /// Bytes of /dev/shm; 0 is 64 MiB.
    pub shm_size: u64,
    /// Limits; device rules are added by [`crate::spec`].
    pub resources: oci::runtime::Resources,

    pub restart: RestartPolicy,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    pub log: LogConfig,

    /// The request as it came, to be shown again by inspect; nothing reads it for its meaning.
    pub asked: serde_json::Value,
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
    pub host_ip: Option<Ipv4Addr>,
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
    Volume { name: Option<String>, copy_up: bool, subpath: Option<String>, labels: BTreeMap<String, String> },
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
    /// `json-file` (default) or `none`.
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
    /// Was it ever started.
    pub has_run: bool,
    /// The network endpoint, kept by the network noun; opaque here.
    pub endpoint: Option<serde_json::Value>,
}

//! Containers: the request that makes one, and how one is shown.

use super::{EndpointSettings, HostConfig, Keys, NetworkingConfig, PortBinding, TextList, Texts};
use serde_json::Value;
use std::collections::BTreeMap;

wire! {
    /// The body of `POST /containers/create` (there with `HostConfig` and `NetworkingConfig` beside these fields).
    pub struct ContainerConfig {
        pub hostname: String,
        pub domainname: String,
        pub user: String,
        pub attach_stdin: bool,
        pub attach_stdout: bool,
        pub attach_stderr: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub exposed_ports: Option<Keys>,
        pub tty: bool,
        pub open_stdin: bool,
        pub stdin_once: bool,
        pub env: Option<Vec<String>>,
        pub cmd: Option<TextList>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<Healthcheck>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub args_escaped: bool,
        pub image: String,
        pub volumes: Option<Keys>,
        pub working_dir: String,
        pub entrypoint: Option<TextList>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub network_disabled: bool,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub mac_address: String,
        pub on_build: Option<Vec<String>>,
        pub labels: Option<Texts>,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub stop_signal: String,
        /// Seconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub stop_timeout: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shell: Option<TextList>,
    }

    /// Times in nanoseconds.
    pub struct Healthcheck {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub test: Option<Vec<String>>,
        #[serde(skip_serializing_if = "is_zero")]
        pub interval: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub timeout: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub start_period: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub start_interval: i64,
        #[serde(skip_serializing_if = "is_zero")]
        pub retries: i64,
    }

    /// What creation answers; `Warnings` is never null.
    pub struct CreateResponse {
        pub id: String,
        pub warnings: Vec<String>,
    }

    /// `GET /containers/{id}/json`
    pub struct ContainerInspect {
        pub id: String,
        pub created: String,
        pub path: String,
        pub args: Vec<String>,
        pub state: ContainerState,
        pub image: String,
        pub resolv_conf_path: String,
        pub hostname_path: String,
        pub hosts_path: String,
        pub log_path: String,
        pub name: String,
        pub restart_count: u32,
        pub driver: String,
        pub platform: String,
        pub mount_label: String,
        pub process_label: String,
        pub app_armor_profile: String,
        #[serde(rename = "ExecIDs")]
        pub exec_ids: Option<Vec<String>>,
        pub host_config: HostConfig,
        pub graph_driver: GraphDriver,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        pub mounts: Vec<MountPoint>,
        pub config: ContainerConfig,
        pub network_settings: NetworkSettings,
    }

    pub struct ContainerState {
        pub status: String,
        pub running: bool,
        pub paused: bool,
        pub restarting: bool,
        #[serde(rename = "OOMKilled")]
        pub oom_killed: bool,
        pub dead: bool,
        pub pid: i32,
        pub exit_code: i32,
        pub error: String,
        pub started_at: String,
        pub finished_at: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub health: Option<Value>,
    }

    pub struct GraphDriver {
        pub data: Option<Texts>,
        pub name: String,
    }

    pub struct MountPoint {
        #[serde(rename = "Type")]
        pub kind: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub name: String,
        pub source: String,
        pub destination: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub driver: String,
        pub mode: String,
        #[serde(rename = "RW")]
        pub rw: bool,
        pub propagation: String,
    }

    pub struct NetworkSettings {
        pub bridge: String,
        #[serde(rename = "SandboxID")]
        pub sandbox_id: String,
        pub sandbox_key: String,
        /// `null`: exposed and not published.
        pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
        pub hairpin_mode: bool,
        #[serde(rename = "LinkLocalIPv6Address")]
        pub link_local_ipv6_address: String,
        #[serde(rename = "LinkLocalIPv6PrefixLen")]
        pub link_local_ipv6_prefix_len: u8,
        #[serde(rename = "SecondaryIPAddresses")]
        pub secondary_ip_addresses: Option<Vec<Value>>,
        #[serde(rename = "SecondaryIPv6Addresses")]
        pub secondary_ipv6_addresses: Option<Vec<Value>>,
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        pub gateway: String,
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: u8,
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: u8,
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        pub mac_address: String,
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// One row of `GET /containers/json`.
    pub struct ContainerSummary {
        pub id: String,
        pub names: Vec<String>,
        pub image: String,
        #[serde(rename = "ImageID")]
        pub image_id: String,
        pub command: String,
        /// Seconds since the epoch.
        pub created: i64,
        pub ports: Vec<PortSummary>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        pub labels: Texts,
        pub state: String,
        pub status: String,
        pub host_config: SummaryHostConfig,
        pub network_settings: SummaryNetworks,
        pub mounts: Vec<MountPoint>,
    }

    pub struct SummaryHostConfig {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub network_mode: String,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub annotations: Texts,
    }

    pub struct SummaryNetworks {
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    pub struct PortSummary {
        #[serde(rename = "IP", skip_serializing_if = "String::is_empty")]
        pub ip: String,
        pub private_port: u16,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub public_port: Option<u16>,
        #[serde(rename = "Type")]
        pub kind: String,
    }

    /// `POST /containers/{id}/wait`
    pub struct WaitResponse {
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error: Option<WaitError>,
        pub status_code: i64,
    }

    pub struct WaitError {
        pub message: String,
    }

    /// `GET /containers/{id}/top`
    pub struct TopResponse {
        pub processes: Vec<Vec<String>>,
        pub titles: Vec<String>,
    }

    /// `POST /containers/{id}/checkpoints`
    pub struct CheckpointCreate {
        #[serde(rename = "CheckpointID")]
        pub checkpoint_id: String,
        /// A folder of the engine's machine; empty: with the container.
        pub checkpoint_dir: String,
        /// Whether the container ends.
        pub exit: bool,
    }

    /// One of `GET /containers/{id}/checkpoints`
    pub struct CheckpointSummary {
        pub name: String,
    }

    /// `POST /containers/prune`
    pub struct PruneResponse {
        pub containers_deleted: Option<Vec<String>>,
        /// Bytes.
        pub space_reclaimed: u64,
    }
}

/// `POST /containers/create`
///
/// Not declared by `wire!`: a flattened field that takes `null` would swallow every error in it.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateRequest {
    #[serde(flatten)]
    pub config: ContainerConfig,
    #[serde(default, deserialize_with = "super::null_is_default")]
    pub host_config: HostConfig,
    #[serde(default, deserialize_with = "super::null_is_default")]
    pub networking_config: NetworkingConfig,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

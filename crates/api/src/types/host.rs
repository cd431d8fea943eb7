//! The host-dependent half of a container's configuration.

use super::{Text, Texts};
use serde_json::Value;
use std::collections::BTreeMap;

/// `80/tcp` to where it is published; `null` is exposed only.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

wire! {
    /// Limits and devices; part of [`HostConfig`] and the body of `POST /containers/{id}/update`.
    pub struct UpdateRequest {
        /// Relative weight.
        pub cpu_shares: i64,
        /// Bytes.
        pub memory: i64,
        /// Billionths of a processor.
        pub nano_cpus: i64,
        pub blkio_weight: u16,
        /// Microseconds.
        pub cpu_period: i64,
        pub cpu_quota: i64,
        pub cpu_realtime_period: i64,
        pub cpu_realtime_runtime: i64,
        pub cpuset_cpus: String,
        pub cpuset_mems: String,
        pub memory_reservation: i64,
        /// Memory and swap together; -1 is unlimited swap.
        pub memory_swap: i64,
        pub pids_limit: Option<i64>,
        /// Discarded, and said so, where the kernel knows none.
        pub blkio_weight_device: Option<Vec<WeightDevice>>,
        pub kernel_memory: i64,
        pub restart_policy: RestartPolicy,
        /// Ours: fields that are missing stay as they are.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub egress: Option<EgressPolicy>,
        /// Ours: further published ports.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub publish: Option<PortMap>,
        /// Ours: ports of the host that are published no longer, `[ADDRESS:]PORT[-PORT][/PROTOCOL]`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub unpublish: Option<Vec<String>>,
    }

    /// What may be reached outside of a container's networks.
    pub struct EgressPolicy {
        /// `deny`, `allow`, or empty: denied if anything is allowed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub default: Option<String>,
        /// `*.example.org:443`, `10.0.0.0/8`, `tcp/5432`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub allow: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub deny: Option<Vec<String>>,
        /// Keep a record of what is reached.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub learn: Option<bool>,
    }

    /// How a container is run on this host. All 69 fields of Docker's are kept so that inspect shows what was asked.
    pub struct HostConfig {
        /// `source:target[:options]`
        pub binds: Option<Vec<String>>,
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        pub log_config: LogConfig,
        pub network_mode: String,
        pub port_bindings: Option<PortMap>,
        pub restart_policy: RestartPolicy,
        pub auto_remove: bool,
        pub volume_driver: String,
        pub volumes_from: Option<Vec<String>>,
        /// (rows, columns)
        pub console_size: (u32, u32),
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub annotations: Texts,
        pub cap_add: Option<Vec<String>>,
        pub cap_drop: Option<Vec<String>>,
        pub cgroupns_mode: String,
        pub dns: Option<Vec<String>>,
        pub dns_options: Option<Vec<String>>,
        pub dns_search: Option<Vec<String>>,
        /// `name:address`
        pub extra_hosts: Option<Vec<String>>,
        pub group_add: Option<Vec<Text>>,
        pub ipc_mode: String,
        pub cgroup: String,
        pub links: Option<Vec<String>>,
        pub oom_score_adj: i64,
        pub pid_mode: String,
        pub privileged: bool,
        pub publish_all_ports: bool,
        pub readonly_rootfs: bool,
        pub security_opt: Option<Vec<String>>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub storage_opt: Texts,
        /// Target to mount(8) options.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub tmpfs: Texts,
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        pub userns_mode: String,
        /// Bytes of /dev/shm; 0 is 64 MiB.
        pub shm_size: i64,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub sysctls: BTreeMap<String, Text>,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub runtime: String,
        pub isolation: String,
        pub cpu_shares: i64,
        /// Bytes.
        pub memory: i64,
        /// Billionths of a processor.
        pub nano_cpus: i64,
        pub cgroup_parent: String,
        pub blkio_weight: u16,
        pub blkio_weight_device: Option<Vec<WeightDevice>>,
        pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
        pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
        /// Microseconds.
        pub cpu_period: i64,
        pub cpu_quota: i64,
        pub cpu_realtime_period: i64,
        pub cpu_realtime_runtime: i64,
        pub cpuset_cpus: String,
        pub cpuset_mems: String,
        pub devices: Option<Vec<DeviceMapping>>,
        pub device_cgroup_rules: Option<Vec<String>>,
        pub device_requests: Option<Vec<DeviceRequest>>,
        #[serde(skip_serializing_if = "is_zero")]
        pub kernel_memory: i64,
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "is_zero")]
        pub kernel_memory_tcp: i64,
        /// Bytes, a soft limit.
        pub memory_reservation: i64,
        /// Memory and swap together; -1 is unlimited swap.
        pub memory_swap: i64,
        pub memory_swappiness: Option<i64>,
        pub oom_kill_disable: Option<bool>,
        /// 0 and -1 are unlimited.
        pub pids_limit: Option<i64>,
        pub ulimits: Option<Vec<Ulimit>>,
        pub cpu_count: i64,
        pub cpu_percent: i64,
        #[serde(rename = "IOMaximumIOps")]
        pub io_maximum_iops: u64,
        #[serde(rename = "IOMaximumBandwidth")]
        pub io_maximum_bandwidth: u64,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub mounts: Vec<Mount>,
        pub masked_paths: Option<Vec<String>>,
        pub readonly_paths: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<bool>,
        /// Ours.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub egress: Option<EgressPolicy>,
    }

    pub struct LogConfig {
        #[serde(rename = "Type")]
        pub kind: String,
        pub config: BTreeMap<String, Text>,
    }

    pub struct RestartPolicy {
        /// `no`, `always`, `unless-stopped`, `on-failure` or empty.
        pub name: String,
        pub maximum_retry_count: i64,
    }

    pub struct PortBinding {
        pub host_ip: String,
        /// A port, a range, or empty for any.
        pub host_port: Text,
    }

    pub struct DeviceMapping {
        pub path_on_host: String,
        pub path_in_container: String,
        pub cgroup_permissions: String,
    }

    pub struct DeviceRequest {
        pub driver: String,
        pub count: i64,
        #[serde(rename = "DeviceIDs")]
        pub device_ids: Option<Vec<String>>,
        pub capabilities: Option<Vec<Vec<String>>>,
        pub options: Option<Texts>,
    }

    pub struct Ulimit {
        pub name: String,
        pub hard: i64,
        pub soft: i64,
    }

    pub struct WeightDevice {
        pub path: String,
        pub weight: u16,
    }

    pub struct ThrottleDevice {
        pub path: String,
        pub rate: u64,
    }

    /// `--mount`
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
        #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
        pub kind: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub source: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub target: String,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub read_only: bool,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub consistency: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bind_options: Option<BindOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_options: Option<VolumeOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_options: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tmpfs_options: Option<TmpfsOptions>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cluster_options: Option<Value>,
    }

    pub struct BindOptions {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub propagation: String,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub non_recursive: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub create_mountpoint: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub read_only_non_recursive: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub read_only_force_recursive: bool,
    }

    pub struct VolumeOptions {
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub no_copy: bool,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub labels: Texts,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub subpath: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_config: Option<VolumeDriver>,
    }

    pub struct VolumeDriver {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub name: String,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        pub options: Texts,
    }

    pub struct TmpfsOptions {
        /// 0 is the kernel's default.
        #[serde(skip_serializing_if = "is_zero")]
        pub size_bytes: i64,
        #[serde(skip_serializing_if = "is_zero_mode")]
        pub mode: u32,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub options: Vec<Vec<String>>,
    }
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_zero_mode(value: &u32) -> bool {
    *value == 0
}

//! The flags of `run` and `create`: what may be typed about a new container.

use clap::Args;

use super::values::{
    self, DeviceAmount, Ulimit, address, bytes, bytes_or_unlimited, device_bytes, device_number, domain, duration,
    extra_host, integer, label, nano_cpus, switch, variable,
};
use crate::plan::mount::Mount;

/// The flags that `run` and `create` share, and the image and command after them.
#[derive(Debug, Args)]
pub struct ContainerFlags {
    /// Add a line to /etc/hosts (host:ip)
    #[arg(long, value_name = "list", value_parser = extra_host)]
    pub add_host: Vec<String>,
    /// Add an annotation for the OCI runtime
    #[arg(long, value_name = "map")]
    pub annotation: Vec<String>,
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = values::stream)]
    pub attach: Vec<String>,
    /// Block IO weight, 10 to 1000, or 0 for none
    #[arg(long, value_name = "uint16", value_parser = integer)]
    pub blkio_weight: Option<i64>,
    /// Block IO weight of a device
    #[arg(long, value_name = "list", value_parser = device_number)]
    pub blkio_weight_device: Vec<DeviceAmount>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    pub cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    pub cap_drop: Vec<String>,
    /// Parent cgroup of the container
    #[arg(long, value_name = "string")]
    pub cgroup_parent: Option<String>,
    /// Cgroup namespace to use (host|private)
    #[arg(long, value_name = "string")]
    pub cgroupns: Option<String>,
    /// Write the container ID to this file
    #[arg(long, value_name = "string")]
    pub cidfile: Option<String>,
    #[arg(long, hide = true, value_parser = integer)]
    pub cpu_count: Option<i64>,
    #[arg(long, hide = true, value_parser = integer)]
    pub cpu_percent: Option<i64>,
    /// CPU quota period in microseconds
    #[arg(long, value_name = "int", value_parser = integer)]
    pub cpu_period: Option<i64>,
    /// CPU quota in microseconds per period
    #[arg(long, value_name = "int", value_parser = integer)]
    pub cpu_quota: Option<i64>,
    /// Real-time period in microseconds
    #[arg(long, value_name = "int", value_parser = integer)]
    pub cpu_rt_period: Option<i64>,
    /// Real-time runtime in microseconds
    #[arg(long, value_name = "int", value_parser = integer)]
    pub cpu_rt_runtime: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short = 'c', long, value_name = "int", value_parser = integer)]
    pub cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = nano_cpus)]
    pub cpus: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string")]
    pub cpuset_mems: Option<String>,
    /// Add a host device to the container
    #[arg(long, value_name = "list")]
    pub device: Vec<String>,
    /// Add a rule to the cgroup's allowed devices
    #[arg(long, value_name = "list")]
    pub device_cgroup_rule: Vec<String>,
    /// Limit the read rate of a device (bytes per second)
    #[arg(long, value_name = "list", value_parser = device_bytes)]
    pub device_read_bps: Vec<DeviceAmount>,
    /// Limit the read rate of a device (operations per second)
    #[arg(long, value_name = "list", value_parser = device_number)]
    pub device_read_iops: Vec<DeviceAmount>,
    /// Limit the write rate of a device (bytes per second)
    #[arg(long, value_name = "list", value_parser = device_bytes)]
    pub device_write_bps: Vec<DeviceAmount>,
    /// Limit the write rate of a device (operations per second)
    #[arg(long, value_name = "list", value_parser = device_number)]
    pub device_write_iops: Vec<DeviceAmount>,
    #[arg(long, hide = true)]
    pub disable_content_trust: bool,
    /// Set DNS servers
    #[arg(long, value_name = "list", value_parser = address)]
    pub dns: Vec<String>,
    /// Set DNS options
    #[arg(long, alias = "dns-opt", value_name = "list")]
    pub dns_option: Vec<String>,
    /// Set DNS search domains
    #[arg(long, value_name = "list", value_parser = domain)]
    pub dns_search: Vec<String>,
    /// NIS domain name of the container
    #[arg(long, value_name = "string")]
    pub domainname: Option<String>,
    #[command(flatten)]
    pub egress: crate::plan::egress::EgressFlags,
    /// Replace the image's ENTRYPOINT
    #[arg(long, value_name = "string")]
    pub entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = variable)]
    pub env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "list")]
    pub env_file: Vec<String>,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "list")]
    pub expose: Vec<String>,
    /// GPU devices to add ('all' for all)
    #[arg(long, value_name = "gpu-request")]
    pub gpus: Vec<String>,
    /// Join further groups
    #[arg(long, value_name = "list")]
    pub group_add: Vec<String>,
    /// Command that tells whether the container is healthy
    #[arg(long, value_name = "string")]
    pub health_cmd: Option<String>,
    /// Time between two checks (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = duration)]
    pub health_interval: Option<i64>,
    /// What happens to it when it becomes unhealthy: none, kill, restart or stop
    #[arg(long, value_name = "string", value_parser = ["none", "kill", "restart", "stop"])]
    pub health_on_failure: Option<String>,
    /// Failures in a row that make it unhealthy
    #[arg(long, value_name = "int", value_parser = integer)]
    pub health_retries: Option<i64>,
    /// Time between two checks during the start period (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = duration)]
    pub health_start_interval: Option<i64>,
    /// Time to start up before failures count (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = duration)]
    pub health_start_period: Option<i64>,
    /// Longest time of one check (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = duration)]
    pub health_timeout: Option<i64>,
    /// Host name of the container
    #[arg(short = 'h', long, value_name = "string")]
    pub hostname: Option<String>,
    /// Run an init inside that forwards signals and reaps processes
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "")]
    pub init: Option<bool>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub interactive: bool,
    /// IPv4 address (e.g. 172.30.100.104)
    #[arg(long, value_name = "string")]
    pub ip: Option<String>,
    /// IPv6 address (e.g. 2001:db8::33)
    #[arg(long, value_name = "string")]
    pub ip6: Option<String>,
    /// IPC namespace to use
    #[arg(long, value_name = "string")]
    pub ipc: Option<String>,
    #[arg(long, hide = true)]
    pub isolation: Option<String>,
    #[arg(long, hide = true, value_parser = bytes)]
    pub kernel_memory: Option<i64>,
    /// Set labels on the container
    #[arg(short, long, value_name = "list", value_parser = label)]
    pub label: Vec<String>,
    /// Read labels from a file
    #[arg(long, value_name = "list")]
    pub label_file: Vec<String>,
    /// Add a link to another container
    #[arg(long, value_name = "list")]
    pub link: Vec<String>,
    /// Link-local addresses of the container
    #[arg(long, value_name = "list")]
    pub link_local_ip: Vec<String>,
    /// Logging driver of the container
    #[arg(long, value_name = "string")]
    pub log_driver: Option<String>,
    /// Options of the logging driver
    #[arg(long, value_name = "list")]
    pub log_opt: Vec<String>,
    /// MAC address of the container (e.g. 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "string")]
    pub mac_address: Option<String>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = bytes)]
    pub memory: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    pub memory_reservation: Option<i64>,
    /// Limit of memory plus swap: '-1' for unlimited swap
    #[arg(long, value_name = "bytes", value_parser = bytes_or_unlimited)]
    pub memory_swap: Option<i64>,
    /// Swappiness of the container (0 to 100)
    #[arg(long, value_name = "int", value_parser = integer)]
    pub memory_swappiness: Option<i64>,
    /// Attach a file system mount to the container
    #[arg(long, value_name = "mount", value_parser = crate::plan::mount::parse)]
    pub mount: Vec<Mount>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    pub name: Option<String>,
    /// Connect the container to a network
    #[arg(long, alias = "net", value_name = "network", value_parser = crate::plan::network::parse)]
    pub network: Vec<crate::plan::network::Attachment>,
    /// Add a network-scoped alias for the container
    #[arg(long, alias = "net-alias", value_name = "list")]
    pub network_alias: Vec<String>,
    /// Disable the image's HEALTHCHECK
    #[arg(long)]
    pub no_healthcheck: bool,
    /// Disable the OOM killer
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// The OOM killer's preference (-1000 to 1000)
    #[arg(long, value_name = "int", value_parser = integer)]
    pub oom_score_adj: Option<i64>,
    /// PID namespace to use
    #[arg(long, value_name = "string")]
    pub pid: Option<String>,
    /// Limit of processes (-1 for unlimited)
    #[arg(long, value_name = "int", value_parser = integer)]
    pub pids_limit: Option<i64>,
    /// Platform of the image, if the engine has more than one
    #[arg(long, value_name = "string")]
    pub platform: Option<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub privileged: bool,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "list")]
    pub publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Pull the image before running ("always", "missing", "never")
    #[arg(long, value_name = "string", default_value = "missing")]
    pub pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    pub quiet: bool,
    /// Mount the container's root file system read only
    #[arg(long)]
    pub read_only: bool,
    /// Restart policy when the container exits
    #[arg(long, value_name = "string")]
    pub restart: Option<String>,
    /// Remove the container and its anonymous volumes when it exits
    #[arg(long)]
    pub rm: bool,
    /// Runtime to use for this container
    #[arg(long, value_name = "string")]
    pub runtime: Option<String>,
    /// Security options
    #[arg(long, value_name = "list")]
    pub security_opt: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes", value_parser = bytes)]
    pub shm_size: Option<i64>,
    /// Signal that stops the container
    #[arg(long, value_name = "string")]
    pub stop_signal: Option<String>,
    /// Seconds to wait for it to stop
    #[arg(long, value_name = "int", value_parser = integer)]
    pub stop_timeout: Option<i64>,
    /// Options of the storage driver
    #[arg(long, value_name = "list")]
    pub storage_opt: Vec<String>,
    /// Set kernel parameters of the container's namespaces
    #[arg(long, value_name = "map", value_parser = values::sysctl)]
    pub sysctl: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "list")]
    pub tmpfs: Vec<String>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub tty: bool,
    /// Limits of the processes
    #[arg(long, value_name = "ulimit", value_parser = values::ulimit)]
    pub ulimit: Vec<Ulimit>,
    /// User name or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    pub user: Option<String>,
    /// User namespace to use
    #[arg(long, value_name = "string")]
    pub userns: Option<String>,
    /// UTS namespace to use
    #[arg(long, value_name = "string")]
    pub uts: Option<String>,
    /// Bind mount a directory or a volume
    #[arg(short, long, value_name = "list")]
    pub volume: Vec<String>,
    /// Driver of volumes that are made
    #[arg(long, value_name = "string")]
    pub volume_driver: Option<String>,
    /// Mount the volumes of other containers
    #[arg(long, value_name = "list")]
    pub volumes_from: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    pub workdir: Option<String>,
    /// The image, then the command
    #[arg(trailing_var_arg = true, hide = true)]
    pub operands: Vec<String>,
}

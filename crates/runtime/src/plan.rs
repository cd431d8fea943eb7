//! The plan: everything the children need, decided and validated beforehand.

use serde::{Deserialize, Serialize};

/// Index into the list of file descriptors that travels with a plan.
pub type FdIndex = u32;

/// What a parked process is made with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParkPlan {
    pub user: UserNamespace,
    pub network: NetworkNamespace,
    /// `cgroup.procs` files (v1) into which the parked process writes itself; empty on v2.
    pub cgroup_procs: Vec<FdIndex>,
}

/// The user namespace of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum UserNamespace {
    /// Root in the container is root on the host.
    #[default]
    Host,
    /// A new one with these maps.
    New { uid: Vec<oci::runtime::IdMapping>, gid: Vec<oci::runtime::IdMapping> },
    /// Another container's.
    Join(FdIndex),
}

/// The network namespace of a container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum NetworkNamespace {
    #[default]
    Host,
    New,
    Join(FdIndex),
}

/// A namespace of the init itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unshare {
    Host,
    #[default]
    New,
    Join(FdIndex),
}

/// Everything the init of a container does before execve, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub pid: Unshare,
    pub ipc: Unshare,
    pub uts: Unshare,
    pub cgroup: Unshare,
    /// The cgroup v2 directory to be born in (CLONE_INTO_CGROUP).
    pub cgroup_dir: Option<FdIndex>,
    /// A detached bind of the host's /dev/null, checked to be that; needed when files are masked.
    pub null: Option<FdIndex>,
    /// The detached mount that becomes `/`.
    pub root: FdIndex,
    pub root_readonly: bool,
    pub mounts: Vec<MountStep>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// (`net/ipv4/ip_forward`, value), written below /proc/sys.
    pub sysctls: Vec<(String, String)>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub process: ProcessPlan,
}

/// One mount, placed by fd below the new root; a missing mount point is made (a folder, or a file where the source is one).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountStep {
    pub destination: String,
    pub source: MountSource,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MountSource {
    /// A detached mount made beforehand (bind, volume, device node, a whole /dev), attributes already set; `file`: its root is not a folder.
    Detached { fd: FdIndex, file: bool },
    /// A new instance of a file system, made by the init in its own namespaces: `proc`, `sysfs`, `tmpfs`, `devpts`, `mqueue`,
    /// `cgroup`, `cgroup2`. Options as for fsconfig(2), a key alone or with its value; MOUNT_ATTR_ bits, see [`sys::mount::attribute`].
    New { kind: String, options: Vec<(String, Option<String>)>, attributes: u64 },
}

/// The process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessPlan {
    pub args: Vec<Vec<u8>>,
    pub env: Vec<Vec<u8>>,
    pub cwd: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: Option<u32>,
    pub capabilities: Capabilities,
    /// (RLIMIT_ number, soft, hard)
    pub rlimits: Vec<(u32, u64, u64)>,
    pub no_new_privileges: bool,
    /// A compiled filter: `struct sock_filter` after `struct sock_filter`.
    #[serde(with = "crate::octets")]
    pub seccomp: Option<Vec<u8>>,
    pub terminal: bool,
    /// (rows, columns), in characters.
    pub console_size: Option<(u16, u16)>,
    pub oom_score_adj: Option<i32>,
    pub apparmor_profile: Option<String>,
}

/// Capability sets as bit masks, bit n is capability number n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    pub bounding: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub permitted: u64,
    pub ambient: u64,
}

/// Which step of a launch or an exec failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    Park,
    Clone,
    JoinNamespace,
    Cgroup,
    Root,
    Mount,
    Device,
    Console,
    Hostname,
    Sysctl,
    Mask,
    Rlimit,
    Capabilities,
    User,
    WorkingDirectory,
    Seccomp,
    /// The label of a security module (AppArmor).
    Label,
    /// The program was looked for in PATH and is not there.
    LookPath,
    Execve,
}

/// Why a container or an exec did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("cannot start: {step:?} {subject}: {}", std::io::Error::from_raw_os_error(*errno))]
pub struct Failure {
    pub step: Step,
    /// errno(3)
    pub errno: i32,
    /// What it was about: a path, a program, a mount.
    pub subject: String,
}

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

/// The time namespace of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeNamespace {
    #[default]
    Host,
    /// A new one. The lines of /proc/self/timens_offsets are written before any process is in it (time_namespaces(7)).
    New {
        offsets: String,
    },
    Join(FdIndex),
}

/// Everything the init of a container does before execve, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub pid: Unshare,
    pub ipc: Unshare,
    pub uts: Unshare,
    pub cgroup: Unshare,
    pub time: TimeNamespace,
    /// `Host`: the root and all mounts are placed in the caller's own namespace and stay there; the root is entered by chroot(2).
    pub mount: Unshare,
    /// The cgroup v2 directory to be born in (CLONE_INTO_CGROUP).
    pub cgroup_dir: Option<FdIndex>,
    /// A detached bind of the host's /dev/null, checked to be that; needed when files are masked.
    pub null: Option<FdIndex>,
    /// The detached mount that becomes `/`.
    pub root: FdIndex,
    pub root_readonly: bool,
    /// Of `/`, set when it is the root (linux.rootfsPropagation).
    pub root_propagation: Option<(Spread, Extent)>,
    pub mounts: Vec<MountStep>,
    pub hostname: Option<String>,
    pub domainname: Option<String>,
    /// (`net/ipv4/ip_forward`, value), written below /proc/sys.
    pub sysctls: Vec<(String, String)>,
    pub masked_paths: Vec<String>,
    pub readonly_paths: Vec<String>,
    pub process: ProcessPlan,
    /// `None`: it stops nowhere on its way.
    pub halts: Option<Halts>,
}

/// What a keeper's process stops for: hooks. See [`crate::Outside`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halts {
    /// The socket at which the process waits until hooks outside of it have run.
    pub outside: Option<FdIndex>,
    /// Where the root is mounted until it is entered, for hooks that look for it in the bundle: an absolute path.
    pub root: String,
    /// The hooks of the specification, as JSON: they know optional fields, which a plan's encoding does not.
    pub hooks: String,
    /// The state that they read, as JSON; its status and process are filled in.
    pub state: String,
}

/// One mount, placed by fd below the new root; a missing mount point is made (a folder, or a file where the source is one).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountStep {
    pub destination: String,
    pub source: MountSource,
    /// Set in this order when the mount is in its place.
    pub propagation: Vec<(Spread, Extent)>,
    /// What a failure names besides the destination: the source as a bundle has it, or nothing.
    pub origin: String,
}

impl MountStep {
    /// What a failure of this step is about.
    pub(crate) fn subject(&self) -> String {
        match self.origin.is_empty() {
            true => self.destination.clone(),
            false => format!("{:?} to rootfs at {:?}", self.origin, self.destination),
        }
    }
}

/// How mounts and unmounts spread between copies of a mount, mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spread {
    Shared,
    Private,
    Slave,
    Unbindable,
}

impl From<Spread> for sys::mount::Propagation {
    fn from(spread: Spread) -> Self {
        match spread {
            Spread::Shared => Self::Shared,
            Spread::Private => Self::Private,
            Spread::Slave => Self::Slave,
            Spread::Unbindable => Self::Unbindable,
        }
    }
}

/// One mount, or with all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    One,
    All,
}

impl From<Extent> for sys::mount::Reach {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::One => Self::One,
            Extent::All => Self::Recursive,
        }
    }
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MountSource {
    /// A detached mount made beforehand (bind, volume, device node, a whole /dev), attributes already set; `file`: its root is not a folder.
    Detached { fd: FdIndex, file: bool },
    /// A new instance of a file system, made by the init in its own namespaces: `proc`, `sysfs`, `tmpfs`, `devpts`, `mqueue`,
    /// `cgroup`, `cgroup2`. Options as for fsconfig(2), a key alone or with its value; MOUNT_ATTR_ bits, see [`sys::mount::attribute`].
    New { kind: String, options: Vec<(String, Option<String>)>, attributes: u64, seed: Seed },
    /// A bind of what the container itself shows at `path` once the mounts before this one are there.
    Inside {
        path: String,
        extent: Extent,
        attributes: Attributes,
        recursive: Attributes,
        user: Option<(FdIndex, Extent)>,
    },
    /// The v1 hierarchies as the host shows them, from the container's own cgroup down: what `cgroup` means in a container
    /// without a cgroup namespace. MOUNT_ATTR_ bits.
    OwnCgroups { attributes: u64 },
    /// A device node, made where it is allowed, else bound from the host.
    Device { node: Node, host: Option<FdIndex> },
    /// A symbolic link; what is there already stays.
    Link { target: String },
}

/// What a new tmpfs begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seed {
    #[default]
    Nothing,
    /// The mode of the folder that it covers, unless the options name one.
    Mode,
    /// The files of the folder that it covers, as well (`tmpcopyup`).
    Files,
}

/// Changes of MOUNT_ATTR_ bits, as mount_setattr(2) takes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
}

/// A file that mknod(2) makes: type and mode as in `st_mode`, number as in `st_rdev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub mode: u32,
    pub number: u64,
    pub uid: u32,
    pub gid: u32,
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
    /// SECCOMP_FILTER_FLAG_ bits, seccomp(2).
    pub seccomp_flags: u32,
    /// The filter asks a listener (SCMP_ACT_NOTIFY), who gets its descriptor from the caller.
    pub seccomp_listener: bool,
    pub terminal: bool,
    /// (rows, columns), in characters.
    pub console_size: Option<(u16, u16)>,
    pub oom_score_adj: Option<i32>,
    pub apparmor_profile: Option<String>,
    pub scheduler: Option<Scheduler>,
    /// As ioprio_set(2) takes it: class and level in one number.
    pub io_priority: Option<u32>,
    /// CPUs of an exec'ed process before it enters the container's cgroup, and after.
    pub cpu_affinity: CpuAffinity,
    /// personality(2)
    pub personality: Option<u32>,
    pub memory_policy: Option<MemoryPolicy>,
}

/// sched_setattr(2): numbers of sched.h, times in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    /// The CPUs that the container's cgroup is bound to, if any: then some policies are refused.
    pub cpus: Option<String>,
}

/// Numbers of CPUs; empty: as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuAffinity {
    pub initial: Vec<u32>,
    pub last: Vec<u32>,
}

/// set_mempolicy(2): mode with its flags, and the numbers of the memory nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    pub mode: u32,
    pub nodes: Vec<u32>,
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
    /// Scheduling policy, I/O priority or CPU affinity.
    Scheduler,
    MemoryPolicy,
    Personality,
    User,
    WorkingDirectory,
    Seccomp,
    /// The label of a security module (AppArmor).
    Label,
    /// The program was looked for in PATH and is not there.
    LookPath,
    Execve,
    /// A hook failed; the subject is the whole message.
    Hook,
    /// The specification cannot be run, found by the process itself; the subject is the whole message.
    Prepare,
}

/// Why a container or an exec did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub step: Step,
    /// errno(3)
    pub errno: i32,
    /// What it was about: a path, a program, a mount.
    pub subject: String,
}

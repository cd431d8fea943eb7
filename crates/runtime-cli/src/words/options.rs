//! What each verb was told: its options and arguments, typed.

use std::path::PathBuf;
use std::time::Duration;

/// `create`, and what `run` shares with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Create {
    pub id: String,
    /// `None`: the current directory.
    pub bundle: Option<PathBuf>,
    /// A unix socket that gets the master of the terminal.
    pub console_socket: Option<PathBuf>,
    /// A unix socket that gets a pidfd of the first process.
    pub pidfd_socket: Option<PathBuf>,
    /// Absolute.
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// Descriptors to pass besides the standard streams and $LISTEN_FDS.
    pub preserve_fds: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    pub create: Create,
    pub detach: bool,
    pub keep: bool,
    pub no_subreaper: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    pub id: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    pub id: String,
    /// The command and its arguments; may be empty, with `process` it is ignored.
    pub command: Vec<String>,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub cwd: Option<String>,
    pub env: Vec<String>,
    pub tty: bool,
    /// As typed: `UID[:GID]`.
    pub user: Option<String>,
    pub additional_gids: Vec<i64>,
    /// A file with the whole process, as JSON.
    pub process: Option<PathBuf>,
    pub detach: bool,
    /// Absolute.
    pub pid_file: Option<PathBuf>,
    pub process_label: Option<String>,
    pub apparmor: Option<String>,
    /// `None`: as the configuration says.
    pub no_new_privs: Option<bool>,
    pub caps: Vec<String>,
    pub preserve_fds: usize,
    /// As typed: `[CONTROLLER[,CONTROLLER]:]PATH`.
    pub cgroup: Vec<String>,
    pub ignore_paused: bool,
}

/// Options that go to CRIU by both `checkpoint` and `restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Criu {
    /// `None`: `checkpoint` in the current directory.
    pub image_path: Option<PathBuf>,
    pub work_path: Option<PathBuf>,
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub manage_cgroups_mode: Option<String>,
    pub empty_ns: Vec<String>,
    pub auto_dedup: bool,
    pub lazy_pages: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub id: String,
    pub criu: Criu,
    /// Relative to the image path.
    pub parent_path: Option<PathBuf>,
    pub leave_running: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    /// A descriptor that CRIU writes a zero byte to; `None` when not asked for.
    pub status_fd: Option<i32>,
    /// `ADDRESS:PORT`
    pub page_server: Option<String>,
    pub pre_dump: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restore {
    pub id: String,
    pub criu: Criu,
    pub bundle: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub detach: bool,
    /// Absolute.
    pub pid_file: Option<PathBuf>,
    pub no_subreaper: bool,
    pub no_pivot: bool,
    /// `TYPE:NAME`
    pub lsm_profile: Option<String>,
    pub lsm_mount_context: Option<String>,
}

/// How a list is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    pub format: Format,
    pub quiet: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ps {
    pub id: String,
    pub format: Format,
    /// For ps(1); empty: `-ef`.
    pub options: Vec<std::ffi::OsString>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kill {
    pub id: String,
    /// As typed; `SIGTERM` when nothing was.
    pub signal: String,
    /// A container that has stopped is no error.
    pub all: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delete {
    pub id: String,
    pub force: bool,
}

/// `update`: values as typed, `None` where nothing was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    pub id: String,
    /// A file, or `-`; all other options are then ignored.
    pub resources: Option<PathBuf>,
    pub blkio_weight: Option<i64>,
    pub pids_limit: Option<i64>,
    pub cpu_period: Option<String>,
    pub cpu_quota: Option<String>,
    pub cpu_burst: Option<String>,
    pub cpu_share: Option<String>,
    pub cpu_rt_period: Option<String>,
    pub cpu_rt_runtime: Option<String>,
    pub cpu_idle: Option<String>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub kernel_memory: Option<String>,
    pub kernel_memory_tcp: Option<String>,
    pub memory: Option<String>,
    pub memory_reservation: Option<String>,
    pub memory_swap: Option<String>,
    pub l3_cache_schema: Option<String>,
    pub mem_bw_schema: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    pub id: String,
    pub interval: Duration,
    /// Once, then exit.
    pub stats: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    pub bundle: Option<PathBuf>,
    pub rootless: bool,
}

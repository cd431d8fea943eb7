//! Use cases of containers.

use crate::streams::{Attach, Attachment, LogFollow};
use crate::{Engine, Result};
use base::Id;
use container::{Config, Container, State};

/// A container at one instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub container: std::sync::Arc<Container>,
    pub name: String,
    pub state: State,
    /// On the default bridge, while it runs.
    pub endpoint: Option<network::Endpoint>,
    /// The first name of its image that still points at it, or what it was asked as.
    pub image: String,
    pub log: logs::Target,
    pub execs: Vec<Id>,
    /// Files of the engine for it: hostname, hosts, resolv.conf.
    pub hostname_path: String,
    pub hosts_path: String,
    pub resolv_path: String,
    /// The writable folder of its root.
    pub upper_path: String,
}

/// What creation gives.
#[derive(Debug, Clone)]
pub struct Created {
    pub id: Id,
    pub warnings: Vec<String>,
}

/// Whether something had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Done,
    /// It already was so (304).
    Already,
}

/// How to stop.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    /// A name or a number; `None`: the container's.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; `None`: the container's; negative: never.
    pub timeout: Option<i64>,
}

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct Removal {
    /// Kill it when it runs.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    #[default]
    NotRunning,
    NextExit,
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaitResult {
    pub exit_code: i32,
    /// Why it could not be removed or started, if so.
    pub error: Option<String>,
}

/// A table of processes.
#[derive(Debug, Clone, Default)]
pub struct Processes {
    pub rows: Vec<Process>,
}

/// A process as /proc shows it.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// The user's id on the host.
    pub uid: u32,
    pub pid: i32,
    pub ppid: i32,
    /// Seconds of processor time.
    pub cpu_seconds: u64,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    /// `?` or `pts/0`.
    pub tty: String,
    pub command: String,
}

impl Engine {
    pub fn create(&self, name: Option<&str>, config: Config) -> Result<Created> {
        let _ = (name, config);
        todo!()
    }
    pub fn start(&self, name: &str) -> Result<Change> {
        let _ = name;
        todo!()
    }
    pub async fn stop(&self, name: &str, request: StopRequest) -> Result<Change> {
        let _ = (name, request);
        todo!()
    }
    pub async fn restart(&self, name: &str, request: StopRequest) -> Result<()> {
        let _ = (name, request);
        todo!()
    }
    pub fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        let _ = (name, signal);
        todo!()
    }
    pub fn pause(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }
    pub fn unpause(&self, name: &str) -> Result<()> {
        let _ = name;
        todo!()
    }
    pub async fn remove(&self, name: &str, removal: Removal) -> Result<()> {
        let _ = (name, removal);
        todo!()
    }
    pub fn rename(&self, name: &str, new_name: &str) -> Result<()> {
        let _ = (name, new_name);
        todo!()
    }
    /// By name (with or without the leading slash), id, or unique id prefix.
    pub fn inspect(&self, name: &str) -> Result<Snapshot> {
        let _ = name;
        todo!()
    }
    /// All containers, the newest first.
    pub fn list(&self) -> Vec<Snapshot> {
        todo!()
    }
    pub fn top(&self, name: &str) -> Result<Processes> {
        let _ = name;
        todo!()
    }
    /// Looks the container up at once; the returned future ends when the condition holds.
    pub fn wait(
        &self,
        name: &str,
        condition: WaitCondition,
    ) -> Result<impl Future<Output = WaitResult> + Send + 'static> {
        let _ = (name, condition);
        Ok(async { todo!() })
    }
    /// Can be called before the container is started.
    pub fn attach(&self, name: &str, attach: Attach) -> Result<Attachment> {
        let _ = (name, attach);
        todo!()
    }
    pub fn logs(&self, name: &str) -> Result<LogFollow> {
        let _ = name;
        todo!()
    }
    pub fn resize(&self, name: &str, rows: u16, columns: u16) -> Result<()> {
        let _ = (name, rows, columns);
        todo!()
    }
    /// What the container used, while it runs.
    pub fn usage(&self, name: &str) -> Result<Option<cgroup::Usage>> {
        let _ = name;
        todo!()
    }
}

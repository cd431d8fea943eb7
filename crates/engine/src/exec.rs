//! More processes in running containers.

use crate::streams::Attachment;
use crate::{Engine, Result};
use base::Id;

/// What an exec is made of.
#[derive(Debug, Clone, Default)]
pub struct ExecCreate {
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
    pub privileged: bool,
    pub tty: bool,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub detach_keys: String,
    /// (rows, columns)
    pub console_size: Option<(u16, u16)>,
}

/// How an exec is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExecStart {
    pub detach: bool,
    pub tty: bool,
    pub console_size: Option<(u16, u16)>,
}

/// An exec as inspect shows it.
#[derive(Debug, Clone)]
pub struct ExecSnapshot {
    pub id: Id,
    pub container: Id,
    pub create: ExecCreate,
    pub running: bool,
    /// `None` until it has ended.
    pub exit_code: Option<i32>,
    pub pid: i32,
}

impl Engine {
    pub fn exec_create(&self, container: &str, create: ExecCreate) -> Result<Id> {
        let _ = (container, create);
        todo!()
    }
    /// `None` when detached. The exit code is set before the output ends.
    pub fn exec_start(&self, id: &str, start: ExecStart) -> Result<Option<Attachment>> {
        let _ = (id, start);
        todo!()
    }
    pub fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let _ = (id, rows, columns);
        todo!()
    }
    pub fn exec_inspect(&self, id: &str) -> Result<ExecSnapshot> {
        let _ = id;
        todo!()
    }
}

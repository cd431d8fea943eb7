//! Execs: more processes in running containers.

use super::{TextList, Texts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The header of this project's own command line: an exec that is made with it is started as well, and the header of the answer
/// (101) is its id. Other engines answer as always.
pub const EXEC: &str = "dhow-exec";

/// The stream of the exit code, in digits, after the output of an exec that was made with [`EXEC`].
pub const EXIT_CODE: u8 = 4;

wire! {
    /// `POST /containers/{id}/exec`
    pub struct ExecCreateRequest {
        pub user: String,
        pub privileged: bool,
        pub tty: bool,
        /// (rows, columns)
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<(u32, u32)>,
        pub attach_stdin: bool,
        pub attach_stderr: bool,
        pub attach_stdout: bool,
        pub detach: bool,
        pub detach_keys: String,
        pub env: Option<Vec<String>>,
        pub working_dir: String,
        pub cmd: TextList,
    }

    /// What `POST /containers/{id}/exec` answers.
    pub struct IdResponse {
        pub id: String,
    }

    /// `POST /exec/{id}/start`
    pub struct ExecStartRequest {
        pub detach: bool,
        pub tty: bool,
        /// (rows, columns)
        #[serde(skip_serializing_if = "Option::is_none")]
        pub console_size: Option<(u32, u32)>,
    }

    /// `GET /exec/{id}/json`
    pub struct ExecInspect {
        #[serde(rename = "ID")]
        pub id: String,
        pub running: bool,
        /// `null` until it has ended.
        pub exit_code: Option<i32>,
        pub process_config: ProcessConfig,
        pub open_stdin: bool,
        pub open_stderr: bool,
        pub open_stdout: bool,
        pub can_remove: bool,
        #[serde(rename = "ContainerID")]
        pub container_id: String,
        pub detach_keys: String,
        pub pid: i32,
    }

    pub struct ProcessConfig {
        #[serde(rename = "tty")]
        pub tty: bool,
        #[serde(rename = "entrypoint")]
        pub entrypoint: String,
        #[serde(rename = "arguments")]
        pub arguments: Vec<String>,
        #[serde(rename = "privileged")]
        pub privileged: bool,
        #[serde(rename = "user", skip_serializing_if = "String::is_empty")]
        pub user: String,
    }

    /// One volume, as `GET /volumes` lists it.
    pub struct VolumeSummary {
        pub created_at: String,
        pub driver: String,
        pub labels: Option<Texts>,
        pub mountpoint: String,
        pub name: String,
        pub options: Option<Texts>,
        pub scope: String,
    }

    /// `POST /volumes/create`
    pub struct VolumeCreate {
        pub name: String,
        pub driver: String,
        pub driver_opts: Texts,
        pub labels: Texts,
        pub cluster_volume_spec: Option<Value>,
    }

    /// `POST /volumes/prune`
    pub struct VolumesPruneResponse {
        pub volumes_deleted: Vec<String>,
        /// Bytes.
        pub space_reclaimed: u64,
    }

    /// `GET /volumes`
    pub struct VolumeList {
        pub volumes: Vec<VolumeSummary>,
        pub warnings: Option<Vec<Value>>,
    }
}

/// What is at a path of a container, as the header of `HEAD /containers/{id}/archive` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathStat {
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Go's os.FileMode.
    pub mode: u32,
    /// RFC 3339.
    pub mtime: String,
    pub link_target: String,
}

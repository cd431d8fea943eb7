//! Images, and the progress of operations on them.

use super::{GraphDriver, Keys, Texts};
use serde_json::Value;

wire! {
    /// `GET /images/{name}/json`
    pub struct ImageInspect {
        pub id: String,
        pub repo_tags: Vec<String>,
        pub repo_digests: Vec<String>,
        pub parent: String,
        pub comment: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub created: String,
        pub docker_version: String,
        pub author: String,
        pub config: ImageConfig,
        pub architecture: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub variant: String,
        pub os: String,
        /// Bytes.
        pub size: u64,
        /// Only before API 1.44.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub virtual_size: Option<u64>,
        pub graph_driver: GraphDriver,
        #[serde(rename = "RootFS")]
        pub root_fs: ImageRootFs,
        pub metadata: ImageMetadata,
        /// Of the manifest or index; only where the manifests are asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub manifests: Option<Vec<ImageManifest>>,
    }

    /// One manifest of an image.
    pub struct ImageManifest {
        #[serde(rename = "ID")]
        pub id: String,
        pub descriptor: Option<Value>,
        pub available: bool,
        pub size: ManifestSize,
        /// `image`, `attestation` or `unknown`
        pub kind: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_data: Option<ManifestImage>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub attestation_data: Option<ManifestAttestation>,
    }

    /// Bytes of a manifest's blobs, and with what was unpacked of them.
    pub struct ManifestSize {
        pub content: u64,
        pub total: u64,
    }

    pub struct ManifestImage {
        pub platform: Value,
        pub size: ManifestUnpacked,
        /// Those that stand on it.
        pub containers: Vec<String>,
    }

    /// Bytes.
    pub struct ManifestUnpacked {
        pub unpacked: u64,
    }

    pub struct ManifestAttestation {
        /// The digest of the manifest that it is about.
        #[serde(rename = "For")]
        pub about: String,
    }

    /// How containers of an image run unless told otherwise.
    pub struct ImageConfig {
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
        pub cmd: Option<Vec<String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub healthcheck: Option<Value>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        pub args_escaped: bool,
        pub image: String,
        pub volumes: Option<Keys>,
        pub working_dir: String,
        pub entrypoint: Option<Vec<String>>,
        pub on_build: Option<Vec<String>>,
        pub labels: Option<Texts>,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub stop_signal: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub shell: Option<Vec<String>>,
    }

    pub struct ImageRootFs {
        #[serde(rename = "Type")]
        pub kind: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub layers: Vec<String>,
    }

    pub struct ImageMetadata {
        pub last_tag_time: String,
    }

    /// One row of `GET /images/json`.
    pub struct ImageSummary {
        /// How many containers stand on it; -1 is not counted.
        pub containers: i64,
        /// Seconds since the epoch.
        pub created: i64,
        pub id: String,
        pub labels: Option<Texts>,
        pub parent_id: String,
        pub repo_digests: Vec<String>,
        pub repo_tags: Vec<String>,
        /// Bytes; -1 is not counted.
        pub shared_size: i64,
        /// Bytes.
        pub size: u64,
        /// Only before API 1.44.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub virtual_size: Option<u64>,
        /// Of the manifest or index; only where the manifests are asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub descriptor: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub manifests: Option<Vec<ImageManifest>>,
    }

    /// One step of a removal.
    pub struct ImageDeleted {
        #[serde(skip_serializing_if = "String::is_empty")]
        pub untagged: String,
        #[serde(skip_serializing_if = "String::is_empty")]
        pub deleted: String,
    }

    /// One row of `GET /images/{name}/history`, the newest first.
    pub struct HistoryItem {
        pub comment: String,
        /// Seconds since the epoch.
        pub created: i64,
        pub created_by: String,
        pub id: String,
        pub size: u64,
        pub tags: Option<Vec<String>>,
    }
}

/// One line of a progress stream (load, import, pull).
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// A bar as text, for clients that draw none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ProgressError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<Value>,
}

/// Bytes so far.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Why it went wrong, in a stream that had begun well.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ProgressError {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    pub message: String,
}

//! What images, containers and volumes take up, and what is wrong with it.

use super::{ContainerSummary, ImageDeleted, ImageSummary, VolumeSummary};
use serde::{Deserialize, Serialize};
use serde_json::Value;

wire! {
    /// `GET /system/df`; what was not asked for is null.
    pub struct DiskUsage {
        /// Bytes.
        pub layers_size: u64,
        pub images: Option<Vec<ImageSummary>>,
        pub containers: Option<Vec<ContainerSummary>>,
        pub volumes: Option<Vec<VolumeWithUsage>>,
        pub build_cache: Option<Vec<Value>>,
        /// Only before API 1.42.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub builder_size: Option<u64>,
    }

    /// A volume.
    pub struct VolumeWithUsage {
        #[serde(flatten)]
        pub volume: VolumeSummary,
        #[serde(skip_serializing_if = "Option::is_none")]
        pub usage_data: Option<VolumeUsageData>,
    }

    pub struct VolumeUsageData {
        /// Containers that mount it.
        pub ref_count: i64,
        /// Bytes.
        pub size: i64,
    }

    /// `POST /images/prune`
    pub struct ImagesPruneResponse {
        pub images_deleted: Option<Vec<ImageDeleted>>,
        /// Bytes.
        pub space_reclaimed: u64,
    }

    /// One row of `GET /containers/{id}/changes`.
    pub struct FileChange {
        pub path: String,
        /// 0 modified, 1 added, 2 deleted.
        pub kind: u8,
    }
}

/// One line of `POST /system/fsck`: what is looked at, or (the last one) the report, or why there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FsckLine {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<FsckReport>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What a check of the store found, and how much was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FsckReport {
    pub blobs: usize,
    pub layers: usize,
    pub bytes: u64,
    pub faults: Vec<FsckFault>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FsckFault {
    pub what: String,
    pub wrong: String,
    pub mended: bool,
}

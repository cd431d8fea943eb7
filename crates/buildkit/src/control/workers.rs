//! Who builds: the engine itself, as the one worker.

use crate::Result;
use crate::house::House;
use bollard_buildkit_proto::moby::buildkit::v1::types::{BuildkitVersion, GcPolicy, WorkerRecord};
use bollard_buildkit_proto::pb;
use build::cache::{Policy, Share};
use std::collections::HashMap;

/// The BuildKit that this is as good as; clients compare it.
const VERSION: &str = "v0.25.2";

/// What is said of the worker. With a `snapshotter` clients let an engine of Docker's export archives and caches, build for several
/// platforms and push by itself.
pub(crate) fn record(house: &dyn House) -> Result<WorkerRecord> {
    let identity = house.identity()?;
    let builder = house.builder()?;
    let label = |name: &str| format!("org.mobyproject.buildkit.worker.{name}");
    let mut labels = HashMap::from([
        (label("executor"), "dhow".to_owned()),
        (label("hostname"), identity.hostname),
        (label("network"), "bridge".to_owned()),
        (label("snapshotter"), "overlayfs".to_owned()),
        (label("selinux.enabled"), "false".to_owned()),
    ]);
    if let Some(gateway) = identity.gateway {
        labels.insert(label("moby.host-gateway-ip"), gateway.to_string());
    }
    Ok(WorkerRecord {
        id: identity.id,
        labels,
        platforms: builder.engine().platforms().iter().map(platform).collect(),
        gc_policy: builder.policies().iter().map(policy).collect(),
        buildkit_version: Some(version()),
        ..WorkerRecord::default()
    })
}

pub(super) fn version() -> BuildkitVersion {
    BuildkitVersion {
        package: "dhow".to_owned(),
        version: format!("{VERSION}-dhow"),
        revision: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn platform(platform: &oci::image::Platform) -> pb::Platform {
    pb::Platform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        ..pb::Platform::default()
    }
}

/// Parts of a disk are not told: clients know bytes only.
fn policy(policy: &Policy) -> GcPolicy {
    let bytes = |share: Option<Share>| match share {
        Some(Share::Bytes(bytes)) => i64::try_from(bytes).unwrap_or(i64::MAX),
        _ => 0,
    };
    GcPolicy {
        all: policy.all,
        keep_duration: policy.keep_for.map_or(0, |keep| i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX)),
        filters: Vec::new(),
        reserved_space: bytes(policy.limits.reserved),
        max_used_space: bytes(policy.limits.most),
        min_free_space: bytes(policy.limits.free),
    }
}

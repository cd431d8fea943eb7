//! Images: inspect, rows and history.

use crate::times;
use api::types::{GraphDriver, HistoryItem, ImageConfig, ImageInspect, ImageMetadata, ImageRootFs, ImageSummary};
use image::Image;
use serde_json::json;
use std::collections::BTreeMap;

/// `GET /images/{name}/json`
pub fn inspect(image: &Image, has_virtual_size: bool) -> ImageInspect {
    let stored = &image.config;
    ImageInspect {
        id: image.id.to_string(),
        repo_tags: image.tags.clone(),
        repo_digests: image.digests.clone(),
        comment: stored.comment.clone(),
        created: stored.created.clone().unwrap_or_default(),
        docker_version: stored.docker_version.clone(),
        author: stored.author.clone(),
        config: config(&stored.config),
        architecture: stored.architecture.clone(),
        variant: stored.variant.clone(),
        os: stored.os.clone(),
        size: image.size,
        virtual_size: has_virtual_size.then_some(image.size),
        graph_driver: GraphDriver { data: None, name: "overlay2".to_owned() },
        root_fs: ImageRootFs {
            kind: "layers".to_owned(),
            layers: stored.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: ImageMetadata { last_tag_time: tagged(image) },
        ..ImageInspect::default()
    }
}

fn tagged(image: &Image) -> String {
    if image.tagged_at.is_empty() { times::nano(0) } else { image.tagged_at.clone() }
}

fn config(stored: &oci::image::Config) -> ImageConfig {
    let keys = |map: &BTreeMap<String, oci::image::Empty>| {
        let keys: BTreeMap<_, _> = map.keys().map(|key| (key.clone(), json!({}))).collect();
        Some(keys).filter(|k| !k.is_empty())
    };
    ImageConfig {
        user: stored.user.clone(),
        exposed_ports: keys(&stored.exposed_ports),
        env: Some(stored.env.clone()).filter(|env| !env.is_empty()),
        cmd: stored.cmd.clone(),
        healthcheck: stored.healthcheck.clone(),
        volumes: keys(&stored.volumes),
        working_dir: stored.working_dir.clone(),
        entrypoint: stored.entrypoint.clone(),
        on_build: stored.on_build.clone(),
        labels: Some(stored.labels.clone()).filter(|labels| !labels.is_empty()),
        stop_signal: stored.stop_signal.clone(),
        shell: stored.shell.clone(),
        ..ImageConfig::default()
    }
}

/// One row of `GET /images/json`.
pub fn summary(image: &Image, has_virtual_size: bool) -> ImageSummary {
    let labels = &image.config.config.labels;
    ImageSummary {
        containers: -1,
        created: created(image),
        id: image.id.to_string(),
        labels: Some(labels.clone()).filter(|l| !l.is_empty()),
        parent_id: String::new(),
        repo_digests: image.digests.clone(),
        repo_tags: image.tags.clone(),
        shared_size: -1,
        size: image.size,
        virtual_size: has_virtual_size.then_some(image.size),
    }
}

/// Seconds since the epoch. One that is not told is Go's zero time, which clients show as such.
pub fn created(image: &Image) -> i64 {
    image.config.created.as_deref().map_or(GO_ZERO, times::seconds)
}

/// 0001-01-01T00:00:00Z in seconds since the epoch.
const GO_ZERO: i64 = -62_135_596_800;

/// `GET /images/{name}/history`, the newest first. Sizes of single layers are not told: an image's size is its layers' sum.
pub fn history(image: &Image) -> Vec<HistoryItem> {
    let mut items: Vec<HistoryItem> = image.config.history.iter().map(item).collect();
    items.reverse();
    if let Some(newest) = items.first_mut() {
        newest.id = image.id.to_string();
        newest.size = image.size;
        newest.tags = Some(image.tags.clone()).filter(|tags| !tags.is_empty());
    }
    items
}

fn item(line: &oci::image::History) -> HistoryItem {
    HistoryItem {
        comment: line.comment.clone(),
        created: line.created.as_deref().map_or(GO_ZERO, times::seconds),
        created_by: line.created_by.clone(),
        id: "<missing>".to_owned(),
        size: 0,
        tags: None,
    }
}

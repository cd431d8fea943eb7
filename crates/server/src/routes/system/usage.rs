//! `GET /system/df`: what images, containers and volumes take up.

use crate::app::App;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::version::ApiVersion;
use api::types::{ContainerSummary, DiskUsage, ImageSummary, VolumeUsageData, VolumeWithUsage};
use axum::extract::State;
use engine::{Engine, VolumeUsage};
use http::StatusCode;
use image::upkeep::ImageUsage;
use std::collections::HashMap;

const TYPES: [&str; 4] = ["container", "image", "volume", "build-cache"];
/// From this version on the size of the build cache is not told apart, and a client may ask for parts.
const WITH_TYPES: u32 = 42;

pub async fn get(State(app): State<App>, version: ApiVersion, query: Query) -> Answer {
    // Older clients always get all of it.
    let asked = query.all("type").filter(|_| version.has(WITH_TYPES)).map(str::to_owned);
    let asked: Vec<String> = asked.collect();
    if let Some(unknown) = asked.iter().find(|kind| !TYPES.contains(&kind.as_str())) {
        return Err(Refusal::invalid(format!("unknown object type: {unknown}")));
    }
    let own = app.clone();
    let answer = app.blocking(move |engine| usage(engine, &own, &asked, version)).await?;
    Ok(status::json(StatusCode::OK, &answer))
}

fn usage(engine: &Engine, app: &App, asked: &[String], version: ApiVersion) -> Result<DiskUsage, Refusal> {
    let wants = |kind: &str| asked.is_empty() || asked.iter().any(|asked| asked == kind);
    let mut answer = DiskUsage {
        build_cache: wants("build-cache").then(|| crate::routes::build::rows(app)).transpose()?,
        ..DiskUsage::default()
    };
    if !version.has(WITH_TYPES) {
        let sizes = answer.build_cache.iter().flatten().filter(|row| row["Shared"] == false);
        answer.builder_size = Some(sizes.filter_map(|row| row["Size"].as_u64()).sum());
    }
    if wants("image") {
        let usage = engine.image_usage()?;
        answer.layers_size = usage.total;
        answer.images = Some(images(engine, &usage.images, version)?);
    }
    if wants("container") {
        answer.containers = Some(containers(engine));
    }
    if wants("volume") {
        answer.volumes = Some(engine.volume_usage()?.into_iter().map(volume).collect());
    }
    Ok(answer)
}

fn images(engine: &Engine, usage: &[ImageUsage], version: ApiVersion) -> Result<Vec<ImageSummary>, Refusal> {
    let used: HashMap<_, _> = usage.iter().map(|image| (image.id, image)).collect();
    let users = users(engine);
    let row = |image: &image::Image| {
        let mut row = present::image::summary(image, version);
        row.containers = users.get(&image.id).copied().unwrap_or(0);
        if let Some(usage) = used.get(&image.id) {
            row.size = usage.size;
            row.virtual_size = row.virtual_size.map(|_| usage.size);
            row.shared_size = i64::try_from(usage.shared).unwrap_or(i64::MAX);
        }
        row
    };
    Ok(engine.images()?.iter().map(row).collect())
}

/// How many containers stand on each image.
fn users(engine: &Engine) -> HashMap<base::Digest, i64> {
    let mut users = HashMap::new();
    for snapshot in engine.list() {
        *users.entry(snapshot.container.image_id).or_insert(0) += 1;
    }
    users
}

fn containers(engine: &Engine) -> Vec<ContainerSummary> {
    let now = present::summary::now();
    let row = |snapshot: &engine::Snapshot| {
        let mut row = present::summary::of(snapshot, now);
        (row.size_rw, row.size_root_fs) = present::summary::sizes(engine.sizes(snapshot));
        row
    };
    engine.list().iter().map(row).collect()
}

fn volume(usage: VolumeUsage) -> VolumeWithUsage {
    VolumeWithUsage {
        volume: present::volume::of(usage.volume),
        usage_data: Some(VolumeUsageData {
            ref_count: i64::try_from(usage.references).unwrap_or(i64::MAX),
            size: i64::try_from(usage.size).unwrap_or(i64::MAX),
        }),
    }
}

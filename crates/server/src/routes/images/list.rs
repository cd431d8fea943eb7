//! `GET /images/json`

use crate::app::App;
use crate::filters::Filters;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::version::ApiVersion;
use crate::{pattern, words};
use api::types::ImageSummary;
use axum::extract::State;
use engine::Engine;
use http::StatusCode;
use image::Image;
use serde_json::json;
use std::collections::HashMap;

/// From this version on the containers of an image are counted; before they are -1, not counted.
const WITH_CONTAINERS: u32 = 51;

/// From this version on the manifests of images are told.
const WITH_MANIFESTS: u32 = 47;

const FILTERS: [&str; 7] = ["before", "dangling", "label", "label!", "reference", "since", "until"];

pub async fn get(State(app): State<App>, version: ApiVersion, query: Query) -> Answer {
    let filters = Filters::of(&query, &FILTERS)?;
    let with_shared = query.flag("shared-size");
    let with_parts = version.has(WITH_MANIFESTS) && query.flag("manifests");
    let rows = app
        .blocking(move |engine| {
            let mut images = engine.images().map_err(Refusal::from)?;
            images.sort_by_key(|image| std::cmp::Reverse(present::image::created(image)));
            let images = choose(images, &filters)?;
            let mut rows: Vec<_> = images.iter().map(|image| present::image::summary(image, version)).collect();
            if with_parts {
                for (row, image) in rows.iter_mut().zip(&images) {
                    let parts = super::inspect::parts(engine, image);
                    if parts.len() > 1 {
                        // The row is about all of them.
                        row.size = parts.iter().map(|part| part.size.total).sum();
                    }
                    row.manifests = Some(parts);
                    row.descriptor = engine.image_target(&row.id).map(|target| json!(target));
                }
            }
            if with_shared {
                add_shared(engine, &mut rows)?;
            }
            if version.has(WITH_CONTAINERS) {
                add_containers(engine, &mut rows);
            }
            Ok::<_, Refusal>(rows)
        })
        .await?;
    Ok(status::json(StatusCode::OK, &rows))
}

fn add_shared(engine: &Engine, rows: &mut [ImageSummary]) -> Result<(), Refusal> {
    let usage = engine.image_usage()?;
    let shared: HashMap<String, u64> = usage.images.iter().map(|i| (i.id.to_string(), i.shared)).collect();
    for row in rows {
        row.shared_size = shared.get(&row.id).map_or(0, |bytes| i64::try_from(*bytes).unwrap_or(i64::MAX));
    }
    Ok(())
}

fn add_containers(engine: &Engine, rows: &mut [ImageSummary]) {
    let used: Vec<String> = engine.list().iter().map(|snapshot| snapshot.container.image_id.to_string()).collect();
    for row in rows {
        row.containers = i64::try_from(used.iter().filter(|id| **id == row.id).count()).unwrap_or(i64::MAX);
    }
}

fn choose(images: Vec<Image>, filters: &Filters) -> Result<Vec<Image>, Refusal> {
    let dangling = filters.flag("dangling")?;
    let (before, since) = (age(&images, filters, "before")?, age(&images, filters, "since")?);
    let until = filters.until()?;
    let keep = |image: &Image| {
        let created = present::image::created(image);
        let labels = &image.config.config.labels;
        before.is_none_or(|time| created < time)
            && since.is_none_or(|time| created > time)
            && until.is_none_or(|time| created < time / 1_000_000_000)
            && dangling.is_none_or(|wanted| image.tags.is_empty() == wanted)
            && filters.labels("label", labels)
            && filters.without_labels(labels)
    };
    let named = |mut image: Image| {
        if filters.has("reference") {
            image.tags.retain(|tag| is_reference(filters, tag));
            image.digests.retain(|digest| is_reference(filters, digest));
        }
        let left_out = filters.has("reference") && image.tags.is_empty() && image.digests.is_empty();
        (!left_out).then_some(image)
    };
    Ok(images.into_iter().filter(keep).filter_map(named).collect())
}

fn age(images: &[Image], filters: &Filters, key: &str) -> Result<Option<i64>, Refusal> {
    let Some(name) = filters.get(key).first() else { return Ok(None) };
    let wanted = words::familiar(name);
    let is_it = |image: &&Image| {
        image.tags.contains(&wanted) || words::short(&image.id.to_string()).starts_with(words::short(name))
    };
    let found = images.iter().find(is_it);
    found
        .map(|image| Some(present::image::created(image)))
        .ok_or_else(|| Refusal::not_found(format!("No such image: {wanted}")))
}

/// `reference=busybox*`: a glob over the name, with or without its tag. Names that do not match are not shown.
fn is_reference(filters: &Filters, tag: &str) -> bool {
    let name = tag.split_once('@').or_else(|| tag.rsplit_once(':')).map_or(tag, |(name, _)| name);
    filters.get("reference").iter().any(|glob| {
        let pattern = pattern::Pattern::of_glob(glob);
        pattern.is_in(tag) || pattern.is_in(name)
    })
}

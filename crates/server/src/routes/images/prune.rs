//! `POST /images/prune`: images without a name, or with `dangling=false` all that no container stands on.

use super::remove::step;
use crate::app::App;
use crate::filters::Filters;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use api::types::ImageDeleted;
use axum::extract::State;
use engine::Engine;
use http::StatusCode;
use image::Force;
use serde_json::json;
use std::collections::HashSet;

pub async fn post(State(app): State<App>, query: Query) -> Answer {
    let filters = Filters::of(&query, &["dangling", "label", "label!", "until"])?;
    if filters.has("until") {
        return Err(Refusal::unsupported("the filter 'until' is not supported for images by this engine yet"));
    }
    let only_dangling = filters.flag("dangling")?.unwrap_or(true);
    let (deleted, bytes) = app.blocking(move |engine| prune(engine, &filters, only_dangling)).await?;
    Ok(status::json(StatusCode::OK, &json!({"ImagesDeleted": deleted, "SpaceReclaimed": bytes})))
}

fn prune(engine: &Engine, filters: &Filters, only_dangling: bool) -> Result<(Option<Vec<ImageDeleted>>, u64), Refusal> {
    let used: HashSet<_> = engine.list().iter().map(|c| c.container.image_id).collect();
    let (mut deleted, mut bytes) = (Vec::new(), 0);
    for image in engine.images()? {
        let labels = &image.config.config.labels;
        let built_in = image.tags.iter().any(|tag| tag.split(':').next() == Some(image::HOST));
        let spared = built_in
            || used.contains(&image.id)
            || (only_dangling && !image.tags.is_empty())
            || !filters.labels("label", labels)
            || !filters.without_labels(labels);
        if spared {
            continue;
        }
        // One that is used again meanwhile is left alone.
        if let Ok(removed) = engine.image_remove(&image.id.to_string(), Force::Yes) {
            deleted.extend(removed.iter().map(step));
            bytes += image.size;
        }
    }
    Ok((Some(deleted).filter(|d| !d.is_empty()), bytes))
}

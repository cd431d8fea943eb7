//! `POST /images/prune`: images without a name, or with `dangling=false` all that no container stands on.

use super::remove::step;
use crate::app::App;
use crate::filters::Filters;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer};
use api::types::{ImageDeleted, ImagesPruneResponse};
use axum::extract::State;
use http::StatusCode;
use image::Image;

pub async fn post(State(app): State<App>, query: Query) -> Answer {
    let filters = Filters::of(&query, &["dangling", "label", "label!", "until"])?;
    let spared = Spared { only_dangling: filters.flag("dangling")?.unwrap_or(true), until: filters.until()?, filters };
    let pruned = app.blocking(move |engine| engine.image_prune(&|image| spared.has(image))).await?;
    let deleted: Vec<ImageDeleted> = pruned.removed.iter().map(step).collect();
    let answer = ImagesPruneResponse {
        images_deleted: Some(deleted).filter(|deleted| !deleted.is_empty()),
        space_reclaimed: pruned.reclaimed,
    };
    Ok(status::json(StatusCode::OK, &answer))
}

/// What a prune leaves alone.
struct Spared {
    only_dangling: bool,
    /// Nanoseconds since the epoch.
    until: Option<i64>,
    filters: Filters,
}

impl Spared {
    fn has(&self, image: &Image) -> bool {
        let labels = &image.config.config.labels;
        (self.only_dangling && !image.tags.is_empty())
            || self.until.is_some_and(|until| present::image::created(image) > until.div_euclid(1_000_000_000))
            || !self.filters.labels("label", labels)
            || !self.filters.without_labels(labels)
    }
}

//! `DELETE /images/{name}`

use super::name;
use crate::app::App;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use api::types::ImageDeleted;
use axum::extract::{Path, State};
use http::StatusCode;
use image::{Force, Removed};

pub async fn delete(State(app): State<App>, Path(asked): Path<String>, query: Query) -> Answer {
    let asked = name(&asked);
    if asked.trim().is_empty() {
        return Err(Refusal::invalid("image name cannot be blank"));
    }
    let force = if query.flag("force") { Force::Yes } else { Force::No };
    let removed = app.blocking(move |engine| engine.image_remove(&asked, force)).await?;
    Ok(status::json(StatusCode::OK, &removed.iter().map(step).collect::<Vec<_>>()))
}

/// One step, in Docker's shape.
pub fn step(removed: &Removed) -> ImageDeleted {
    match removed {
        Removed::Untagged(tag) => ImageDeleted { untagged: tag.clone(), deleted: String::new() },
        Removed::Deleted(id) => ImageDeleted { untagged: String::new(), deleted: id.to_string() },
    }
}

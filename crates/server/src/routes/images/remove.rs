//! `DELETE /images/{name}`

use super::name;
use crate::app::App;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::version::ApiVersion;
use api::types::ImageDeleted;
use axum::extract::{Path, State};
use http::StatusCode;
use image::{Force, Removed};

/// From this version on the images for some platforms can be removed.
const WITH_PLATFORMS: u32 = 50;

pub async fn delete(State(app): State<App>, Path(asked): Path<String>, version: ApiVersion, query: Query) -> Answer {
    let asked = name(&asked);
    if asked.trim().is_empty() {
        return Err(Refusal::invalid("image name cannot be blank"));
    }
    let force = if query.flag("force") { Force::Yes } else { Force::No };
    let platforms = match version.has(WITH_PLATFORMS) {
        true => query.all("platforms").map(super::one_platform).collect::<Result<Vec<_>, Refusal>>()?,
        false => Vec::new(),
    };
    if !platforms.is_empty() && force == Force::No {
        return Err(Refusal::invalid(
            "Content will be removed from all images referencing this variant. Use —-force to force delete.",
        ));
    }
    let removed = app.blocking(move |engine| match platforms.is_empty() {
        true => engine.image_remove(&asked, force),
        false => engine.image_remove_platforms(&asked, &platforms),
    });
    let removed = removed.await?;
    Ok(status::json(StatusCode::OK, &removed.iter().map(step).collect::<Vec<_>>()))
}

/// One step, in Docker's shape.
pub fn step(removed: &Removed) -> ImageDeleted {
    match removed {
        Removed::Untagged(tag) => ImageDeleted { untagged: tag.clone(), deleted: String::new() },
        Removed::Deleted(id) => ImageDeleted { untagged: String::new(), deleted: id.to_string() },
    }
}

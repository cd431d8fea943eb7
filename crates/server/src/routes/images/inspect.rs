//! `GET /images/{name}/json` and `GET /images/{name}/history`

use super::name;
use crate::app::App;
use crate::present;
use crate::query::Query;
use crate::status::{self, Answer, Refusal};
use crate::version::ApiVersion;
use engine::Engine;
use http::StatusCode;
use image::Image;
use serde_json::json;

/// From this version on the manifests of an image are told.
const WITH_MANIFESTS: u32 = 48;

pub async fn get(app: &App, asked: &str, version: ApiVersion, query: &Query) -> Answer {
    let (asked, platform) = (name(asked), super::platform(query)?);
    let with_parts = version.has(WITH_MANIFESTS) && query.flag("manifests");
    if with_parts && platform.is_some() {
        return Err(Refusal::invalid("conflicting options: manifests and platform options cannot both be set"));
    }
    let look = move |engine: &Engine| {
        let image = engine.image_for(&asked, platform.as_ref())?;
        let mut shown = present::image::inspect(&image, &engine.layer_folders(&image.id), version);
        shown.manifests = with_parts.then(|| parts(engine, &image));
        shown.descriptor = engine.image_target(&asked).filter(|_| with_parts).map(|target| json!(target));
        Ok::<_, Refusal>(shown)
    };
    Ok(status::json(StatusCode::OK, &app.blocking(look).await?))
}

pub async fn history(app: &App, asked: &str, query: &Query) -> Answer {
    let (asked, platform) = (name(asked), super::platform(query)?);
    let look = move |engine: &Engine| {
        let image = engine.image_for(&asked, platform.as_ref())?;
        Ok::<_, Refusal>(present::image::history(&image, &engine.layer_sizes(&image)))
    };
    Ok(status::json(StatusCode::OK, &app.blocking(look).await?))
}

/// The manifests of an image, with the containers that stand on each.
pub fn parts(engine: &Engine, image: &Image) -> Vec<api::types::ImageManifest> {
    let containers = engine.list();
    engine.image_parts(image).iter().map(|part| present::image::manifest(part, &containers)).collect()
}

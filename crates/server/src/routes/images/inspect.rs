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
use oci::image::Platform;

pub async fn get(app: &App, asked: &str, version: ApiVersion, query: &Query) -> Answer {
    let (asked, platform) = (name(asked), super::platform(query)?);
    let look = move |engine: &Engine| {
        let image = find(engine, &asked, platform.as_ref())?;
        Ok::<_, Refusal>(present::image::inspect(&image, &engine.layer_folders(&image), version))
    };
    Ok(status::json(StatusCode::OK, &app.blocking(look).await?))
}

pub async fn history(app: &App, asked: &str, query: &Query) -> Answer {
    let (asked, platform) = (name(asked), super::platform(query)?);
    let look = move |engine: &Engine| {
        let image = find(engine, &asked, platform.as_ref())?;
        Ok::<_, Refusal>(present::image::history(&image, &engine.layer_sizes(&image)))
    };
    Ok(status::json(StatusCode::OK, &app.blocking(look).await?))
}

fn find(engine: &Engine, asked: &str, platform: Option<&Platform>) -> Result<Image, Refusal> {
    let image = engine.image(asked)?;
    match platform {
        Some(platform) if !is_for(&image, platform) => Err(Refusal::not_found(format!(
            "image with reference {asked} was found but its platform ({}/{}) does not match the specified platform ({}/{})",
            image.config.os, image.config.architecture, platform.os, platform.architecture
        ))),
        _ => Ok(image),
    }
}

/// A variant is compared where both say one.
fn is_for(image: &Image, platform: &Platform) -> bool {
    let image = &image.config;
    let variant = platform.variant.as_deref().unwrap_or_default();
    image.os == platform.os
        && image.architecture == platform.architecture
        && (variant.is_empty() || image.variant.is_empty() || image.variant == variant)
}

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
        Ok::<_, Refusal>(present::image::inspect(&image, &engine.layer_folders(&image.id), version))
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
    match platform.and_then(|platform| mismatch(&image, asked, platform)) {
        Some(text) => Err(Refusal::not_found(text)),
        None => Ok(image),
    }
}

/// Docker's words for an image that is not for a platform.
pub fn mismatch(image: &Image, asked: &str, platform: &Platform) -> Option<String> {
    let of_image = &image.config;
    (!is_for(image, platform)).then(|| {
        format!(
            "image with reference {asked} was found but its platform ({}/{}) does not match the specified platform ({}/{})",
            of_image.os, of_image.architecture, platform.os, platform.architecture
        )
    })
}

/// A variant is compared where both say one.
fn is_for(image: &Image, platform: &Platform) -> bool {
    let image = &image.config;
    let variant = platform.variant.as_deref().unwrap_or_default();
    image.os == platform.os
        && image.architecture == platform.architecture
        && (variant.is_empty() || image.variant.is_empty() || image.variant == variant)
}

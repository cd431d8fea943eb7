//! The platform that a container is asked for: its image must be for it.

use crate::status::Refusal;
use engine::Engine;
use oci::image::Platform;

/// Checks `text`, and the image that is here. One that is not here is told of later; a client takes the same status for
/// both, and pulls.
pub fn fits(engine: &Engine, text: &str, image: &str) -> Result<Platform, Refusal> {
    let platform = image::parse_platform(text).map_err(|error| match error {
        image::Error::InvalidPlatform(_) => {
            Refusal::invalid(format!("{text:?}: cannot parse platform specifier: invalid argument"))
        }
        other => engine::Error::from(other).into(),
    })?;
    if engine.image(image).is_ok() {
        engine.image_for(image, Some(&platform))?;
    }
    Ok(platform)
}

/// Whether a warning is about a platform that nobody asked for.
pub fn is_told_by(warning: &str) -> bool {
    warning.ends_with("and no specific platform was requested")
}

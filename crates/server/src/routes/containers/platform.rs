//! The platform that a container is asked for: its image must be for it.

use crate::routes::images::inspect::mismatch;
use crate::status::Refusal;
use engine::Engine;

/// Checks `text`, and the image that is here. One that is not here is told of later; a client takes the same status for
/// both, and pulls.
pub fn fits(engine: &Engine, text: &str, image: &str) -> Result<(), Refusal> {
    let platform = image::parse_platform(text).map_err(|error| match error {
        image::Error::InvalidPlatform(_) => {
            Refusal::invalid(format!("{text:?}: cannot parse platform specifier: invalid argument"))
        }
        other => engine::Error::from(other).into(),
    })?;
    let Ok(found) = engine.image(image) else { return Ok(()) };
    match mismatch(&found, image, &platform) {
        Some(words) => Err(Refusal::not_found(words)),
        None => Ok(()),
    }
}

/// Whether a warning is about a platform that nobody asked for.
pub fn is_told_by(warning: &str) -> bool {
    warning.ends_with("and no specific platform was requested")
}

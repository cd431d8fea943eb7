//! What a check has to know besides the Dockerfile: images that are here, names, what the context leaves out.

use crate::builder::House;
use crate::context::{Named, Sources};
use crate::request::Keys;
use dockerfile::ignore::Ignore;
use dockerfile::lint::{ImageFacts, Surroundings};
use engine::Pull;
use image::Reference;
use oci::image::Platform;
use registry::Cancel;

/// The surroundings of one Dockerfile.
pub(crate) struct Around<'a> {
    pub house: &'a House,
    pub sources: &'a dyn Sources,
    /// Who asks a registry; `None`: nobody, and what is not here is not known.
    pub keys: Option<&'a dyn Keys>,
    pub cancel: &'a Cancel,
    /// What the context leaves out.
    pub ignore: Option<Ignore>,
}

impl Around<'_> {
    /// An image that is here, or comes now.
    fn found(&self, name: &str, platform: Option<&str>) -> Option<image::Image> {
        let engine = &self.house.engine;
        if let Ok(image) = engine.image(name) {
            return Some(image);
        }
        let keys = self.keys?;
        let reference = Reference::parse(name).ok()?.or_latest();
        let pull = Pull {
            credentials: keys.of(&reference),
            reference: reference.clone(),
            platform: platform.and_then(|text| image::parse_platform(text).ok()),
            cancel: self.cancel.clone(),
        };
        engine.image_pull(&pull, &|_| {}).ok()?;
        engine.image(&reference.to_string()).ok()
    }
}

impl Surroundings for Around<'_> {
    fn image(&self, name: &str, platform: Option<&str>) -> Option<ImageFacts> {
        let image = match self.sources.named(name) {
            Some(Named::Image(other)) => self.found(&other, platform)?,
            Some(_) => return None,
            None => self.found(name, platform)?,
        };
        let config = image.config.config;
        let variant = Some(image.config.variant).filter(|variant| !variant.is_empty());
        let (os, architecture) = (image.config.os, image.config.architecture);
        Some(ImageFacts {
            env: config.env,
            has_shell: config.shell.is_some_and(|shell| !shell.is_empty()),
            on_build: config.on_build.unwrap_or_default(),
            platform: (!os.is_empty()).then_some(Platform { os, architecture, variant, os_version: None }),
        })
    }

    fn is_image_name(&self, name: &str) -> bool {
        Reference::parse(name).is_ok()
    }

    fn ignore(&self) -> Option<&Ignore> {
        self.ignore.as_ref()
    }
}

//! Images that a client asks about while it builds.

use super::{Builds, Job};
use crate::{Error, Result, session, status};
use bollard_buildkit_proto::pb;
use build::Keys;
use engine::Pull;
use image::Reference;
use oci::image::Platform;
use registry::Cancel;
use std::sync::Arc;
use tonic::Status;

/// What is said of an image.
#[derive(Debug)]
pub struct Found {
    pub reference: String,
    pub digest: String,
    /// Its configuration, as it is.
    pub config: Vec<u8>,
}

impl Builds {
    /// The configuration of an image that is here, or comes now.
    pub async fn image_config(
        self: &Arc<Self>,
        job: &Arc<Job>,
        (name, platform): (&str, Option<&pb::Platform>),
        cancel: Cancel,
    ) -> std::result::Result<Found, Status> {
        let session = self.session(job).await.map_err(|error| status::plain(&error))?;
        let (builds, name, platform) = (self.clone(), name.to_owned(), platform.map(of_wire));
        let work = tokio::task::spawn_blocking(move || {
            let keys = session::keys(&session, &cancel);
            builds.look(&name, platform, &keys, &cancel)
        });
        let done = work.await.unwrap_or_else(|_| Err(Error::Internal("the engine's log tells more".to_owned())));
        done.map_err(|error| status::plain(&error))
    }

    fn look(&self, name: &str, platform: Option<Platform>, keys: &dyn Keys, cancel: &Cancel) -> Result<Found> {
        let builder = self.house.builder()?;
        let engine = builder.engine();
        let reference = Reference::parse(name).map_err(build::Error::from)?.or_latest();
        let fits = |image: &image::Image| {
            let wanted = platform.as_ref();
            wanted.is_none_or(|wanted| image.config.os == wanted.os && image.config.architecture == wanted.architecture)
        };
        let found = match engine.image(&reference.to_string()).ok().filter(fits) {
            Some(image) => image,
            None => {
                let (credentials, cancel) = (keys.of(&reference), cancel.clone());
                let pull = Pull { credentials, reference: reference.clone(), platform, cancel };
                engine.image_pull(&pull, &|_| {}).map_err(build::Error::from)?;
                engine.image(&reference.to_string()).map_err(build::Error::from)?
            }
        };
        let config = serde_json::to_vec(&found.config).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Found { reference: reference.to_string(), digest: found.id.to_string(), config })
    }
}

fn of_wire(platform: &pb::Platform) -> Platform {
    Platform {
        architecture: platform.architecture.clone(),
        os: platform.os.clone(),
        variant: Some(platform.variant.clone()).filter(|variant| !variant.is_empty()),
        os_version: None,
    }
}
